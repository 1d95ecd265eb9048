"""JSON as the wire needs it: what two readers could read differently is refused.

msgspec decodes fast and strictly, but keeps the last of repeated keys, and has no
bound on depth but the interpreter's. Both are checked here on the raw text, by
counting first: only a text that could break a rule is read a second time.

Spec: RFC 8259; RFC 7493 (I-JSON) on repeated names and on numbers.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec

from toolserver.errors import ApplicationError, ParseError

__all__ = ["decode", "encode"]

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[][{}]")


def decode(text: bytes, *, max_depth: int = 64) -> Any:
    """Read one JSON value.

    Args:
        text: UTF-8, without a byte order mark.
        max_depth: How deep containers may be nested.

    Returns:
        Plain values.

    Raises:
        ParseError: Not well-formed, a key repeated within one object, or nested
            deeper than `max_depth`.
    """
    if text.count(b"[") + text.count(b"{") > max_depth:
        _check_depth(text, max_depth)
    try:
        value = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ParseError(f"not valid JSON: {_lower_first(str(error))}") from error
    except RecursionError as error:
        raise ParseError(f"JSON nested deeper than {max_depth}") from error
    # Each key has a colon, so equal numbers mean that no key was lost.
    if text.count(b":") != _count_keys(value):
        _check_keys(text)
    return value


def encode(value: Any) -> bytes:
    """Write a value as JSON.

    Args:
        value: Anything that msgspec can encode.

    Returns:
        UTF-8.

    Raises:
        ApplicationError: The value holds what JSON cannot carry, such as NaN.
    """
    try:
        text = _encoder.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ApplicationError(f"result cannot be sent as JSON: {error}") from error
    # msgspec writes NaN and infinities as null; a text without null has none.
    if b"null" in text and _has_nonfinite(value):
        raise ApplicationError("result cannot be sent as JSON: NaN or Infinity")
    return text


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _count_keys(value: Any) -> int:
    if type(value) is dict:
        return len(value) + sum(map(_count_keys, value.values()))
    if type(value) is list:
        return sum(map(_count_keys, value))
    return 0


def _check_depth(text: bytes, max_depth: int) -> None:
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", text)):
        depth += 1 if bracket in b"[{" else -1
        if depth > max_depth:
            raise ParseError(f"JSON nested deeper than {max_depth}")


def _check_keys(text: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> None:
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise ParseError(f"key repeated in a JSON object: {key!r}")
            seen.add(key)

    # The numbers were read already; here they only cost time.
    json.loads(text, object_pairs_hook=unique, parse_int=str, parse_float=str)


def _has_nonfinite(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, (str, bytes, int)) or value is None:
        return False
    if isinstance(value, dict):
        return any(map(_has_nonfinite, value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(map(_has_nonfinite, value))
    plain = msgspec.to_builtins(value)
    return type(plain) is not type(value) and _has_nonfinite(plain)
