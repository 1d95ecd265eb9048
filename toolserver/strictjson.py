"""JSON as the wire needs it: what two readers could read differently is refused.

msgspec decodes fast and strictly, but keeps the last of repeated keys, and has no
bound on depth but the interpreter's. Both are checked here on the raw text, by
counting first: only a text that could break a rule is looked at a second time.

Spec: RFC 8259; RFC 7493 (I-JSON) on repeated names and on numbers.
"""

from __future__ import annotations

import json
import math
import re
import sys
from typing import Any

import msgspec

from toolserver.errors import ApplicationError, ParseError
from toolserver.plain import to_plain

__all__ = ["decode", "encode"]

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# A string that is not closed reaches to the end: what is in it is no structure.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_OPENING = frozenset(b"[{")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def decode(text: bytes, *, max_depth: int = 64, max_values: int = sys.maxsize) -> Any:
    """Read one JSON value.

    Args:
        text: UTF-8; a byte order mark in front is ignored (RFC 8259, section 8.1).
        max_depth: How deep containers may be nested.
        max_values: How many values there may be, containers and their members; by
            default any number.

    Returns:
        Plain values.

    Raises:
        ParseError: Not well-formed, a key repeated within one object, nested
            deeper than `max_depth`, more than `max_values`, or a number that has
            no value here: beyond the range of a double, or of more than 4300 digits.
    """
    if text.startswith(_BYTE_ORDER_MARK):
        text = text[len(_BYTE_ORDER_MARK) :]
    containers = text.count(b"[") + text.count(b"{")
    if containers + text.count(b",") >= max_values:
        _check_count(text, max_values)
    try:
        value = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ParseError(f"not valid JSON: {_reason(error)}") from error
    except RecursionError as error:
        raise ParseError(f"JSON nested deeper than {max_depth}") from error
    if containers > max_depth:
        _check_depth(text, max_depth)
    if not _has_all_colons(text, value):
        _check_keys(text, value)
    return value


def encode(value: Any) -> bytes:
    """Write a value as JSON.

    Args:
        value: Anything that `toolserver.plain.to_plain` makes plain.

    Returns:
        UTF-8.

    Raises:
        ApplicationError: The value holds what JSON cannot carry, such as NaN.
    """
    plain = to_plain(value)
    try:
        text = _encoder.encode(plain)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ApplicationError(f"result cannot be sent as JSON: {error}") from error
    # msgspec writes NaN and infinities as null; a text without null has none.
    if b"null" in text:
        _refuse_nonfinite(plain)
    return text


def _reason(error: Exception) -> str:
    text = str(error).removeprefix("JSON is malformed: ")
    return text[:1].lower() + text[1:]


def _has_all_colons(text: bytes, value: Any) -> bool:
    r"""Whether what was read, written again, has the colons that were sent.

    Each key has one, and those inside of strings come back: a lost key would be
    missed, unless an escaped colon (``\u003a``) took its place.
    """
    if b"\\u003" in text:
        return False
    return _encoder.encode(value).count(b":") == text.count(b":")


def _count_keys(value: Any) -> int:
    kind = value.__class__
    if kind is dict:
        count = len(value)
        value = value.values()
    elif kind is list:
        count = 0
    else:
        return 0
    # Every request comes through here: most members are no containers, and calling
    # this function for them would double the cost.
    for member in value:
        kind = member.__class__
        if kind is dict or kind is list:
            count += _count_keys(member)
    return count


def _without_strings(text: bytes) -> bytes:
    """A text with a quote in the place of each string."""
    if b"\\" not in text:
        return b'"'.join(text.split(b'"')[::2])
    return _STRING.sub(b'"', text)


def _check_count(text: bytes, max_values: int) -> None:
    """Refuse a text of too many values before anything is made of them."""
    # Each value may have a key, and each of these texts has two quotes. More of them
    # cannot be right, and would take long to be told apart.
    quotes = text.count(b'"') - text.count(b'\\"')
    if quotes <= 4 * max_values:
        structure = _without_strings(text).translate(None, b" \t\r\n")
        # Members are behind a comma, or are the first ones of their container.
        members = sum(map(structure.count, (b",", b"[", b"{")))
        empty = structure.count(b"[]") + structure.count(b"{}")
        if members - empty < max_values:
            return
    raise ParseError(f"JSON of more than {max_values} values")


def _check_depth(text: bytes, max_depth: int) -> None:
    depth = 0
    for bracket in _without_strings(text).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in _OPENING else -1
        if depth > max_depth:
            raise ParseError(f"JSON nested deeper than {max_depth}")


def _check_keys(text: bytes, value: Any) -> None:
    # Outside of strings a colon always belongs to a key.
    if _without_strings(text).count(b":") == _count_keys(value):
        return

    def unique(pairs: list[tuple[str, Any]]) -> None:
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise ParseError(f"key repeated in a JSON object: {key!r}")
            seen.add(key)

    # The numbers were read already; here they only cost time.
    json.loads(text, object_pairs_hook=unique, parse_int=str, parse_float=str)
    raise ParseError("key repeated")  # pragma: no cover - both readers see the same


def _refuse_nonfinite(plain: Any) -> None:
    if type(plain) is float:
        if not math.isfinite(plain):
            raise ApplicationError("result cannot be sent as JSON: NaN or Infinity")
    elif type(plain) is dict:
        for member in plain.values():
            _refuse_nonfinite(member)
    elif type(plain) is list:
        for member in plain:
            _refuse_nonfinite(member)
