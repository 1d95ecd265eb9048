"""Values that are generated: the same for a seed, the edges first, within bounds."""

from __future__ import annotations

import datetime as dt
import enum
import math
import typing
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Annotated, Any, Literal

import msgspec
import pytest

from toolserver.parity.values import NoValues, values_of
from toolserver.types import Type


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Node:
    name: str
    children: list[Node]
    next: Node | None = None


def made(hint, count=200, seed=1):
    return values_of(Type(hint), count, Random(seed))


HINTS = [
    *(int, float, str, bytes, Decimal, dt.datetime, dt.date, dt.time, dt.timedelta),
    *(list[int], dict[str, float | None], tuple[int, str], set[str], Node, Any),
    *(int | str, list[list[list[str]]], dict[int, str]),
]


@pytest.mark.parametrize("hint", HINTS, ids=str)
def test_the_seed_decides(hint):
    once, again, other = made(hint), made(hint), made(hint, seed=2)
    assert list(map(repr, once)) == list(map(repr, again))
    assert list(map(repr, once)) != list(map(repr, other))
    assert len(once) == 200


def test_types_of_few_values_have_all_of_them():
    assert made(bool) == [False, True]
    assert made(Color) == [Color.RED, Color.BLUE]
    assert made(Literal["a", 1]) == ["a", 1]
    assert made(None) == [None]


@pytest.mark.parametrize(
    ("hint", "edges"),
    [
        (int, [0, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 2**64]),
        (str, ["", "\x00", "\r", "e\u0301", "\U0001d11e", "\ud800", "]]>", "null"]),
        (bytes, [b"", b"\x00", bytes(range(256))]),
        (dt.date, [dt.date.min, dt.date.max]),
        (dt.datetime, [dt.datetime.min, dt.datetime.max]),
        (dt.timedelta, [dt.timedelta(0), dt.timedelta(microseconds=-1)]),
        (list[int], [[], [0]]),
        (dict[str, int], [{}, {"": 0}][:1]),
        (int | None, [None, 0]),
    ],
)
def test_edges_come_first(hint, edges):
    found = made(hint, 60)
    for edge in edges:
        assert edge in found


def test_numbers_that_are_none_and_zeros_with_a_sign():
    found = made(float, 40)
    assert any(map(math.isnan, found))
    assert math.inf in found
    assert any(math.copysign(1, value) < 0 for value in found if value == 0)
    offsets = {value.utcoffset() for value in made(dt.datetime, 60)}
    assert {None, dt.timedelta(0), dt.timedelta(hours=14)} <= offsets


@pytest.mark.parametrize(
    ("hint", "holds"),
    [
        (Annotated[int, msgspec.Meta(ge=3, lt=1000)], lambda v: 3 <= v < 1000),
        (Annotated[int, msgspec.Meta(multiple_of=5)], lambda v: v % 5 == 0),
        (Annotated[float, msgspec.Meta(gt=0)], lambda v: v > 0),
        (Annotated[Decimal, msgspec.Meta(ge=0.1)], lambda v: v >= Decimal("0.1")),
        (
            Annotated[str, msgspec.Meta(min_length=2, max_length=4)],
            lambda v: 2 <= len(v) <= 4,
        ),
        (Annotated[bytes, msgspec.Meta(min_length=70)], lambda v: len(v) >= 70),
        (Annotated[list[int], msgspec.Meta(min_length=9)], lambda v: len(v) >= 9),
    ],
)
def test_bounds_are_heeded(hint, holds):
    found = made(hint, 100)
    assert len(found) >= 50
    assert all(map(holds, found))


def test_patterns_are_met_by_examples_alone():
    pattern = msgspec.Meta(pattern="^[a-z]{40}-[0-9]+$")
    with pytest.raises(NoValues, match="no value of type str"):
        made(Annotated[str, pattern])
    example = f"{'a' * 40}-1"
    told = msgspec.Meta(pattern="^[a-z]{40}-[0-9]+$", examples=[example, "wrong"])
    assert made(Annotated[str, told]) == [example]


def test_records_that_contain_themselves_end():
    found = made(Node, 300)
    assert all(isinstance(node, Node) for node in found)
    assert any(node.next is not None and node.next.children for node in found)


def test_members_that_may_be_missing_are_sometimes():
    class Movie(typing.TypedDict):
        title: str
        year: typing.NotRequired[int]

    found = made(Movie, 50)
    assert {"year" in movie for movie in found} == {True, False}
