"""Plain values as bytes, in MessagePack.

Carried are None, truth values, numbers, texts, bytes, lists and mappings; and as
extension types what MessagePack would make lists or texts of:

====  ==================  ================================
code  value               content
====  ==================  ================================
1     tuple               the elements as a list
2     set                 the elements as a list
3     frozenset           the elements as a list
4     int beyond 64 bits  two's complement, big-endian
5     Decimal             its digits
6     UUID                its 16 bytes
7     datetime            ISO 8601
8     date                ISO 8601
9     time                ISO 8601
10    timedelta           days, seconds and microseconds
11    dict                its pairs, where a key is of these
====  ==================  ================================

Members of enumerations and instances of subclasses of these arrive as the plain value;
a datetime arrives with the offset that its zone had then. Nothing else is carried, and
never a pickle.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from msgspec.msgpack import Ext

__all__ = ["MAX_SIZE", "pack", "unpack"]

#: Size of a value that is carried at most, bytes.
MAX_SIZE = 8 * 2**20
_DEPTH = 50
_LEAST_INT, _MOST_INT = -(2**63), 2**64 - 1
_TUPLE, _SET, _FROZENSET, _INT, _DECIMAL, _UUID = range(1, 7)
_DATETIME, _DATE, _TIME, _TIMEDELTA, _PAIRS = range(7, 12)

_encode = msgspec.msgpack.Encoder().encode


def pack(value: Any) -> bytes:
    """Write a value as bytes.

    Args:
        value: The value.

    Raises:
        TypeError: It cannot be carried, or something in it.
        ValueError: It is too large.
    """
    try:
        packed = _encode(_carried(value, 0))
    except UnicodeEncodeError as error:
        raise TypeError(f"got text that is no Unicode: {error.object!r:.60}") from None
    if len(packed) > MAX_SIZE:
        raise ValueError(
            f"got a value of {len(packed)} bytes, expected at most {MAX_SIZE}"
        )
    return packed


def unpack(packed: bytes) -> Any:
    """Read a value that `pack` has written.

    Args:
        packed: The bytes.

    Raises:
        ValueError: They are nothing that `pack` writes.
    """
    try:
        return _decode(packed)
    except (msgspec.DecodeError, TypeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"not a value: {error}") from error


def _carried(value: Any, depth: int) -> Any:
    """The value that MessagePack expresses and `_uncarried` takes back."""
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if depth > _DEPTH:
        raise TypeError(f"got a value nested more than {_DEPTH} deep")
    carry = _CARRIERS.get(kind)
    if carry is None:
        bases = (base for base in _CARRIERS if isinstance(value, base))
        base = next(bases, None)
        if base is None:
            raise TypeError(
                f"got {value!r:.60} of the class {kind.__qualname__}, expected plain "
                "values, which other processes know, too"
            )
        carry = _CARRIERS[base]
    return carry(value, depth + 1)


def _int(value: int, depth: int) -> Any:
    plain = int.__int__(value)
    if _LEAST_INT <= plain <= _MOST_INT:
        return plain
    return Ext(_INT, plain.to_bytes(plain.bit_length() // 8 + 1, "big", signed=True))


def _decimal(value: Decimal, depth: int) -> Ext:
    if value.is_snan():
        raise TypeError("got a signaling NaN, which cannot be compared")
    return Ext(_DECIMAL, str(value).encode())


def _zoned(code: int) -> Callable[[Any, int], Ext]:
    return lambda value, depth: Ext(code, value.isoformat().encode())


def _listed(code: int) -> Callable[[Any, int], Ext]:
    return lambda value, depth: Ext(
        code, _encode([_carried(each, depth) for each in value])
    )


def _mapping(value: dict[Any, Any], depth: int) -> Any:
    pairs = [
        (_carried(key, depth), _carried(item, depth)) for key, item in dict.items(value)
    ]
    if any(type(key) is Ext for key, _ in pairs):
        return Ext(_PAIRS, _encode(pairs))
    return dict(pairs)


_AS_THEY_ARE = frozenset({str, float, bool, type(None), bytes})
#: Looked through in this order for instances of subclasses.
_CARRIERS: dict[type, Callable[[Any, int], Any]] = {
    str: lambda value, depth: str.__str__(value),
    int: _int,
    float: lambda value, depth: float.__float__(value),
    bytes: lambda value, depth: bytes(value),
    bytearray: lambda value, depth: bytes(value),
    list: lambda value, depth: [_carried(each, depth) for each in value],
    dict: _mapping,
    tuple: _listed(_TUPLE),
    set: _listed(_SET),
    frozenset: _listed(_FROZENSET),
    Decimal: _decimal,
    UUID: lambda value, depth: Ext(_UUID, value.bytes),
    dt.datetime: _zoned(_DATETIME),
    dt.date: _zoned(_DATE),
    dt.time: _zoned(_TIME),
    dt.timedelta: lambda value, depth: Ext(
        _TIMEDELTA, _encode([value.days, value.seconds, value.microseconds])
    ),
}


def _uncarried(code: int, data: memoryview) -> Any:
    content = bytes(data)
    take = _TAKERS.get(code)
    if take is None:
        raise ValueError(f"extension type {code}")
    return take(content)


_decode: Callable[[bytes], Any] = msgspec.msgpack.Decoder(ext_hook=_uncarried).decode
_TAKERS: dict[int, Callable[[bytes], Any]] = {
    _TUPLE: lambda data: tuple(_decode(data)),
    _SET: lambda data: set(_decode(data)),
    _FROZENSET: lambda data: frozenset(_decode(data)),
    _INT: lambda data: int.from_bytes(data, "big", signed=True),
    _DECIMAL: lambda data: Decimal(data.decode()),
    _UUID: lambda data: UUID(bytes=data),
    _DATETIME: lambda data: dt.datetime.fromisoformat(data.decode()),
    _DATE: lambda data: dt.date.fromisoformat(data.decode()),
    _TIME: lambda data: dt.time.fromisoformat(data.decode()),
    _TIMEDELTA: lambda data: dt.timedelta(*_decode(data)),
    _PAIRS: lambda data: dict(_decode(data)),
}
