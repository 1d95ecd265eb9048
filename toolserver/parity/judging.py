"""Whether what came through a door is what the call path itself says."""

from __future__ import annotations

import base64
import datetime as dt
import typing
from collections.abc import Callable, Generator, Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from toolserver.conversion import convert
from toolserver.errors import InvalidParams
from toolserver.parity.calls import Asked, Failure, Told
from toolserver.parity.comparing import same
from toolserver.parity.differences import (
    NIL_MEMBERS,
    OPEN_TYPES,
    SIGNAL_KINDS,
    SIGNALS,
    STREAMED,
    UNKNOWN_KINDS,
    UNKNOWN_NAMES,
    Difference,
    is_refusal,
    refusals,
)
from toolserver.parity.doors import Door
from toolserver.plain import to_plain
from toolserver.recordmembers import tag_of
from toolserver.types import Kind, Type

__all__ = ["Judge"]

#: What looks the same in JSON, so that a union of two cannot be told apart.
_ALIKE = (
    {Kind.STR, Kind.BYTES, Kind.DATETIME, Kind.DATE, Kind.TIME, Kind.TIMEDELTA}
    | {Kind.UUID, Kind.DECIMAL, Kind.ENUM, Kind.LITERAL},
    {Kind.INT, Kind.FLOAT, Kind.BOOL},
    {Kind.LIST, Kind.SET, Kind.TUPLE},
    {Kind.RECORD, Kind.MAP},
)


class Judge:
    """Compares what doors tell of the calls of one method.

    Args:
        returns: The type of its results.
    """

    def __init__(self, returns: Type) -> None:
        self._type = returns
        self._is_open = _is_open(returns, set())
        origin = typing.get_origin(returns.bare) or returns.bare
        self._is_stream = origin in (Iterator, Generator)
        #: The known differences that were met.
        self.met: set[Difference] = set()

    def agrees(self, door: Door, asked: Asked, expected: Told, told: Told) -> bool:
        """Whether a door tells what it has to.

        Args:
            door: The door.
            asked: The call.
            expected: What the call path itself says, plain.
            told: What the door says.
        """
        plain = expected.value
        if told.failure is not None and is_refusal(told.failure):
            values = [to_plain(value) for value in (*asked.values, plain)]
            found = refusals(door.name, values)
            if found:
                self.met.update(found)
                return True
        if (
            asked.target is None
            and told.failure is not None
            and told.failure.kind in UNKNOWN_KINDS.get(door.name, ())
        ):
            self.met.add(UNKNOWN_NAMES)
            return True
        if expected.failure is not None:
            if door.name in SIGNALS.doors and expected.failure.kind in SIGNAL_KINDS:
                self.met.add(SIGNALS)
                return True
            return told.failure is not None and self._fails_alike(
                door, expected.failure, told.failure
            )
        return told.failure is None and self._is_same(door, plain, told.value)

    def _fails_alike(self, door: Door, expected: Failure, told: Failure) -> bool:
        status = expected.status if door.status is None else door.status
        if told.text != expected.text or told.status not in (None, status):
            return False
        if told.kind is not None and told.kind != expected.kind:
            return False
        return told.code is None or told.code == expected.code

    def _is_same(self, door: Door, plain: Any, told: Any) -> bool:
        got = to_plain(told)
        if self._compare(door, plain, got):
            return True
        for difference, view in _VIEWS.items():
            if difference is STREAMED and not self._is_stream:
                continue
            if door.name in difference.doors and self._compare(
                door, view(plain), view(got)
            ):
                self.met.add(difference)
                return True
        return False

    def _compare(self, door: Door, expected: Any, got: Any) -> bool:
        if not self._is_open:
            try:
                wanted = convert(self._type, expected, "result")
            except InvalidParams:
                # The method returns what its hint does not say.
                pass
            else:
                try:
                    return same(wanted, convert(self._type, got, "result"))
                except InvalidParams:
                    return False
        if same(expected, got):
            return True
        if door.name in OPEN_TYPES.doors and same(as_json(expected), as_json(got)):
            self.met.add(OPEN_TYPES)
            return True
        return False


def as_json(value: Any) -> Any:
    """The form that JSON has for a plain value.

    Args:
        value: The value.
    """
    match value:
        case dict():
            return {key: as_json(member) for key, member in value.items()}
        case list():
            return [as_json(element) for element in value]
        case bytes():
            return base64.b64encode(value).decode()
        case Decimal():
            return str(value)
        case dt.datetime() | dt.date() | dt.time():
            return msgspec.to_builtins(value)
    return value


def without_nil(value: Any) -> Any:
    """A value without members that are None.

    Args:
        value: The value, plain.
    """
    if isinstance(value, Mapping):
        return {
            key: without_nil(member)
            for key, member in value.items()
            if member is not None
        }
    if isinstance(value, list):
        return [without_nil(element) for element in value]
    return value


def joined(value: Any) -> Any:
    """What arrives of the pieces of a stream.

    Args:
        value: A result, plain.
    """
    if not value and isinstance(value, (list, str, bytes)):
        return ""
    if isinstance(value, list):
        for empty in ("", b""):
            if all(isinstance(piece, type(empty)) for piece in value):
                return empty.join(value) or ""
    return value


#: How results are looked at where a protocol sends them in another way.
_VIEWS: dict[Difference, Callable[[Any], Any]] = {
    NIL_MEMBERS: without_nil,
    STREAMED: joined,
}


def _is_open(type_: Type, seen: set[int]) -> bool:
    """Whether some part of a type does not say what its value is on the wire."""
    if type_.kind in (Kind.ANY, Kind.OBJECT):
        return True
    if type_.kind is Kind.UNION:
        # Tags tell structs apart.
        kinds = [
            item.kind
            for item in type_.items
            if item.kind is not Kind.RECORD or tag_of(item.bare) is None
        ]
        if any(sum(kind in alike for kind in kinds) > 1 for alike in _ALIKE):
            return True
    fields = type_.fields or type_.places
    parts = list(type_.items)
    if fields and id(fields) not in seen:
        seen.add(id(fields))
        parts += [field.type for field in fields]
    is_bare = type_.kind in (Kind.LIST, Kind.SET, Kind.TUPLE, Kind.MAP) and not parts
    return is_bare or any(_is_open(part, seen) for part in parts)
