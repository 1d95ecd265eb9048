"""What REST answers for a result of some type: statuses, media types and schemas.

Results are not checked, so this is what the hints promise. Where they promise nothing,
or a whole `Response`, the answer may be anything.
"""

from __future__ import annotations

import collections.abc
import inspect
import io
import pathlib
import typing
from collections.abc import Callable, Iterable
from typing import Any

from markupsafe import Markup

from toolserver.describe.constraints import unwrap
from toolserver.describe.definitions import Schema
from toolserver.describe.jsonschema import Schemas
from toolserver.endpoints import Generator
from toolserver.media import Media
from toolserver.message import Response
from toolserver.types import Kind, Type

__all__ = ["Answers", "answers_of", "generated", "result_type"]

#: Media types and what each holds, by status; a status may be a range like ``"2XX"``.
Answers = dict[str, dict[str, Schema]]

_ANYTHING: Schema = {}
_TEXT: Schema = {"type": "string"}
_STREAMS = (collections.abc.Iterator, collections.abc.Generator)
_FILES = (pathlib.PurePath, io.IOBase)
#: An answer of the tool's own making.
_OWN: Answers = {"204": {}, "2XX": {"*/*": _ANYTHING}, "3XX": {}}


def result_type(function: Callable[..., Any]) -> Type:
    """What a function says that it returns.

    Args:
        function: The function.

    Returns:
        The type; anything where nothing is said, or what is said cannot be read.
    """
    plain = inspect.unwrap(getattr(function, "__func__", function))
    try:
        hints = typing.get_type_hints(plain, include_extras=True)
        return Type(hints.get("return", Any))
    except Exception:
        # Whatever stands in an annotation: these are not needed to make calls.
        return Type(Any)


def answers_of(schemas: Schemas, type_: Type) -> Answers:
    """What is answered for a result that is rendered as usual.

    Args:
        schemas: Makes the schemas of the document.
        type_: The type of the result.

    Returns:
        The possible answers.
    """
    found: Answers = {}
    choices = type_.items if type_.kind is Kind.UNION else (type_,)
    for choice in choices:
        _merge(found, _single(schemas, choice))
    if type_.nullable:
        _merge(found, {"204": {}})
    return found


def generated(
    schemas: Schemas, type_: Type, generators: Iterable[Generator]
) -> Answers:
    """What is answered where generators render the result.

    Args:
        schemas: Makes the schemas of the document.
        type_: The type of the result.
        generators: The generators; there may be none.

    Returns:
        The possible answers.
    """
    found: Answers = {}
    is_usual = True
    for generator in generators:
        made = result_type(generator.function)
        if not generator.content_type:
            # It takes what no other one makes.
            is_usual = False
            _merge(found, answers_of(schemas, made))
            continue
        _merge(found, _of_media_type(schemas, made, generator.content_type))
    if is_usual:
        _merge(found, answers_of(schemas, type_))
    return found


def _of_media_type(schemas: Schemas, type_: Type, content_type: str) -> Answers:
    """What is answered for a result that is sent with a media type of its own."""
    media_type = content_type.partition(";")[0].strip()
    found: Answers = {}
    for status, contents in answers_of(schemas, type_).items():
        if status != "200":
            _merge(found, {status: contents})
            continue
        kept = contents.get("application/json", _ANYTHING)
        is_json = media_type == "application/json" or media_type.endswith("+json")
        is_text = media_type.startswith("text/")
        schema = kept if is_json else _TEXT if is_text else _ANYTHING
        _merge(found, {"200": {media_type: schema}})
    return found


def _single(schemas: Schemas, type_: Type) -> Answers:
    bare, _ = unwrap(type_.hint)
    origin = typing.get_origin(bare) or bare
    is_class = isinstance(origin, type)
    match type_.kind:
        case Kind.ANY:
            return _OWN
        case Kind.NONE:
            return {"204": {}}
        case Kind.STR if is_class and issubclass(origin, Markup):
            return {"200": {"text/html": _TEXT}}
        case Kind.STR | Kind.ENUM if is_class and issubclass(origin, str):
            schema = schemas.returned(type_)
            return {"200": {"text/plain": schema, "application/json": schema}}
        case Kind.BYTES:
            return {"200": {"application/octet-stream": _ANYTHING}}
        case Kind.LITERAL:
            return _literal(schemas, type_)
        case Kind.LIST if origin in _STREAMS:
            return {"200": {_stream_type(type_): _ANYTHING}}
        case Kind.OBJECT if is_class:
            return _object(schemas, type_, origin)
        case Kind.RECORD if is_class and issubclass(origin, Media):
            # Its own media type, which an instance tells.
            kind = {"image": "image/*", "audio": "audio/*"}.get(origin.__name__.lower())
            return {"200": {kind or "*/*": _ANYTHING}}
    found = _structured(schemas, type_)
    if origin is collections.abc.Iterable:
        found["200"][_stream_type(type_)] = _ANYTHING
    return found


def _structured(schemas: Schemas, type_: Type) -> Answers:
    schema = schemas.returned(type_)
    return {"200": {"application/json": schema, "application/xml": _ANYTHING}}


def _literal(schemas: Schemas, type_: Type) -> Answers:
    found: Answers = {}
    schema = schemas.returned(type_)
    if any(isinstance(value, str) for value in type_.values):
        _merge(found, {"200": {"text/plain": schema, "application/json": schema}})
    if any(not isinstance(value, (str, type(None))) for value in type_.values):
        _merge(found, _structured(schemas, type_))
    if None in type_.values:
        _merge(found, {"204": {}})
    return found


def _object(schemas: Schemas, type_: Type, cls: type) -> Answers:
    if issubclass(cls, Response):
        return _OWN
    if issubclass(cls, str):
        return {"200": {_text_type(cls): _TEXT}}
    if issubclass(cls, _FILES):
        whole = {"*/*": _ANYTHING}
        return {"200": whole, "206": whole, "404": {}, "416": {}}
    return _structured(schemas, type_)


def _stream_type(type_: Type) -> str:
    item = type_.items[0] if type_.items else Type(Any)
    bare, _ = unwrap(item.hint)
    if isinstance(bare, type) and issubclass(bare, str):
        return _text_type(bare)
    if item.kind is Kind.BYTES:
        return "application/octet-stream"
    return "*/*" if item.kind in (Kind.ANY, Kind.UNION) else "application/x-ndjson"


def _text_type(cls: type[str]) -> str:
    """The media type of texts of a class: only markup may say what it is."""
    if not issubclass(cls, Markup):
        return "text/plain"
    return str(getattr(cls, "content_type", "text/html")).partition(";")[0]


def _merge(found: Answers, more: Answers) -> None:
    for status, contents in more.items():
        known = found.setdefault(status, {})
        for media_type, schema in contents.items():
            other = known.get(media_type)
            if other is None or other == schema:
                known[media_type] = schema
            elif other and schema:
                choices = other.get("anyOf", [other]) if len(other) == 1 else [other]
                known[media_type] = {"anyOf": [*choices, schema]}
            else:
                known[media_type] = _ANYTHING
