"""Values without parts: those at the edges of each kind, and random ones."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from decimal import Decimal
from random import Random
from typing import Any

from toolserver.types import Kind, Type

__all__ = ["EDGES", "random_scalar", "random_text"]

_INTS = [
    *(0, 1, -1, 127, 128, 255, 256, 65535, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1),
    *(2**32, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)),
    *(2**63, -(2**63) - 1, 2**64, 10**30),
]
_FLOATS = [
    *(0.0, -0.0, 1.0, -1.5, 0.1, 1 / 3, math.pi, 1e-7, 1e16, 1e22, 1e23, 2.0**53),
    *(5e-324, -5e-324, 2.2250738585072014e-308, 1.7976931348623157e308),
    *(-1.7976931348623157e308, 123456789.125, math.nan, math.inf, -math.inf),
]
_DECIMALS = [
    Decimal(text)
    for text in (
        *("0", "-0", "0.00", "1", "1.50", "-999.99", "0.1", "1E+3", "1.5E+10", "1E-10"),
        *("12345678901234567890.123456789012345678901234567890", "-1E-30", "1E+30"),
    )
]
_TEXTS = [
    *("", " ", "  two  ", "a", "\t", "\n", "a\nb", "\r", "a\r\nb\rc", "\xa0", "ä"),
    # Combined and composed, right to left, a family, beyond the first plane.
    *("e\u0301", "\u00e9", "\u05e9\u05dc\u05d5\u05dd", "\U0001f469\u200d\U0001f467"),
    *("\U0001d11e", "\U0010ffff", "\ud7ff", "\ue000", "\x7f", "\x85", "\u2028"),
    *("<&>\"'", "]]>", "<![CDATA[x]]>", "<?xml?>", "&amp;", "&#13;", "%41+b?c#d", "\\"),
    *("null", "true", "0", "-1.5e3", "NaN", "{}", "[1]", '"', "2026-01-31", "Zm9v"),
    # What XML cannot carry, and what is no character at all.
    *("\x00", "\x01\x08", "a\x0bb\x0c", "\x1b[0m", "\ufeffb", "\ufffe", "\uffff"),
    *("\ud800", "x" * 3000, "\U0001d11e" * 300),
]
_BYTES = [
    *(b"", b"\x00", b"\xff", b"a", b"ab", b"abc", b"\r\n", b"\x00\x01\x02\xfd\xfe"),
    *(bytes(range(256)), b"\xfb\xff\xfe", "ä".encode(), b"Zm9v", b"x" * 3000),
]
_ZONES = [
    dt.UTC,
    *(
        dt.timezone(dt.timedelta(minutes=minutes))
        for minutes in (60, -60, 330, 345, -210, 840, -720, 1, -1)
    ),
]
_DATES = [
    *(dt.date.min, dt.date.max, dt.date(1970, 1, 1), dt.date(2000, 2, 29)),
    *(dt.date(1582, 10, 15), dt.date(2026, 12, 31), dt.date(999, 1, 1)),
]
_TIMES = [
    *(dt.time.min, dt.time.max, dt.time(12), dt.time(23, 59, 59), dt.time(0, 0, 0, 1)),
    *(dt.time(1, 2, 3, 100000), dt.time(1, 2, 3, 120), dt.time(1, 2, 3, 999999)),
]
_DATETIMES = [
    *(dt.datetime.min, dt.datetime.max, dt.datetime(1970, 1, 1)),
    *(dt.datetime(1998, 7, 17, 14, 8, 55), dt.datetime(2026, 3, 29, 2, 30, 0, 1)),
    *(dt.datetime(1, 1, 2, tzinfo=zone) for zone in _ZONES[:3]),
    *(dt.datetime(2026, 1, 2, 3, 4, 5, 600000, tzinfo=zone) for zone in _ZONES),
    *(dt.datetime(9999, 12, 30, 23, 59, 59, 999999, tzinfo=zone) for zone in _ZONES),
]
_TIMEDELTAS = [
    *(dt.timedelta(0), dt.timedelta(microseconds=1), dt.timedelta(microseconds=-1)),
    *(dt.timedelta(seconds=90), dt.timedelta(days=1), dt.timedelta(days=-1)),
    *(dt.timedelta(days=400, hours=5, microseconds=120), dt.timedelta(seconds=-90.5)),
    *(dt.timedelta(days=36500), dt.timedelta(days=-36500, milliseconds=1)),
    *(dt.timedelta.max, dt.timedelta.min),
]
_UUIDS = [
    *(uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)),
    uuid.UUID("01234567-89ab-4cde-8f01-23456789abcd"),
]

#: The values of each kind that are most easily lost; see RFC 8259, section 6, for
#: numbers, XML 1.0, section 2.2, for characters, and RFC 3339 for times.
EDGES: dict[Kind, list[Any]] = {
    Kind.NONE: [None],
    Kind.BOOL: [False, True],
    Kind.INT: _INTS,
    Kind.FLOAT: _FLOATS,
    Kind.DECIMAL: _DECIMALS,
    Kind.STR: _TEXTS,
    Kind.BYTES: _BYTES,
    Kind.DATE: _DATES,
    Kind.TIME: [*_TIMES, *(dt.time(4, 5, 6, tzinfo=zone) for zone in _ZONES)],
    Kind.DATETIME: _DATETIMES,
    Kind.TIMEDELTA: _TIMEDELTAS,
    Kind.UUID: _UUIDS,
}
_ALPHABETS = (
    (0x20, 0x7E),
    (0xA0, 0x24F),
    (0x300, 0x36F),
    (0x5D0, 0x5EA),
    (0x4E00, 0x4FFF),
    (0x1F300, 0x1F64F),
    (0x09, 0x0D),
)


def random_scalar(type_: Type, random: Random) -> Any:
    """Make a value without parts; its bounds are heeded as far as they are numbers.

    Args:
        type_: The type, of a kind that has edges.
        random: Where it comes from.

    Returns:
        The value, plain or of its class.
    """
    match type_.kind:
        case Kind.BOOL:
            return random.random() < 0.5
        case Kind.INT:
            return _random_int(type_, random)
        case Kind.FLOAT:
            return _random_float(type_, random)
        case Kind.DECIMAL:
            digits = random.randrange(10 ** random.randint(1, 20))
            return Decimal(random.choice((-1, 1)) * digits).scaleb(
                -random.randint(0, 9)
            )
        case Kind.STR:
            return random_text(random, *_lengths(type_, 30))
        case Kind.BYTES:
            most, least = _lengths(type_, 60)
            return random.randbytes(random.randint(least, most))
        case Kind.DATE:
            return _random_moment(random).date()
        case Kind.TIME:
            return _random_moment(random).timetz()
        case Kind.DATETIME:
            return _random_moment(random)
        case Kind.TIMEDELTA:
            return dt.timedelta(microseconds=random.randint(-(10**15), 10**15))
        case Kind.UUID:
            return uuid.UUID(int=random.getrandbits(128))
    return None


def random_text(random: Random, most: int, least: int = 0) -> str:
    """Make a text of characters from many places of Unicode.

    Args:
        random: Where they come from.
        most: Characters at most.
        least: And at least.
    """
    low, high = random.choice(_ALPHABETS)
    length = random.randint(least, max(least, most))
    return "".join(chr(random.randint(low, high)) for _ in range(length))


def _random_int(type_: Type, random: Random) -> int:
    low, high = _range(type_)
    if low is not None or high is not None:
        start = math.ceil(low) if low is not None else math.floor(high or 0) - 1000
        end = math.floor(high) if high is not None else start + 1000
        return random.randint(min(start, end), max(start, end))
    return random.choice((-1, 1)) * random.getrandbits(random.choice((4, 16, 31, 62)))


def _random_float(type_: Type, random: Random) -> float:
    low, high = _range(type_)
    if low is not None or high is not None:
        start = low if low is not None else (high or 0) - 1000
        return random.uniform(start, high if high is not None else start + 1000)
    return random.choice((-1, 1)) * random.random() * 10.0 ** random.randint(-300, 300)


def _random_moment(random: Random) -> dt.datetime:
    zone = random.choice([None, *_ZONES])
    micros = random.choice((0, 0, random.randrange(10**6)))
    seconds = random.randrange(-50_000_000_000, 240_000_000_000)
    moment = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds)
    return moment.replace(microsecond=micros, tzinfo=zone)


def _range(type_: Type) -> tuple[float | None, float | None]:
    lows = [b for m in type_.bounds for b in (m.ge, m.gt) if b is not None]
    highs = [b for m in type_.bounds for b in (m.le, m.lt) if b is not None]
    return max(lows, default=None), min(highs, default=None)


def _lengths(type_: Type, usual: int) -> tuple[int, int]:
    """The greatest and the least length that bounds allow."""
    least = max([0, *(meta.min_length or 0 for meta in type_.bounds)])
    most = [meta.max_length for meta in type_.bounds if meta.max_length is not None]
    return min([max(least, usual), *most]), least
