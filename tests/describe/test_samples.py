"""Sample values are values that the types accept."""

from __future__ import annotations

import datetime as dt
import enum
import typing
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Literal

import pytest
from msgspec import Meta

from tests.sample import Color, Compact, Line, Movie, Order, Point
from toolserver.conversion import convert
from toolserver.describe.samples import sample
from toolserver.types import Type


@dataclass
class Node:
    name: str
    children: list[Node] = field(default_factory=list)
    parent: Node | None = None


@dataclass
class Deep:
    """Optional members end it, and rows and mappings that may be empty."""

    rows: list[Deep]
    table: dict[str, Deep]
    left: Deep | None


class Level(enum.IntEnum):
    LOW = 3


class Odd(enum.Enum):
    OTHER = object()
    PAIR = (1, 2)
    TEXT = "text"


class Unsendable(enum.Enum):
    OTHER = object()


@pytest.mark.parametrize(
    "hint",
    [
        *(None, bool, int, float, Decimal, str, bytes, dt.datetime, dt.date, dt.time),
        *(dt.timedelta, uuid.UUID, Color, Level, Literal["a", 2], typing.Any),
        *(list[int], tuple[int, str], tuple[int, ...], set[str], dict[str, int]),
        *(list, dict, tuple, int | None, int | str, Line, Order, Movie, Point, Compact),
        *(Odd, Odd | None, Deep, dict[Level, int]),
        *(Node, list[Node], dict[str, list[Order]], dict[int, str]),
        Annotated[bool, Meta(description="Yes or no.")],
        Annotated[int, Meta(ge=5)],
        Annotated[int, Meta(gt=5, lt=7)],
        Annotated[int, Meta(lt=-3)],
        Annotated[float, Meta(le=0.5)],
        Annotated[str, Meta(min_length=9)],
        Annotated[str, Meta(max_length=2)],
        Annotated[list[int], Meta(min_length=3)],
        Annotated[str, Meta(pattern="^[0-9]+$", examples=["17"])],
    ],
    ids=str,
)
def test_the_type_accepts_its_sample(hint):
    type_ = Type(hint)
    convert(type_, sample(type_), "value")


def test_of_what_nobody_can_send_there_is_no_sample():
    assert sample(Type(Unsendable)) is None


def test_samples_of_what_contains_itself_come_to_an_end():
    end = {"rows": [], "table": {}, "left": None}
    assert sample(Type(Deep)) == {
        "rows": [end],
        "table": {"text": end},
        "left": {"rows": [end], "table": {"text": end}, "left": end},
    }
