"""From plain values without parts to values of a type: numbers, texts, choices."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Context, Decimal, InvalidOperation
from math import isfinite
from typing import Any

import msgspec

from toolserver.complaints import complain
from toolserver.errors import InvalidParams
from toolserver.types import Kind, Type

__all__ = ["FROM_ISO", "convert_single", "from_text", "has_nonfinite"]

#: Kinds of which a text is as ISO 8601 has it: a bare number is no time since 1970.
FROM_ISO = frozenset({Kind.DATETIME, Kind.TIMEDELTA})

_TRUE = frozenset({"true", "1", "on", "yes"})
_FALSE = frozenset({"false", "0", "off", "no"})
#: What Python reads as a number without being one, however it is spaced.
_NONFINITE = re.compile(r"[\s_+-]*(?:s_*)?(?:n_*a_*n|i_*n_*f)", re.IGNORECASE)
#: Floats beyond this cannot tell an integer from the next one (RFC 8259, section 6).
_MAX_EXACT = 2**53
#: Kinds whose integers may be sent as floats without a fraction.
_FROM_FLOAT = frozenset({Kind.INT, Kind.ENUM, Kind.LITERAL})
#: Enough digits to divide what may be asked to be a multiple.
_DIVISION = Context(prec=4300)


def from_text(type_: Type, value: Any) -> Any:
    """What HTML forms and query strings mean by a text.

    Args:
        type_: What the text stands for.
        value: The text; anything else is left as it is.

    Returns:
        None or a truth value if the text says so, else the value.
    """
    if not isinstance(value, str):
        return value
    if value == "" and type_.nullable and type_.kind is not Kind.STR:
        return None
    if type_.kind is Kind.BOOL:
        word = value.lower()
        return True if word in _TRUE else False if word in _FALSE else value
    return value


def has_nonfinite(value: Any) -> bool:
    """Whether some text in a value could be read as NaN or as infinite.

    JSON and XML-RPC have no such numbers, and comparisons with NaN pass no check.

    Args:
        value: What arrived.
    """
    kind = value.__class__
    if kind is str:
        return _NONFINITE.match(value) is not None
    if kind is dict:
        return any(map(has_nonfinite, value)) or any(map(has_nonfinite, value.values()))
    return kind in (list, tuple, set, frozenset) and any(map(has_nonfinite, value))


def convert_single(type_: Type, value: Any, path: str, *, lax: bool) -> Any:
    """Convert a value that has no parts.

    Args:
        type_: The type, of no kind that has parts.
        value: What arrived.
        path: What the value is, for error messages.
        lax: Whether text may stand for numbers and the like.

    Returns:
        The converted value.

    Raises:
        InvalidParams: The value does not fit.
    """
    kind = type_.kind
    if lax:
        value = from_text(type_, value)
        if value is None and type_.nullable:
            return None
    if kind in _FROM_FLOAT and _is_integer(value):
        value = int(value)
    if kind in (Kind.ENUM, Kind.LITERAL):
        # msgspec knows no choices of values that differ in type.
        for choice in type_.values:
            if choice.__class__ is value.__class__ and choice == value:
                return type_.bare(value) if kind is Kind.ENUM else value
    has_class = kind in (Kind.ENUM, Kind.OBJECT) and isinstance(type_.bare, type)
    if has_class and isinstance(value, type_.bare):
        return value
    reason = ""
    if type_.native or (kind is Kind.DECIMAL and type_.bounds):
        hint = type_.hint if type_.native else Decimal
        try:
            is_strict = not lax or kind in FROM_ISO
            found = msgspec.convert(value, hint, strict=is_strict)
        except (msgspec.ValidationError, RecursionError) as error:
            reason = str(error)
        except UnicodeEncodeError:
            # Half a character, which msgspec looks at as UTF-8: it is told as it is.
            pass
        else:
            if not type_.native:
                reason = _broken_bound(found, type_.bounds)
            if not reason and (not isinstance(value, str) or _is_finite(found)):
                return found
    raise InvalidParams(f"{path}: {complain(type_, value, reason)}")


def _is_integer(value: Any) -> bool:
    # JSON Schema 2020-12, section 4.2.3: 1.0 is an integer.
    return value.__class__ is float and value.is_integer() and abs(value) <= _MAX_EXACT


def _is_finite(number: Any) -> bool:
    if isinstance(number, Decimal):
        return number.is_finite()
    return not isinstance(number, float) or isfinite(number)


def _broken_bound(number: Decimal, bounds: Iterable[msgspec.Meta]) -> str:
    """Which bound a number breaks, as msgspec would say it; empty for none."""
    if not number.is_finite():
        return ""
    for meta in bounds:
        # The digits that were written are meant, not the float next to them.
        if meta.ge is not None and number < Decimal(str(meta.ge)):
            return f"Expected `Decimal` >= {meta.ge}"
        if meta.gt is not None and number <= Decimal(str(meta.gt)):
            return f"Expected `Decimal` > {meta.gt}"
        if meta.le is not None and number > Decimal(str(meta.le)):
            return f"Expected `Decimal` <= {meta.le}"
        if meta.lt is not None and number >= Decimal(str(meta.lt)):
            return f"Expected `Decimal` < {meta.lt}"
        if meta.multiple_of is not None:
            try:
                rest = _DIVISION.remainder(number, Decimal(str(meta.multiple_of)))
            except InvalidOperation:
                rest = number
            if rest:
                return f"Expected `Decimal` that's a multiple of {meta.multiple_of}"
    return ""
