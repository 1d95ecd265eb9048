"""What a tool class exports, and what is known of its methods."""

from __future__ import annotations

import abc
import dataclasses
from math import inf

import pytest

from toolserver import (
    InternalTool,
    Request,
    StandardTool,
    cached,
    destructive,
    expose,
    generator,
    hidden,
    limit,
    parser,
    read_only,
    rest,
    retry,
    validate,
)
from toolserver.errors import InvalidParams, StartError
from toolserver.toolspecs import describe_tool, wrappers_of


def exported(cls):
    return {name for name, spec in describe_tool(cls).items() if spec.exported}


class Mixin:
    def mixed(self): ...


class Shop(Mixin, StandardTool):
    attribute = 5
    helper = staticmethod(len)

    class Nested: ...

    @property
    def size(self): ...

    def place(self, item: str, count: int = 1) -> str:
        """Place an order.

        Args:
            item: what.
        """

    @staticmethod
    def stateless(a: int): ...

    @classmethod
    def of_class(cls, a: int): ...

    @hidden
    def rebuild(self): ...

    def _private(self): ...

    @parser(place)
    def parse_place(self, request): ...

    @validate(place)
    def check_place(self, call): ...

    @rest("GET")
    def page(self, request: Request): ...

    def on_start(self): ...


def test_a_standard_tool_exports_the_public_methods_of_its_own_classes():
    assert exported(Shop) == {
        *("list_methods", "place", "stateless", "of_class", "mixed", "helper")
    }


def test_hidden_methods_are_known_but_not_exported():
    assert not describe_tool(Shop)["rebuild"].exported


def test_an_internal_tool_exports_what_it_exposes():
    class Inner(InternalTool):
        def secret(self): ...

        @expose
        def plain(self): ...

        @expose("other.name".replace(".", "_"))
        def renamed(self): ...

    assert exported(Inner) == {"list_methods", "plain", "other_name"}


def test_roles_stay_with_a_name_that_is_overridden():
    class Special(Shop):
        def rebuild(self): ...

        def parse_place(self, request): ...

        @read_only
        def place(self, item: str) -> str: ...

    assert exported(Special) == exported(Shop)
    assert describe_tool(Special)["place"].is_read_only
    assert not describe_tool(Shop)["place"].is_read_only
    functions = {name: function for _, function, name in wrappers_of(Special)}
    assert functions["parse_place"] is Special.parse_place


def test_wrappers_may_share_one_name():
    class Many(StandardTool):
        def one(self): ...

        @parser(one)
        def _(self, request): ...

        @generator(one)
        def _(self, request, result): ...

    assert {wrapper.role for wrapper, _, _ in wrappers_of(Many)} == {
        "parser",
        "generator",
    }


def test_classes_may_be_made_by_type():
    @validate()
    def refuse(self, call): ...

    members = {"sell": lambda self: None, "_refuse": refuse}
    made = type("Made", (StandardTool,), members)
    assert exported(made) == {"list_methods", "sell"}
    assert [wrapper.role for wrapper, *_ in wrappers_of(made)] == ["validate"]
    with pytest.raises(TypeError, match="belongs to the framework"):
        type("Made", (StandardTool,), {"storage": lambda self: None})


def test_names_of_the_framework_are_refused_with_the_way_out():
    with pytest.raises(TypeError, match=r'@expose\("spawn"\)'):

        class Wrong(StandardTool):
            def spawn(self): ...


def test_a_wrapper_of_a_method_that_is_not_there_is_refused():
    with pytest.raises(TypeError, match="names 'nope'"):

        class Wrong(StandardTool):
            @parser("nope")
            def _(self, request): ...


def test_a_verb_that_is_none_is_refused():
    with pytest.raises(TypeError, match="got verb 'FETCH'"):
        parser("x", "FETCH")


def test_a_wrapper_that_is_overridden_by_another_is_the_other_one():
    class Base(StandardTool):
        def one(self): ...

        @parser(one)
        def _wrap(self, request): ...

    class Other(Base):
        @generator("one")
        def _wrap(self, request, result): ...

    assert [wrapper.role for wrapper, _, _ in wrappers_of(Other)] == ["generator"]


def test_a_tool_of_no_server_starts_no_jobs():
    with pytest.raises(RuntimeError, match="Shop: the tool belongs to no server"):
        Shop().enqueue(0, "place")


def test_a_hint_that_is_no_type_is_named():
    class Wrong(StandardTool):
        def method(self, a): ...

    Wrong.method.__annotations__["a"] = [int]
    with pytest.raises(StartError, match=r"Wrong\.method: "):
        describe_tool(Wrong)


def test_a_wrapper_of_what_has_no_name_is_refused():
    with pytest.raises(TypeError, match="@parser: got 3, expected a method or its"):
        parser(3)


@pytest.mark.parametrize("decorate", [read_only, cached(60.0), limit(calls=1)])
def test_a_mark_of_what_is_no_method_is_refused(decorate):
    with pytest.raises(TypeError, match=r"^@\w+: got 3, expected a method"):
        decorate(3)


@pytest.mark.parametrize(
    "given", [{"times": 0}, {"times": 1, "backoff": -1}, {"times": 1, "backoff": inf}]
)
def test_a_retry_has_to_be_one(given):
    with pytest.raises(ValueError, match="expected at least one try and a pause"):
        retry(**given)


def test_two_methods_with_one_name_are_refused():
    class Twice(StandardTool):
        def one(self): ...

        @expose("one")
        def two(self): ...

    with pytest.raises(StartError, match="one and two are both exported as 'one'"):
        describe_tool(Twice)


def test_a_hint_that_cannot_be_resolved_is_named():
    class Unknown(StandardTool):
        def method(self, a: Missing): ...  # noqa: F821

    with pytest.raises(StartError, match=r"Unknown\.method: type hint .*Missing"):
        describe_tool(Unknown)


def test_a_record_whose_hints_cannot_be_resolved_is_named():
    @dataclasses.dataclass
    class Local:
        member: NotThere  # noqa: F821

    class Unknown(StandardTool):
        def method(self, a): ...

    Unknown.method.__annotations__["a"] = Local
    with pytest.raises(StartError, match=r"Unknown\.method: .*NotThere"):
        describe_tool(Unknown)


def test_a_hint_that_no_value_fits_is_named():
    @dataclasses.dataclass
    class Local:
        inside: list[set[list]]

    class Wrong(StandardTool):
        def method(self, a): ...

        @hidden
        def other(self, a): ...

    Wrong.other.__annotations__["a"] = Local
    describe_tool(Wrong)
    for hint, name in [(set[list], r"set\[list\]"), (Local, "Local")]:

        class Worse(Wrong):
            def method(self, a): ...

        Worse.method.__annotations__["a"] = hint
        with pytest.raises(
            StartError, match=rf"Worse\.method: type hint {name} .*: list"
        ):
            describe_tool(Worse)


def test_a_type_that_cannot_come_from_outside_is_named():
    class Opaque: ...

    class Wrong(StandardTool):
        def method(self, a: Opaque): ...

    Wrong.method.__annotations__["a"] = Opaque
    with pytest.raises(StartError, match="parameter a: values of type Opaque"):
        describe_tool(Wrong)


def test_abstract_classes_can_be_mixed_in():
    class Base(abc.ABC):
        @abc.abstractmethod
        def need(self): ...

    class Concrete(StandardTool, Base):
        def need(self): ...

    assert "need" in exported(Concrete)


def test_a_method_spec_tells_signature_and_doc():
    spec = describe_tool(Shop)["place"]
    assert spec.signature == "(item: str, count: int = 1) -> str"
    assert spec.summary == "Place an order."


def test_marks_are_read():
    class Marked(StandardTool):
        @destructive
        @limit(timeout=2.0, max_body=5)
        def drop(self): ...

    spec = describe_tool(Marked)["drop"]
    assert spec.is_destructive
    assert (spec.limit.timeout, spec.limit.max_body) == (2.0, 5)


class Flexible(StandardTool):
    def method(self, a: int, b: str = "x", *more: int, flag: bool = False, **rest: str):
        return a, b, more, flag, rest

    def named(self, *, a: int): ...

    def none(self): ...


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1,), {}),
        ((1, "b", 2, 3), {"flag": True, "other": "o"}),
        ((), {"a": 1, "b": "c"}),
    ],
)
def test_arguments_are_taken_as_python_takes_them(args, kwargs):
    spec = describe_tool(Flexible)["method"]
    converted, named = spec.convert(args, kwargs)
    tool = Flexible()
    assert tool.method(*converted, **named) == tool.method(*args, **kwargs)


@pytest.mark.parametrize(
    ("method", "args", "kwargs", "message"),
    [
        ("method", (), {}, "a: missing, expected int"),
        ("method", (1,), {"a": 1}, "a: given twice, by position and by name"),
        ("method", (1, "b", "c"), {}, "argument 3: expected int, got str 'c'"),
        ("method", (1,), {"x": 1}, "x: expected str, got int 1"),
        ("named", (1,), {}, "got 1 positional arguments, expected no"),
        ("named", (), {}, "a: missing, expected int"),
        ("named", (), {"b": 1}, "unknown argument 'b', expected a"),
        ("none", (), {"b": 1}, "unknown argument 'b', the method takes none"),
    ],
)
def test_wrong_arguments_are_named(method, args, kwargs, message):
    with pytest.raises(InvalidParams) as caught:
        describe_tool(Flexible)[method].convert(args, kwargs)
    assert caught.value.message == message
