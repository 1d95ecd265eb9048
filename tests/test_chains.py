"""Reactor chains."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os

import gevent
import msgspec
import pytest

import toolserver.testing
from toolserver import Chain, Request, StandardTool, chain, context, limit, register
from toolserver.chains import Chains, chain_history, chain_name, declared_chains
from toolserver.contexts import Var

REWRITE = "system.request.rewrite"

mood = Var("mood", default="calm")


def add_one(value):
    return value + 1


def double(value):
    return value * 2


@pytest.fixture
def sums():
    return Chain("test.sums", int, Chains())


def test_a_value_is_passed_through_the_handlers_in_their_order(sums):
    sums.append(double)
    sums.append(add_one)
    assert sums.run(5) == 11
    assert sums.handlers == (double, add_one)
    sums.remove(double)
    sums.prepend(double)
    assert sums.handlers == (double, add_one)
    sums.remove(add_one)
    sums.prepend(add_one)
    assert sums.run(5) == 12


def test_without_handlers_the_value_itself_comes_out():
    value = [1]
    assert Chain("test.lists", list, Chains()).run(value) is value


def test_no_result_is_no_change_and_no_failure(sums):
    sums.append(lambda value: None)
    assert sums.run(5) == 5
    assert not sums.failures


def fails(value):
    value += 1
    raise ValueError("broken")


def leaves(value):
    raise SystemExit(3)


def answers_text(value):
    return str(value)


def test_what_fails_is_logged_counted_and_skipped(sums, caplog):
    for handler in (add_one, fails, leaves, answers_text, double):
        sums.append(handler)
    assert sums.run(5) == 12
    assert sums.failures == {
        f"{__name__}.fails": 1,
        f"{__name__}.leaves": 1,
        f"{__name__}.answers_text": 1,
    }
    assert f"skipped the handler {__name__}.fails: ValueError: broken" in caplog.text
    assert "TypeError: got str from the handler, expected int" in caplog.text
    assert sums.run(5) == 12
    assert sums.failures[f"{__name__}.fails"] == 2
    traces = [bool(record.exc_info) for record in caplog.records]
    assert traces == [True] * 3 + [False] * 3


def test_who_ends_the_greenlet_or_its_time_is_obeyed(sums):
    sums.append(lambda value: gevent.sleep(60))
    with gevent.Timeout(0.01, False):
        sums.run(5)
        pytest.fail("the time-out was swallowed")
    assert not sums.failures


@dataclasses.dataclass
class Basket:
    items: list[str]


def test_a_handler_that_changes_its_copy_changes_nothing():
    baskets = Chain("test.baskets", Basket, Chains())
    kept = []

    @baskets.append
    def spoil(basket):
        basket.items.append("poison")
        kept.append(basket)

    @baskets.append
    def spoil_and_fail(basket):
        basket.items.clear()
        for old in chain_history.get():
            old.items.clear()
        raise ValueError("broken")

    @baskets.append
    def add(basket):
        return Basket([*basket.items, "pear"])

    basket = Basket(["apple"])
    assert baskets.run(basket).items == ["apple", "pear"]
    assert basket.items == ["apple"]
    assert kept[0].items == ["apple", "poison"]


@dataclasses.dataclass(frozen=True)
class Frozen:
    lock: object


class FrozenStruct(msgspec.Struct, frozen=True):
    lock: object


@pytest.mark.parametrize("kind", [Frozen, FrozenStruct])
def test_what_is_frozen_need_not_be_copied(kind):
    values = Chain("test.frozen", kind, Chains())
    seen = []
    values.append(seen.append)
    value = kind(lock=(generator for generator in ()))
    assert values.run(value) is value
    assert seen[0] is value


def test_what_cannot_be_copied_is_handed_to_nobody():
    values = Chain("test.uncopied", None, Chains())
    values.append(lambda value: pytest.fail("called"))
    value = (item for item in ())  # as little to be copied as a lock
    assert values.run(value) is value
    assert sum(values.failures.values()) == 1


def test_a_handler_of_the_same_name_takes_the_place_of_the_old_one(sums):
    def reloaded(factor):
        def handler(value):
            return value * factor

        handler.__qualname__ = "handler"
        return handler

    sums.append(reloaded(10))
    sums.append(add_one)
    sums.append(reloaded(100))
    sums.append(add_one)
    assert sums.run(1) == 101


def test_functions_without_a_name_of_their_own_are_told_apart(sums):
    sums.append(lambda value: value + 1)
    sums.append(lambda value: value + 1)
    third = functools.partial(max, 10)
    sums.append(third)
    sums.append(third)
    assert sums.run(1) == 10
    assert sums.run(20) == 22
    assert len(sums.handlers) == 3


class Adder:
    def __init__(self, amount):
        self.amount = amount

    def add(self, value):
        return value + self.amount


def test_methods_of_two_objects_are_two_handlers(sums):
    one, two = Adder(1), Adder(2)
    for adder in (one, two, one):
        sums.append(adder.add)
    assert sums.run(0) == 3
    sums.remove(one.add)
    assert sums.run(0) == 2


class Pricing(StandardTool):
    def __init__(self, amount):
        self.amount = amount
        self.namespace = "pricing"

    def add(self, value: int) -> int:
        return value + self.amount


def test_a_tool_that_is_made_anew_takes_its_own_place(sums):
    sums.append(Pricing(1).add)
    sums.append(Pricing(10).add)
    assert sums.run(0) == 10


def test_only_handlers_can_be_removed(sums):
    with pytest.raises(ValueError, match=r"'test\.sums': <function double .*> is no"):
        sums.remove(double)


def test_a_chain_has_values_of_one_class():
    chains = Chains()
    untyped = Chain("test.typed", None, chains)
    Chain("test.typed", int, chains)
    untyped.append(answers_text)
    assert untyped.run(5) == 5
    with pytest.raises(TypeError, match=r"got str for its type, expected int"):
        Chain("test.typed", str, chains)


def test_handlers_see_the_name_and_the_history(sums):
    seen = []

    def look(value):
        seen.append((chain_name.get(), chain_history.get()))

    sums.append(look)
    sums.append(add_one)
    sums.append(fails)
    sums.append(double)
    sums.append(lambda value: look(value))
    sums.run(5)
    assert seen == [("test.sums", (5,)), ("test.sums", (5, 6, 12))]
    assert chain_name.get() == ""
    assert chain_history.get() == ()


def test_what_a_handler_sets_in_the_context_ends_with_it(sums):
    sums.append(lambda value: mood.set("angry"))
    seen = []
    sums.append(lambda value: seen.append(mood.get()))
    sums.run(1)
    assert seen == ["calm"]


def test_a_chain_does_not_run_inside_itself(sums):
    sums.append(lambda value: sums.run(value) + 1)
    assert sums.run(5) == 6
    assert sums.run(5) == 6


def test_a_running_chain_keeps_its_handlers(sums):
    @sums.append
    def remove_next(value):
        sums.remove(double)

    sums.append(double)
    assert sums.run(5) == 10
    assert sums.run(5) == 5


# Over HTTP, in whole servers.


@register("priced")
class Priced(StandardTool):
    def price(self, amount: int) -> list[int]:
        return chain("priced.amounts", list).run([amount])

    def path(self) -> str:
        return f"{context.request.host} {context.request.path}"

    def echo(self, value: str, lang: str = "") -> str:
        return value + lang

    @limit(max_body=200_000)
    def size(self, data: str) -> int:
        return len(data)


def register_hooks(*handlers, name=REWRITE):
    @register(f"hooks{len(handlers)}")
    class Hooking(StandardTool):
        def on_start(self):
            for handler in handlers:
                chain(name).append(handler)

    return Hooking


@pytest.mark.parametrize("handler", [fails, leaves, answers_text])
def test_the_hooked_tool_is_never_harmed(handler, caplog):
    hooks = register_hooks(handler, name="priced.amounts")
    with toolserver.testing.serve(Priced, hooks) as server:
        for _ in range(2):
            assert server.http.get("/priced/price?amount=5").json() == [5]
        failures = server.worker.services.part(Chains).failures()
        assert list(failures) == ["priced.amounts"]
        assert list(failures["priced.amounts"].values()) == [2]


def test_a_handler_that_changes_its_value_does_not_harm_the_hooked_tool():
    def spoil(amounts):
        amounts[0] = 0

    def spoil_and_raise(amounts):
        amounts.clear()
        raise ValueError("broken")

    hooks = register_hooks(spoil, spoil_and_raise, name="priced.amounts")
    with toolserver.testing.serve(Priced, hooks) as server:
        assert server.http.get("/priced/price?amount=5").json() == [5]


def test_handlers_go_with_their_server():
    hooks = register_hooks(lambda amounts: [*amounts, 1], name="priced.amounts")
    with toolserver.testing.serve(Priced, hooks) as first:
        with toolserver.testing.serve(Priced) as second:
            assert second.http.get("/priced/price?amount=5").json() == [5]
        assert first.http.get("/priced/price?amount=5").json() == [5, 1]
    with toolserver.testing.serve(Priced) as third:
        assert third.http.get("/priced/price?amount=5").json() == [5]


@pytest.fixture
def declared():
    """Add handlers as modules do while they are imported, for this test only."""
    chain_ = Chain("priced.amounts", list, declared_chains)
    yield chain_
    for handler in chain_.handlers:
        chain_.remove(handler)


def test_declared_handlers_serve_with_the_tools_of_their_modules(declared):
    declared.append(_of_this_module)
    elsewhere = functools.partial(_of_this_module)
    declared.append(elsewhere)
    for _ in range(2):
        with toolserver.testing.serve(Priced) as server:
            assert server.http.get("/priced/price?amount=5").json() == [5, 7]


def _of_this_module(amounts):
    return [*amounts, 7]


AMOUNTS = chain("priced.amounts", list)


def test_a_module_may_keep_a_chain():
    with toolserver.testing.serve(Priced) as server:
        AMOUNTS.append(_of_this_module)
        assert server.http.get("/priced/price?amount=5").json() == [5, 7]
    assert AMOUNTS.handlers == ()


def get(server, path, **headers):
    return server.http.get(path, headers=headers)


def test_requests_are_rewritten_before_all_else():
    def move(request):
        if request.path.startswith("/old/"):
            return request.replace(
                path="/priced/echo", query={"value": request.path[5:], "lang": "?"}
            )
        if request.path == "/rpc":
            return request.replace(path="/RPC2")
        return None

    with toolserver.testing.serve(Priced, register_hooks(move)) as server:
        for name in ("Ann", "Zoë/ b", "Ann"):
            answer = get(server, f"/old/{name}", Accept="text/plain")
            assert answer.text == f"{name}?"
        assert get(server, "/priced/echo?value=x").text == "x"
        answer = server.http.post(
            "/rpc", data=b"<", headers={"Content-Type": "text/xml"}
        )
        assert b"-32700" in answer.content
        assert get(server, "/rpc").status_code == 405


def test_a_rewritten_host_is_seen_by_all():
    def rename(request):
        return request.replace(host="inner.test")

    with toolserver.testing.serve(Priced, register_hooks(rename)) as server:
        assert get(server, "/priced/path").text == "inner.test /priced/path"
        assert get(server, "/priced/path", Host="inner.test").status_code == 421


def test_the_origin_of_a_page_is_that_of_the_host_it_has_asked_for():
    def rename(request):
        return request.replace(host="inner.test")

    call = b'{"jsonrpc": "2.0", "id": 1, "method": "priced.path"}'
    with toolserver.testing.serve(Priced, register_hooks(rename)) as server:

        def post(origin):
            headers = {"Content-Type": "application/json", "Origin": origin}
            return server.http.post("/JSONRPC", data=call, headers=headers)

        assert post(server.url("")).json()["result"] == "inner.test /JSONRPC"
        assert post("http://inner.test").status_code == 403


@pytest.mark.parametrize("path", ["/old/size", "/priced/size"])
def test_a_body_is_bounded_by_the_method_that_gets_it(path):
    seen = []

    def move(request):
        seen.append(request.path)
        return request.replace(path="/priced/size")

    config = {"limits": {"body": 1000}}
    hooks = register_hooks(move)
    with toolserver.testing.serve(Priced, hooks, config=config) as server:
        answer = server.http.post(path, json={"data": "x" * 150_000})
        assert answer.text == "150000"
        assert set(seen) == {path}
        answer = server.http.post(path, json={"data": "x" * 250_000})
        assert answer.status_code == 413


def test_the_query_of_before_is_forgotten():
    def rename(request):
        assert request.query["old"] == "x"
        return request.replace(query={"value": request.query["old"]})

    with toolserver.testing.serve(Priced, register_hooks(rename)) as server:
        assert get(server, "/priced/echo?old=x").text == "x"


def forge_peer(request):
    return request.replace(peer="10.0.0.1")


def forge_method(request):
    return request.replace(method="DELETE")


def part_paths(request):
    return request.replace(path="/priced/path", raw_path="/priced/echo")


def no_slash(request):
    return request.replace(path="priced/path")


def new_request(request):
    return Request(path="/priced/path")


@pytest.mark.parametrize(
    "handler",
    [*(forge_peer, forge_method, part_paths, no_slash, new_request), *(fails, leaves)],
)
def test_what_is_no_rewriting_is_skipped(handler):
    with toolserver.testing.serve(Priced, register_hooks(handler)) as server:
        assert get(server, "/priced/echo?value=x").text == "x"
        failures = server.worker.services.part(Chains).failures()
        assert sum(failures[REWRITE].values()) == 1


def test_start_and_stop_are_told_in_their_order():
    told = []

    @register("teller")
    class Teller(StandardTool):
        def on_start(self):
            told.append("on_start")
            for name in ("worker.start", "server.start", "server.stop", "worker.exit"):
                chain(f"system.{name}").append(
                    lambda value, name=name: told.append((name, value))
                )

        def on_stop(self):
            told.append("on_stop")

    with toolserver.testing.serve(Teller) as server:
        url = server.worker.url
    assert told == [
        "on_start",
        ("worker.start", os.getpid()),
        ("server.start", url),
        ("server.stop", url),
        ("worker.exit", os.getpid()),
        "on_stop",
    ]


def test_a_failing_handler_keeps_no_server_from_stopping(caplog):
    caplog.set_level(logging.ERROR)
    hooks = register_hooks(fails, name="system.server.stop")
    with toolserver.testing.serve(Priced, hooks) as server:
        assert get(server, "/priced/echo?value=x").text == "x"
    assert "chain system.server.stop: skipped" in caplog.text
