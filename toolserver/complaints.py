"""What error messages say of values that do not fit."""

from __future__ import annotations

import base64
import re
from typing import Any

from toolserver.types import Type

__all__ = ["complain", "describe_value", "shorten"]

#: Values longer than this are not repeated.
_LONGEST = 60
#: How msgspec tells a broken bound, without a word for it in our model:
#: "Expected `int` >= 1".
_BOUND = re.compile(r"Expected (`.*?` (?!,).*?)(?: - at `.*`)?$")
_PLACE = re.compile(r" - at `.*`$")


def complain(type_: Type, value: Any, reason: str = "") -> str:
    """Tell what was expected and what was got.

    Args:
        type_: The type that the value should have had.
        value: The value.
        reason: What msgspec said of it.

    Returns:
        The end of an error message, without the place.
    """
    got = describe_value(value)
    if type_.values:
        allowed = ", ".join(repr(allowed) for allowed in type_.values)
        return f"expected one of {allowed}, got {got}"
    bound = _BOUND.match(reason)
    if bound is not None and ", got" not in reason:
        return f"expected {bound[1].replace('`', '')}, got {got}"
    if reason and not reason.startswith("Expected"):
        text = _PLACE.sub("", reason).replace("`", "")
        return f"{text[:1].lower()}{text[1:]}, got {got}"
    return f"expected {type_.name}, got {got}"


def describe_value(value: Any) -> str:
    """Tell what was got: the type of a value, and itself when it is short.

    Args:
        value: The value.
    """
    if value is None:
        return "None"
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, bytes):
        return f"bytes {shorten(base64.b64encode(value[:_LONGEST]).decode())}"
    return f"{type(value).__name__} {shorten(value)}"


def shorten(value: Any) -> str:
    """Show a value as Python writes it, or the beginning of it.

    Args:
        value: The value.
    """
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
