"""The scalar types of XML-RPC: from the text of an element to a value.

Spec: http://xmlrpc.com/spec, with the extension types of Apache XML-RPC
(http://ws.apache.org/xmlrpc/types.html).
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

__all__ = ["SCALARS"]

_INTEGER = re.compile(r"[+-]?[0-9]+")
_DOUBLE = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DATE_TIME = re.compile(
    r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})[T ]"
    r"([0-9]{2}):?([0-9]{2}):?([0-9]{2}(?:\.[0-9]+)?)"
    r"(Z|[+-][0-9]{2}:?[0-9]{2}(?::?[0-9]{2})?)?"
)
_BOOLEANS = {"1": True, "0": False, "true": True, "false": False}


def _read_integer(text: str) -> int:
    # Most are bare digits, which is quicker to see.
    if not (text.isascii() and text.isdigit()):
        text = text.strip()
        if _INTEGER.fullmatch(text) is None:
            raise ValueError("an integer")
    try:
        return int(text)
    except ValueError as error:  # Python's own bound on digits
        raise ValueError("an integer of at most 4300 digits") from error


def _read_boolean(text: str) -> bool:
    value = _BOOLEANS.get(text.strip())
    if value is None:
        raise ValueError("0 or 1")
    return value


def _read_double(text: str) -> float:
    text = text.strip()
    if _DOUBLE.fullmatch(text) is None:
        raise ValueError("a decimal number")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number in the range of a double")
    return value


def _read_decimal(text: str) -> Decimal:
    text = text.strip()
    if _DOUBLE.fullmatch(text) is None:
        raise ValueError("a decimal number")
    return Decimal(text)


def _read_datetime(text: str) -> datetime:
    found = _DATE_TIME.fullmatch(text.strip())
    try:
        if found is not None:
            year, month, day, hour, minute, second, offset = found.groups()
            return datetime.fromisoformat(
                f"{year}-{month}-{day}T{hour}:{minute}:{second}{offset or ''}"
            )
    except ValueError:
        pass
    raise ValueError("a time such as 19980717T14:08:55")


def _read_base64(text: str) -> bytes:
    try:
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError as error:
        raise ValueError("base64") from error


def _read_nil(text: str) -> None:
    if text.strip():
        raise ValueError("nothing")


#: What turns the text of an element of a type into a value; a `ValueError` says what
#: was expected.
SCALARS: dict[str, Callable[[str], Any]] = {
    "string": str,
    "int": _read_integer,
    "boolean": _read_boolean,
    "double": _read_double,
    "dateTime.iso8601": _read_datetime,
    "base64": _read_base64,
    "nil": _read_nil,
    **dict.fromkeys(("i1", "i2", "i4", "i8", "biginteger"), _read_integer),
    "float": _read_double,
    "bigdecimal": _read_decimal,
    "dateTime": _read_datetime,
}
