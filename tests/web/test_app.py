"""What the server answers before and after tools, and in their place."""

from __future__ import annotations

import gzip
import json
import re

import pytest

import toolserver.testing
from tests.http.raw_http import Client, wait_for
from toolserver import DirectResponse, Response, StandardTool, context, register, rest
from toolserver.errors import AlreadyDone
from toolserver.message import Request


@register("answers")
class Answers(StandardTool):
    def echo(self, x: str = "") -> str:
        return x

    def id(self) -> str:
        return str(context.request_id)

    def status(self, status: int) -> Response:
        return Response("x", status=status)

    def field(self) -> Response:
        return Response("x", headers={"X A": "b"})

    def direct(self) -> None:
        raise DirectResponse("no response")

    @rest("GET", name="silent")
    def silent(self, request: Request) -> None:
        raise AlreadyDone

    @rest("POST", name="raw")
    def raw(self, request: Request) -> str:
        return str(len(request.body))


@pytest.fixture(scope="module")
def server():
    with toolserver.testing.serve(Answers) as running:
        yield running


@pytest.mark.parametrize("path", ["status?status=1000", "field", "direct", "silent"])
def test_an_answer_that_cannot_be_sent_is_a_problem_with_a_reference(
    server, path, caplog
):
    for method in ("GET", "HEAD"):
        answer = server.http.request(method, f"/answers/{path}")
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
    problem = server.http.get(f"/answers/{path}").json()
    reference = re.search(r"reference (\S+)", problem["detail"])[1]
    wait_for(lambda: f"internal error, reference {reference}" in caplog.text)
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("sent", ["a b", "<x>", "x" * 65, "\u00e4"])
def test_an_id_of_a_request_that_could_not_be_logged_is_not_taken(server, sent):
    headers = {"X-Request-ID": sent.encode("latin-1")}
    assert server.http.get("/answers/id", headers={"X-Request-ID": "a.b-1"}).text == (
        "a.b-1"
    )
    given = server.http.get("/answers/id", headers=headers).text
    assert given != sent
    assert re.fullmatch(r"[A-Za-z0-9._-]{8,64}", given)


@pytest.mark.parametrize("path", ["/answers/echo", "/answers/raw", "/RPC2", "/JSONRPC"])
@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "unknown"])
def test_a_compressed_body_is_refused(server, path, coding):
    body = gzip.compress(json.dumps({"x": "a"}).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    answer = server.http.post(path, data=body, headers=headers)
    assert answer.status_code == 415
    assert answer.headers["accept-encoding"] == "identity"


def test_a_body_as_it_is_may_say_so(server):
    headers = {"Content-Encoding": "Identity"}
    answer = server.http.post("/answers/echo", json={"x": "a"}, headers=headers)
    assert (answer.status_code, answer.text) == (200, "a")


def test_the_server_itself_is_asked_by_an_asterisk(server):
    with Client(server.worker.http) as client:
        asked = b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"
        assert client.send(asked).answer().status == 204
        foreign = b"OPTIONS * HTTP/1.1\r\nHost: evil.example\r\n\r\n"
        assert client.send(foreign).answer().status == 421


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost.", 200), ("localhost.:80", 200), ("localhost..", 421), (".", 421)],
)
def test_a_host_may_end_with_the_dot_of_the_root(server, host, status):
    answer = server.http.get("/answers/echo?x=a", headers={"Host": host})
    assert answer.status_code == status
