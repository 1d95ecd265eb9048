"""From plain values, as they arrive from the wire, to values of a type.

The converting is msgspec's wherever it knows the hint; what it does not know (unions
of several record types) and what it refuses is walked here, part by part.
"""

from __future__ import annotations

import base64
import re
import typing
from collections.abc import Callable
from decimal import Decimal
from math import isfinite
from typing import Any

import msgspec

from toolserver.errors import InvalidParams
from toolserver.types import Kind, Type, is_native

__all__ = ["convert"]

_TRUE = frozenset({"true", "1", "on", "yes"})
_FALSE = frozenset({"false", "0", "off", "no"})
#: How msgspec tells of a part that does not fit.
_INNER = re.compile(r"Expected `(.+?)`, got `(.+?)` - at `\$(.+)`")
#: What Python reads as a number without being one, however it is spaced.
_NONFINITE = re.compile(r"[\s_+-]*(?:s_*)?(?:n_*a_*n|i_*n_*f)", re.IGNORECASE)
#: Values longer than this are not repeated in error messages.
_SHOWN = 60


def convert(type_: Type, value: Any, path: str, *, lax: bool = False) -> Any:
    """Make a value of a type out of a plain value.

    Args:
        type_: The type.
        value: What arrived.
        path: What the value is, for error messages: the argument's name.
        lax: Whether text may stand for numbers and the like.

    Returns:
        The converted value.

    Raises:
        InvalidParams: The value does not fit; says where, what was expected and
            what was got.
    """
    if value.__class__ is type_.exact or (value is None and type_.nullable):
        return value
    if type_.kind is Kind.ANY:
        return value
    if lax:
        value = _from_text(type_, value)
    if type_.native:
        try:
            found = msgspec.convert(value, type_.hint, strict=not lax)
        except (msgspec.ValidationError, RecursionError) as error:
            reason = str(error)
        else:
            kinds = type_.kinds
            if (
                Kind.DECIMAL in kinds or (lax and Kind.FLOAT in kinds)
            ) and _has_nonfinite(value):
                return _convert_finite(type_, value, found, path, lax)
            return found
    else:
        reason = ""
    return _walk(type_, value, path, lax, reason)


def _from_text(type_: Type, value: Any) -> Any:
    """What HTML forms and query strings mean by a text."""
    if not isinstance(value, str):
        return value
    if value == "" and type_.nullable and type_.kind is not Kind.STR:
        return None
    if type_.kind is Kind.BOOL:
        word = value.lower()
        return True if word in _TRUE else False if word in _FALSE else value
    return value


def _has_nonfinite(value: Any) -> bool:
    """Whether some text in a value could be read as NaN or infinite."""
    kind = value.__class__
    if kind is str:
        return _NONFINITE.match(value) is not None
    if kind is dict:
        return any(map(_has_nonfinite, value)) or any(
            map(_has_nonfinite, value.values())
        )
    return kind in (list, tuple, set) and any(map(_has_nonfinite, value))


def _convert_finite(type_: Type, value: Any, found: Any, path: str, lax: bool) -> Any:
    """Refuse text that was read as NaN or as infinite; elsewhere it may stand.

    JSON and XML-RPC have no such numbers, and comparisons with NaN pass no check.
    """
    if type_.kind in (Kind.FLOAT, Kind.DECIMAL):
        finite = found.is_finite() if isinstance(found, Decimal) else isfinite(found)
        if not finite:
            raise InvalidParams(f"{path}: {_complaint(type_, value, '')}")
        return found
    if type_.kind is Kind.TUPLE and not type_.items:  # a named one
        for text, member in zip(value, found, strict=False):
            if isinstance(member, (float, Decimal)) and _has_nonfinite(text):
                raise InvalidParams(f"{path}: expected {type_.name}, got {text!r}")
        return found
    return _walk(type_, value, path, lax, "")


def _walk(type_: Type, value: Any, path: str, lax: bool, reason: str) -> Any:
    """Convert part by part what msgspec refused as a whole.

    Besides unions of records this accepts an empty list where a mapping is due
    (PHP knows no other empty mapping), and finds the place of an error.
    """
    kind = type_.kind
    if value is None and type_.nullable:
        return None
    if kind in (Kind.MAP, Kind.RECORD) and isinstance(value, list) and not value:
        value = {}
    if kind is Kind.UNION:
        return _walk_union(type_, value, path, lax)
    has_class = kind in (Kind.OBJECT, Kind.ENUM) and isinstance(type_.hint, type)
    if has_class and isinstance(value, type_.hint):
        return value
    if kind in (Kind.ENUM, Kind.LITERAL):
        # msgspec knows no choices of values that differ in type.
        for choice in type_.values:
            if choice.__class__ is value.__class__ and choice == value:
                return type_.hint(value) if kind is Kind.ENUM else value
    elif kind is Kind.MAP and isinstance(value, dict) and len(type_.items) == 2:
        keys, members = type_.items
        # Where keys are always text, it may stand for what they are.
        found = {
            convert(keys, key, f"key of {path}", lax=True): convert(
                members, member, f"{path}[{_show(key)}]", lax=lax
            )
            for key, member in value.items()
        }
        return _check_whole(type_, value, found, path, lax) if type_.native else found
    elif kind is Kind.RECORD and isinstance(value, dict):
        return _walk_record(type_, value, path, lax)
    elif kind in (Kind.LIST, Kind.SET, Kind.TUPLE):
        sequence = (list, tuple, set, frozenset)
        if isinstance(value, sequence) and _fits_length(type_, value):
            return _walk_elements(type_, value, path, lax, reason)
    inner = _INNER.fullmatch(reason)
    if inner is not None:
        raise InvalidParams(f"{path}{inner[3]}: expected {inner[1]}, got {inner[2]}")
    raise InvalidParams(f"{path}: {_complaint(type_, value, reason)}")


def _walk_union(type_: Type, value: Any, path: str, lax: bool) -> Any:
    complaints = []
    for choice in type_.items:
        try:
            return convert(choice, value, path, lax=lax)
        except InvalidParams as error:
            complaints.append(error.message)
    if isinstance(value, dict):
        raise InvalidParams("; or ".join(complaints))
    raise InvalidParams(f"{path}: {_complaint(type_, value, '')}")


def _walk_record(type_: Type, value: dict[Any, Any], path: str, lax: bool) -> Any:
    members = {}
    for field in type_.fields:
        if field.name in value:
            members[field.name] = convert(
                field.type, value[field.name], f"{path}.{field.name}", lax=lax
            )
        elif field.required:
            raise InvalidParams(f"{path}.{field.name}: missing")
    if is_native(type_.hint):
        return _check_whole(type_, value, members, path, lax)
    record = typing.get_origin(type_.hint) or type_.hint
    return members if typing.is_typeddict(record) else record(**members)


def _walk_elements(type_: Type, value: Any, path: str, lax: bool, reason: str) -> Any:
    def element_type(index: int) -> Type:
        return type_.items[0 if len(type_.items) == 1 else index]

    elements = [
        convert(element_type(index), element, f"{path}[{index}]", lax=lax)
        for index, element in enumerate(value)
    ]
    if type_.native:
        return _check_whole(type_, value, elements, path, lax)
    if type_.kind is Kind.LIST:
        return elements
    make: Callable[[list[Any]], Any] = set if type_.kind is Kind.SET else tuple
    return make(elements)


def _check_whole(type_: Type, value: Any, parts: Any, path: str, lax: bool) -> Any:
    """Join converted parts; they fit, so what is refused is the whole: its length."""
    try:
        return msgspec.convert(parts, type_.hint, strict=not lax)
    except msgspec.ValidationError as error:
        reason = _complaint(type_, value, str(error))
        raise InvalidParams(f"{path}: {reason}") from error


def _fits_length(type_: Type, value: Any) -> bool:
    if not type_.items:
        return False
    fixed = type_.kind is Kind.TUPLE and not type_.variadic
    return not fixed or len(value) == len(type_.items)


def _complaint(type_: Type, value: Any, reason: str) -> str:
    """What was expected and what was got, for an error message."""
    got = _describe(value)
    if type_.values:
        allowed = ", ".join(repr(allowed) for allowed in type_.values)
        return f"expected one of {allowed}, got {got}"
    # msgspec tells a broken constraint by its bound, and has no words for it
    # in our model: "Expected `int` >= 1".
    found = re.match(r"Expected (`.*?` (?!,).*?)(?: - at `.*`)?$", reason)
    if found is not None and ", got" not in reason:
        return f"expected {found[1].replace('`', '')}, got {got}"
    if reason and not reason.startswith("Expected"):
        text = re.sub(r" - at `.*`$", "", reason).replace("`", "")
        return f"{text[:1].lower()}{text[1:]}, got {got}"
    return f"expected {type_.name}, got {got}"


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _describe(value: Any) -> str:
    """A value for an error message: its type, and itself when it is short."""
    if value is None:
        return "None"
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, bytes):
        return f"bytes {_show(base64.b64encode(value[:_SHOWN]).decode())}"
    return f"{type(value).__name__} {_show(value)}"
