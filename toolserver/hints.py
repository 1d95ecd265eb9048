"""What type hints are, as Python has them: unions, annotations, records, names."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

import msgspec

__all__ = [
    "QUALIFIERS",
    "is_bound",
    "is_hashable",
    "is_named_tuple",
    "is_native",
    "is_record",
    "is_union",
    "name_of",
    "with_bounds",
    "without_annotations",
    "without_qualifiers",
]

#: What may be said of a member besides its type.
QUALIFIERS = (typing.Required, typing.NotRequired, typing.Final)
#: What bounds the values of a type, of all that may be annotated to it.
_BOUNDS = (
    *("ge", "gt", "le", "lt", "multiple_of"),
    *("min_length", "max_length", "pattern", "tz"),
)


def is_hashable(hint: Any) -> bool:
    """Whether a hint can be a key; annotations may hold anything.

    Args:
        hint: A type hint.
    """
    try:
        hash(hint)
    except TypeError:
        return False
    return True


def without_qualifiers(hint: Any) -> Any:
    """A hint without `Required` and the like, what is annotated to it kept.

    Args:
        hint: A type hint.
    """
    origin = typing.get_origin(hint)
    if origin in QUALIFIERS:
        return without_qualifiers(*typing.get_args(hint))
    if origin is typing.Annotated and typing.get_origin(hint.__origin__) in QUALIFIERS:
        inner = without_qualifiers(hint.__origin__)
        return typing.Annotated[(inner, *hint.__metadata__)]
    return hint


def without_annotations(hint: Any) -> tuple[Any, tuple[msgspec.Meta, ...]]:
    """Part a hint from what is annotated to it, and from `Required` and the like.

    Args:
        hint: A type hint.

    Returns:
        The hint inside, and the annotations that msgspec heeds, the innermost first.
    """
    found: list[msgspec.Meta] = []
    while True:
        origin = typing.get_origin(hint)
        if origin is typing.Annotated:
            hint, *notes = typing.get_args(hint)
            found[:0] = [note for note in notes if isinstance(note, msgspec.Meta)]
        elif origin in QUALIFIERS:
            (hint,) = typing.get_args(hint)
        elif isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        else:
            return hint, tuple(found)


def is_union(hint: Any) -> bool:
    """Whether a hint has several choices, of which one may be None.

    Args:
        hint: A type hint.
    """
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def is_bound(note: msgspec.Meta) -> bool:
    """Whether an annotation bounds the values, and does not only describe them.

    Args:
        note: The annotation.
    """
    return any(getattr(note, name) is not None for name in _BOUNDS)


def with_bounds(union: Any, bounds: tuple[msgspec.Meta, ...]) -> Any:
    """Bound each choice of a union.

    Args:
        union: The union.
        bounds: What bounds its values.

    Returns:
        A union of the annotated choices; None is left as it is.
    """
    choices = [
        choice if choice is type(None) else typing.Annotated[(choice, *bounds)]
        for choice in typing.get_args(union)
    ]
    return typing.Union[tuple(choices)]  # noqa: UP007  # made at run time


def name_of(hint: Any) -> str:
    """What people call a type.

    Args:
        hint: A type hint.
    """
    if hint is Any or hint is object:
        return "Any"
    if hint is None or hint is type(None):
        return "None"
    if isinstance(hint, type) and typing.get_origin(hint) is None:
        return hint.__name__
    name = getattr(hint, "__name__", None) or str(hint)
    args = typing.get_args(hint)
    return f"{name}[{', '.join(map(name_of, args))}]" if args else str(name)


def is_record(hint: Any) -> bool:
    """Whether a class has named members: a dataclass, struct or typed dictionary.

    Args:
        hint: A type hint.
    """
    return isinstance(hint, type) and (
        dataclasses.is_dataclass(hint)
        or issubclass(hint, msgspec.Struct)
        or typing.is_typeddict(hint)
    )


def is_named_tuple(hint: Any) -> bool:
    """Whether a class is a named tuple.

    Args:
        hint: A type hint.
    """
    return (
        isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields")
    )


def is_native(hint: Any) -> bool:
    """Whether msgspec converts to a hint by itself.

    Args:
        hint: A type hint.
    """
    try:
        msgspec.json.Decoder(hint)
    except TypeError:
        return False
    return True
