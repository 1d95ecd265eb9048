"""From whatever a tool returns to the few plain types that protocols carry.

msgspec would turn bytes and times into text, for which other protocols have types of
their own, and leaves out the defaults of dataclasses that it made itself. So containers
and records are walked here, and only what has no plain counterpart is left to msgspec.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Collection, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec

from toolserver.errors import ApplicationError

__all__ = ["MAX_DEPTH", "to_plain"]

#: How deep a result may be nested; a value that holds itself ends here.
MAX_DEPTH = 200

_LEAVES = frozenset(
    {
        *(type(None), bool, int, float, str, bytes),
        *(Decimal, datetime.datetime, datetime.date, datetime.time),
    }
)
_STR = frozenset({str})
_TEXTS = (str, bytes, bytearray, memoryview)


def to_plain(value: Any) -> Any:
    """Make a value of plain parts out of any value.

    Plain are None, bool, int, float, str, bytes, Decimal, datetime, date, time,
    lists, and dicts with str keys. Records (dataclasses, structs, typed
    dictionaries) become dicts, enum members their values, sets and tuples, named ones
    too, lists; UUIDs, timedeltas and keys become the text that JSON has for them.

    Args:
        value: What a tool returned.

    Returns:
        The plain value. Parts that are plain already are not copied.

    Raises:
        ApplicationError: Some part has no plain form, is nested too deep, or two
            keys of a dict become the same text.
        BaseException: Whatever a class of the tool raised when it was read.
    """
    if value.__class__ in _LEAVES:
        return value
    try:
        return _convert(value, MAX_DEPTH)
    except RecursionError as error:
        # The stack was used up to here by calls inside calls.
        raise ApplicationError("result nested too deep") from error


def _convert(value: Any, depth: int) -> Any:
    kind = value.__class__
    if kind in _LEAVES:
        return value
    if depth == 0:
        raise ApplicationError(f"result nested deeper than {MAX_DEPTH}")
    if kind is dict:
        return _convert_dict(value, depth - 1)
    if kind is list:
        if _LEAVES.issuperset(map(type, value)):
            return value
        depth -= 1
        return [
            element if element.__class__ in _LEAVES else _convert(element, depth)
            for element in value
        ]
    names = _record_names(kind)
    if names:
        return _convert_members(value, names, depth - 1)
    if isinstance(value, enum.Enum):
        return _convert(value.value, depth - 1)
    if isinstance(value, msgspec.Struct):
        return _convert_struct(value, depth - 1)
    if isinstance(value, Mapping):
        return _convert_dict(value, depth - 1)
    if isinstance(value, _TEXTS):
        return _convert_leaf(value)
    if isinstance(value, Collection):
        return [_convert(element, depth - 1) for element in value]
    if isinstance(value, Iterator):
        return [_convert(element, depth - 1) for element in value]
    return _convert_leaf(value)


def _convert_dict(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    if value.__class__ is dict and _STR.issuperset(map(type, value)):
        if _LEAVES.issuperset(map(type, value.values())):
            return value
        return {
            key: member if member.__class__ in _LEAVES else _convert(member, depth)
            for key, member in value.items()
        }
    plain: dict[str, Any] = {}
    for key, member in value.items():
        text = _key_text(key)
        if text in plain:
            raise ApplicationError(
                f"result cannot be sent: two keys of a dict are {text!r} as text"
            )
        plain[text] = _convert(member, depth)
    return plain


def _key_text(key: Any) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if isinstance(key, str):
        return str.__str__(key)
    try:
        (text,) = msgspec.to_builtins({key: None}, str_keys=True)
    except (TypeError, ValueError) as error:
        raise ApplicationError(
            f"result cannot be sent: got a key of type {_type_name(key)}, expected str"
        ) from error
    return str(text)


def _convert_struct(value: msgspec.Struct, depth: int) -> Any:
    config = value.__struct_config__
    members = [getattr(value, name) for name in value.__struct_fields__]
    tag = config.tag
    if config.array_like:
        if tag is not None:
            members.insert(0, tag)
        return [_convert(member, depth) for member in members]
    plain: dict[str, Any] = {}
    if tag is not None and config.tag_field is not None:
        plain[config.tag_field] = tag
    for name, member in zip(value.__struct_encode_fields__, members, strict=True):
        if member is not msgspec.UNSET:
            plain[name] = _convert(member, depth)
    return plain


@lru_cache(maxsize=1024)
def _record_names(kind: type) -> tuple[str, ...]:
    """The names of the fields of a dataclass or an attrs class; empty for others."""
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    return tuple(field.name for field in getattr(kind, "__attrs_attrs__", ()))


def _convert_members(value: Any, names: Iterable[str], depth: int) -> dict[str, Any]:
    # A field that was never set (of a slotted class, say) is left out, as in JSON.
    missing = msgspec.UNSET
    return {
        name: member if member.__class__ in _LEAVES else _convert(member, depth)
        for name in names
        if (member := getattr(value, name, missing)) is not missing
    }


def _convert_leaf(value: Any) -> Any:
    """Convert a value that is no container: a subclass of a plain type, or foreign."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, datetime.datetime):
        return datetime.datetime.combine(value.date(), value.timetz())
    if isinstance(value, datetime.date):
        return datetime.date(value.year, value.month, value.day)
    if isinstance(value, datetime.time):
        return datetime.time.fromisoformat(value.isoformat())
    if isinstance(value, Decimal):
        return Decimal(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    wire = getattr(type(value), "__wire__", None)
    if wire is not None:
        return wire(value)
    try:
        return msgspec.to_builtins(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ApplicationError(
            f"result cannot be sent: got a value of type {_type_name(value)}"
        ) from error


def _type_name(value: Any) -> str:
    kind = type(value)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
