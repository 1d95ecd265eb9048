"""A tool with a method for every type of the type model, which gives back what it gets.

The methods look at the class of what arrives: a value that only looks right would come
back just so.
"""

from __future__ import annotations

import datetime as dt
import enum
import typing
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from toolserver import (
    DirectResponse,
    Redirect,
    Response,
    StandardTool,
    read_only,
    register,
)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue & green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2**40


class Flag(enum.StrEnum):
    ON = "on"
    OFF = ""


@dataclass
class Line:
    item: str
    count: int = 1


@dataclass
class Order:
    id: int
    lines: list[Line] = field(default_factory=list)
    note: str | None = None
    made: dt.datetime | None = None
    price: Decimal = Decimal("9.99")
    attachment: bytes = b""


@dataclass(frozen=True)
class Node:
    name: str
    children: tuple[Node, ...] = ()
    parent: Node | None = None


@dataclass
class Strict:
    needed: int | None
    other: str | None = "default"


class Movie(typing.TypedDict):
    title: str
    year: typing.NotRequired[int]


class Point(typing.NamedTuple):
    x: int
    y: float = 0.5


class Compact(msgspec.Struct):
    key: str
    values: list[float] = []


class Renamed(msgspec.Struct, rename="camel"):
    first_name: str
    birth_day: dt.date | None = None


class Circle(msgspec.Struct, tag="circle"):
    size: float


class Square(msgspec.Struct, tag="square"):
    size: float


Short = Annotated[str, msgspec.Meta(min_length=1, max_length=5)]
Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]
Price = Annotated[Decimal, msgspec.Meta(ge=0, lt=1000)]
Few = Annotated[list[int], msgspec.Meta(min_length=1, max_length=3)]


def same_class(value: Any, *classes: type) -> Any:
    assert isinstance(value, classes), value
    return value


@register("parity.echoes")
class Echoes(StandardTool):
    """Gives back what it gets, one method for each type."""

    @read_only
    def none(self, value: None = None) -> None:
        assert value is None

    @read_only
    def boolean(self, value: bool) -> bool:
        return same_class(value, bool)

    @read_only
    def integer(self, value: int) -> int:
        return same_class(value, int)

    @read_only
    def number(self, value: float) -> float:
        return same_class(value, float)

    @read_only
    def decimal(self, value: Decimal) -> Decimal:
        return same_class(value, Decimal)

    @read_only
    def text(self, value: str) -> str:
        return same_class(value, str)

    @read_only
    def data(self, value: bytes) -> bytes:
        return same_class(value, bytes)

    @read_only
    def moment(self, value: dt.datetime) -> dt.datetime:
        return same_class(value, dt.datetime)

    @read_only
    def day(self, value: dt.date) -> dt.date:
        assert not isinstance(value, dt.datetime)
        return same_class(value, dt.date)

    @read_only
    def time(self, value: dt.time) -> dt.time:
        return same_class(value, dt.time)

    @read_only
    def duration(self, value: dt.timedelta) -> dt.timedelta:
        return same_class(value, dt.timedelta)

    @read_only
    def identity(self, value: uuid.UUID) -> uuid.UUID:
        return same_class(value, uuid.UUID)

    @read_only
    def color(self, value: Color) -> Color:
        return same_class(value, Color)

    @read_only
    def level(self, value: Level) -> Level:
        return same_class(value, Level)

    @read_only
    def flag(self, value: Flag) -> Flag:
        return same_class(value, Flag)

    @read_only
    def choice(self, value: Literal["a", "b c", 1, 2]) -> Literal["a", "b c", 1, 2]:
        return value

    @read_only
    def integers(self, value: list[int]) -> list[int]:
        return same_class(value, list)

    @read_only
    def sequence(self, value: Sequence[float]) -> Iterator[float]:
        return iter(value)

    @read_only
    def pieces(self, value: list[str]) -> Iterator[str]:
        return iter(value)

    @read_only
    def texts(self, value: set[str]) -> set[str]:
        return same_class(value, set)

    @read_only
    def days(self, value: frozenset[dt.date]) -> frozenset[dt.date]:
        return same_class(value, frozenset)

    @read_only
    def pair(self, value: tuple[int, str]) -> tuple[int, str]:
        return same_class(value, tuple)

    @read_only
    def numbers(self, value: tuple[float, ...]) -> tuple[float, ...]:
        return same_class(value, tuple)

    @read_only
    def mapping(self, value: dict[str, int]) -> dict[str, int]:
        return same_class(value, dict)

    @read_only
    def by_number(self, value: dict[int, str]) -> dict[int, str]:
        assert all(type(key) is int for key in value)
        return value

    @read_only
    def nested(
        self, value: Mapping[str, list[dict[str, Decimal | None]]]
    ) -> Mapping[str, list[dict[str, Decimal | None]]]:
        return value

    @read_only
    def deep(self, value: list[list[list[list[int]]]]) -> list[list[list[list[int]]]]:
        return value

    @read_only
    def optional(self, value: int | None = 5) -> int | None:
        return value

    @read_only
    def optionals(self, value: list[str | None]) -> list[str | None]:
        return value

    @read_only
    def order(self, value: Order) -> Order:
        assert all(isinstance(line, Line) for line in value.lines)
        return same_class(value, Order)

    @read_only
    def orders(self, value: dict[str, list[Order]]) -> dict[str, list[Order]]:
        return value

    @read_only
    def tree(self, value: Node) -> Node:
        return same_class(value, Node)

    @read_only
    def strict(self, value: Strict) -> Strict:
        return same_class(value, Strict)

    @read_only
    def movie(self, value: Movie) -> Movie:
        return value

    @read_only
    def point(self, value: Point) -> Point:
        return same_class(value, Point)

    @read_only
    def compact(self, value: Compact) -> Compact:
        return same_class(value, Compact)

    @read_only
    def renamed(self, value: Renamed) -> Renamed:
        return same_class(value, Renamed)

    @read_only
    def shape(self, value: Circle | Square) -> Circle | Square:
        return same_class(value, Circle, Square)

    @read_only
    def union(self, value: int | str | bool | None) -> int | str | bool | None:
        return value

    @read_only
    def unlike(
        self, value: int | list[str] | dict[str, float]
    ) -> int | list[str] | dict[str, float]:
        return value

    @read_only
    def alike(self, value: bytes | dt.date | str) -> bytes | dt.date | str:
        return value

    @read_only
    def short(self, value: Short) -> Short:
        return value

    @read_only
    def percent(self, value: Percent) -> Percent:
        return value

    @read_only
    def price(self, value: Price) -> Price:
        return value

    @read_only
    def few(self, value: Few) -> Few:
        return value

    @read_only
    def anything(self, value: Any) -> Any:
        return value

    @read_only
    def unhinted(self, value: Order):
        return value

    @read_only
    def several(
        self, first: int, second: str = "two", *, third: float = 3.0, last: bool = False
    ) -> list[int | str | float | bool]:
        return [first, second, third, last]

    @read_only
    def many(
        self, first: int, *more: str, factor: float = 1.0, **names: bytes
    ) -> tuple[int, list[str], float, dict[str, bytes]]:
        return first, list(more), factor, names


@register("parity.answers")
class Answers(StandardTool):
    """Answers in ways that only REST has."""

    @read_only
    def elsewhere(self, value: int) -> str:
        raise Redirect("/elsewhere")

    @read_only
    def itself(self, value: int) -> str:
        raise DirectResponse(Response("as it is"))


def method_names() -> list[str]:
    """The names of all methods."""
    return [name for name in vars(Echoes) if not name.startswith("_")]
