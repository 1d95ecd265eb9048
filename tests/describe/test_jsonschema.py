"""JSON Schema of types: what it says, and that conversion does what it says."""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime as dt
import enum
import pathlib
import typing
import uuid
from decimal import Decimal

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec import Meta

from tests.sample import Color, Compact, Line, Movie, Order, Point, Types
from toolserver.conversion import convert
from toolserver.describe.jsonschema import Schemas
from toolserver.describe.scalars import json_value
from toolserver.errors import InvalidParams
from toolserver.toolspecs import describe_tool
from toolserver.types import Type

T = typing.TypeVar("T")
Sku = typing.NewType("Sku", typing.Annotated[str, Meta(min_length=8)])  # type: ignore


@dataclasses.dataclass
class Folder:
    """A folder of a file system.

    It may hold others.

    Attributes:
        name: What it is called.
        folders: What is in it.
    """

    name: str
    folders: list[Folder] = dataclasses.field(default_factory=list)
    parent: Folder | None = None


@dataclasses.dataclass
class Box(typing.Generic[T]):
    content: T


@dataclasses.dataclass
class Computed:
    given: int
    length: int = dataclasses.field(init=False, default=0)


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mixed(enum.Enum):
    TEXT = "text"
    PAIR = (1, 2)


class Fraction(enum.Enum):
    HALF = 0.5


class Unsendable(enum.Enum):
    OTHER = object()


class Shape(msgspec.Struct, tag_field="kind", tag="shape"):
    sides: int
    name: str | msgspec.UnsetType = msgspec.UNSET


class Row(msgspec.Struct, array_like=True):
    key: str
    count: int = 1


class TaggedRow(msgspec.Struct, array_like=True, tag="row"):
    key: str
    count: int = 1


class Period(typing.TypedDict):
    days: typing.Annotated[typing.Required[int], Meta(ge=1)]


class Options(typing.TypedDict, total=False):
    size: int


class Nothing(typing.NamedTuple):
    """It has no parts."""


class Corner(typing.NamedTuple):
    """A corner of a shape."""

    x: int
    y: int = 0


def accepted(hint):
    schemas = Schemas()
    return schemas.complete(schemas.accepted(Type(hint)))


def returned(hint):
    schemas = Schemas()
    return schemas.complete(schemas.returned(Type(hint)))


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (typing.Any, {}),
        (None, {"type": "null"}),
        (int | None, {"type": ["integer", "null"]}),
        (int | str, {"type": ["integer", "string"]}),
        (list[int] | str, {"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "string"}]}),  # noqa: E501  # on one line like the others
        (int | typing.Any, {}),
        (list, {"type": "array"}),
        (dict, {"type": "object"}),
        (dict[str, bool], {"type": "object", "additionalProperties": {"type": "boolean"}, "propertyNames": {}}),  # noqa: E501
        (typing.Literal["a", 1, None], {"enum": ["a", 1, None]}),
        (typing.Literal["a"] | None, {"enum": ["a", None]}),
        (typing.Annotated[int, Meta(gt=0, le=9)] | None, {"type": ["integer", "null"], "exclusiveMinimum": 0, "maximum": 9}),  # noqa: E501
        (typing.Annotated[str, Meta(min_length=1, pattern="^a")], {"type": "string", "minLength": 1, "pattern": "^a"}),  # noqa: E501
        (typing.Annotated[list[int], Meta(max_length=3)], {"type": "array", "items": {"type": "integer"}, "maxItems": 3}),  # noqa: E501
        (typing.Annotated[int, Meta(title="Size", description="pixels", examples=[8])], {"type": "integer", "title": "Size", "description": "pixels", "examples": [8]}),  # noqa: E501
        (tuple[int, str], {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2}),  # noqa: E501
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (collections.abc.Iterator[int], {"not": {}}),
        (int | pathlib.Path, {"type": "integer"}),
        (collections.abc.Iterator[int] | pathlib.Path, {"not": {}}),
        (pathlib.Path | None, {"type": "null"}),
        (typing.Literal["a", None] | None, {"enum": ["a", None]}),
        (Sku, {"type": "string", "minLength": 8}),
        (Sku | None, {"type": ["string", "null"], "minLength": 8}),
        (dict[int, bool], {"type": "object", "additionalProperties": {"type": "boolean"}, "propertyNames": {"pattern": "^[+-]?[0-9]{1,4000}$"}}),  # noqa: E501
        (dict[int | str, bool], {"type": "object", "additionalProperties": {"type": "boolean"}}),  # noqa: E501
        (dict[Color, int], {"type": "object", "additionalProperties": {"type": "integer"}, "propertyNames": {"enum": ["red", "blue"]}}),  # noqa: E501
        (dict[Level, int], {"type": "object", "additionalProperties": {"type": "integer"}, "propertyNames": {"enum": ["1", "2"]}}),  # noqa: E501
        (dict[typing.Literal["a", 1], int], {"type": "object", "additionalProperties": {"type": "integer"}, "propertyNames": {"enum": ["a", "1"]}}),  # noqa: E501
        # As keys conversion knows no numbers with a fraction among choices.
        (dict[Fraction, int], {"type": "object", "additionalProperties": {"type": "integer"}, "propertyNames": {"not": {}}}),  # noqa: E501
    ],
)  # fmt: skip
def test_what_is_accepted(hint, expected):
    found = accepted(hint)
    found.setdefault("propertyNames", {}) if "propertyNames" in expected else None
    assert found == expected


def test_a_set_comes_back_without_repetition_but_may_be_sent_with():
    assert "uniqueItems" not in accepted(set[int])
    assert returned(set[int])["uniqueItems"] is True


def test_members_with_a_default_may_be_left_out_and_always_come_back():
    sent = accepted(Line)["$defs"]["Line"]
    assert sent == {
        "type": "object",
        "properties": {
            "item": {"type": "string"},
            "count": {"type": "integer", "default": 1},
        },
        "required": ["item"],
    }
    assert returned(Line)["$defs"]["Line"]["required"] == ["item", "count"]


def test_what_a_dataclass_computes_only_comes_back():
    assert list(accepted(Computed)["$defs"]["Computed"]["properties"]) == ["given"]
    back = returned(Computed)["$defs"]["Computed"]
    assert back["required"] == ["given", "length"]


def test_a_record_may_contain_itself_and_tells_its_doc_string():
    schema = accepted(Folder)
    assert schema["$ref"] == "#/$defs/Folder"
    folder = schema["$defs"]["Folder"]
    assert folder["description"] == "A folder of a file system.\n\nIt may hold others."
    assert folder["properties"]["name"]["description"] == "What it is called."
    assert folder["properties"]["folders"]["items"] == {"$ref": "#/$defs/Folder"}
    assert folder["properties"]["parent"]["anyOf"] == [
        {"$ref": "#/$defs/Folder"},
        {"type": "null"},
    ]
    validator = Draft202012Validator(schema)
    assert validator.is_valid({"name": "a", "folders": [{"name": "b"}]})
    assert not validator.is_valid({"name": "a", "folders": [{}]})


def test_generic_records_have_their_arguments():
    schema = accepted(dict[str, Box[int] | Box[str]])
    kinds = {
        name: each["properties"]["content"]["type"]
        for name, each in schema["$defs"].items()
    }
    assert kinds == {"Box_int": "integer", "Box_str": "string"}


def test_classes_of_one_name_get_names_of_their_own():
    other = dataclasses.make_dataclass("Line", [("length", float)])
    other.__module__ = "geo.lines"
    schema = accepted(Line | other)
    assert list(schema["$defs"]) == ["Line", "lines.Line"]
    assert schema["anyOf"] == [
        {"$ref": "#/$defs/Line"},
        {"$ref": "#/$defs/lines.Line"},
    ]


def test_a_class_has_two_definitions_only_where_they_differ():
    schemas = Schemas()
    document = [
        use(Type(hint))
        for hint in (Order, Movie, list[Color])
        for use in (schemas.accepted, schemas.returned)
    ]
    # An order differs because its lines do.
    assert sorted(schemas.definitions()) == [
        *("Color", "Line", "LineInput", "Movie", "Order", "OrderInput"),
    ]
    found = schemas.resolve([*document, schemas.definitions()["OrderInput"]])
    assert found[0] == {"$ref": "#/$defs/OrderInput"}
    assert found[1] == {"$ref": "#/$defs/Order"}
    assert found[2] == found[3] == {"$ref": "#/$defs/Movie"}
    lines = found[-1]["properties"]["lines"]["items"]
    assert lines == {"$ref": "#/$defs/LineInput"}


def test_classes_of_one_name_and_one_module_are_numbered():
    others = [
        dataclasses.make_dataclass("Line", [(name, float)]) for name in ("a", "b", "c")
    ]
    for package, other in zip(("geo", "old", "new"), others, strict=True):
        other.__module__ = f"{package}.lines"
    schema = accepted(tuple[Line, *others])
    named = ["Line", "lines.Line", "lines.Line2", "lines.Line3"]
    assert list(schema["$defs"]) == named
    assert [each["$ref"] for each in schema["prefixItems"]] == [
        f"#/$defs/{name}" for name in named
    ]


def test_names_that_are_taken_stay_free():
    schemas = Schemas("#/x/", taken=["Line"])
    schemas.accepted(Type(Line))
    assert list(schemas.definitions()) == ["sample.Line"]


def test_structs_keep_their_form():
    shape = returned(Shape)["$defs"]["Shape"]
    assert shape["properties"]["kind"] == {"const": "shape"}
    assert shape["required"] == ["kind", "sides"]
    row = accepted(Row)["$defs"]["Row"]
    assert (row["type"], row["minItems"], "maxItems" in row) == ("array", 1, False)


def test_the_tag_of_a_row_is_its_first_element():
    row = accepted(TaggedRow)["$defs"]["TaggedRow"]
    assert row["prefixItems"] == [
        *({"const": "row"}, {"type": "string"}, {"type": "integer", "default": 1}),
    ]
    assert row["minItems"] == 2
    assert returned(TaggedRow)["$defs"]["TaggedRow"]["maxItems"] == 3
    assert convert(Type(TaggedRow), ["row", "a"], "x") == TaggedRow("a")


def test_members_may_be_annotated_outside_of_what_says_that_they_are_required():
    period = accepted(Period)["$defs"]["Period"]
    assert period["properties"]["days"] == {"type": "integer", "minimum": 1}


def test_a_record_may_need_nothing():
    assert accepted(Options)["$defs"]["Options"] == {
        "type": "object",
        "properties": {"size": {"type": "integer"}},
    }


def test_a_tuple_may_have_no_parts():
    assert accepted(Nothing)["$defs"]["Nothing"] == {
        "description": "It has no parts.",
        "type": "array",
        "minItems": 0,
        "maxItems": 0,
    }


def test_named_tuples_are_arrays():
    corner = accepted(Corner)["$defs"]["Corner"]
    assert corner == {
        "description": "A corner of a shape.",
        "type": "array",
        "prefixItems": [{"type": "integer"}, {"type": "integer", "default": 0}],
        "minItems": 1,
        "maxItems": 2,
    }
    assert returned(Corner)["$defs"]["Corner"]["minItems"] == 2


class Placed(typing.NamedTuple):
    shape: Corner | Shape
    again: tuple[Corner | Shape | Row, ...] = ()


class Closed(msgspec.Struct, forbid_unknown_fields=True):
    number: int


class ClosedRow(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    number: int


def test_named_tuples_of_what_msgspec_does_not_know_can_be_sent():
    placed = accepted(Placed)["$defs"]["Placed"]
    assert placed["type"] == "array"
    assert len(placed["prefixItems"][0]["anyOf"]) == 2


def test_records_that_take_no_other_members_say_so():
    assert accepted(Closed)["$defs"]["Closed"]["additionalProperties"] is False
    assert "additionalProperties" not in returned(Closed)["$defs"]["Closed"]
    assert accepted(ClosedRow)["$defs"]["ClosedRow"]["maxItems"] == 1


def test_values_of_an_enumeration_that_nobody_can_send_only_come_back():
    assert accepted(Mixed)["$defs"]["Mixed"]["enum"] == ["text"]
    assert returned(Mixed)["$defs"]["Mixed"]["enum"] == ["text", [1, 2]]
    # JSON has no form for the only one of these.
    assert accepted(Unsendable)["$defs"]["Unsendable"] == {"not": {}}
    assert returned(Unsendable)["$defs"]["Unsendable"] == {"not": {}}


def test_python_only_patterns_are_told_in_words():
    schema = accepted(typing.Annotated[str, Meta(pattern=r"(?i)^a\Z")])
    assert "pattern" not in schema
    assert r"(?i)^a\Z" in schema["description"]


def test_a_date_with_a_zone_has_a_format_and_one_without_has_none():
    with_zone = typing.Annotated[dt.datetime, Meta(tz=True)]
    assert accepted(with_zone)["format"] == "date-time"
    assert "format" not in accepted(dt.datetime)
    without = accepted(typing.Annotated[dt.datetime, Meta(tz=False)])
    assert not Draft202012Validator(without).is_valid("2026-01-02T03:04:05Z")


def test_arguments_of_a_method():
    spec = describe_tool(Types)["many"]
    schema = Schemas().arguments(spec)
    assert schema == {
        "type": "object",
        "properties": {
            "first": {"type": "integer"},
            "factor": {"type": "integer", "default": 1},
        },
        "additionalProperties": {"type": "string"},
        "required": ["first"],
    }
    (only,) = (
        Schemas().arguments(describe_tool(Types)["optional"])["properties"].items()
    )
    assert only == ("value", {"type": ["integer", "null"], "default": 5})


MOMENTS = st.datetimes(timezones=st.none() | st.just(dt.UTC))
SCALARS = {
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(),
    bytes: st.binary(),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    dt.datetime: MOMENTS,
    dt.date: st.dates(),
    dt.time: st.times(),
    dt.timedelta: st.timedeltas(dt.timedelta(days=-1000), dt.timedelta(days=1000)),
    uuid.UUID: st.uuids(),
    Color: st.sampled_from(Color),
    Level: st.sampled_from(Level),
    typing.Literal["a", 1]: st.sampled_from(["a", 1]),
    Line: st.builds(Line, st.text(), st.integers()),
    Order: st.builds(Order),
    Movie: st.fixed_dictionaries(
        {"title": st.text()}, optional={"year": st.integers()}
    ),
    Point: st.builds(Point, st.integers(), st.integers()),
    Compact: st.builds(Compact, st.text()),
    Row: st.builds(Row, st.text(), st.integers()),
    Shape: st.builds(Shape, st.integers()),
    Folder: st.builds(
        Folder, st.text(), st.lists(st.builds(Folder, st.text()), max_size=2)
    ),
    typing.Annotated[int, Meta(ge=1, le=5)]: st.integers(1, 5),
    typing.Annotated[bytes, Meta(min_length=2)]: st.binary(min_size=2),
    typing.Annotated[dt.datetime, Meta(tz=True)]: st.datetimes(
        timezones=st.just(dt.UTC)
    ),
}
#: What can be a key of a mapping.
KEYS = (str, int, uuid.UUID, dt.date, Color, Level, typing.Literal["a", 1])


@st.composite
def hints_and_values(draw):
    hint = draw(st.sampled_from(list(SCALARS)))
    value = draw(SCALARS[hint])
    for _ in range(draw(st.integers(0, 3))):
        match draw(st.sampled_from(["list", "dict", "optional", "tuple", "union"])):
            case "list":
                hint, value = list[hint], [value]
            case "dict":
                key = draw(st.sampled_from(KEYS))
                hint, value = dict[key, hint], {draw(SCALARS[key]): value}
            case "optional":
                hint, value = hint | None, draw(st.sampled_from([value, None]))
            case "tuple":
                hint, value = tuple[hint, int], (value, 1)
            case "union":
                hint = hint | Computed
    return hint, value


def validator_of(schema):
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(
        schema, format_checker=Draft202012Validator.FORMAT_CHECKER
    )


@given(hints_and_values())
def test_values_of_a_type_fit_its_schemas(pair):
    hint, value = pair
    sent = json_value(value)
    validator_of(returned(hint)).validate(sent)
    validator_of(accepted(hint)).validate(sent)
    convert(Type(hint), sent, "x")


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3)
    | st.sampled_from(["2026-01-02", "2026-01-02T03:04:05", "03:04:05", "P1D", "a"])
    | st.sampled_from(["YWI=", "12345678-1234-1234-1234-123456789012", "red", "1.5"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["item", "count", "title", "id", "lines", "key", "name", "1"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@given(st.sampled_from(list(SCALARS)), st.sampled_from("1lod"), JSON_VALUES)
def test_conversion_takes_what_the_schema_allows_and_nothing_else(hint, form, value):
    match form:
        case "l":
            hint, value = list[hint], [value]
        case "o":
            hint = hint | None
        case "d":
            hint, value = dict[str, hint], {"k": value}
    # Of these conversion takes other than the schema says, see docs/openapi.md:
    # floats beyond 2**53 are no int, an empty array may stand for an empty object.
    assume(not contains(value, is_inexact) and not contains(value, is_empty_list))
    try:
        convert(Type(hint), value, "x")
        is_taken = True
    except InvalidParams:
        is_taken = False
    assert validator_of(accepted(hint)).is_valid(value) == is_taken


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (int, 1e16),
        (float, 10**400),
        (dt.date, "2026-02-30"),
        (dt.datetime, "2026-02-30T00:00:00"),
    ],
)
def test_what_the_schema_allows_and_conversion_refuses(hint, value):
    assert Draft202012Validator(accepted(hint)).is_valid(value)
    with pytest.raises(InvalidParams):
        convert(Type(hint), value, "x")


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (dict[str, int], []),
        (Decimal, " 1_000"),
        (uuid.UUID, "12345678123412341234123456789012"),
        (dt.datetime, "2026-01-02 03:04:05z"),
        (dt.timedelta, "P1.5D"),
    ],
)
def test_what_conversion_takes_beyond_the_schema(hint, value):
    assert not validator_of(accepted(hint)).is_valid(value)
    convert(Type(hint), value, "x")


def is_inexact(value):
    return isinstance(value, float) and abs(value) > 2**53


def is_empty_list(value):
    return value == []


def contains(value, test):
    if test(value):
        return True
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, list) and any(contains(each, test) for each in value)
