"""Several calls in one request, by all ways in which they can be nested."""

from __future__ import annotations

import itertools
import time

import gevent
import pytest

import toolserver.testing
from tests.sample import Faults
from toolserver import StandardTool, register
from toolserver.calls import Call
from toolserver.protocols import base
from toolserver.protocols.jsonrpc import JSONRPC
from toolserver.settings import Limits


@register("test.busy")
class Busy(StandardTool):
    """Counts, and computes without waiting for anything."""

    def on_start(self) -> None:
        self.made = 0

    def count(self) -> int:
        self.made += 1
        return self.made

    def compute(self, seconds: float) -> None:
        due = time.monotonic() + seconds
        while time.monotonic() < due:
            pass


@pytest.fixture
def server():
    with toolserver.testing.serve(Busy, Faults) as running:
        yield running


def multicall(count, name="test.busy.count", params=()):
    inner = {"methodName": name, "params": list(params)}
    return call("system.multicall", [inner] * count)


def call(name, *params):
    return {"jsonrpc": "2.0", "id": 1, "method": name, "params": params}


def test_a_batch_of_multicalls_has_one_bound(server):
    batch = [multicall(10), multicall(60), multicall(60), multicall(20)]
    answers = server.http.post("/JSONRPC", json=batch).json()
    assert [len(answer.get("result", ())) for answer in answers] == [10, 60, 0, 20]
    assert answers[2]["error"]["code"] == -32600
    assert answers[2]["error"]["message"] == (
        "calls: got 60 calls besides 74 others, expected at most 100 in a request"
    )
    assert server.tool("test.busy").made == 90


def test_a_batch_may_use_all_calls_of_its_own(server):
    batch = [call("test.busy.count")] * 99 + [multicall(1)]
    answers = server.http.post("/JSONRPC", json=batch).json()
    assert [answer.get("result") for answer in answers[:99]] == list(range(1, 100))
    assert "besides 100 others" in answers[99]["error"]["message"]


def test_each_request_of_a_connection_has_an_account_of_its_own(server):
    for _ in range(3):
        answer = server.http.post("/JSONRPC", json=multicall(100)).json()
        assert len(answer["result"]) == 100
        answers = server.http.post("/JSONRPC", json=[call("test.busy.count")] * 100)
        assert len(answers.json()) == 100


@pytest.mark.parametrize("path", ["/JSONRPC", "/system/multicall"])
def test_others_get_a_turn_between_calls(server, path):
    names = ["test.busy.compute"] * 40
    if path == "/JSONRPC":
        body = [call(name, 0.005) for name in names]
    else:
        body = [[{"methodName": name, "params": [0.005]} for name in names]]
    turns = []

    def note():
        while True:
            turns.append(time.monotonic())
            gevent.sleep(0)

    noting = gevent.spawn(note)
    try:
        assert server.http.post(path, json=body).status_code == 200
    finally:
        noting.kill()
    # One call at a time holds up the others: 5 ms, not 200.
    gaps = [later - earlier for earlier, later in itertools.pairwise(turns)]
    assert sum(gap > 0.004 for gap in gaps) >= 30


@pytest.mark.parametrize("prefix", ["", "two words", "-x", "a/b"])
def test_a_protocol_is_offered_under_a_word(prefix):
    codec = type("Odd", (JSONRPC,), {"prefix": prefix})(Limits())
    with pytest.raises(TypeError, match="expected a word"):
        base.register_protocol(codec)
    assert codec not in base.registered


def test_a_protocol_has_to_be_one():
    with pytest.raises(TypeError, match="expected an object with prefix"):
        base.register_protocol(object())


def test_protocols_of_others_are_bounded_too():
    class Hundreds(JSONRPC):
        prefix = "HUNDREDS"

        def decode(self, request):
            request.notes["jsonrpc.batch"] = True
            return [Call("test.busy.count", id=1) for _ in range(int(request.body))]

    codec = Hundreds(Limits())
    base.register_protocol(codec)
    try:
        with toolserver.testing.serve(Busy) as server:
            kind = {"Content-Type": "application/json"}
            fits = server.http.post("/HUNDREDS", data="100", headers=kind)
            assert len(fits.json()) == 100
            (told,) = server.http.post("/HUNDREDS", data="101", headers=kind).json()
            assert told["error"]["code"] == -32600
            assert server.tool("test.busy").made == 100
    finally:
        base.registered.remove(codec)
