"""The simple types of XML Schema: from the text of an element to a value, and back.

What is read by a hint is left as text where the text does not fit: converting it
afterwards says what was expected, in the words that all protocols share.

Spec: XML Schema 1.0, part 2.
"""

from __future__ import annotations

import binascii
import math
import re
from binascii import b2a_base64
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from toolserver.errors import ApplicationError
from toolserver.protocols.xmltext import escape
from toolserver.types import Kind

__all__ = ["BY_CLASS", "BY_KIND", "BY_NAME", "TEXTS", "read_base64"]

_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,6})?")
_ZONE = r"(?:Z|[+-][0-9]{2}:[0-9]{2})?"
_DATE = re.compile(rf"([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}){_ZONE}")
_TIME = re.compile(rf"[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(?:\.[0-9]+)?{_ZONE}")
_DATE_TIME = re.compile(
    rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(?:\.[0-9]+)?{_ZONE}"
)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
#: Besides the forms of XML Schema those that careless clients send, zeep among them.
_FLOATS = {
    text: float(text)
    for sign in ("", "+", "-")
    for text in (f"{sign}inf", f"{sign}infinity", "nan")
}
#: Digits of a decimal number, with the zeros that its exponent stands for.
_MOST_DIGITS = 4300
_LONG = 2**63
_FARTHEST = timedelta(hours=14)


def _read_integer(text: str) -> Any:
    stripped = text.strip()
    if _INTEGER.fullmatch(stripped) is None:
        return text
    try:
        return int(stripped)
    except ValueError:  # Python's own bound on digits
        return text


def _read_double(text: str) -> Any:
    stripped = text.strip()
    if _NUMBER.fullmatch(stripped) is not None:
        value = float(stripped)
        # What is beyond the range of a double is no infinity.
        return value if math.isfinite(value) else text
    return _FLOATS.get(stripped.lower(), text)


def _read_decimal(text: str) -> Any:
    stripped = text.strip()
    return Decimal(stripped) if _NUMBER.fullmatch(stripped) is not None else text


def _read_boolean(text: str) -> Any:
    return _BOOLEANS.get(text.strip(), text)


def read_base64(text: str) -> Any:
    """Read the text of a base64Binary.

    Args:
        text: The text; white space in it does not count.

    Returns:
        The bytes, or the text as it is where it is no base64.
    """
    try:
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError:
        return text


def _read_hex(text: str) -> Any:
    try:
        return binascii.a2b_hex(text.strip())
    except ValueError:
        return text


def _read_datetime(text: str) -> Any:
    stripped = text.strip()
    try:
        if _DATE_TIME.fullmatch(stripped) is not None:
            return datetime.fromisoformat(stripped)
    except ValueError:
        pass
    return text


def _read_date(text: str) -> Any:
    # The zone of a date, which some clients send, says nothing of its day.
    found = _DATE.fullmatch(text.strip())
    try:
        if found is not None:
            return date.fromisoformat(found[1])
    except ValueError:
        pass
    return text


def _read_time(text: str) -> Any:
    stripped = text.strip()
    try:
        if _TIME.fullmatch(stripped) is not None:
            return time.fromisoformat(stripped)
    except ValueError:
        pass
    return text


#: What reads the text of an element where a hint asks for some kind.
BY_KIND: dict[Kind, Callable[[str], Any]] = {
    Kind.BOOL: _read_boolean,
    Kind.INT: _read_integer,
    Kind.FLOAT: _read_double,
    Kind.DECIMAL: _read_decimal,
    Kind.BYTES: read_base64,
    Kind.DATETIME: _read_datetime,
    Kind.DATE: _read_date,
    Kind.TIME: _read_time,
    Kind.TIMEDELTA: str.strip,
    Kind.UUID: str.strip,
}

#: What reads the text of an element whose ``xsi:type`` has some local name. Whose
#: namespace it is does not matter: schemas of several years have the same names, and
#: SOAP's encoding has all of them once more.
BY_NAME: dict[str, Callable[[str], Any]] = {
    "boolean": _read_boolean,
    **dict.fromkeys(
        (
            *("int", "integer", "long", "short", "byte", "unsignedLong"),
            *("unsignedInt", "unsignedShort", "unsignedByte", "positiveInteger"),
            *("nonNegativeInteger", "nonPositiveInteger", "negativeInteger"),
        ),
        _read_integer,
    ),
    "float": _read_double,
    "double": _read_double,
    "decimal": _read_decimal,
    "base64Binary": read_base64,
    "base64": read_base64,
    "hexBinary": _read_hex,
    "dateTime": _read_datetime,
    "timeInstant": _read_datetime,
    "date": _read_date,
    "time": _read_time,
    **dict.fromkeys(
        (
            *("string", "normalizedString", "token", "language", "Name", "NCName"),
            *("NMTOKEN", "ID", "anyURI", "uriReference", "QName", "anySimpleType"),
            *("duration", "timeDuration", "gYear", "gYearMonth", "gMonth"),
            *("gMonthDay", "gDay"),
        ),
        str,
    ),
}


def _write_bool(value: bool) -> str:
    return "true" if value else "false"


def _write_int(value: int) -> str:
    if -_LONG <= value < _LONG:
        return str(value)
    raise ApplicationError(
        f"result cannot be sent as SOAP: got an integer of {value.bit_length() + 1} "
        "bits, expected at most 64"
    )


def _write_float(value: float) -> str:
    text = repr(value)
    if text in ("inf", "-inf"):
        return text.upper()
    return "NaN" if text == "nan" else text


def _write_decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise ApplicationError(
            f"result cannot be sent as SOAP: got Decimal {value}, expected a finite one"
        )
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or abs(exponent) > _MOST_DIGITS:
        raise ApplicationError(
            "result cannot be sent as SOAP: got a Decimal of more than "
            f"{_MOST_DIGITS} digits"
        )
    return format(value, "f")


def _write_bytes(value: bytes) -> str:
    return b2a_base64(value, newline=False).decode("ascii")


def _write_datetime(value: datetime) -> str:
    offset = value.utcoffset()
    if offset is not None and (offset.seconds % 60 or abs(offset) > _FARTHEST):
        # XML Schema knows no such zones; the moment is the same elsewhere.
        try:
            value = value.astimezone(UTC)
        except OverflowError as error:
            raise ApplicationError(
                f"result cannot be sent as SOAP: got {value.isoformat()}"
            ) from error
    text = value.isoformat()
    return f"{text[:-6]}Z" if text.endswith("+00:00") else text


def _write_iso(value: date | time) -> str:
    return value.isoformat()


#: The type of XML Schema and what writes the text, by the class of a plain value.
BY_CLASS: dict[type, tuple[str, Callable[[Any], str]]] = {
    bool: ("boolean", _write_bool),
    int: ("long", _write_int),
    float: ("double", _write_float),
    str: ("string", escape),
    bytes: ("base64Binary", _write_bytes),
    datetime: ("dateTime", _write_datetime),
    date: ("date", _write_iso),
    time: ("time", _write_iso),
    Decimal: ("decimal", _write_decimal),
}

#: What writes the texts of a kind, by the class of the plain value: the first class is
#: the one that is usual, the others fit as well.
TEXTS: dict[Kind, dict[type, Callable[[Any], str]]] = {
    Kind.BOOL: {bool: _write_bool},
    Kind.INT: {int: _write_int},
    Kind.FLOAT: {float: _write_float, int: _write_int},
    Kind.DECIMAL: {Decimal: _write_decimal, int: _write_int},
    Kind.STR: {str: escape},
    Kind.BYTES: {bytes: _write_bytes},
    Kind.DATETIME: {datetime: _write_datetime},
    Kind.DATE: {date: _write_iso},
    Kind.TIME: {time: _write_iso},
    Kind.TIMEDELTA: {str: escape},
    Kind.UUID: {str: escape},
}
