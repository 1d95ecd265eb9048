"""Values that show how a type is filled in, as JSON has them."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

import msgspec

from toolserver.describe.definitions import Way
from toolserver.describe.scalars import choice_schema
from toolserver.types import Kind, Type

__all__ = ["sample"]

_SCALARS: dict[Kind, Any] = {
    Kind.ANY: "value",
    Kind.NONE: None,
    Kind.BOOL: True,
    Kind.INT: 1,
    Kind.FLOAT: 1.5,
    Kind.DECIMAL: "9.99",
    Kind.STR: "text",
    Kind.BYTES: "Ynl0ZXM=",
    Kind.DATETIME: "2026-01-31T12:00:00Z",
    Kind.DATE: "2026-01-31",
    Kind.TIME: "12:00:00",
    Kind.TIMEDELTA: "PT90S",
    Kind.UUID: "01234567-89ab-4cde-8f01-23456789abcd",
    Kind.OBJECT: "value",
}
#: Records may contain themselves: what is optional is left out below this depth.
_DEEPEST = 3


def sample(type_: Type) -> Any:
    """Make a value of a type, as JSON has it.

    Args:
        type_: The type.

    Returns:
        A value that the type accepts, as far as its bounds can be met without
        guessing; a pattern cannot.
    """
    return _sample(type_, 0)


def _sample(type_: Type, depth: int) -> Any:
    meta = _constraints(type_.hint)
    for one in meta:
        if one.examples:
            return one.examples[0]
    match type_.kind:
        case Kind.ENUM | Kind.LITERAL:
            choices = choice_schema(type_.values, Type(type_.bare), Way.IN)
            # Of some nobody can send any.
            return next(iter(choices.get("enum", ())), None)
        case Kind.UNION:
            return _sample(type_.items[0], depth)
        case _ if type_.nullable and depth >= _DEEPEST:
            return None
        case Kind.RECORD:
            return {
                field.name: _sample(field.type, depth + 1)
                for field in type_.fields
                if field.required or depth == 0
            }
        case Kind.TUPLE if not type_.variadic and not type_.items:
            # A named tuple: its hints are its class's.
            hints = typing.get_type_hints(type_.hint, include_extras=True)
            return [_sample(Type(hint), depth + 1) for hint in hints.values()]
        case Kind.TUPLE if not type_.variadic:
            return [_sample(item, depth + 1) for item in type_.items]
        case Kind.LIST | Kind.SET | Kind.TUPLE:
            item = type_.items[0] if type_.items else None
            count = max([1, *(one.min_length or 0 for one in meta)])
            if depth >= _DEEPEST and count == 1:
                return []
            return [_sample(item, depth + 1) if item else "value"] * count
        case Kind.MAP:
            if depth >= _DEEPEST:
                return {}
            item = type_.items[-1] if type_.items else None
            key = _sample(type_.items[0], depth + 1) if len(type_.items) > 1 else "key"
            return {str(key): _sample(item, depth + 1) if item else "value"}
    return _within(_SCALARS.get(type_.kind, "value"), meta)


def _constraints(hint: Any) -> list[msgspec.Meta]:
    found: list[msgspec.Meta] = []
    while typing.get_origin(hint) is typing.Annotated:
        hint, *notes = typing.get_args(hint)
        found += [note for note in notes if isinstance(note, msgspec.Meta)]
    return found


def _within(value: Any, meta: list[msgspec.Meta]) -> Any:
    """Move a number between its bounds, and make a text as long as it has to be."""
    for one in meta:
        if isinstance(value, str):
            if one.min_length is not None:
                value = value.ljust(one.min_length, "x")
            if one.max_length is not None:
                value = value[: one.max_length]
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            value = _between(value, one)
    return value


def _between(value: float, meta: msgspec.Meta) -> float:
    step = meta.multiple_of or 1
    rules: list[tuple[float | None, Callable[[float], float]]] = [
        (meta.ge, lambda bound: max(value, bound)),
        (meta.gt, lambda bound: max(value, bound + step)),
        (meta.le, lambda bound: min(value, bound)),
        (meta.lt, lambda bound: min(value, bound - step)),
    ]
    for bound, move in rules:
        if bound is not None:
            value = move(bound)
    return value
