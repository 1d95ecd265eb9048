"""What the types are made of that stand in signatures."""

from __future__ import annotations

import dataclasses
import enum

import msgspec
import pytest

from tests.sample import Color, Compact, Line, Movie, Order, Point
from toolserver.describe.typedefinitions import define_types
from toolserver.methods import describe_method

OtherLine = dataclasses.make_dataclass("Line", [("length", float)])


class Mark:
    """No protocol has a form for it."""


@dataclasses.dataclass
class Marked:
    name: str = "?"
    mark: Mark = dataclasses.field(default_factory=Mark)
    kept: object = Mark  # a class


class Mixed(enum.Enum):
    TEXT = "text"
    PAIR = (1, 2)


class Tagged(msgspec.Struct, tag=True):
    key: str


class Row(msgspec.Struct, array_like=True):
    key: str


def defined(*hints):
    def method(self, **others): ...

    method.__annotations__ = {"others": tuple[hints]}
    spec = describe_method(method, name="method", attribute="method", source="here")
    return define_types([spec])


def member(name, type_, required=True, **more):
    return {"name": name, "type": type_, "required": required, **more}


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (int, {}),
        (Line, {"Line": ("record", [member("item", "str"), member("count", "int", False, default=1)])}),  # noqa: E501
        (Movie, {"Movie": ("dict", [member("title", "str"), member("year", "int", False)])}),  # noqa: E501
        (Point, {"Point": ("tuple", [member("x", "int"), member("y", "int")])}),
        (Compact | None, {"Compact": ("record", [member("key", "str")])}),
        (dict[str, Color], {"Color": ("enum", [{"name": "RED", "value": "red"}, {"name": "BLUE", "value": "blue"}])}),  # noqa: E501
        # What is not simply its members.
        (Mixed, {"Mixed": ("any", [])}),
        (Tagged, {"Tagged": ("any", [])}),
        (Row, {"Row": ("any", [])}),
    ],
)  # fmt: skip
def test_types_are_told(hint, expected):
    found = defined(hint)
    assert {name: (each["kind"], each["members"]) for name, each in found.items()} == (
        expected
    )


def test_what_stands_in_members_is_told_too():
    assert list(defined(Order)) == ["Line", "Order"]


def test_of_two_types_of_one_name_nothing_is_told():
    assert defined(Line, OtherLine) == {"Line": {"kind": "any", "members": []}}
    assert defined(Line, Line, list[Line])["Line"]["kind"] == "record"


def test_defaults_that_cannot_be_sent_are_the_servers_business():
    assert defined(Marked)["Marked"]["members"] == [
        member("name", "str", False, default="?"),
        member("mark", "Mark", False),
        member("kept", "Any", False),
    ]
