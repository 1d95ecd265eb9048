"""How often callers may call, and how many calls run at once."""

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

import toolserver.testing
from toolserver import (
    FactoryTool,
    StandardTool,
    TransientTool,
    call,
    limit,
    register,
)
from toolserver.contexts import Context
from toolserver.errors import Overload, StartError, ToolserverError, TooMany
from toolserver.message import Request
from toolserver.registry import Registry
from toolserver.settings import Limits
from toolserver.throttles import Rate, Throttles

started = []


@register("bounded")
class Bounded(StandardTool):
    @limit(calls=2, seconds=60.0)
    def twice(self) -> str:
        return "done"

    def free(self) -> str:
        return "done"

    def inside(self) -> list[str]:
        return [call("bounded.twice") for _ in range(5)]

    @limit(concurrency=2)
    def slow(self, seconds: float) -> str:
        started.append(seconds)
        gevent.sleep(seconds)
        return "done"

    @limit(calls=1, seconds=0.2)
    def often(self) -> str:
        return "done"


class Leaf(TransientTool):
    @limit(concurrency=1)
    def grow(self) -> str:
        started.append(self.key)
        gevent.sleep(30)

    @limit(calls=2, seconds=60.0)
    def name(self) -> str:
        return self.key


@register("branches")
class Branches(FactoryTool):
    children = (Leaf,)

    def child_exists(self, key: str) -> bool:
        return True


def serve(**limits):
    return toolserver.testing.serve(Bounded, Branches, config={"limits": limits})


def statuses(server, path, count, **fields):
    return [server.http.post(path, headers=fields).status_code for _ in range(count)]


# --- the bucket


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def test_a_period_may_be_used_at_once_and_then_tokens_come_back():
    clock = Clock()
    rate = Rate(3, 30.0, clock=clock)
    for _ in range(3):
        assert rate.wait("ann") == 0
        rate.take("ann")
    assert rate.wait("ann") == pytest.approx(10.0)
    assert rate.wait("bob") == 0
    clock.now += 10.5
    assert rate.wait("ann") == 0
    rate.take("ann")
    assert rate.wait("ann") == pytest.approx(9.5)


@given(
    st.integers(1, 20),
    st.floats(0.1, 1000),
    st.lists(st.floats(0, 50), min_size=1, max_size=200),
)
def test_nobody_gets_more_than_a_period_and_what_has_come_back(calls, seconds, pauses):
    clock = Clock()
    rate, taken, began = Rate(calls, seconds, clock=clock), 0, clock.now
    for pause in pauses:
        clock.now += pause
        if not rate.wait("ann"):
            rate.take("ann")
            taken += 1
        most = calls + (clock.now - began) * calls / seconds
        assert taken <= most + 1e-6


def test_no_more_callers_are_remembered_than_was_said():
    rate = Rate(1, 60.0, most=10)
    for number in range(1000):
        rate.take(str(number))
    assert len(rate) == 10
    assert rate.wait("999") > 0


# --- calls


def test_who_calls_too_often_is_told_when_to_come_back():
    with serve() as server:
        assert statuses(server, "/bounded/twice", 2) == [200, 200]
        answer = server.http.post("/bounded/twice")
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["Retry-After"]) <= 30
        problem = answer.json()
        assert (problem["code"], problem["error"]) == (-32029, "TooMany")
        assert "bounded.twice: more than 2 calls in 60 s" in problem["detail"]
        assert statuses(server, "/bounded/free", 5) == [200] * 5


@pytest.mark.parametrize("protocol", ["RPC2", "SOAP", "JSONRPC"])
def test_it_is_a_fault_in_every_protocol(protocol):
    with serve() as server:
        remote = server.remote(protocol)
        assert [remote.call("bounded.twice") for _ in range(2)] == ["done"] * 2
        with pytest.raises(ToolserverError) as caught:
            remote.call("bounded.twice")
        assert caught.value.code == -32029


def test_each_client_has_a_bound_of_its_own():
    with serve() as server:
        for name in ("ann", "bob", None):
            client = server.as_client(name)
            for _ in range(2):
                client.call("bounded.twice")
            with pytest.raises(TooMany):
                client.call("bounded.twice")


def test_calls_of_a_batch_count_each():
    with serve() as server:
        batch = [
            {"jsonrpc": "2.0", "id": n, "method": "bounded.twice"} for n in range(3)
        ]
        told = server.http.post("/JSONRPC", json=batch).json()
        codes = [each.get("error", {}).get("code") for each in told]
        assert codes == [None, None, -32029]
        assert 1 <= told[2]["error"]["data"]["retry_after"] <= 30


def test_what_is_asked_for_later_counts_too():
    with serve() as server:
        fields = {"Prefer": "respond-async"}
        assert statuses(server, "/bounded/twice", 3, **fields) == [202, 202, 429]


def test_tools_call_each_other_as_they_need():
    with serve() as server:
        assert server.call("bounded.inside") == ["done"] * 5


def test_time_gives_back_what_was_used():
    with serve() as server:
        assert statuses(server, "/bounded/often", 2) == [200, 429]
        with gevent.Timeout(10):
            while statuses(server, "/bounded/often", 1) != [200]:
                gevent.sleep(0.02)


def test_the_tools_of_a_factory_have_their_bounds_in_common():
    with serve() as server:
        paths = [f"/branches/key{number}/name" for number in range(3)]
        found = [server.http.post(path).status_code for path in paths]
        assert found == [200, 200, 429]


def test_the_tools_of_a_factory_have_their_turns_in_common():
    started.clear()
    with serve() as server:
        first = gevent.spawn(server.http.get, "/branches/a/grow")
        with gevent.Timeout(20):
            while started != ["a"]:
                gevent.sleep(0.005)
        assert server.http.get("/branches/b/grow").status_code == 503
        assert started == ["a"]
        first.kill()


def test_no_more_run_at_once_than_was_said():
    started.clear()
    with serve() as server:
        client = server.as_client("ann")
        running = [gevent.spawn(client.call, "bounded.slow", 0.3) for _ in range(2)]
        with gevent.Timeout(10):
            while len(started) < 2:
                gevent.sleep(0.01)
        answer = server.http.post("/bounded/slow", json={"seconds": 0})
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert answer.json()["code"] == -32029
        with pytest.raises(Overload, match="2 calls run already"):
            client.call("bounded.slow", 0)
        assert [each.get() for each in running] == ["done"] * 2
        # Also those that fail leave their place.
        for _ in range(5):
            assert server.http.post("/bounded/slow", json={}).status_code == 400
        assert client.call("bounded.slow", 0) == "done"


# --- settings


def test_settings_bound_clients_and_addresses():
    with serve(calls_per_client="3/60", calls_per_address="4/60") as server:
        assert statuses(server, "/bounded/free", 5) == [200] * 4 + [429]
        ann = server.as_client("ann")
        for _ in range(3):
            ann.call("bounded.free")
        with pytest.raises(TooMany):
            ann.call("bounded.free")


def test_an_address_of_ipv6_stands_for_its_network():
    config = {
        "server": {"trusted_proxies": ["127.0.0.1"]},
        "limits": {"calls_per_address": "2/60"},
    }
    with toolserver.testing.serve(Bounded, config=config) as server:

        def ask(*addresses):
            fields = [{"X-Forwarded-For": each} for each in addresses]
            return [statuses(server, "/bounded/free", 1, **each)[0] for each in fields]

        assert ask("2001:db8::1", "2001:db8::2", "2001:db8::3") == [200, 200, 429]
        assert ask("2001:db8:0:1::1") == [200]
        # Customers of IPv4 are told apart, however their addresses are written.
        assert ask("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1") == [200, 200, 429]
        assert ask("::ffff:192.0.2.2") == [200]


def test_settings_bound_tools_and_methods_and_go_before_marks():
    with serve(calls=["bounded=6/60", "bounded.twice=3/60"]) as server:
        assert statuses(server, "/bounded/twice", 4) == [200] * 3 + [429]
        assert statuses(server, "/bounded/free", 4) == [200] * 3 + [429]
    with serve(calls=["branches.*=1/60"], concurrency=["bounded.free=1"]) as server:
        assert statuses(server, "/branches/a/name", 2) == [200, 429]


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("calls", ["bounded.nothing=1/2"], "expected the name of a tool"),
        ("calls", ["bounded"], "expected name=bound"),
        ("calls", ["bounded=often"], "such as 100/60"),
        ("calls", ["bounded=0/60"], "such as 100/60"),
        ("calls_per_client", "60", "such as 100/60"),
        ("concurrency", ["bounded.slow=0"], "expected a number of calls"),
        ("concurrency", ["slow=1"], "expected the name of a tool"),
    ],
)
def test_wrong_settings_are_told(setting, value, told):
    with pytest.raises(StartError, match=told), serve(**{setting: value}):
        pass


@pytest.mark.parametrize(
    "bounds", [{"calls": 0}, {"concurrency": 0}, {"calls": 1, "seconds": 0}]
)
def test_wrong_marks_are_told(bounds):
    with pytest.raises(ValueError, match="@limit: got"):
        limit(**bounds)


def test_openapi_tells_of_bounds():
    with serve() as server:
        paths = server.http.get("/openapi.json").json()["paths"]
        assert "429" in paths["/bounded/twice"]["post"]["responses"]
        assert "429" not in paths["/bounded/free"]["post"]["responses"]


def test_who_has_no_address_is_bounded_too():
    entry = Registry().add(Bounded(), "bounded")
    Throttles(Limits(calls_per_address="1/60")).fit(entry)
    throttle = entry.methods["free"].throttle
    context = Context(request=Request(peer="unix:"))
    throttle.charge(context)
    with pytest.raises(TooMany):
        throttle.charge(context)


def test_an_address_of_ipv4_is_the_same_within_one_of_ipv6():
    entry = Registry().add(Bounded(), "bounded")
    Throttles(Limits(calls_per_address="1/60")).fit(entry)
    throttle = entry.methods["free"].throttle
    throttle.charge(Context(request=Request(peer="::ffff:192.0.2.1")))
    throttle.charge(Context(request=Request(peer="::ffff:192.0.2.2")))
    with pytest.raises(TooMany):
        throttle.charge(Context(request=Request(peer="192.0.2.1")))
