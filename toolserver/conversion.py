"""From plain values, as they arrive from the wire, to values of a type.

The converting is msgspec's wherever it knows the hint; what it does not know (unions
of several record types) and what it refuses is converted part by part.
"""

from __future__ import annotations

from typing import Any

import msgspec

from toolserver.errors import InvalidParams
from toolserver.partwise import Partwise
from toolserver.singles import FROM_ISO, from_text, has_nonfinite
from toolserver.types import Kind, Type

__all__ = ["convert"]


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
        value = from_text(type_, value)
    if type_.native:
        try:
            is_strict = not lax or type_.kind in FROM_ISO
            found = msgspec.convert(value, type_.hint, strict=is_strict)
        except (msgspec.ValidationError, RecursionError, TypeError):
            pass
        except UnicodeEncodeError:
            # Half a character (a lone surrogate), where no text is due.
            pass
        else:
            if not type_.reads_numbers[lax] or not has_nonfinite(value):
                return found
    try:
        return Partwise(lax=lax).convert(type_, value, path, refused=type_.native)
    except RecursionError as error:
        raise InvalidParams(f"{path}: nested too deep") from error
