"""A tool with a method for each type, which many tests call."""

from __future__ import annotations

import datetime as dt
import enum
import typing
import uuid
from dataclasses import dataclass, field
from decimal import Decimal

import gevent
import msgspec

from toolserver import StandardTool, hidden, read_only, register
from toolserver.errors import ApplicationError, Conflict, NotFound


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Line:
    item: str
    count: int = 1


@dataclass
class Order:
    id: int
    lines: list[Line] = field(default_factory=list)
    note: str | None = None


class Movie(typing.TypedDict):
    title: str
    year: typing.NotRequired[int]


class Point(typing.NamedTuple):
    x: int
    y: int


class Compact(msgspec.Struct):
    key: str


class OutOfStock(ApplicationError):
    code = -32150
    status = 409


@register("sample.types")
class Types(StandardTool):
    """Gives back what it gets, one method per type."""

    def none(self) -> None:
        """Return nothing."""

    def bool_(self, value: bool) -> bool:
        return value

    def int_(self, value: int) -> int:
        return value

    def float_(self, value: float) -> float:
        return value

    def decimal(self, value: Decimal) -> Decimal:
        return value

    def str_(self, value: str) -> str:
        return value

    def bytes_(self, value: bytes) -> bytes:
        return value

    def datetime(self, value: dt.datetime) -> dt.datetime:
        return value

    def date(self, value: dt.date) -> dt.date:
        return value

    def time(self, value: dt.time) -> dt.time:
        return value

    def timedelta(self, value: dt.timedelta) -> dt.timedelta:
        return value

    def uuid(self, value: uuid.UUID) -> uuid.UUID:
        return value

    def enum(self, value: Color) -> Color:
        assert isinstance(value, Color)
        return value

    def literal(self, value: typing.Literal["a", 1]) -> typing.Literal["a", 1]:
        return value

    def list_(self, value: list[int]) -> list[int]:
        return value

    def tuple_(self, value: tuple[int, str]) -> tuple[int, str]:
        assert isinstance(value, tuple)
        return value

    def set_(self, value: set[int]) -> set[int]:
        assert isinstance(value, set)
        return value

    def dict_(self, value: dict[str, int]) -> dict[str, int]:
        return value

    def optional(self, value: int | None = 5) -> int | None:
        return value

    def union(self, value: int | str) -> int | str:
        return value

    def record(self, value: Order) -> Order:
        assert isinstance(value, Order)
        assert all(isinstance(line, Line) for line in value.lines)
        return value

    def typed_dict(self, value: Movie) -> Movie:
        return value

    def named_tuple(self, value: Point) -> Point:
        assert isinstance(value, Point)
        return value

    def struct(self, value: Compact) -> Compact:
        assert isinstance(value, Compact)
        return value

    def constrained(
        self, value: typing.Annotated[int, msgspec.Meta(ge=1, le=5)]
    ) -> int:
        return value

    def untyped(self, value):
        return value

    def many(self, first: int, *more: int, factor: int = 1, **names: str) -> list:
        return [first, list(more), factor, names]


@register("sample.faults")
class Faults(StandardTool):
    """Fails in each way."""

    @read_only
    def fine(self) -> str:
        return "fine"

    def raises(self) -> None:
        raise ValueError("broken")

    def missing(self) -> None:
        raise NotFound("no such thing")

    def conflict(self) -> None:
        raise Conflict("not now")

    def own(self) -> None:
        raise OutOfStock("sold out", data={"left": 0})

    def unsendable(self) -> object:
        return object()

    def nan(self) -> float:
        return float("nan")

    def leaves(self) -> None:
        raise SystemExit(1)

    def waits(self, seconds: float) -> float:
        gevent.sleep(seconds)
        return seconds

    @hidden
    def secret(self) -> str:
        return "secret"

    def _private(self) -> str:
        return "private"
