"""The types of a tool that have a name and parts of their own, for programs.

A name such as ``Order`` in the signature of a method says nothing to who does not have
the class; here is told what it is made of, in the names that signatures use.
"""

from __future__ import annotations

import enum
import inspect
import typing
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from toolserver.describe.names import members
from toolserver.errors import ToolserverError
from toolserver.methods import MethodSpec
from toolserver.plain import to_plain
from toolserver.types import Field, Kind, Type

__all__ = ["define_types"]

_SIMPLE = (str, int, bool)


def define_types(specs: Iterable[MethodSpec]) -> dict[str, dict[str, Any]]:
    """Tell what the types of some methods are made of.

    Args:
        specs: The methods.

    Returns:
        By the name of the type its ``kind`` (``record``, ``dict``, ``tuple`` or
        ``enum``), and its ``members``: for those of an enumeration ``name`` and
        ``value``, else ``name``, ``type``, ``required`` and, where that is plain,
        ``default``. What cannot be told so is of the kind ``any``, two types of one
        name among it.
    """
    known: dict[str, Type] = {}
    found: dict[str, dict[str, Any]] = {}
    pending = [type_ for spec in specs for type_ in _types_of(spec)]
    while pending:
        type_ = pending.pop()
        pending += type_.items
        name = type_.name.removesuffix(" | None")
        kind = _kind_of(type_)
        if kind is None:
            continue
        if name in known:
            if known[name].bare is not type_.bare and known[name].bare != type_.bare:
                found[name] = {"kind": "any", "members": []}
            continue
        known[name] = type_
        if kind == "enum":
            found[name] = {"kind": kind, "members": list(_values(type_))}
            continue
        parts = () if kind == "any" else members(type_)
        pending += [part.type for part in parts]
        found[name] = {"kind": kind, "members": list(map(_member, parts))}
    return dict(sorted(found.items()))


def _types_of(spec: MethodSpec) -> Iterator[Type]:
    for parameter in (*spec.parameters, spec.rest, spec.extra):
        if parameter is not None:
            yield parameter.type
    yield spec.returns


def _kind_of(type_: Type) -> str | None:
    if type_.kind is Kind.RECORD:
        record = typing.get_origin(type_.bare) or type_.bare
        if typing.is_typeddict(record):
            return "dict"
        return "any" if _has_own_form(record) else "record"
    if type_.kind is Kind.ENUM:
        return "enum" if all(type(each) in _SIMPLE for each in type_.values) else "any"
    if type_.kind is Kind.TUPLE and not type_.items and members(type_):
        return "tuple"
    return None


def _has_own_form(record: type[Any]) -> bool:
    """Whether a record is sent as something else than its members by their names."""
    if not issubclass(record, msgspec.Struct):
        return False
    config = record.__struct_config__
    return config.array_like or config.tag is not None


def _values(type_: Type) -> Iterator[dict[str, Any]]:
    enumeration: type[enum.Enum] = type_.bare
    for each in enumeration:
        yield {"name": each.name, "value": each.value}


def _member(field: Field) -> dict[str, Any]:
    told = {"name": field.name, "type": field.type.name, "required": field.required}
    if field.default is not inspect.Parameter.empty:
        try:
            told["default"] = to_plain(field.default)
        except ToolserverError:
            # What it is stays the server's business.
            return told
    return told
