"""Jobs that calls from outside lead to: what their callers get, and who they are."""

import json

import gevent
import pytest
import requests
from gevent.event import Event

from tests.http.raw_http import wait_for
from toolserver import Job, StandardTool, context, job, read_only, register
from toolserver.testing import serve
from toolserver.traces import current_trace

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e47{:02x}-00f067aa0ba902b7-01"


@register("bakery")
class Bakery(StandardTool):
    def __init__(self):
        self.gate = Event()

    def bake(self, loaves: int) -> int:
        return loaves * 2

    def order(self, loaves: int) -> Job[int]:
        return self.enqueue(0, self.bake, loaves)

    def order_many(self, loaves: int) -> list[Job[int]]:
        return [
            self.enqueue(0, self.bake, loaves),
            self.spawn(self.bake, loaves),
            self.schedule(0, self.bake, loaves),
        ]

    def whose(self) -> list[str | None]:
        return [context.request_id, current_trace(), context.client]

    def ask(self) -> list[object]:
        """Whose this call is, and whose are those that it leads to, and those these."""
        jobs = [self.spawn(self.whose), self.enqueue(0, self.relay)]
        return [self.whose(), *(each.result(20) for each in jobs)]

    def relay(self) -> list[str | None]:
        gevent.sleep(0)
        return self.schedule(0, self.whose).result(20)

    @read_only
    def hold(self) -> str:
        self.gate.wait(20)
        return "held"


@pytest.fixture(params=["memory", "sqlite"])
def server(request):
    config = {"jobs": {"engine": request.param}, "server": {"max_workers": 3}}
    with serve(Bakery, config=config) as running:
        yield running
        running.tool("bakery").gate.set()


@pytest.mark.parametrize("protocol", ["JSONRPC", "RPC2", "SOAP", "REST"])
def test_over_the_wire_a_job_is_its_id(server, protocol):
    remote = server.remote(protocol)
    assert job(remote.call("bakery.order", 3)).result(5) == 6
    assert [job(id).result(5) for id in remote.call("bakery.order_many", 4)] == [8] * 3


def test_agents_get_its_id(server):
    asked = {
        **{"jsonrpc": "2.0", "id": 1, "method": "tools/call"},
        "params": {"name": "bakery.order", "arguments": {"loaves": 5}},
    }
    headers = {"Accept": "application/json, text/event-stream"}
    answer = server.http.post("/mcp", json=asked, headers=headers)
    content = answer.json()["result"]["content"]
    text = content[0]["text"]
    assert job(json.loads(text) if text.startswith('"') else text).result(5) == 10


def test_jobs_carry_request_and_trace_of_who_started_them(server):
    def ask(number):
        parent = PARENT.format(number)
        with requests.Session() as session:
            session.trust_env = False
            url = server.url("/bakery/ask")
            headers = {"traceparent": parent}
            answer = session.post(url, headers=headers, timeout=30)
        found = answer.json()
        assert found[0] == found[1] == found[2], found
        assert found[0][1] == parent
        return found[0][0]

    greenlets = [gevent.spawn(ask, number) for number in range(60)]
    gevent.joinall(greenlets, raise_error=True, timeout=40)
    assert len({greenlet.value for greenlet in greenlets}) == 60


def test_jobs_do_not_wait_behind_requests(server):
    tool = server.tool("bakery")

    def hold():
        answer = requests.get(server.url("/bakery/hold"), timeout=30)
        return answer.text

    greenlets = [gevent.spawn(hold) for _ in range(5)]
    wait_for(lambda: server.worker.http.busy == 3)
    jobs = [tool.order(1), tool.spawn(tool.bake, 1), tool.schedule(0, tool.bake, 1)]
    assert [each.result(5) for each in jobs] == [2, 2, 2]
    tool.gate.set()
    gevent.joinall(greenlets, raise_error=True, timeout=20)
    assert [greenlet.value for greenlet in greenlets] == ["held"] * 5
