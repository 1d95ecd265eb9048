"""Which tuples a pattern fits, and where to look for them.

An element of a pattern is a constant (compared by ``==``), a class or a union of
classes, a predicate, or ``...`` for anything.
"""

from __future__ import annotations

import types
from typing import Any

__all__ = ["Pattern", "Tuple", "candidates_key", "check_pattern", "fits", "keys"]

Pattern = tuple[Any, ...]
Tuple = tuple[Any, ...]
#: Length and, where that is a text, the first element: most often it is a topic.
#: ``...`` in its place stands for all tuples of the length.
Key = tuple[int, object]


def check_pattern(pattern: Pattern) -> None:
    """Refuse what would never fit, or fit anything, by mistake.

    Args:
        pattern: The pattern.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(pattern, tuple):
        raise TypeError(f"pattern: got {type(pattern).__name__}, expected a tuple")
    for element in pattern:
        if isinstance(element, types.GenericAlias):
            # Called like a predicate it would make a value, and fit most.
            raise TypeError(f"pattern: got {element!r}, expected a plain class")


def fits(pattern: Pattern, values: Tuple) -> bool:
    """Whether a tuple is as a pattern says.

    Args:
        pattern: The pattern.
        values: The tuple.

    Raises:
        Exception: What a predicate or a comparison raises.
    """
    return len(pattern) == len(values) and all(map(_fits_one, pattern, values))


def keys(values: Tuple) -> list[Key]:
    """Under which keys a tuple is to be found.

    Args:
        values: The tuple.
    """
    first = _topic(values)
    length = len(values)
    return [(length, ...)] if first is None else [(length, ...), (length, first)]


def candidates_key(pattern: Pattern) -> Key:
    """Under which key all tuples are found that a pattern may fit.

    Args:
        pattern: The pattern.
    """
    first = _topic(pattern)
    return len(pattern), ... if first is None else first


def _topic(values: Tuple) -> str | None:
    first = values[0] if values else None
    # An enumeration's members that are texts have hashes of their own.
    return str.__str__(first) if isinstance(first, str) else None


def _fits_one(element: Any, value: Any) -> bool:
    if element is ...:
        return True
    if isinstance(element, type | types.UnionType):
        return isinstance(value, element)
    if callable(element):
        return bool(element(value))
    return bool(element == value)
