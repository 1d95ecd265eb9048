"""Types and the conversion to them."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime as dt
import enum
import math
import sys
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
        (Point, ["a"], "x[0]: expected int, got str 'a'"),
        (list[Point], [[1, "a"]], "x[0][1]: expected int, got str 'a'"),
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


HALF = "\ud800"


@pytest.mark.parametrize("lax", [False, True])
@pytest.mark.parametrize(
    ("hint", "value"),
    [
        *[(hint, HALF) for hint in (int, float, bool, bytes, dt.date, dt.timedelta)],
        *[(hint, HALF) for hint in (Decimal, uuid.UUID, Color, dt.datetime, Compact)],
        (typing.Literal["a"], HALF),
        (list[int], [1, HALF]),
        (dict[str, int], {"a": HALF}),
        (dict[int, str], {HALF: "a"}),
        (tuple[int, int], [1, HALF]),
        (int | list[int], [HALF]),
        (Node, {"name": 1, HALF: 2}),
        (Point, [HALF, 1]),
        (typing.Annotated[int, msgspec.Meta(ge=1)], HALF),
        (typing.Annotated[str, msgspec.Meta(pattern="^a$")], HALF),
        (typing.Annotated[str, msgspec.Meta(max_length=0)], HALF),
    ],
    ids=repr,
)
def test_half_a_character_is_a_wrong_value_like_others(hint, value, lax):
    with pytest.raises(InvalidParams):
        convert(Type(hint), value, "value", lax=lax)


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


@pytest.mark.parametrize(
    ("bound", "good", "bad", "message"),
    [
        (msgspec.Meta(ge=1), "1", "0.99", ">= 1"),
        (msgspec.Meta(gt=1), "1.01", "1", "> 1"),
        (msgspec.Meta(le=1), "1", "1.01", "<= 1"),
        (msgspec.Meta(lt=1), "0.99", "1", "< 1"),
        (msgspec.Meta(multiple_of=0.1), "0.3", "0.35", "multiple of 0.1"),
        (msgspec.Meta(multiple_of=0.1), "1e2", "1e999999", "multiple of 0.1"),
    ],
)
def test_decimals_have_bounds_as_other_numbers_do(bound, good, bad, message):
    hint = Type(typing.Annotated[Decimal, bound])
    assert convert(hint, good, "v") == Decimal(good)
    with pytest.raises(InvalidParams, match=f"^v: .*{message}"):
        convert(hint, bad, "v")


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
        (Price, [text, text], r"v\[1\]: expected Decimal, got str"),
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


@dataclasses.dataclass
class Folder:
    inside: list[Folder | Link]
    size: int = 0


@dataclasses.dataclass
class Link:
    inside: list[Folder | Link]
    target: str


def nested(depth, leaf, **members):
    value = leaf
    for _ in range(depth):
        value = {"inside": [value], **members}
    return value


@pytest.mark.parametrize(
    ("leaf", "members"),
    [
        ({"inside": 1}, {}),
        ({"inside": 1}, {"target": "a"}),
        # Each folder is found not to be one only when all inside it was converted.
        ({"inside": [], "target": "a"}, {"size": "large", "target": "a"}),
    ],
)
def test_unions_inside_unions_cost_no_more_with_each_level(leaf, members):
    type_ = Type(list[Folder | Link])
    costs = []
    longest = 0
    for depth in (10, 20, 40):
        calls = 0

        def count(frame, event, argument):
            nonlocal calls
            calls += event == "call"

        value = [nested(depth, leaf, **members)]
        sys.setprofile(count)
        try:
            convert(type_, value, "x")
        except InvalidParams as error:
            longest = max(longest, len(error.message))
        finally:
            sys.setprofile(None)
        costs.append(calls)
    assert longest < 10_000
    assert costs[2] < 3 * costs[1] < 9 * costs[0]


def test_what_is_deeper_than_can_be_converted_is_refused():
    with pytest.raises(InvalidParams, match=r"^x\S*: (nested too deep|expected)"):
        convert(Type(Folder | Link), nested(5000, {"inside": []}), "x")


def test_the_members_of_a_record_that_contains_itself_are_read_once():
    (inside, _) = Type(Folder).fields
    folder, link = inside.type.items[0].items
    assert folder.fields[0].type is inside.type
    assert link.fields[0].type.items[0].items[1].fields is link.fields


def test_of_a_union_the_first_record_that_fits_is_taken():
    type_ = Type(Folder | Link)
    both = {"inside": [{"inside": [], "target": "b"}], "target": "a"}
    assert convert(type_, both, "x") == Folder([Folder([])])
    link = {"inside": [], "size": "none", "target": "a"}
    assert convert(type_, link, "x") == Link([], "a")
    assert convert(type_, Link([], "a"), "x") == Link([], "a")


class Pair(typing.NamedTuple):
    shape: Circle | Square
    count: int = 1


class Pairs(typing.NamedTuple, typing.Generic[T]):
    first: T
    others: list[Pair]


Money = typing.Annotated[Decimal, msgspec.Meta(ge=0.1, lt=1000, multiple_of=0.05)]
Positive = typing.Annotated[int | float | None, msgspec.Meta(gt=0)]


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    item_name: str
    any_shape: Circle | Square | None = None


class Tagged(msgspec.Struct, tag_field="kind", tag="tagged"):
    number: int


class TaggedOther(msgspec.Struct, tag_field="kind", tag=2, forbid_unknown_fields=True):
    number: int
    shape: Circle | Square | None = None


class Row(msgspec.Struct, array_like=True, tag="row", forbid_unknown_fields=True):
    shape: Circle | Square
    count: int = 0


class Checked(msgspec.Struct):
    shape: Circle | Square

    def __post_init__(self):
        if self.shape == Circle(0.0):
            raise ValueError("a circle needs a radius")


CIRCLE = {"radius": 1}


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (Pair, [CIRCLE], Pair(Circle(1.0))),
        (Pair | None, [{"side": 1}, 2.0], Pair(Square(1.0), 2)),
        (Pairs[int], [1, [[CIRCLE]]], Pairs(1, [Pair(Circle(1.0))])),
        (Money, "0.1", Decimal("0.1")),
        (Money, 0.15, Decimal("0.15")),
        (Money | None, 999, Decimal(999)),
        (list[Money], ["0.10"], [Decimal("0.10")]),
        (dict[Money, int], {"5": 1}, {Decimal(5): 1}),
        (Positive, 0.5, 0.5),
        (Positive, None, None),
        (Strict, {"itemName": "a", "anyShape": CIRCLE}, Strict("a", Circle(1.0))),
        (Tagged, {"kind": "tagged", "number": 1.0}, Tagged(1)),
        (Tagged | Circle, {"kind": "tagged", "number": 1}, Tagged(1)),
        (Tagged | TaggedOther, {"kind": 2, "number": 1}, TaggedOther(1)),
        (Row, ["row", CIRCLE], Row(Circle(1.0))),
        (Checked, {"shape": CIRCLE}, Checked(Circle(1.0))),
        (frozenset[int | str], [1.0, "a"], frozenset({1, "a"})),
        (set[tuple[int, ...]], [[1], [1]], {(1,)}),
        (
            typing.Annotated[list[Circle | Square], msgspec.Meta(min_length=1)],
            [CIRCLE],
            [Circle(1.0)],
        ),
    ],
)
def test_hints_that_msgspec_does_not_know_work_too(hint, value, expected):
    converted = convert(Type(hint), value, "x")
    assert converted == expected
    assert type(converted) is type(expected)
    assert convert(Type(hint), expected, "x") == expected


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (Pair, [], "x: expected Pair, got list of 0"),
        (Pair, [CIRCLE, "a"], "x[1]: expected int, got str 'a'"),
        (Pair, [CIRCLE, 1, 1], "x: expected Pair, got list of 3"),
        (Money, "0.05", "x: expected Decimal >= 0.1, got str '0.05'"),
        (Money, 1000, "x: expected Decimal < 1000, got int 1000"),
        (
            Money,
            "0.11",
            "x: expected Decimal that's a multiple of 0.05, got str '0.11'",
        ),
        (Money, "NaN", "x: expected Decimal, got str 'NaN'"),
        (Positive, -1, "x: expected int | float | None, got int -1"),
        (
            Strict,
            {"itemName": "a", "itemCount": 1},
            "x: unknown member 'itemCount', expected anyShape, itemName",
        ),
        (Tagged, {"kind": "a", "number": 1}, "x.kind: expected 'tagged', got 'a'"),
        (TaggedOther, {"kind": True, "number": 1}, "x.kind: expected 2, got True"),
        (Row, ["column", CIRCLE], "x.type: expected 'row', got 'column'"),
        (Row, ["row", CIRCLE, 1, 1], "x: expected Row, got list of 4"),
        (
            Checked,
            {"shape": {"radius": 0}},
            "x: a circle needs a radius, got dict of 1",
        ),
        (set, [[1]], "x: expected set, got an element that no set can hold"),
        (
            typing.Annotated[list[Circle | Square], msgspec.Meta(min_length=1)],
            [],
            "x: expected array of length >= 1, got list of 0",
        ),
    ],
)  # fmt: skip
def test_wrong_values_for_such_hints_are_named_with_their_place(hint, value, message):
    with pytest.raises(InvalidParams) as caught:
        convert(Type(hint), value, "x")
    assert caught.value.message == message


@pytest.mark.parametrize(
    "hint",
    [
        set[list],
        set[list[int]],
        frozenset[dict[str, int]],
        set[set[int]],
        set[tuple[int, list[int]]],
        set[Movie],
        set[Circle],
        set[Compact],
        set[int | list[int]],
        dict[list[int], str],
        typing.Annotated[uuid.UUID, msgspec.Meta(ge=1)],
        typing.Annotated[int | str, msgspec.Meta(ge=1)],
        typing.Annotated[list[Circle | Square], msgspec.Meta(ge=1)],
        typing.Annotated[Decimal, msgspec.Meta(min_length=1)],
    ],
)
def test_hints_that_no_value_fits_are_refused(hint):
    with pytest.raises(TypeError):
        Type(hint)


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (int, 1.0, 1),
        (int | None, -2.0, -2),
        (list[int], [1.0, 2], [1, 2]),
        (dict[str, int], {"a": 0.0}, {"a": 0}),
        (Movie, {"title": "M", "year": 1999.0}, {"title": "M", "year": 1999}),
        (typing.Literal["a", 1], 1.0, 1),
        (Mixed, 1.0, Mixed.ONE),
        (int | float, 1.0, 1.0),
        (typing.Annotated[int, msgspec.Meta(ge=1)], 1.0, 1),
        (int, 2.0**53, 2**53),
    ],
)
def test_a_float_without_a_fraction_is_an_integer(hint, value, expected):
    converted = convert(Type(hint), value, "x")
    assert converted == expected
    assert repr(converted) == repr(expected)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int, 1.5),
        (int, 2.0**53 + 2),
        (int, math.inf),
        (int, math.nan),
        (bool, 1.0),
        (typing.Annotated[int, msgspec.Meta(ge=1)], 0.0),
    ],
)
def test_other_floats_are_no_integers(hint, value):
    with pytest.raises(InvalidParams, match=r"^x: expected"):
        convert(Type(hint), value, "x")


@pytest.mark.parametrize(
    ("hint", "text"),
    [
        (dt.datetime, "2026"),
        (dt.datetime, "1e3"),
        (dt.datetime | None, "1700000000"),
        (dt.timedelta, "5"),
        (dt.date, "2026"),
        (dt.time, "12"),
    ],
)
def test_a_bare_number_is_no_time(hint, text):
    with pytest.raises(InvalidParams):
        convert(Type(hint), text, "when", lax=True)


def test_text_in_iso_8601_is_a_time():
    day = dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC)
    assert convert(Type(dt.datetime), "2026-01-02T03:04:00Z", "when", lax=True) == day
    assert convert(Type(dt.timedelta), "PT5S", "for", lax=True) == dt.timedelta(0, 5)
    assert convert(Type(dt.datetime | None), "", "when", lax=True) is None


class Strict(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    left: int


@pytest.mark.parametrize("value", ["inf", "-Infinity", "nan"])
def test_text_of_what_is_no_number_is_refused_in_a_list_too(value):
    assert convert(Type(list[float]), ["1", "2.5"], "x", lax=True) == [1.0, 2.5]
    with pytest.raises(InvalidParams, match=r"x\[1\]: expected float"):
        convert(Type(list[float]), ["1", value], "x", lax=True)


@pytest.mark.parametrize("hint", [int | None, list[int] | None, Circle | None])
def test_empty_text_may_stand_for_nothing(hint):
    assert convert(Type(hint), "", "x", lax=True) is None
    with pytest.raises(InvalidParams, match="x: expected"):
        convert(Type(hint), "", "x")


def test_an_array_has_no_more_members_than_its_class_if_it_says_so():
    assert convert(Type(Strict), [1], "x") == Strict(1)
    with pytest.raises(InvalidParams, match="x: "):
        convert(Type(Strict), [1, 2], "x")


def test_what_types_are_made_of():
    assert Type(T).kind is Kind.ANY
    (item,) = Type(collections.abc.Generator[int, None, str]).items
    assert repr(item) == "<Type int>"
    assert Type(typing.Required[int]).kind is Type(int).kind


@dataclasses.dataclass
class Mixture:
    kind: Mixed
    sizes: list[float] | None


def test_members_are_read_from_text_also_where_msgspec_cannot_read_the_whole():
    def read(sizes):
        return convert(Type(Mixture), {"kind": "red", "sizes": sizes}, "x", lax=True)

    assert read(["1", "2.5"]) == Mixture(Mixed.RED, [1.0, 2.5])
    assert read("") == Mixture(Mixed.RED, None)
    with pytest.raises(InvalidParams, match=r"x\.sizes\[1\]: expected float"):
        read(["1", "nan"])


@pytest.mark.parametrize("value", [3, "a", {"left": 1}])
def test_what_is_sent_as_an_array_is_nothing_else(value):
    with pytest.raises(InvalidParams, match="x: expected"):
        convert(Type(Strict), value, "x")


def test_empty_text_is_none_also_beside_what_does_not_fit():
    numbers = Type(list[int | None])
    assert convert(numbers, ["", "2"], "x", lax=True) == [None, 2]
    with pytest.raises(InvalidParams, match=r"\Ax\[1\]: expected"):
        convert(numbers, ["", "two"], "x", lax=True)


def test_mappings_of_anything_have_bounds():
    some = Type(typing.Annotated[dict, msgspec.Meta(min_length=1)])
    assert convert(some, {"a": [1]}, "x") == {"a": [1]}
    with pytest.raises(InvalidParams, match=r"\Ax: expected object of length >= 1"):
        convert(some, {}, "x")


class Qualified(typing.TypedDict):
    """Its annotations are text, in which Python itself does not look."""

    a: typing.NotRequired[typing.Annotated[int, msgspec.Meta(ge=1)]]
    b: typing.Annotated[typing.NotRequired[int], msgspec.Meta(ge=1)]
    c: typing.Annotated[typing.Required[int], "told"]


def test_members_may_be_missing_whatever_is_said_beside_it():
    type_ = Type(Qualified)
    required = {each.name: each.required for each in type_.fields}
    assert required == {"a": False, "b": False, "c": True}
    assert convert(type_, {"c": 1}, "x") == {"c": 1}
    assert convert(type_, {"b": 2, "c": 1}, "x") == {"b": 2, "c": 1}
    with pytest.raises(InvalidParams, match=r"x\.c: missing"):
        convert(type_, {"a": 1, "b": 2}, "x")
    with pytest.raises(InvalidParams, match=r"x\.b: expected int >= 1"):
        convert(type_, {"b": 0, "c": 1}, "x")
