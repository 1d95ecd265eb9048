"""From a REST request to the arguments of a method.

They come from the query, a form or a JSON object by name, and from the rest of the
path or a JSON array by position. What comes as text is converted here, where it may
stand for numbers and the like; what comes as JSON is left to the call path, which
converts strictly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolserver import strictjson
from toolserver.calls import Arguments
from toolserver.conversion import convert
from toolserver.errors import InvalidParams, ToolserverError
from toolserver.forms import UploadedFile
from toolserver.message import Fields, Request
from toolserver.methods import MethodSpec, Parameter
from toolserver.settings import Limits
from toolserver.types import Kind, Type

__all__ = ["UnsupportedMediaType", "read_arguments"]

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_SEQUENCES = (Kind.LIST, Kind.SET, Kind.TUPLE)
#: Kinds whose values a text gives as JSON.
_STRUCTURED = frozenset({*_SEQUENCES, Kind.MAP, Kind.RECORD, Kind.UNION})
_OBJECTS = frozenset({Kind.MAP, Kind.RECORD})


class UnsupportedMediaType(ToolserverError):
    """The body is of a kind that is not understood."""

    code = -32600
    status = 415


def read_arguments(request: Request, spec: MethodSpec) -> Arguments:
    """Read the arguments of a method out of a request.

    Args:
        request: The request.
        spec: What is known of the method.

    Returns:
        Positional and named arguments.

    Raises:
        InvalidParams: A text does not fit its type, or a name is given twice.
        UnsupportedMediaType: The body is neither a form nor JSON.
        ToolserverError: The body is malformed or does not arrive.
    """
    parameters = {parameter.name: parameter for parameter in spec.parameters}
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    if request.rest:
        args = _from_path(request, spec)
    if request.query_string:
        _add_fields(kwargs, request.query, parameters, spec, request.limits)
    if request.content and request.method not in ("GET", "HEAD"):
        args += _add_body(kwargs, request, parameters, spec)
    return args, kwargs


def _from_path(request: Request, spec: MethodSpec) -> list[Any]:
    elements = request.rest
    if len(elements) > spec.positional and spec.rest is None:
        taken = spec.positional or "no"
        raise InvalidParams(f"path: got {len(elements)} elements, expected {taken}")
    args = []
    for index, element in enumerate(elements):
        if not _is_utf8(element):
            raise InvalidParams(f"path: element {index + 1} is not UTF-8")
        parameter = spec.parameters[index] if index < spec.positional else spec.rest
        if parameter is None:  # pragma: no cover - ruled out above
            break
        args.append(
            _from_text(parameter.type, [element], parameter.name, request.limits)
        )
    return args


def _add_fields(
    kwargs: dict[str, Any],
    fields: Fields,
    parameters: Mapping[str, Parameter],
    spec: MethodSpec,
    limits: Limits,
) -> None:
    for name in fields:
        if name in kwargs:
            raise _given_twice(name)
        parameter = parameters.get(name, spec.extra)
        values = fields.get_all(name)
        if parameter is None:
            # Refused by the call path, which knows the likely spelling.
            kwargs[name] = values[0]
        else:
            kwargs[name] = _from_text(parameter.type, values, name, limits)


def _add_body(
    kwargs: dict[str, Any],
    request: Request,
    parameters: Mapping[str, Parameter],
    spec: MethodSpec,
) -> list[Any]:
    """Add what the body gives by name; what it gives by position."""
    media_type = request.media_type
    if media_type in _FORMS:
        _add_fields(kwargs, request.form, parameters, spec, request.limits)
        for name in request.files:
            if name in kwargs:
                raise _given_twice(name)
            parameter = parameters.get(name, spec.extra)
            files = request.files.get_all(name)
            kwargs[name] = None if parameter is None else _contents(parameter, files)
        return []
    if not request.body:
        return []
    if media_type != "application/json" and not media_type.endswith("+json"):
        got = repr(media_type) if media_type else "none"
        raise UnsupportedMediaType(
            f"content type: got {got}, expected application/json, {' or '.join(_FORMS)}"
        )
    value = request.json()
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return [value]
    for name, member in value.items():
        if name in kwargs:
            raise _given_twice(name)
        kwargs[name] = member
    return []


def _from_text(type_: Type, values: list[str], name: str, limits: Limits) -> Any:
    """The value of a parameter that was given as text, once or several times."""
    kind = type_.kind
    if kind is Kind.STR or kind is Kind.ANY:
        if len(values) > 1:
            raise InvalidParams(f"{name}: given {len(values)} times, expected once")
        return values[0]
    if kind in _STRUCTURED and len(values) == 1 and values[0][:1] in ("{", "["):
        found = _from_json(type_, values[0], name, limits)
        if found is not None:
            return found
    if _are_objects(type_, values):
        return _objects_from_json(type_, values, name, limits)
    if kind in _SEQUENCES or (len(values) > 1 and _has_sequence(type_)):
        return convert(type_, values, name, lax=True)
    if len(values) > 1:
        raise InvalidParams(f"{name}: given {len(values)} times, expected once")
    return convert(type_, values[0], name, lax=True)


def _from_json(type_: Type, text: str, name: str, limits: Limits) -> Any:
    """A value that a text gives as JSON; None if it may be meant otherwise.

    It is left as plain as it is, for the call path to convert like other JSON.
    """
    must_be_json = type_.kind in (Kind.MAP, Kind.RECORD)
    try:
        value = strictjson.decode(
            text.encode(), max_depth=limits.json_depth, max_values=limits.json_values
        )
        if not must_be_json:
            convert(type_, value, name)
    except (ToolserverError, UnicodeEncodeError):
        if must_be_json:
            raise InvalidParams(f"{name}: expected {type_.name} as JSON") from None
        return None
    return value


def _objects_from_json(
    type_: Type, values: list[str], name: str, limits: Limits
) -> list[Any]:
    """The elements of a sequence, each of which a text gives as JSON."""
    # As one text, so that they share one bound.
    text = f"[{','.join(values)}]"
    try:
        found: list[Any] = strictjson.decode(
            text.encode(), max_depth=limits.json_depth, max_values=limits.json_values
        )
    except (ToolserverError, UnicodeEncodeError):
        found = []
    if len(found) != len(values):
        raise InvalidParams(
            f"{name}: expected {type_.items[0].name} as JSON, each time"
        )
    return found


def _are_objects(type_: Type, values: list[str]) -> bool:
    """Whether texts are JSON objects of which a sequence is due."""
    return (
        type_.kind in _SEQUENCES
        and len(type_.items) == 1
        and type_.items[0].kind in _OBJECTS
        and all(value[:1] == "{" for value in values)
    )


def _has_sequence(type_: Type) -> bool:
    return any(item.kind in _SEQUENCES for item in type_.items)


def _contents(parameter: Parameter, files: Sequence[UploadedFile]) -> Any:
    """What a parameter gets of the files that came under its name."""
    if parameter.type.kind in _SEQUENCES:
        return [file.read() for file in files]
    if len(files) > 1:
        name = parameter.name
        raise InvalidParams(f"{name}: given {len(files)} times, expected once")
    return files[0].read()


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _given_twice(name: str) -> InvalidParams:
    return InvalidParams(f"{name}: given twice, in different parts of the request")
