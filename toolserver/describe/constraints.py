"""What annotations say of a type beyond its kind, as keywords of JSON Schema.

Spec: JSON Schema 2020-12, sections 6 (assertions) and 9 (annotations).
"""

from __future__ import annotations

import re
import typing
from typing import Any

import msgspec

from toolserver.hints import is_union, without_annotations
from toolserver.types import Kind

__all__ = ["constraint_keywords", "is_portable", "unwrap"]

_NUMBERS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}
_LENGTHS = {
    Kind.STR: ("minLength", "maxLength"),
    Kind.LIST: ("minItems", "maxItems"),
    Kind.SET: ("minItems", "maxItems"),
    Kind.TUPLE: ("minItems", "maxItems"),
    Kind.MAP: ("minProperties", "maxProperties"),
    Kind.BYTES: ("minLength", "maxLength"),
}
#: What Python's regular expressions have and ECMA-262's have not, or otherwise.
_FOREIGN = re.compile(r"\(\?(?![:=!])|\\[AZ]|[*+?}]\+|\[\]")


def unwrap(hint: Any) -> tuple[Any, list[msgspec.Meta]]:
    """Part a hint from what is annotated to it.

    Args:
        hint: A hint, also an optional one.

    Returns:
        The hint inside, and the annotations, the outermost one last.
    """
    found: list[msgspec.Meta] = []
    while True:
        hint, notes = without_annotations(hint)
        found[:0] = notes
        choices = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        if not is_union(hint) or len(choices) != 1:
            return hint, found
        hint = choices[0]


def constraint_keywords(meta: msgspec.Meta, kind: Kind) -> dict[str, Any]:
    """An annotation as keywords of JSON Schema.

    Args:
        meta: The annotation.
        kind: The kind of the type that has it.

    Returns:
        The keywords.
    """
    found: dict[str, Any] = {}
    for attribute, keyword in _NUMBERS.items():
        bound = getattr(meta, attribute)
        if bound is not None:
            found[keyword] = bound
    least, most = _LENGTHS.get(kind, ("", ""))
    if least and meta.min_length is not None:
        found[least] = _length(meta.min_length, kind)
    if most and meta.max_length is not None:
        found[most] = _length(meta.max_length, kind)
    text = meta.description
    if meta.pattern is not None:
        if is_portable(meta.pattern):
            found["pattern"] = meta.pattern
        else:
            note = f"Contains what matches {meta.pattern} (Python's notation)."
            text = f"{text} {note}" if text else note
    if meta.title is not None:
        found["title"] = meta.title
    if text is not None:
        found["description"] = text
    if meta.examples is not None:
        found["examples"] = meta.examples
    return {**found, **(meta.extra_json_schema or {})}


def is_portable(pattern: str) -> bool:
    """Whether a regular expression of Python's means the same in ECMA-262.

    Args:
        pattern: The regular expression.
    """
    return _FOREIGN.search(pattern) is None


def _length(count: int, kind: Kind) -> int:
    # Base64 has four characters for each three bytes that were begun.
    return (count + 2) // 3 * 4 if kind is Kind.BYTES else count
