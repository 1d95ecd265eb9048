"""What is stored of calls comes back as it went in, or is refused at once."""

import dataclasses
import datetime as dt
import enum
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolserver import CRAMSettings, OnlyRPCCRAMTool, StandardTool, register
from toolserver.errors import (
    ApplicationError,
    Conflict,
    InternalError,
    InvalidParams,
    JobFailed,
    NotFound,
    ToolFault,
    TooMany,
    Unauthenticated,
)
from toolserver.jobs.payload import (
    read_arguments,
    read_error,
    read_result,
    write_arguments,
    write_error,
    write_result,
)
from toolserver.sharing.values import MAX_SIZE
from toolserver.testing import serve
from toolserver.toolspecs import describe_tool


class Colour(enum.Enum):
    RED = "red"
    BLUE = 3


@dataclasses.dataclass(frozen=True)
class Point:
    x: float
    y: float = 0.5
    tags: frozenset[str] = frozenset()


@dataclasses.dataclass
class Tree:
    name: str
    children: "list[Tree]" = dataclasses.field(default_factory=list)
    place: Point | None = None


class Named(NamedTuple):
    number: int
    text: str = ""


class Typed(TypedDict, total=False):
    when: dt.datetime
    sizes: dict[int, Decimal]


class Tagged(msgspec.Struct, tag=True):
    data: bytes


points = st.builds(
    Point,
    st.floats(allow_nan=False),
    tags=st.frozensets(st.text(max_size=3), max_size=3),
)
moments = st.datetimes(timezones=st.just(dt.UTC))
#: Hints, and values that fit them.
KINDS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "whole": (int, st.integers()),
    "fraction": (float, st.floats(allow_nan=False)),
    "text": (str, st.text(max_size=20)),
    "raw": (bytes, st.binary(max_size=20)),
    "truth": (bool, st.booleans()),
    "moment": (dt.datetime, moments),
    "day": (dt.date, st.dates()),
    "hour": (dt.time, st.times()),
    "span": (dt.timedelta, st.timedeltas()),
    "exact": (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    "name": (UUID, st.uuids()),
    "colour": (Colour, st.sampled_from(Colour)),
    "word": (Literal["a", 1, None], st.sampled_from(["a", 1, None])),
    "unique": (set[int], st.sets(st.integers(), max_size=5)),
    "pair": (tuple[int, str], st.tuples(st.integers(), st.text(max_size=3))),
    "many": (tuple[Point, ...], st.lists(points, max_size=3).map(tuple)),
    "numbered": (dict[int, Point], st.dictionaries(st.integers(), points, max_size=3)),
    "point": (Point | None, st.none() | points),
    "tree": (
        Tree,
        st.recursive(
            st.builds(Tree, st.text(max_size=3), place=st.none() | points),
            lambda inner: st.builds(
                Tree, st.text(max_size=3), st.lists(inner, max_size=2)
            ),
            max_leaves=4,
        ),
    ),
    "named": (Named, st.builds(Named, st.integers(), st.text(max_size=3))),
    "typed": (
        Typed,
        st.fixed_dictionaries(
            {},
            optional={
                "when": moments,
                "sizes": st.dictionaries(
                    st.integers(), st.decimals(0, 9, places=2), max_size=2
                ),
            },
        ),
    ),
    "tagged": (Tagged, st.builds(Tagged, st.binary(max_size=5))),
    "bounded": (Annotated[int, msgspec.Meta(ge=1)], st.integers(min_value=1)),
}


def spec_for(hint):
    def echo(self, value, *rest, last=None, **named): ...

    names = ("value", "rest", "last", "named", "return")
    echo.__annotations__ = dict.fromkeys(names, hint)
    meta = type(StandardTool)
    body = meta.__prepare__("Echo", (StandardTool,))
    body["echo"] = echo
    return describe_tool(meta("Echo", (StandardTool,), body))["echo"]


SPECS = {name: spec_for(hint) for name, (hint, _) in KINDS.items()}
values = st.sampled_from(list(KINDS)).flatmap(
    lambda name: st.tuples(
        st.just(name), st.lists(KINDS[name][1], min_size=4, max_size=4)
    )
)


@given(values)
def test_arguments_and_results_come_back(drawn):
    name, (first, second, third, fourth) = drawn
    spec = SPECS[name]
    given_ = ([first, second], {"last": third, "more": fourth})
    args, kwargs = read_arguments(write_arguments(spec, *given_))
    assert spec.convert(args, kwargs) == given_
    assert read_result(write_result(first), spec.returns) == first


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | moments
    | st.uuids(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.tuples(inner)
    ),
    max_leaves=8,
)


@given(plain)
def test_without_hints_plain_values_come_back_as_they_were(value):
    spec = spec_for(Any)
    args, kwargs = read_arguments(write_arguments(spec, [value], {"last": value}))
    assert (args, kwargs) == ([value], {"last": value})
    assert type(args[0]) is type(value)


@pytest.mark.parametrize(
    "value", [object(), [print], Point(1.0), {"a": {1: open}}, "x" * MAX_SIZE, "\ud800"]
)
def test_what_cannot_be_stored_is_refused(value):
    with pytest.raises(InvalidParams, match="cannot be stored"):
        write_arguments(spec_for(Any), [value], {})


def test_keys_that_become_the_same_are_refused():
    with pytest.raises(InvalidParams, match=r"last: cannot be stored: .*two keys"):
        write_arguments(spec_for(dict[int | str, int]), [], {"last": {1: 1, "1": 2}})


@pytest.mark.parametrize("value", [object(), "x" * MAX_SIZE, "\ud800"])
def test_results_that_cannot_be_stored_are_refused(value):
    with pytest.raises(ApplicationError, match="cannot be"):
        write_result(value)


def test_results_are_plain_where_they_fit_no_more():
    written = write_result(Point(1.0))
    assert read_result(written, SPECS["day"].returns)["x"] == 1.0
    assert read_result(None, SPECS["day"].returns) is None


CHALLENGE = Unauthenticated().challenge


class Burnt(Conflict):
    code = -32177

    def __init__(self, page: int) -> None:
        super().__init__(f"page {page} is burnt", data={"page": page})


def raised(error):
    try:
        raise error
    except type(error) as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "kind", "message", "data"),
    [
        (NotFound("gone", data=[1]), NotFound, "gone", [1]),
        (Burnt(3), Burnt, "page 3 is burnt", {"page": 3}),
        (
            ToolFault(
                "KeyError: 'a'", exception=raised(KeyError("a")), kind="KeyError"
            ),
            *(JobFailed, "KeyError: 'a'", None),
        ),
        (
            ToolFault("call failed, reference 7", exception=raised(KeyError("a"))),
            *(JobFailed, "ToolFault: call failed, reference 7", None),
        ),
        (NotFound("\ud800", data=object()), NotFound, "\\ud800", None),
    ],
)
def test_errors_come_back_as_what_they_were(error, kind, message, data):
    stored = read_error(write_error(raised(error)))
    found = stored.rebuild()
    assert type(found) is kind
    assert str(found) == message
    assert "test_payload.py" in stored.trace
    if data is not None or kind is NotFound:
        assert found.data == data


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (InternalError("a-1"), {"reference": "a-1"}),
        (TooMany("slowly", retry_after=3.0, data=[1]), {"retry_after": None}),
        (Unauthenticated("who?", challenge="Odd"), {"challenge": CHALLENGE}),
    ],
)
def test_errors_of_the_server_have_all_their_facts(error, facts):
    found = read_error(write_error(raised(error))).rebuild()
    assert type(found) is type(error)
    assert (found.message, found.data) == (error.message, error.data)
    assert {name: getattr(found, name) for name in facts} == facts


@register("sealed")
class Sealed(OnlyRPCCRAMTool):
    settings = CRAMSettings(secret="s")

    def paint(self, anything, point: Point) -> list[Any]:
        return [anything, point.x, point.tags]


def test_tokens_are_no_arguments_of_jobs():
    with serve(Sealed) as server:
        tool = server.tool("sealed")
        made = tool.enqueue(0, tool.paint, 7, Point(2.0, tags=frozenset({"a"})))
        server.run_jobs()
        assert made.result(0) == [7, 2.0, ["a"]]
