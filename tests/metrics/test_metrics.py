"""What a running server counts, and who may see it."""

import gevent
import pytest

import toolserver.testing
from tests.metrics.reading import read
from toolserver import (
    FactoryTool,
    StandardTool,
    TransientTool,
    call,
    limit,
    register,
    require_group,
)
from toolserver.calls import Call
from toolserver.errors import ApplicationError
from toolserver.message import Request, Response
from toolserver.metrics.exposition import expose_metrics
from toolserver.metrics.metered import CallMeter
from toolserver.metrics.sheets import COUNTER, CountSheet, Series
from toolserver.wrappers import rest


@register("metered")
class Metered(StandardTool):
    def add(self, a: int, b: int) -> int:
        return a + b

    def twice(self, a: int) -> int:
        return call("metered.add", a, b=a)

    def fail(self) -> None:
        raise KeyError("nothing")

    def refuse(self) -> None:
        raise ApplicationError("not today")

    def admin(self) -> None:
        require_group("admin")

    @limit(timeout=0.05)
    def sleep(self) -> None:
        gevent.sleep(5)

    def later(self) -> str:
        return self.enqueue(0, self.add, 1, 2).id

    @rest("GET", name="report.txt")
    def _report(self, request: Request) -> Response:
        return Response("report")


class Leaf(TransientTool):
    def name(self) -> str:
        return self.key


@register("tree")
class Tree(FactoryTool):
    children = (Leaf,)

    def child_exists(self, key: str) -> bool:
        return True


@pytest.fixture
def server():
    config = {"ops": {"metrics": True}}
    with toolserver.testing.serve(Metered, Tree, config=config) as found:
        yield found


def calls(server, **labels):
    samples = read(server.http.get("/metrics"))
    return samples.sum("toolserver_calls_total", **labels)


def test_calls_are_counted_by_tool_method_protocol_and_outcome(server):
    assert server.http.post("/metered/add", json={"a": 1, "b": 2}).json() == 3
    server.http.post("/metered/add", json={"a": 1, "b": "x"})
    for protocol in ("RPC2", "JSONRPC", "SOAP"):
        assert server.remote(protocol).call("metered.twice", 2) == 4
    for name in ("fail", "refuse", "admin", "sleep"):
        server.http.post(f"/metered/{name}")
    assert server.http.get("/metered/report.txt").text == "report"
    samples = read(server.http.get("/metrics"))

    def count(method, protocol, outcome="ok", tool="metered"):
        return samples.sum(
            "toolserver_calls_total",
            **{"tool": tool, "method": method},
            **{"protocol": protocol, "outcome": outcome},
        )

    assert count("add", "REST") == 1
    assert count("add", "REST", "invalid") == 1
    assert [count("twice", name) for name in ("RPC2", "JSONRPC", "SOAP")] == [1, 1, 1]
    assert count("add", "inside") == 3
    assert count("fail", "REST", "failed") == 1
    assert count("refuse", "REST", "application") == 1
    assert count("admin", "REST", "refused") == 1
    assert count("sleep", "REST", "timeout") == 1
    assert count("_report", "REST") == 1


def test_calls_of_nobody_are_counted_as_the_servers_own(server):
    assert server.worker.dispatcher.call(Call("metered.add", (1, 2))).value == 3
    assert calls(server, method="add", protocol="inside", outcome="ok") == 1


def test_what_another_version_has_counted_is_left_out():
    series = [
        Series((COUNTER, "of the next version"), [1.0]),
        Series((COUNTER, "requests"), [2.0]),
    ]
    text, _ = expose_metrics(series, "text/plain")
    assert b"toolserver_requests_total 2.0" in text
    assert b"next version" not in text


def test_durations_are_in_classes_that_add_up(server):
    for number in range(5):
        server.http.post("/metered/add", json={"a": 1, "b": number})
    server.http.post("/metered/sleep")
    samples = read(server.http.get("/metrics"))

    def buckets(method):
        found = samples.all("toolserver_call_seconds_bucket", method=method)
        return [(each.labels["le"], each.value) for each in found]

    adds, sleeps = buckets("add"), buckets("sleep")
    assert adds[-1] == ("+Inf", 5.0)
    assert [value for _, value in adds] == sorted(value for _, value in adds)
    assert samples.sum("toolserver_call_seconds_count", method="add") == 5
    assert dict(sleeps)["0.025"] == 0
    assert dict(sleeps)["5.0"] == 1
    assert 0.05 <= samples.sum("toolserver_call_seconds_sum", method="sleep") < 5


def test_what_strangers_make_up_makes_no_series(server):
    for number in range(30):
        remote = server.remote("JSONRPC")
        with pytest.raises(Exception, match="no "):
            remote.call(f"metered.nothing{number}")
        assert server.http.post(f"/tree/key{number}/name").text == f"key{number}"
    samples = read(server.http.get("/metrics"))
    unknown = samples.all("toolserver_calls_total", method="(unknown)")
    assert [(each.labels["tool"], each.value) for each in unknown] == [("", 30.0)]
    leaves = samples.all("toolserver_calls_total", method="name")
    assert [(each.labels["tool"], each.value) for each in leaves] == [("tree.*", 30.0)]


def test_what_finds_no_room_is_counted_all_the_same(server, tmp_path):
    path = tmp_path / "sheet"
    path.write_bytes(bytes(1024))
    with path.open("r+b") as file:
        sheet = CountSheet(file.fileno())
    meter = CallMeter(sheet)
    targets = list(server.worker.registry.entry("metered").methods.values())
    for target in targets:
        meter.count(target, "REST", "ok", 0.001)
    counted = {
        key[2:]: values[0] for key, values in sheet.series() if key[1] == "calls"
    }
    assert sum(counted.values()) == len(targets) > 3
    assert counted[("(other)",) * 4] > 0


def test_the_state_of_the_server_is_told(server):
    server.call("metered.later")
    server.run_jobs()
    samples = read(server.http.get("/metrics"))
    assert samples.sum("toolserver_jobs", state="done") == 1
    assert samples.sum("toolserver_jobs", state="waiting") == 0
    assert samples.sum("toolserver_jobs_overdue_seconds") == 0
    assert samples.sum("toolserver_job_lateness_seconds_count") == 1
    assert samples.sum("toolserver_calls_total", protocol="job", method="add") == 1
    assert samples.sum("toolserver_connections", worker="0") == 1
    assert samples.sum("toolserver_requests_running") == 1
    assert samples.sum("toolserver_requests_limit") == 2000
    assert samples.sum("toolserver_requests_waiting") == 0
    assert samples.sum("toolserver_memory_bytes") > 10e6
    assert samples.sum("toolserver_requests_total") == 1
    assert samples.sum("toolserver_cpu_seconds_total") > 0


def test_the_lag_of_the_loop_is_measured(server):
    def measured():
        samples = read(server.http.get("/metrics"))
        return samples.sum("toolserver_loop_lag_seconds_count") >= 2

    with gevent.Timeout(20):
        while not measured():
            gevent.sleep(0.05)


def test_who_accepts_openmetrics_gets_it(server):
    accept = "application/openmetrics-text; version=1.0.0"
    answer = server.http.get("/metrics", headers={"Accept": accept})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_nothing_is_counted_unless_somebody_asks():
    with toolserver.testing.serve(Metered) as server:
        assert server.http.get("/metrics").status_code == 404


def test_metrics_are_for_operators():
    ops = {"metrics": True, "allow": ["192.0.2.0/24", "2001:db8::/32"]}
    with toolserver.testing.serve(Metered, config={"ops": ops}) as server:
        assert server.http.get("/metrics").status_code == 401


@pytest.mark.parametrize("field", ["X-Forwarded-For", "Forwarded", "Via"])
def test_a_strange_proxy_nearby_opens_nothing(server, field):
    value = {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
    fields = {field: value.get(field, "1.1 nearby")}
    assert server.http.get("/metrics", headers=fields).status_code == 401


def test_a_trusted_proxy_tells_who_asks():
    config = {
        "ops": {"metrics": True, "allow": ["192.0.2.0/24"]},
        "server": {"trusted_proxies": ["127.0.0.1"]},
    }
    with toolserver.testing.serve(Metered, config=config) as server:
        for address, status in (("192.0.2.7", 200), ("203.0.113.9", 401)):
            fields = {"X-Forwarded-For": address}
            assert server.http.get("/metrics", headers=fields).status_code == status
