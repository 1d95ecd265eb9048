"""Types and the conversion to them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import math
import typing
import uuid
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolserver.conversion import convert
from toolserver.errors import InvalidParams
from toolserver.types import Kind, Type

T = typing.TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Mixed(enum.Enum):
    RED = "red"
    ONE = 1


@dataclasses.dataclass
class Node:
    name: str
    children: list[Node] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Circle:
    radius: float


@dataclasses.dataclass
class Square:
    side: float
    labels: dict[str, str] | None = None


class Point(typing.NamedTuple):
    x: int
    y: int = 0


class Movie(typing.TypedDict):
    title: str
    year: typing.NotRequired[int]


@dataclasses.dataclass
class Box(typing.Generic[T]):
    content: list[T]


class Compact(msgspec.Struct, rename="camel"):
    item_name: str
    item_count: int = 1


WHEN = dt.datetime.fromisoformat("2026-01-02T03:04:05+01:00")

CASES = [
    (None, None, None),
    (bool, True, True),
    (int, 10**30, 10**30),
    (float, 1, 1.0),
    (Decimal, "1.50", Decimal("1.50")),
    (str, "ä", "ä"),
    (bytes, "YWI=", b"ab"),
    (bytes, b"\x00", b"\x00"),
    (dt.datetime, WHEN.isoformat(), WHEN),
    (dt.date, "2026-01-02", dt.date(2026, 1, 2)),
    (dt.time, "03:04:05", dt.time(3, 4, 5)),
    (dt.timedelta, "PT90S", dt.timedelta(seconds=90)),
    (uuid.UUID, str(uuid.UUID(int=5)), uuid.UUID(int=5)),
    (Color, "red", Color.RED),
    (typing.Literal["a", 1], 1, 1),
    (list[int], [1, 2], [1, 2]),
    (tuple[int, str], [1, "a"], (1, "a")),
    (tuple[int, ...], [1, 2, 3], (1, 2, 3)),
    (set[str], ["a", "a"], {"a"}),
    (dict[str, list[int]], {"a": [1]}, {"a": [1]}),
    (int | None, None, None),
    (int | str, "a", "a"),
    (Node, {"name": "a", "children": [{"name": "b"}]}, Node("a", [Node("b")])),
    (Movie, {"title": "M"}, {"title": "M"}),
    (Point, [1], Point(1, 0)),
    (Compact, {"itemName": "a"}, Compact("a", 1)),
    (Circle | Square, {"side": 2}, Square(2.0)),
    (list[Circle | Square], [{"radius": 1.5}, {"side": 1}], [Circle(1.5), Square(1.0)]),
    (Circle | None, {"radius": 1}, Circle(1.0)),
    (Mixed, 1, Mixed.ONE),
    (Mixed, "red", Mixed.RED),
    (dict[int, str], {"1": "a"}, {1: "a"}),
    (typing.Annotated[int, msgspec.Meta(ge=1)], 1, 1),
]  # fmt: skip


@pytest.mark.parametrize(("hint", "value", "expected"), CASES)
def test_plain_values_become_values_of_the_type(hint, value, expected):
    converted = convert(Type(hint), value, "x")
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(("hint", "value", "expected"), CASES)
def test_values_that_fit_already_are_kept(hint, value, expected):
    assert convert(Type(hint), expected, "x") == expected


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (int, "1", "x: expected int, got str '1'"),
        (int, True, "x: expected int, got bool True"),
        (int, None, "x: expected int, got None"),
        (str, b"ab", "x: expected str, got bytes 'YWI='"),
        (list[int], [1, "b"], "x[1]: expected int, got str 'b'"),
        (tuple[int, int], [1], "x: expected tuple[int, int], got list of 1"),
        (dict[str, int], {"a": "b"}, "x['a']: expected int, got str 'b'"),
        (Color, "green", "x: expected one of 'red', 'blue', got str 'green'"),
        (typing.Literal["a", 1], "b", "x: expected one of 'a', 1, got str 'b'"),
        (Node, {}, "x.name: missing"),
        (
            Node,
            {"name": "a", "children": [{"name": 1}]},
            "x.children[0].name: expected str, got int 1",
        ),
        (
            typing.Annotated[int, msgspec.Meta(ge=1)],
            0,
            "x: expected int >= 1, got int 0",
        ),
        (
            typing.Annotated[int, msgspec.Meta(ge=1)] | None,
            0,
            "x: expected int >= 1, got int 0",
        ),
        (
            typing.Annotated[dict[str, int], msgspec.Meta(min_length=1)],
            {},
            "x: expected object of length >= 1, got dict of 0",
        ),
        (Box[int], {"content": ["a"]}, "x.content[0]: expected int, got str 'a'"),
        (
            Circle | Square,
            {"side": "a"},
            "x.radius: missing; or x.side: expected float, got str 'a'",
        ),
        (str, 1, "x: expected str, got int 1"),
        (Point, ["a"], "x[0]: expected int, got str"),
        (list[Point], [[1, "a"]], "x[0][1]: expected int, got str"),
        (Point, {"x": 1}, "x: expected Point, got dict of 1"),
        (
            dt.date,
            "2026-13-01",
            "x: invalid RFC3339 encoded date, got str '2026-13-01'",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_place(hint, value, message):
    with pytest.raises(InvalidParams) as caught:
        convert(Type(hint), value, "x")
    assert caught.value.message == message


def test_long_values_are_cut_in_messages():
    with pytest.raises(InvalidParams) as caught:
        convert(Type(int), "a" * 10_000, "x")
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("hint", [dict[str, int], Movie | None, Square])
def test_an_empty_list_stands_for_an_empty_mapping(hint):
    type_ = Type(hint)
    if type_.kind is Kind.MAP:
        assert convert(type_, [], "x") == {}
    else:
        with pytest.raises(InvalidParams, match="missing"):
            convert(type_, [], "x")


@pytest.mark.parametrize(
    ("hint", "text", "expected"),
    [
        (int, "1", 1),
        (float, "1.5", 1.5),
        (bool, "on", True),
        (bool, "No", False),
        (int | None, "", None),
        (str | None, "", ""),
        (list[int], ["1", "2"], [1, 2]),
        (dt.date, "2026-01-02", dt.date(2026, 1, 2)),
    ],
)
def test_text_stands_for_other_types_where_it_may(hint, text, expected):
    assert convert(Type(hint), text, "x", lax=True) == expected


def test_members_that_need_not_be_there_are_told():
    required = {field.name: field.required for field in Type(Movie).fields}
    assert required == {"title": True, "year": False}


@pytest.mark.parametrize(
    "hint",
    [
        typing.Annotated[Compact, msgspec.Meta(description="small")],
        typing.Annotated[Compact, "note"] | None,
        typing.NewType("Small", Compact),
    ],
)
def test_notes_do_not_hide_the_members_of_a_record(hint):
    type_ = Type(hint)
    assert type_.bare is Compact
    assert type_.fields
    assert [field.name for field in type_.fields] == [
        field.name for field in Type(Compact).fields
    ]


def test_a_record_that_contains_itself_can_be_described():
    fields = {field.name: field for field in Type(Node).fields}
    assert fields["children"].type.items[0].fields[0].name == "name"
    assert not fields["children"].required


@pytest.mark.parametrize(
    ("hint", "name"),
    [
        (list[Node], "list[Node]"),
        (dict[str, int | None], "dict[str, int | None]"),
        (typing.Optional[Node], "Node | None"),  # noqa: UP045  # the old spelling
        (typing.Literal["a", 1], "'a' | 1"),
        (tuple[int, ...], "tuple[int, ...]"),
        (typing.Any, "Any"),
    ],
)
def test_names_read_like_python(hint, name):
    assert Type(hint).name == name


SCALARS = {
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(allow_nan=False),
    str: st.text(),
    bytes: st.binary(),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    dt.datetime: st.datetimes(),
    dt.date: st.dates(),
    uuid.UUID: st.uuids(),
}


@st.composite
def hints_and_values(draw):
    hint = draw(st.sampled_from(list(SCALARS)))
    value = draw(SCALARS[hint])
    for _ in range(draw(st.integers(0, 3))):
        match draw(st.sampled_from(["list", "dict", "optional", "tuple"])):
            case "list":
                hint, value = list[hint], [value]
            case "dict":
                hint, value = dict[str, hint], {draw(st.text()): value}
            case "optional":
                hint, value = hint | None, draw(st.sampled_from([value, None]))
            case "tuple":
                hint, value = tuple[hint, int], (value, 1)
    return hint, value


@given(hints_and_values())
def test_any_value_of_a_type_goes_through_unchanged(pair):
    hint, value = pair
    assert convert(Type(hint), value, "x") == value


@given(
    st.sampled_from([case[0] for case in CASES]),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
    st.booleans(),
)
def test_any_plain_value_is_converted_or_refused(hint, value, lax):
    try:
        convert(Type(hint), value, "x", lax=lax)
    except InvalidParams as error:
        message = error.message
    else:
        message = "x"
    assert message.startswith(("x", "key of x"))


def test_nan_is_a_float():
    assert math.isnan(convert(Type(float), math.nan, "x"))


class Price(typing.NamedTuple):
    label: str
    amount: Decimal


@dataclasses.dataclass
class Offer:
    name: str
    price: Decimal
    more: list[Offer] = dataclasses.field(default_factory=list)


NONFINITE = ["nan", "NaN", "inf", "-Infinity", " +INF "]


@pytest.mark.parametrize("text", [*NONFINITE, "sNaN1", "I_nf", "NaN12"])
@pytest.mark.parametrize("lax", [True, False])
def test_text_stands_for_no_decimal_beyond_all_bounds(text, lax):
    wanted = [
        (Decimal, text, "v: expected Decimal"),
        (Decimal | None, text, "v: expected"),
        (list[Decimal], ["1", text], r"v\[1\]: expected Decimal"),
        (dict[str, Decimal], {"a": text}, r"v\['a'\]: expected Decimal"),
        (Offer, {"name": text, "price": text}, "v.price: expected Decimal"),
        (
            list[Offer],
            [{"name": "a", "price": "1", "more": [{"name": "b", "price": text}]}],
            r"v\[0\].more\[0\].price: expected Decimal, got str",
        ),
        (Price, [text, text], "v: expected Price"),
        (Decimal | int, text, "v: expected"),
        (typing.Annotated[Decimal, msgspec.Meta(description="x")], text, "v: expected"),
    ]
    for hint, value, message in wanted:
        with pytest.raises(InvalidParams, match=f"^{message}"):
            convert(Type(hint), value, "v", lax=lax)


@pytest.mark.parametrize("text", NONFINITE)
def test_text_stands_for_no_float_beyond_all_bounds(text):
    wanted = [
        (float, text, "v: expected float, got str"),
        (float | None, text, "v: expected float"),
        (list[float], ["1", text], r"v\[1\]: expected float"),
        (dict[float, int], {text: 1}, "key of v: expected float"),
        (Circle, {"radius": text}, "v.radius: expected float"),
    ]
    for hint, value, message in wanted:
        with pytest.raises(InvalidParams, match=f"^{message}"):
            convert(Type(hint), value, "v", lax=True)


@pytest.mark.parametrize("lax", [True, False])
def test_what_looks_like_no_number_may_be_text(lax):
    nan = {"name": "Nan", "price": "1.5", "more": [{"name": "inf", "price": "2"}]}
    offer = Offer("Nan", Decimal("1.5"), [Offer("inf", Decimal("2"))])
    for hint, value, expected in [
        (str, "nan", "nan"),
        (Offer, nan, offer),
        (list[Offer], [nan], [offer]),
        (dict[str, Decimal], {"nan": "1e999"}, {"nan": Decimal("1e999")}),
        (Price, ["nan", "1"], Price("nan", Decimal("1"))),
        (float | str, "nan", "nan"),
        (Decimal, "1e999", Decimal("1e999")),
    ]:
        assert convert(Type(hint), value, "v", lax=lax) == expected
