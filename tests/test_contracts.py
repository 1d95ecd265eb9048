"""Contracts: preconditions, postconditions and invariants of tools."""

from __future__ import annotations

import contextlib
import logging
import xmlrpc.client
from abc import abstractmethod
from typing import ClassVar

import gevent
import pytest

import toolserver.testing
from toolserver import (
    InternalTool,
    StandardTool,
    call,
    ensure,
    invariant,
    proxy,
    register,
    require,
    rest,
    tool,
)
from toolserver.calls import Call
from toolserver.contexts import Context, bind
from toolserver.dispatcher import Dispatcher
from toolserver.errors import (
    EnsureBroken,
    Forbidden,
    InvariantBroken,
    Redirect,
    RequireBroken,
    StartError,
    ToolFault,
)
from toolserver.registry import Registry
from toolserver.services import Services, install


def positive(count):
    return count > 0


@register("contracts.inner")
class Inner(StandardTool):
    """Spawns a method that only it may call."""

    spawned: ClassVar = {}

    @require(lambda count: count > 0)
    def _tidy(self, count: int) -> None: ...

    def tidies(self) -> str:
        job = self.spawn(self._tidy, 0)
        self.spawned[job.id] = job
        return job.id

    def failure(self, id: str) -> str:
        try:
            self.spawned.pop(id).result(10)
        except RequireBroken as error:
            return type(error).__name__
        return ""


@register("contracts.stock")
class Stock(StandardTool):
    """Keeps count of books."""

    def __init__(self):
        self.steps = []
        self.books = 5

    @contextlib.contextmanager
    def transaction(self):
        self.steps.append("begin")
        before = self.books
        try:
            yield
        except BaseException:
            self.books = before
            self.steps.append("abort")
            raise
        self.steps.append("commit")

    @invariant
    def _never_negative(self):
        """There are never less
        than none."""
        self.steps.append("invariant")
        return self.books >= 0

    @invariant
    def is_sane(self):
        return self.books < 1000

    @require(lambda self, count: self.steps.append("require") or count > 0, "some")
    @ensure(
        lambda self, result, old: self.steps.append("ensure") or result < old,
        "less than before",
        old=lambda self: self.steps.append("old") or self.books,
    )
    def take(self, count: int = 1) -> int:
        """Take books."""
        self.steps.append("take")
        self.books -= count
        return self.books

    @ensure(lambda result, word: result == word * 2, "said twice")
    def twice(self, word: str, wrong: bool = False) -> str:
        return word if wrong else word + word

    @require(lambda low, high: 0 <= low < high)
    @require(positive)
    def between(self, count: int, *, low: int = 1, high: int = 3) -> list[int]:
        return [count, low, high]

    @ensure(lambda items, old: len(items) == len(old) + 1, old=lambda items: [*items])
    @ensure(lambda items, old: items[:-1] == old, "kept", old=lambda items: items)
    def grow(self, items: list[int]) -> None:
        items.append(0)

    @ensure(lambda result: False, "never")
    def leave(self) -> None:
        self.books = 0
        raise Redirect("/there")

    @require(lambda word: word[5] == "x", "sixth is x")
    def picky(self, word: str) -> str:
        return word

    @require(lambda self: self.refuse(), "nobody")
    def closed(self) -> None:
        pass

    def refuse(self) -> bool:
        raise Forbidden("not you")

    @require(lambda args, rest: len(args) == rest["count"], "counted")
    def many(self, *args: int, **rest: int) -> int:
        return len(args)

    @rest("GET")
    @require(lambda request: "key" in request.query, "a key")
    def page(self, request):
        return request.query["key"]

    def overdraw(self) -> None:
        self.books = -1
        gevent.sleep(0)

    def inside(self, count: int) -> int:
        """Take books by a plain call, which nobody checks."""
        return tool("contracts.stock", Stock).take(count)

    def nested(self, count: int) -> int:
        return call("contracts.stock.take", count)

    def by_proxy(self, count: int) -> int:
        return proxy("contracts.stock", Stock, validate=False).take(count)


class Base(StandardTool):
    @require(lambda number: number > 10, "above 10")
    @ensure(lambda result: result % 2 == 0, "even")
    def work(self, number: int, given: int = 0) -> int:
        return given

    @invariant
    def _check(self):
        """Base holds."""
        return getattr(self, "base_holds", True)


class Derived(Base):
    @require(lambda number: number > 0, "positive")
    @require(lambda number: number != 7, "not 7")
    @ensure(lambda result: result < 100, "small")
    def work(self, number: int, given: int = 0) -> int:
        return given

    # No decorator: it is an invariant because that of its base is one.
    def _check(self):
        return getattr(self, "derived_holds", True)


class Silent(Base):
    def work(self, number: int, given: int = 0) -> int:
        return given + 1


class Other(StandardTool):
    @require(lambda word: self_calls.append(word) or call("other.echo", word) == word)
    def echo(self, word: str) -> str:
        return word


self_calls: list[str] = []


def dispatch(*tools, checks=lambda namespace: True):
    registry = Registry(checks_contracts=checks)
    for namespace, each in tools:
        registry.add(each, namespace)
    return Dispatcher(registry)


@pytest.fixture
def stock():
    return Stock()


@pytest.fixture
def dispatcher(stock):
    made = dispatch(
        ("contracts.stock", stock),
        ("base", Base()),
        ("derived", Derived()),
        ("silent", Silent()),
        ("other", Other()),
    )
    offered = Services(made.registry, made)
    install(offered)
    yield made
    install(None, offered)


def outcome(dispatcher, name, *args, **kwargs):
    with bind(Context()):
        return dispatcher.call(Call(name, args, kwargs))


def error_of(dispatcher, name, *args, **kwargs):
    return outcome(dispatcher, name, *args, **kwargs).error


def test_order(dispatcher, stock):
    assert outcome(dispatcher, "contracts.stock.take", 2).value == 3
    assert stock.steps == [
        *("begin", "invariant", "require", "old", "take", "ensure"),
        *("invariant", "commit"),
    ]


def test_broken_precondition(dispatcher, stock):
    error = error_of(dispatcher, "contracts.stock.take", -1)
    assert type(error) is RequireBroken
    assert error.message == (
        "contracts.stock.take: precondition broken: some; got count=-1"
    )
    assert error.data == {
        "contract": "some",
        "method": "contracts.stock.take",
        "values": {"count": "-1"},
    }
    assert stock.steps == ["begin", "invariant", "require", "abort"]


def test_broken_postcondition_aborts_and_is_logged(dispatcher, stock, caplog):
    error = error_of(dispatcher, "contracts.stock.twice", "ab", wrong=True)
    assert type(error) is EnsureBroken
    assert error.message == (
        "contracts.stock.twice: postcondition broken: said twice; "
        "got result='ab', word='ab'"
    )
    assert stock.steps == ["begin", "invariant", "abort"]
    (record,) = caplog.records
    assert (record.levelno, record.message) == (logging.ERROR, error.message)


def test_broken_invariant_after_the_call_undoes_it(dispatcher, stock):
    error = error_of(dispatcher, "contracts.stock.take", 6)
    assert type(error) is InvariantBroken
    assert "invariant broken: There are never less than none." in error.message
    assert stock.books == 5
    assert stock.steps[-2:] == ["invariant", "abort"]


def test_broken_invariant_before_the_call_keeps_it_from_running(dispatcher, stock):
    stock.books = 2000
    error = error_of(dispatcher, "contracts.stock.take")
    assert error.message.endswith("invariant broken: is_sane")
    assert "take" not in stock.steps


def test_source_and_name_stand_for_the_text(dispatcher):
    error = error_of(dispatcher, "contracts.stock.between", 1, low=3)
    assert error.message.endswith("broken: 0 <= low < high; got low=3, high=3")
    error = error_of(dispatcher, "contracts.stock.between", 0)
    assert error.message.endswith("broken: positive; got count=0")
    assert outcome(dispatcher, "contracts.stock.between", 2).value == [2, 1, 3]


def test_old_is_what_it_was_made_of(dispatcher):
    # `old` that returns the very same list sees the change; a copy does not.
    error = error_of(dispatcher, "contracts.stock.grow", [1])
    assert type(error) is EnsureBroken
    assert error.data["contract"] == "kept"
    assert error.data["values"] == {"items": "[1, 0]", "old": "[1, 0]"}


def test_all_kinds_of_arguments(dispatcher):
    assert outcome(dispatcher, "contracts.stock.many", 1, 2, count=2).value == 2
    error = error_of(dispatcher, "contracts.stock.many", 1, count=2)
    assert error.data["values"] == {"args": "(1,)", "rest": "{'count': 2}"}


def test_shown_values_are_bounded(dispatcher):
    error = error_of(dispatcher, "contracts.stock.twice", "x" * 10**6, wrong=True)
    assert len(error.message) < 400
    error = error_of(dispatcher, "contracts.stock.many", *range(5000), count=10**4000)
    assert len(error.message) < 400


def test_values_that_cannot_be_shown(dispatcher):
    class Mute(str):
        __slots__ = ()

        def __repr__(self):
            raise ValueError("no words")

    error = error_of(dispatcher, "contracts.stock.twice", Mute("x"), wrong=True)
    assert type(error) is EnsureBroken
    # A number of more digits than Python likes to show.
    error = error_of(dispatcher, "contracts.stock.many", 1, count=10**5000)
    assert error.data["values"]["rest"] == "a dict"


def test_a_redirect_is_an_answer_with_invariants(dispatcher, stock):
    outcome(dispatcher, "contracts.stock.leave")
    assert stock.steps == ["begin", "invariant", "invariant", "commit"]
    assert stock.books == 0


def test_a_test_that_raises_fails_the_call(dispatcher, stock, caplog):
    error = error_of(dispatcher, "contracts.stock.picky", "word")
    assert type(error) is ToolFault
    assert error.message.startswith("IndexError")
    assert error.exception.__notes__ == [
        "raised in the precondition 'sixth is x' of contracts.stock.picky"
    ]
    assert "sixth is x" in caplog.text
    assert stock.steps[-1] == "abort"


def test_a_test_may_refuse_in_its_own_words(dispatcher):
    assert type(error_of(dispatcher, "contracts.stock.closed")) is Forbidden


def test_a_test_that_calls_the_tool_comes_to_an_end(dispatcher):
    self_calls.clear()
    assert outcome(dispatcher, "other.echo", "x").value == "x"
    assert self_calls == ["x"]
    # And the next call is checked again.
    assert outcome(dispatcher, "other.echo", "y").value == "y"
    assert self_calls == ["x", "y"]


@pytest.mark.parametrize(
    ("method", "checks"), [("nested", True), ("by_proxy", True), ("inside", False)]
)
def test_calls_between_tools(dispatcher, stock, method, checks):
    result = outcome(dispatcher, f"contracts.stock.{method}", -1)
    if checks:
        assert type(result.error) is RequireBroken
        assert stock.steps.count("invariant") == 2
    else:
        assert result.value == 6
        assert stock.steps.count("invariant") == 2  # those around the outer call


def test_an_override_asks_for_less(dispatcher):
    assert type(error_of(dispatcher, "base.work", 5)) is RequireBroken
    assert outcome(dispatcher, "derived.work", 5).value == 0
    assert outcome(dispatcher, "derived.work", 70).value == 0
    error = error_of(dispatcher, "derived.work", 7)
    assert error.data["contract"] == "not 7, or above 10"
    assert error.data["values"] == {"number": "7"}


def test_an_override_without_contracts_inherits_them(dispatcher):
    assert type(error_of(dispatcher, "silent.work", 5)) is RequireBroken
    assert type(error_of(dispatcher, "silent.work", 50)) is EnsureBroken
    assert outcome(dispatcher, "silent.work", 50, 1).value == 2


def test_an_override_promises_more(dispatcher):
    assert outcome(dispatcher, "derived.work", 50, 98).value == 98
    for given, text in [(97, "even"), (102, "small")]:
        error = error_of(dispatcher, "derived.work", 50, given)
        assert type(error) is EnsureBroken
        assert error.data["contract"] == text


@pytest.mark.parametrize(
    ("attribute", "text"), [("base_holds", "Base holds."), ("derived_holds", "_check")]
)
def test_invariants_of_all_classes_hold(dispatcher, attribute, text):
    setattr(dispatcher.registry.entry("derived").tool, attribute, False)
    error = error_of(dispatcher, "derived.work", 50)
    assert type(error) is InvariantBroken
    assert error.data["contract"] == text


def test_mix_ins_bring_their_contracts():
    class Counted:
        @require(lambda count: count > 0)
        def work(self, count: int) -> int:
            return count

        @invariant
        @abstractmethod
        def holds(self):
            """Said here, told by each tool."""

    class Mixed(Counted, StandardTool):
        def work(self, count: int) -> int:
            return -count

        def holds(self):
            return True

    dispatcher = dispatch(("mixed", Mixed()))
    assert outcome(dispatcher, "mixed.work", 1).value == -1
    assert type(error_of(dispatcher, "mixed.work", 0)) is RequireBroken
    assert dispatcher.registry.entry("mixed").invariants == ("holds",)


def test_static_and_class_methods_have_contracts():
    class Plain(StandardTool):
        @staticmethod
        @require(lambda count, self: count > 0 and isinstance(self, Plain))
        def static(count: int) -> int:
            return count

        @require(lambda count: count > 0)
        @classmethod
        def of_class(cls, count: int) -> int:
            return count

    dispatcher = dispatch(("plain", Plain()))
    for name in ("plain.static", "plain.of_class"):
        assert outcome(dispatcher, name, 1).value == 1
        assert type(error_of(dispatcher, name, 0)) is RequireBroken


def test_decorators_return_the_same_function():
    def method(self):
        return True

    assert require(lambda: True)(method) is method
    assert ensure(lambda result: True)(method) is method
    assert invariant(method) is method


def test_functions_of_contracts_are_never_exported(dispatcher, stock):
    class Loud(InternalTool):
        @invariant
        def holds(self):
            return True

    for cls in (Stock, Loud):
        each = dispatch(("it", cls())).registry.entry("it")
        assert not {"is_sane", "holds"} & set(each.methods)
    assert "is_sane" not in stock.list_methods()


def test_nothing_is_evaluated_when_off(stock):
    dispatcher = dispatch(("contracts.stock", stock), checks=None)
    assert outcome(dispatcher, "contracts.stock.take", -2000).value == 2005
    assert stock.steps == ["begin", "take", "commit"]
    target = dispatcher.registry.target("contracts.stock.take")
    assert target.function == stock.take


def test_checking_alone_guards_no_call():
    # A tool with contracts and nothing else takes the short way through the door.
    for checks in (None, lambda namespace: True):
        dispatcher = dispatch(("base", Base()), checks=checks)
        assert not dispatcher.registry.target("base.work").is_guarded


@pytest.mark.parametrize("made", [require, ensure])
@pytest.mark.parametrize(
    "test",
    [3, lambda *args: True, lambda **kwargs: True, lambda a, /: True, list.copy, dict],
)
def test_tests_that_cannot_be_asked(made, test):
    with pytest.raises(TypeError, match=f"@{made.__name__}: "):
        made(test)


def unknown_in_require(f):
    return require(lambda wrong: True)(f)


def unknown_in_ensure(f):
    return ensure(lambda result, wrong: True)(f)


def unknown_in_old(f):
    return ensure(lambda old: True, old=lambda wrong: 1)(f)


def result_in_require(f):
    return require(lambda result: True)(f)


def old_without_old(f):
    return ensure(lambda old: True)(f)


@pytest.mark.parametrize(
    ("decorate", "name"),
    [
        (unknown_in_require, "wrong"),
        (unknown_in_ensure, "wrong"),
        (unknown_in_old, "wrong"),
        (result_in_require, "result"),
        (old_without_old, "old"),
    ],
)
def test_unknown_names_are_refused_when_the_class_is_made(decorate, name):
    with pytest.raises(TypeError, match=f"Wrong.work: .*asks for '{name}', expected"):

        class Wrong(StandardTool):
            @decorate
            def work(self, count: int) -> int:
                return count


@pytest.mark.parametrize("name", ["result", "old"])
def test_parameters_that_would_be_ambiguous_are_refused(name):
    namespace = {}
    exec(f"def work(self, {name}): pass", namespace)
    work = ensure(lambda result: True, old=lambda: 1)(namespace["work"])
    with pytest.raises(TypeError, match=f"parameter '{name}' cannot be told"):
        type(StandardTool)("Wrong", (StandardTool,), _body(work=work))


def _body(**attributes):
    body = type(StandardTool).__prepare__("Wrong", (StandardTool,))
    body.update(attributes)
    return body


def test_an_override_has_to_fit_the_contracts_of_its_base():
    with pytest.raises(TypeError, match=r"Renamed.work: .*asks for 'number'"):

        class Renamed(Base):
            def work(self, amount: int, given: int = 0) -> int:
                return given


def test_an_invariant_takes_no_arguments():
    with pytest.raises(TypeError, match=r"Wrong.holds: an @invariant is a method"):

        class Wrong(StandardTool):
            @invariant
            def holds(self, count):
                return True

    with pytest.raises(TypeError, match="@invariant: got 3, expected a method"):
        invariant(3)


@pytest.mark.parametrize("made", [require, ensure])
def test_a_contract_is_one_of_a_method(made):
    decorate = made(lambda self: True)
    with pytest.raises(TypeError, match=f"@{made.__name__}: got 3, expected a method"):
        decorate(3)


def test_a_test_whose_source_is_nowhere_is_told_by_what_it_asks_for():
    class Test:
        def __init__(self, function):
            self.__name__ = "<lambda>"
            self.__wrapped__ = function

        def __call__(self, count):
            return count > 0

    class Bounded(StandardTool):
        @require(Test(lambda count: True))
        def take(self, count: int) -> int:
            return count

    found = outcome(dispatch(("bounded", Bounded())), "bounded.take", 0).error
    assert type(found) is RequireBroken
    assert "a test of count" in found.message


def test_an_override_of_a_method_with_contracts_is_a_method():
    class Base(StandardTool):
        @require(lambda self: True)
        def work(self): ...

    with pytest.raises(
        TypeError, match=r"Wrong\.work: got 3, expected a method with contracts"
    ):

        class Wrong(Base):
            work = 3


def test_defaults_of_a_test_are_its_own():
    class Bounded(StandardTool):
        @require(lambda count, limit=3: count < limit)
        def work(self, count: int) -> int:
            return count

    dispatcher = dispatch(("bounded", Bounded()))
    assert type(error_of(dispatcher, "bounded.work", 3)) is RequireBroken
    assert outcome(dispatcher, "bounded.work", 2).value == 2


def test_sources_of_tests_on_one_line():
    # fmt: off
    first, second = require(lambda a: a > 0), require(lambda a: a  <  0)
    # fmt: on

    class Lines(StandardTool):
        @first
        @second
        def work(self, a: int) -> int:
            return a

        @require(
            lambda a: (
                a > 0
                and a < 10
            )
        )  # fmt: skip
        def other(self, a: int) -> int:
            return a

        @require(eval("lambda a: a > 1"))
        def unknown(self, a: int) -> int:
            return a

    methods = dispatch(("lines", Lines())).registry.entry("lines").methods
    assert methods["work"].spec.requires == ("a > 0", "a < 0")
    assert methods["other"].spec.requires == ("a > 0 and a < 10",)
    assert methods["unknown"].spec.requires == ("a test of a",)


@pytest.fixture(scope="module")
def server():
    with toolserver.testing.serve(Stock) as running:
        yield running


CASES = [
    ("take", {"count": 0}, -32022, 422, "precondition broken: some"),
    ("twice", {"word": "a", "wrong": True}, -32023, 500, "postcondition broken: said"),
    ("take", {"count": 6}, -32023, 500, "invariant broken: There are never less"),
]


@pytest.mark.parametrize(("method", "arguments", "code", "status", "text"), CASES)
def test_rest(server, method, arguments, code, status, text):
    answer = server.http.post(f"/contracts/stock/{method}", json=arguments)
    assert answer.status_code == status
    assert text in answer.text


@pytest.mark.parametrize(("method", "arguments", "code", "status", "text"), CASES)
def test_jsonrpc(server, method, arguments, code, status, text):
    name = f"contracts.stock.{method}"
    body = {"jsonrpc": "2.0", "id": 1, "method": name, "params": arguments}
    error = server.http.post("/JSONRPC", json=body).json()["error"]
    assert error["code"] == code
    assert text in error["message"]
    assert error["data"]["method"] == name


@pytest.mark.parametrize(("method", "arguments", "code", "status", "text"), CASES)
def test_xmlrpc(server, method, arguments, code, status, text):
    with (
        xmlrpc.client.ServerProxy(server.url("/RPC2")) as remote,
        pytest.raises(xmlrpc.client.Fault, match=text) as raised,
    ):
        getattr(remote.contracts.stock, method)(*arguments.values())
    assert raised.value.faultCode == code


def test_methods_for_rest_alone(server):
    assert server.http.get("/contracts/stock/page?key=a").text == "a"
    assert server.http.get("/contracts/stock/page").status_code == 422


def test_introspection_tells_them(server):
    told = server.call("system.methodHelp", "contracts.stock.take")
    assert told == (
        "contracts.stock.take(count: int = 1) -> int\n\n"
        "Take books.\n\n"
        "Requires: some\n"
        "Ensures: less than before\n"
        "Invariant: There are never less than none.\n"
        "Invariant: is_sane"
    )
    described = server.call("system.describe", "contracts.stock")
    methods = {each["name"]: each for each in described}
    assert methods["between"]["requires"] == ["0 <= low < high", "positive"]
    assert methods["take"]["ensures"] == ["less than before"]
    assert methods["take"]["invariants"] == [
        "There are never less than none.",
        "is_sane",
    ]


def test_alternatives_are_told_as_one():
    methods = dispatch(("derived", Derived())).registry.entry("derived").methods
    assert methods["work"].spec.requires == ("positive and not 7, or above 10",)
    assert methods["work"].spec.ensures == ("small", "even")


@pytest.mark.parametrize(
    ("server_settings", "checks"),
    [
        ({}, True),
        ({"contracts": False}, False),
        ({"contracts_only": ["contracts"]}, True),
        ({"contracts_only": ["contracts.stock"]}, True),
        ({"contracts_only": ["system"]}, False),
        ({"contracts": False, "contracts_only": ["contracts"]}, False),
    ],
)
def test_settings(server_settings, checks):
    with toolserver.testing.serve(Stock, config={"server": server_settings}) as running:
        answer = running.http.post("/contracts/stock/take", json={"count": 0})
        assert answer.status_code == (422 if checks else 200)


def test_methods_of_the_tool_itself_have_contracts_that_are_on():
    for checks in (True, False):
        with toolserver.testing.serve(Inner, contracts=checks) as running:
            job = running.call("contracts.inner.tidies")
            error = running.remote().call("contracts.inner.failure", job)
            assert error == ("RequireBroken" if checks else "")


def test_switching_them_off():
    with toolserver.testing.serve(Stock, contracts=False) as running:
        assert running.call("contracts.stock.take", 0) == 5


def test_names_of_no_tool_are_refused():
    config = {"server": {"contracts_only": ["contracts.stok"]}}
    with (
        pytest.raises(StartError, match=r"contracts_only: .*'contracts\.stok'"),
        toolserver.testing.serve(Stock, config=config),
    ):
        pass
