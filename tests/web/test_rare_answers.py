"""Answers that are seldom given: in the place of others, or as the last way out."""

from __future__ import annotations

import errno
import json
import os
import re

import gevent
import pytest
from gevent.event import Event

import toolserver.testing
from tests.http.raw_http import wait_for
from toolserver import (
    Redirect,
    Request,
    Response,
    StandardTool,
    cached,
    context,
    generator,
    on_error,
    read_only,
    register,
    rest,
    validate,
)
from toolserver.calls import Call, Outcome
from toolserver.errors import (
    AlreadyDone,
    ApplicationError,
    InvalidParams,
    NotFound,
    Signal,
)
from toolserver.message import Headers
from toolserver.settings import ServerSettings
from toolserver.web import routes
from toolserver.web.hosts import HostCheck
from toolserver.web.problems import problem

DAY = "Mon, 23 Nov 2026 00:00:00 GMT"


class Strange(Signal):
    """Nobody knows what it means."""


@register("rare")
class Rare(StandardTool):
    def on_start(self):
        self.gate, self.waiting = Event(), 0

    def add(self, a: int = 0, b: int = 0) -> int:
        return a + b

    def text(self) -> str:
        return "text"

    def wait(self) -> str:
        self.waiting += 1
        self.gate.wait(60)
        return "done"

    def strange(self) -> None:
        raise Strange

    def moved(self) -> None:
        """Is answered elsewhere."""

    @validate(moved)
    def _moved(self, call) -> None:
        raise Redirect("/elsewhere")

    def raw(self) -> str:
        return "x" * 10_000

    @generator(raw, content_type="text/plain", compress=False)
    def _raw(self, request, result):
        return result

    @cached(60)
    @read_only
    def kept(self) -> str:
        return "kept"

    @cached(60)
    @read_only
    def shown(self) -> str:
        return "shown"

    @generator(shown)
    def _shown(self, request, result):
        return Response(result, headers=[("Cache-Control", "public")])

    def fails(self, how: str) -> None:
        raise NotFound(how)

    @on_error(fails)
    def _fails(self, request, error):
        if str(error) == "by hand":
            writer = context.request.writer
            writer.start(404, [("Content-Length", "7")])
            writer.write(b"by hand")
            raise AlreadyDone
        raise gevent.GreenletExit

    @rest("GET", name="dated")
    def dated(self, request: Request) -> Response:
        return Response("x", headers=[("Last-Modified", DAY)])


@pytest.fixture(scope="module")
def server():
    with toolserver.testing.serve(Rare) as running:
        yield running
        running.tool("rare").gate.set()


def asked(accept):
    return {"headers": {"Accept": accept}}


@pytest.mark.parametrize(
    ("path", "accept", "kind"),
    [
        ("text", "application/json;q=0.5, text/plain", "text/plain"),
        ("text", "application/json, text/plain;q=0.5", "application/json"),
        ("add", "application/xml;q=0.5, application/json", "application/json"),
        ("add", "application/xml, application/json;q=0.5", "application/xml"),
    ],
)
def test_callers_have_what_they_like_most(server, path, accept, kind):
    answer = server.http.get(f"/rare/{path}", **asked(accept))
    assert answer.headers["Content-Type"].partition(";")[0] == kind
    assert answer.headers["Vary"] == "Accept"


def test_a_body_that_turns_out_to_be_empty_gives_no_arguments(server):
    answer = server.http.post("/rare/add", data=iter([]))
    assert (answer.status_code, answer.text) == (200, "0")


def test_what_is_made_not_to_be_compressed_is_not(server):
    answer = server.http.get("/rare/raw", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers
    assert len(answer.content) == 10_000


def test_what_a_tool_says_of_caches_goes_before(server):
    told = server.http.get("/rare/kept").headers["Cache-Control"]
    assert told.startswith("private, max-age=")
    assert server.http.get("/rare/shown").headers["Cache-Control"] == "public"


def test_what_has_a_date_and_no_tag_is_not_sent_again(server):
    headers = {"If-Modified-Since": DAY}
    answer = server.http.get("/rare/dated", headers=headers)
    assert (answer.status_code, answer.content) == (304, b"")
    assert "ETag" not in answer.headers


def test_an_error_may_be_answered_by_hand(server):
    answer = server.http.get("/rare/fails?how=by+hand")
    assert (answer.status_code, answer.content) == (404, b"by hand")


def test_an_error_handler_may_be_ended(server):
    answer = server.http.get("/rare/fails?how=ended")
    assert answer.status_code == 500
    assert server.http.get("/rare/add").text == "0"


def test_a_signal_that_nobody_knows_is_a_failure(server):
    answer = server.http.get("/rare/strange")
    assert answer.status_code == 500
    assert "unknown signal Strange" in answer.json()["detail"]


def test_who_is_sent_elsewhere_has_started_nothing(server):
    answer = server.http.post(
        "/rare/moved", headers={"Prefer": "respond-async"}, allow_redirects=False
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, "/elsewhere")


def test_too_many_who_wait_are_told_where_to_ask():
    with toolserver.testing.serve(Rare, config={"limits": {"streams": 1}}) as server:
        prefer = {"Prefer": "respond-async, wait=60"}
        first = gevent.spawn(server.http.post, "/rare/wait", headers=prefer)
        wait_for(lambda: server.tool("rare").waiting == 1)
        answer = server.http.post("/rare/wait", headers=prefer)
        assert answer.status_code == 202
        assert answer.json()["state"] in ("waiting", "running")
        server.tool("rare").gate.set()
        assert first.get(timeout=30).text == "done"


@pytest.mark.parametrize("name", ["rare.gone", "gone.away"])
def test_what_was_asked_of_a_method_that_is_gone_is_answered(server, name):
    app = server.worker._assembly.app
    made = app._rest.answer_for(Request(), Outcome(Call(name), value={"a": 1}))
    assert (made.status, made.body) == (200, b'{"a":1}')
    failed = Outcome(Call(name), error=NotFound("no book"))
    made = app._rest.answer_for(Request(), failed)
    assert (made.status, json.loads(made.body)["detail"]) == (404, "no book")


def test_a_disk_that_fails_is_a_failure_with_a_reference(tmp_path, monkeypatch, caplog):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "a.txt").write_text("a")
    own = os.open

    def fails(path, flags, *args, **options):
        if path == "a.txt":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return own(path, flags, *args, **options)

    with toolserver.testing.serve(Rare, home=tmp_path) as server:
        with monkeypatch.context() as patch:
            patch.setattr("os.open", fails)
            answer = server.http.get("/a.txt")
        assert answer.status_code == 500
        reference = re.search(r"reference (\S+)", answer.json()["detail"])[1]
        assert f"internal error, reference {reference}" in caplog.text
        assert "Input/output error" in caplog.text
        assert server.http.get("/a.txt").text == "a"


def test_without_static_files_there_are_tools_alone(tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "a.txt").write_text("a")
    for enabled, status in ((True, 200), (False, 404)):
        config = {"static": {"enabled": enabled}}
        with toolserver.testing.serve(Rare, home=tmp_path, config=config) as server:
            assert server.http.get("/a.txt").status_code == status
            assert server.http.get("/rare/add/1").text == "1"


def test_paths_of_strangers_are_not_remembered_for_ever(server, monkeypatch):
    monkeypatch.setattr(routes, "_REMEMBERED", 3)
    for number in range(10):
        assert server.http.get(f"/nowhere/{number}").status_code == 404
        assert server.http.get("/rare/add").text == "0"
    assert len(server.worker._assembly.app._rest.exact.__self__._exact) <= 3


def test_a_server_for_all_addresses_has_the_names_that_are_given():
    everywhere = HostCheck(ServerSettings(host="0.0.0.0", hosts=("shop.example",)))
    for host, is_ours in [
        ("shop.example:80", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("evil.example", False),
    ]:
        assert everywhere.is_ours(Request(host=host)) is is_ours
    # Ports are anybody's choice: not all of them are remembered.
    for port in range(1000):
        assert everywhere.is_ours(Request(host=f"shop.example:{port}"))
    assert len(everywhere._accepted) < 1000


def test_facts_that_cannot_be_sent_do_not_hide_the_failure():
    error = ApplicationError("sold out", data={"left": object()})
    made = problem(Request(headers=Headers()), error)
    told = json.loads(made.body)
    assert (made.status, told["detail"]) == (500, "sold out")
    assert "left" not in told
    made = problem(Request(), InvalidParams("no", data=[1, object()]))
    assert (made.status, json.loads(made.body)["title"]) == (400, "Bad Request")
