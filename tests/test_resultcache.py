"""Results that are kept for who asks the same."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import gevent
import msgspec
import pytest

import toolserver.testing
from toolserver import (
    FactoryTool,
    StandardTool,
    TransientTool,
    cached,
    call,
    context,
    limit,
    read_only,
    register,
    require_group,
    rest,
    validate,
)
from toolserver.declarations import declared
from toolserver.errors import ApplicationError, Forbidden, StartError
from toolserver.resultcache import ResultCache

numbers = itertools.count(1)


@dataclass(frozen=True)
class Red:
    text: str


class Blue(msgspec.Struct):
    text: str


class Opaque:
    pass


@register("kept")
class Kept(StandardTool):
    @read_only
    @cached(60.0, per_client=False)
    def number(self, text: str = "", plus: int = 0) -> int:
        return next(numbers) + 0 * plus

    @read_only
    @cached(60.0, per_client=False)
    def of_value(self, value: Red | list[Decimal | str]) -> int:
        return next(numbers)

    @read_only
    @cached(60.0, per_client=False)
    def of_anything(self, value: Any) -> int:
        return next(numbers)

    @read_only
    @cached(60.0, per_client=False)
    def content(self) -> bytes:
        return b"%d" % next(numbers)

    @read_only
    @cached(60.0, per_client=False)
    def pieces(self) -> Iterator[int]:
        yield next(numbers)

    @read_only
    @cached(60.0, per_client=False)
    def odd(self) -> Any:
        return {"tool": self, "at": next(numbers)}

    @read_only
    @cached(60.0)
    def mine(self) -> str:
        return f"{next(numbers)} {context.client}"

    @read_only
    @cached(0.2, per_client=False)
    def short(self) -> int:
        return next(numbers)

    @read_only
    @cached(60.0, per_client=False)
    def slow(self, fail: bool) -> int:
        gevent.sleep(0.05)
        if fail:
            raise ApplicationError(f"no {next(numbers)}")
        return next(numbers)

    @read_only
    @limit(timeout=0.2)
    @cached(60.0, per_client=False)
    def endless(self) -> int:
        gevent.sleep(60)
        return 0

    @read_only
    @cached(60.0, per_client=False)
    def large(self, key: int) -> str:
        return f"{next(numbers)}{'x' * 40_000}"

    def twice(self) -> list[int]:
        return [call("kept.number") for _ in range(2)]


@register("guarded")
class Guarded(StandardTool):
    @read_only
    @cached(60.0, per_client=False)
    def secret(self) -> int:
        return next(numbers)

    @validate(secret)
    def _admins(self, call):
        require_group("admin")


class Leaf(TransientTool):
    @read_only
    @cached(60.0, per_client=False)
    def name(self) -> str:
        return f"{self.key} {next(numbers)}"


@register("shelf")
class Shelf(FactoryTool):
    children = (Leaf,)

    def child_exists(self, key: str) -> bool:
        return True


@pytest.fixture
def server():
    with toolserver.testing.serve(Kept, Guarded, Shelf) as found:
        yield found


def test_who_asks_the_same_gets_the_same_by_every_protocol(server):
    first = server.http.get("/kept/number?text=a&plus=1").json()
    for protocol in ("RPC2", "SOAP", "JSONRPC"):
        remote = server.remote(protocol)
        assert remote.call("kept.number", "a", 1) == first
    assert server.http.post("/kept/number", json={"plus": 1, "text": "a"}).json() == (
        first
    )
    assert server.call("kept.number", "b", 1) != first


def test_what_is_alike_and_not_the_same_is_told_apart(server):
    asked = [Red("a"), ["a"], [Decimal(1)], [Decimal("1.0")], ["a", "a"], []]
    found = [server.call("kept.of_value", each) for each in asked]
    assert len(set(found)) == len(asked)
    assert [server.call("kept.of_value", each) for each in asked] == found


def test_mappings_and_structs_are_told_apart(server):
    asked = [{"a": 1}, {"a": 2}, {"b": 1}, Blue("a"), Blue("b"), ["a", 1]]
    found = [server.call("kept.of_anything", each) for each in asked]
    assert len(set(found)) == len(asked)
    assert [server.call("kept.of_anything", each) for each in asked] == found


def test_what_cannot_be_told_apart_is_asked_for_again(server):
    value = Opaque()
    first = server.call("kept.of_anything", value)
    assert server.call("kept.of_anything", value) != first


def test_bytes_are_kept(server):
    assert server.call("kept.content") == server.call("kept.content")


def test_what_can_be_used_once_is_not_kept(server):
    assert list(server.call("kept.pieces")) != list(server.call("kept.pieces"))


def test_what_cannot_be_sent_is_not_kept(server):
    first = server.call("kept.odd")
    assert server.call("kept.odd")["at"] > first["at"]


def test_each_client_has_its_own_unless_the_method_says(server):
    ann, bob = server.as_client("ann"), server.as_client("bob")
    assert ann.call("kept.mine") == ann.call("kept.mine")
    assert bob.call("kept.mine").endswith("bob")
    assert server.as_client("ann", {"admin"}).call("kept.mine") != ann.call("kept.mine")
    assert ann.call("kept.number") == bob.call("kept.number")


def test_who_may_not_call_gets_nothing_that_is_kept(server):
    admin = server.as_client("ann", {"admin"})
    assert admin.call("guarded.secret") == admin.call("guarded.secret")
    with pytest.raises(Forbidden):
        server.as_client("bob").call("guarded.secret")


def test_a_result_has_its_time(server):
    first = server.call("kept.short")
    assert server.call("kept.short") == first
    with gevent.Timeout(10):
        while server.call("kept.short") == first:
            gevent.sleep(0.02)


def test_of_many_one_makes_the_call(server):
    def ask(fail):
        try:
            return server.call("kept.slow", fail)
        except ApplicationError as error:
            return error.message

    found = [gevent.spawn(ask, False) for _ in range(20)]
    assert len({each.get() for each in found}) == 1
    # What fails is each one's own, and is not kept.
    failed = [gevent.spawn(ask, True) for _ in range(3)]
    assert len({each.get() for each in failed}) == 3


def test_who_waits_for_another_ones_call_has_a_time_out_of_its_own(server):
    asking = [
        gevent.spawn(server.http.get, server.url("/kept/endless")) for _ in range(3)
    ]
    with gevent.Timeout(10):
        assert {each.get().status_code for each in asking} == {503}


def test_calls_from_inside_are_made(server):
    first, second = server.call("kept.twice")
    assert first != second


def test_tools_of_a_factory_have_each_their_own(server):
    for key in ("a", "b"):
        path = f"/shelf/{key}/name"
        text = server.http.get(path).text
        assert text.startswith(key)
        assert server.http.get(path).text == text


def test_over_rest_the_callers_cache_keeps_it_too(server):
    answer = server.http.get("/kept/number")
    assert answer.headers["Cache-Control"] in (
        "private, max-age=59",
        "private, max-age=60",
    )
    fields = {"If-None-Match": answer.headers["ETag"]}
    again = server.http.get("/kept/number", headers=fields)
    assert again.status_code == 304
    assert again.headers["Cache-Control"].startswith("private, max-age=")
    assert "Cache-Control" not in server.http.post("/kept/number").headers


def test_what_is_kept_is_bounded():
    config = {"limits": {"cached_size": 1_000_000}}
    with toolserver.testing.serve(Kept, config=config) as server:
        first = server.call("kept.large", 0)
        assert server.call("kept.large", 0) == first
        for number in range(1, 60):
            server.call("kept.large", number)
        assert server.call("kept.large", 0) != first


def test_the_least_recently_used_goes_first():
    cache = ResultCache(2, 16_000)
    for key in "abc":
        cache.keep(key, key, 60.0, 100)
        if cache.find("a") is None:
            break
    assert [cache.find(key) is not None for key in "abc"] == [True, False, True]
    assert cache.size == 200
    cache.keep("huge", "huge", 60.0, 1001)
    assert cache.find("huge") is None
    cache.keep("a", "a", 60.0, 50)
    assert (len(cache), cache.size) == (2, 150)


@pytest.fixture
def _undeclared():
    before = list(declared)
    yield
    declared[:] = before


@pytest.mark.usefixtures("_undeclared")
def test_what_changes_something_is_not_kept():
    @register("changing")
    class Changing(StandardTool):
        @cached(60.0)
        def change(self) -> None: ...

    with (
        pytest.raises(StartError, match=r"changing\.change: @cached is for methods"),
        toolserver.testing.serve(Changing),
    ):
        pass

    @register("answering")
    class Answering(StandardTool):
        @cached(60.0)
        @rest("GET")
        def answer(self, request) -> str: ...

    with (
        pytest.raises(StartError, match="not for @rest"),
        toolserver.testing.serve(Answering),
    ):
        pass


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_time_has_to_be_some(seconds):
    with pytest.raises(ValueError, match="@cached: got seconds="):
        cached(seconds)
