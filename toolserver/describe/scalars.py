"""Single values as JSON Schema: numbers, texts, times, and choices of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from toolserver import strictjson
from toolserver.conversion import convert
from toolserver.describe.definitions import Schema, Way
from toolserver.errors import InvalidParams, ToolserverError
from toolserver.types import Kind, Type

__all__ = [
    "KEYS",
    "NOTHING",
    "SCALARS",
    "UNKNOWN",
    "choice_schema",
    "decimal_schema",
    "json_value",
    "key_schema",
    "moment_schema",
    "or_null",
]

#: What no value fits.
NOTHING: Schema = {"not": {}}
#: What `json_value` gives for what JSON cannot express.
UNKNOWN: Any = object()

_YEAR = "([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_DATE = _YEAR + "-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?"
_ZONE = "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_SECONDS = r"[0-9]{1,9}(\.[0-9]{1,9})?S"
_MINUTES = f"([0-9]{{1,9}}M({_SECONDS})?|{_SECONDS})"
_CLOCK = f"T([0-9]{{1,9}}H{_MINUTES}?|{_MINUTES})"
_NUMBER = r"[+-]?[0-9]{1,4000}(\.[0-9]{1,4000})?([eE][+-]?[0-9]{1,4})?"
_BASE64 = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"

SCALARS: dict[Kind, Schema] = {
    Kind.NONE: {"type": "null"},
    Kind.BOOL: {"type": "boolean"},
    Kind.INT: {"type": "integer"},
    Kind.FLOAT: {"type": "number"},
    Kind.STR: {"type": "string"},
    Kind.BYTES: {"type": "string", "contentEncoding": "base64", "pattern": _BASE64},
    Kind.DATE: {"type": "string", "format": "date"},
    # Fractions and signs, which RFC 3339 has no place for in durations, may be there.
    Kind.TIMEDELTA: {
        "type": "string",
        "pattern": f"^[+-]?P([0-9]{{1,8}}D({_CLOCK})?|{_CLOCK})$",
    },
    Kind.UUID: {"type": "string", "format": "uuid"},
}
#: What keys of a mapping look like, which are always text.
KEYS: dict[Kind, Schema] = {
    Kind.INT: {"pattern": "^[+-]?[0-9]{1,4000}$"},
    Kind.FLOAT: {"pattern": r"^-?[0-9]{1,300}(\.[0-9]{1,300})?([eE][+-]?[0-9]{1,2})?$"},
    Kind.DECIMAL: {"pattern": f"^{_NUMBER}$"},
    Kind.BOOL: {"enum": ["true", "false"]},
}
_JSON_TYPES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}


def json_value(value: Any) -> Any:
    """A value as it would be sent in JSON.

    Args:
        value: Any value.

    Returns:
        What a reader of the JSON gets; an object of no JSON type if it cannot be sent.
    """
    try:
        return strictjson.decode(strictjson.encode(value), max_depth=200)
    except ToolserverError:
        return UNKNOWN


def decimal_schema(way: Way) -> Schema:
    """A decimal number: sent as text, and accepted as a number, too.

    Args:
        way: Which way it goes.
    """
    if way is Way.OUT:
        return {"type": "string", "format": "decimal"}
    return {
        "type": ["string", "number"],
        "format": "decimal",
        "pattern": f"^{_NUMBER}$",
    }


def moment_schema(kind: Kind, meta: Sequence[msgspec.Meta]) -> Schema:
    """A time, or a date with a time; RFC 3339 knows only those with a zone.

    Args:
        kind: Which of the two.
        meta: Its annotations, which may ask for a zone.
    """
    zones = {each.tz for each in meta if each.tz is not None}
    whole = _TIME if kind is Kind.TIME else f"{_DATE}T{_TIME}"
    if True in zones:
        return {
            "type": "string",
            "format": "time" if kind is Kind.TIME else "date-time",
            "pattern": f"^{whole}{_ZONE}$",
        }
    zone = "" if False in zones else f"{_ZONE}?"
    return {"type": "string", "pattern": f"^{whole}{zone}$"}


def choice_schema(values: Iterable[Any], type_: Type, way: Way) -> Schema:
    """One of some values; of those of an argument, what conversion takes for them.

    Args:
        values: The values.
        type_: The type that consists of them.
        way: Which way they go.
    """
    allowed: list[Any] = []
    for value in values:
        plain = json_value(value)
        if plain is not UNKNOWN and (way is Way.OUT or _is_taken(type_, plain)):
            allowed.append(plain)
    if not allowed:
        return NOTHING
    schema: Schema = {"enum": allowed}
    kinds = {_JSON_TYPES.get(type(value)) for value in allowed}
    if len(kinds) == 1 and None not in kinds:
        schema = {"type": kinds.pop(), **schema}
    return schema


def key_schema(type_: Type, way: Way) -> Schema:
    """One of some values as the key of a mapping, which is always text.

    Args:
        type_: The type that consists of them.
        way: Which way they go.
    """
    mapping = Type(dict[type_.hint, Any])  # type: ignore[name-defined]  # a hint
    allowed: list[str] = []
    for value in type_.bare if type_.kind is Kind.ENUM else type_.values:
        sent = json_value({value: None})
        if sent is not UNKNOWN and (way is Way.OUT or _is_taken(mapping, sent)):
            allowed += sent
    return {"enum": allowed} if allowed else NOTHING


def _is_taken(type_: Type, sent: Any) -> bool:
    try:
        convert(type_, sent, "")
    except InvalidParams:
        return False
    return True


def or_null(schema: Schema) -> Schema:
    """A schema that null fits, too.

    Args:
        schema: The schema, which is not changed.
    """
    if not schema or None in schema.get("enum", ()):
        return schema
    if schema == NOTHING:
        return {"type": "null"}
    if "enum" in schema:
        found = {key: value for key, value in schema.items() if key != "type"}
        return {**found, "enum": [*schema["enum"], None]}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if "type" in schema:
        known = schema["type"]
        kinds = known if isinstance(known, list) else [known]
        return {**schema, "type": [*dict.fromkeys([*kinds, "null"])]}
    # Only a reference is left; what is said beside it holds for both.
    beside = {key: value for key, value in schema.items() if key != "$ref"}
    return {**beside, "anyOf": [{"$ref": schema["$ref"]}, {"type": "null"}]}
