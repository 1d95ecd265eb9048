"""Calls over REST that go on without their callers (RFC 7240)."""

from __future__ import annotations

import re
import time
from datetime import timedelta

import pytest

import toolserver.testing
from tests.http.raw_http import wait_for
from tests.jobs.work import Locked, Work
from toolserver.contexts import Context, bind
from toolserver.errors import InvalidParams, JobExpired
from toolserver.jobs.outside import find_job, result_of


@pytest.fixture
def server():
    with toolserver.testing.serve(Work, Locked) as running:
        yield running
        running.tool("work").release.set()


def start(server, path="/work/add?a=1", prefer="respond-async", **options):
    headers = {"Prefer": prefer, **options.pop("headers", {})}
    method = options.pop("method", "POST")
    return server.http.request(method, path, headers=headers, **options)


def state(server, path):
    return server.http.get(path).json()["state"]


def done(server, path):
    assert server.http.get(f"{path}?wait=10").json()["state"] == "done"
    return server.http.get(f"{path}/result")


# --- respond-async


def test_a_call_goes_on_without_its_caller(server):
    answer = start(server, "/work/wait")
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "respond-async"
    assert answer.headers["Cache-Control"] == "no-store"
    path = answer.headers["Location"]
    told = answer.json()
    assert re.fullmatch(r"/jobs/[A-Za-z0-9_-]{22,64}", path)
    assert told["id"] == path.removeprefix("/jobs/")
    assert told["state"] in ("waiting", "running")
    wait_for(lambda: state(server, path) == "running")
    server.tool("work").release.set()
    result = done(server, path)
    assert (result.status_code, result.text) == (200, "released")
    assert result.headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_each_verb_may_be_asked_so(server, method):
    answer = start(server, "/work/look?what=it", method=method)
    assert answer.status_code == 202
    assert done(server, answer.headers["Location"]).text == "saw it"


def test_arguments_come_in_every_way(server):
    found = [
        start(server, "/work/add/1/2"),
        start(server, json={"a": 1, "b": 2}, path="/work/add"),
        start(server, json=[1, 2], path="/work/add"),
        start(server, "/work/add", data={"a": "1", "b": "2"}),
    ]
    for answer in found:
        assert done(server, answer.headers["Location"]).json() == 3
    parsed = start(server, "/work/order?what=book", method="PUT")
    assert done(server, parsed.headers["Location"]).json() == {
        "item": "book",
        "count": 1,
    }


def test_who_waits_long_enough_gets_the_result(server):
    answer = start(server, "/work/add/1/2", prefer="respond-async, wait=10")
    assert (answer.status_code, answer.json()) == (200, 3)
    begin = time.monotonic()
    later = start(server, "/work/wait", prefer="respond-async, wait=1")
    assert 0.9 < time.monotonic() - begin < 5
    assert later.status_code == 202
    assert later.headers["Preference-Applied"] == "respond-async, wait=1"
    assert later.json()["state"] == "running"


def test_who_waits_gets_the_failure_as_of_a_direct_call(server):
    direct = server.http.post("/work/fail")
    waited = start(server, "/work/fail", prefer="respond-async, wait=10")
    assert waited.status_code == direct.status_code == 409
    assert waited.text == direct.text == "sorry: nothing left"


@pytest.mark.parametrize(
    ("path", "options", "status"),
    [
        ("/work/add", {}, 400),
        ("/work/add?a=x", {}, 400),
        ("/work/add?a=1&c=2", {}, 400),
        ("/work/add", {"json": {"a": "1"}}, 400),
        ("/work/add", {"data": b"{", "headers": {"Content-Type": "x/y"}}, 415),
        ("/work/secret", {}, 404),
        ("/work/nope", {}, 404),
        ("/work/nothing?refuse=true", {}, 403),
        ("/work/order?x=1", {"method": "PUT"}, 400),
        ("/locked/add?a=1", {}, 403),
        ("/work/add?a=1", {"headers": {"Origin": "http://evil.example"}}, 403),
    ],
)
def test_what_cannot_be_called_is_refused_at_once(server, path, options, status):
    answer = start(server, path, **options)
    assert answer.status_code == status, answer.text
    assert "Preference-Applied" not in answer.headers
    assert server.tool("work").calls == []


def test_what_cannot_be_a_job_is_answered_as_usual(server):
    for path, text in (("/work/raw", "raw"), ("/work/stream", "ab")):
        answer = start(server, path)
        assert (answer.status_code, answer.text) == (200, text)
        assert "Preference-Applied" not in answer.headers


def test_other_preferences_change_nothing(server):
    for prefer in ("wait=5", "return=minimal", "respond-async=x", '"'):
        assert start(server, "/work/add/1/2", prefer=prefer).status_code == 200


# --- what becomes of them


@pytest.mark.parametrize(
    ("name", "first", "message"),
    [
        ("enqueue", 2**31, "priority: got 2147483648"),
        ("enqueue", -(2**31) - 1, "priority: got -2147483649"),
        ("schedule", timedelta(days=36525), "when: got 36525 days"),
        ("schedule", timedelta(days=-36525), "when: got -36525 days"),
    ],
)
def test_priorities_and_times_have_bounds(server, name, first, message):
    with pytest.raises(InvalidParams, match=message):
        server.call(f"system.jobs.{name}", first, "work.add", [1])
    assert server.worker.jobs.engine.find() == []


def forget(server):
    engine = server.worker.jobs.engine
    assert engine.purge(now=server.worker.jobs.clock.now() + 1e6) == 1


def test_a_result_that_is_forgotten_while_it_is_asked_for_is_told_so(server):
    path = start(server).headers["Location"]
    done(server, path)
    with bind(Context(services=server.worker.services)):
        status = find_job(path.removeprefix("/jobs/"))
        forget(server)
        outcome = result_of(status)
    assert isinstance(outcome.error, JobExpired)
    assert "ended and forgotten" in str(outcome.error)


def test_events_end_with_a_job_that_is_forgotten(server):
    server.worker.jobs.hold()
    path = start(server).headers["Location"]
    answer = server.http.get(
        path, headers={"Accept": "text/event-stream"}, stream=True, timeout=10
    )
    lines = answer.iter_lines(chunk_size=1)
    assert b"event: status" in lines
    # Nobody has a turn in between, and sees how it ends.
    server.worker.jobs.outcomes.cancel(path.removeprefix("/jobs/"))
    forget(server)
    assert b"event: end" not in list(lines)
