"""Parameters that are given as text: in a query, in a path, or in a form.

A text may stand for a number, a date and the like, and a name that is repeated for a
list; what has more structure is given as JSON.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from toolserver.conversion import convert
from toolserver.describe.constraints import unwrap
from toolserver.describe.definitions import Schema, Way
from toolserver.describe.jsonschema import Schemas
from toolserver.describe.names import members
from toolserver.describe.scalars import NOTHING, decimal_schema, json_value
from toolserver.errors import InvalidParams
from toolserver.types import Kind, Type

__all__ = ["Text", "is_plain", "text_of"]

_CHOICES = (Kind.ENUM, Kind.LITERAL)
_SEQUENCES = (Kind.LIST, Kind.SET, Kind.TUPLE)
_STRUCTURES = (Kind.MAP, Kind.RECORD)


@dataclasses.dataclass(frozen=True)
class Text:
    """How a value is given as text.

    Attributes:
        schema: What it has to be once it was read.
        is_json: Whether the text is JSON.
    """

    schema: Schema
    is_json: bool = False


def is_plain(type_: Type) -> bool:
    """Whether a single text, which is not JSON, gives a value of a type.

    Args:
        type_: The type.
    """
    if type_.kind is Kind.UNION:
        return all(map(is_plain, type_.items))
    return type_.kind not in (*_SEQUENCES, *_STRUCTURES, Kind.OBJECT)


def text_of(schemas: Schemas, type_: Type) -> Text:
    """How a value of a type is given as text.

    Args:
        schemas: Makes the schemas of the document.
        type_: The type.

    Returns:
        Its schema, without null, for which there is no text.
    """
    if is_plain(type_):
        return Text(_plain(schemas, type_))
    if _is_row(type_):
        return Text(_row(schemas, type_))
    if type_.kind is Kind.UNION:
        if all(is_plain(item) or _is_row(item) for item in type_.items):
            return Text(
                _any_of([text_of(schemas, item).schema for item in type_.items])
            )
        # A text in quotes would be taken with them.
        items = [item for item in type_.items if not is_plain(item) or _is_number(item)]
        return Text(
            _any_of([_without_null(schemas.accepted(item)) for item in items]),
            is_json=True,
        )
    return Text(_without_null(schemas.accepted(type_)), is_json=True)


def _is_number(type_: Type) -> bool:
    return type_.kind in (Kind.INT, Kind.FLOAT, Kind.BOOL)


def _is_row(type_: Type) -> bool:
    """Whether repeated texts give a value: a sequence of plain values."""
    if type_.kind not in _SEQUENCES:
        return False
    fields = members(type_) if type_.kind is Kind.TUPLE else ()
    items = [field.type for field in fields] or type_.items
    return all(is_plain(item) for item in items)


def _row(schemas: Schemas, type_: Type) -> Schema:
    _, meta = unwrap(type_.hint)
    least = max([1, *(each.min_length or 0 for each in meta)])
    most = [each.max_length for each in meta if each.max_length is not None]
    schema: Schema = {"type": "array"}
    fields = members(type_) if type_.kind is Kind.TUPLE else ()
    if fields:
        schema["prefixItems"] = [_plain(schemas, field.type) for field in fields]
        least = max(1, sum(field.required for field in fields))
        most = [len(fields)]
    else:
        item = type_.items[-1] if type_.items else Type(Any)
        schema["items"] = _plain(schemas, item)
    schema["minItems"] = least
    if most:
        schema["maxItems"] = min(most)
    return schema


def _plain(schemas: Schemas, type_: Type) -> Schema:
    if type_.kind is Kind.UNION:
        return _any_of([_plain(schemas, item) for item in type_.items])
    if type_.kind is Kind.ANY:
        return {"type": "string"}
    if type_.kind is Kind.NONE:
        return {"enum": ["null"]}
    if type_.kind is Kind.DECIMAL:
        return {**decimal_schema(Way.IN), "type": "string"}
    if type_.kind in _CHOICES:
        bare, _ = unwrap(type_.hint)
        values = [value for value in type_.values if value is not None]
        allowed = [json_value(value) for value in values if _has_text(bare, value)]
        if allowed != [json_value(value) for value in values] or None in type_.values:
            return {"enum": allowed} if allowed else NOTHING
    return _without_null(schemas.accepted(type_))


def _has_text(hint: Any, value: Any) -> bool:
    """Whether a choice is understood where it comes as text."""
    plain = json_value(value)
    text = plain if isinstance(plain, str) else str(plain).lower()
    try:
        convert(Type(hint), text, "", lax=True)
    except InvalidParams:
        return False
    return True


def _any_of(choices: list[Schema]) -> Schema:
    distinct: list[Schema] = []
    for choice in choices:
        if choice != NOTHING and choice not in distinct:
            distinct.append(choice)
    if not distinct:
        return NOTHING
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}


def _without_null(schema: Schema) -> Schema:
    """What is left of a schema of an optional value where it is there."""
    null = {"type": "null"}
    if null in schema.get("anyOf", ()):
        choices = [choice for choice in schema["anyOf"] if choice != null]
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        return {**rest, **_any_of(choices)}
    kinds = schema.get("type")
    if isinstance(kinds, list) and "null" in kinds:
        left = [kind for kind in kinds if kind != "null"]
        return {**schema, "type": left[0] if len(left) == 1 else left}
    if None in schema.get("enum", ()):
        return {**schema, "enum": [each for each in schema["enum"] if each is not None]}
    return schema
