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


class Level(enum.IntEnum):
    LOW = 3


@pytest.mark.parametrize(
    "hint",
    [
        *(None, bool, int, float, Decimal, str, bytes, dt.datetime, dt.date, dt.time),
        *(dt.timedelta, uuid.UUID, Color, Level, Literal["a", 2], typing.Any),
        *(list[int], tuple[int, str], tuple[int, ...], set[str], dict[str, int]),
        *(list, dict, tuple, int | None, int | str, Line, Order, Movie, Point, Compact),
        *(Node, list[Node], dict[str, list[Order]], dict[int, str]),
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
