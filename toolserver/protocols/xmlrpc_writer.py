"""Writes XML-RPC messages, piece by piece, without a tree.

Spec: http://xmlrpc.com/spec. What the specification leaves open or cannot say:

- Doubles are written without an exponent, which it does not know, with as many digits
  as it takes to read the same number again.
- Times are written in its form, ``19980717T14:08:55``; a fraction of a second or an
  offset, which it does not know either, follows only where there is one.
- Integers beyond 32 bits are ``<i8>``, None is ``<nil/>``.
"""

from __future__ import annotations

import math
from binascii import b2a_base64
from collections.abc import Callable, Iterable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from toolserver.errors import ApplicationError
from toolserver.protocols.xmltext import escape, replace_illegal

__all__ = ["write_call", "write_fault", "write_response"]

_TRUE = "<value><boolean>1</boolean></value>"
_FALSE = "<value><boolean>0</boolean></value>"
#: How members begin, by their names; names of results may come from strangers.
_openings: dict[str, str] = {}
_MOST_NAMES, _LONGEST_NAME = 1024, 64
_HEAD = '<?xml version="1.0" encoding="utf-8"?>\n'


def write_call(name: str, params: Iterable[Any], *, keeps_none: bool = False) -> bytes:
    """Write a methodCall.

    Args:
        name: Name of the method.
        params: Plain values.
        keeps_none: Whether members of structs that are None are written.

    Returns:
        The message in UTF-8.

    Raises:
        ApplicationError: XML-RPC cannot carry a value.
    """
    parts = [f"{_HEAD}<methodCall><methodName>{escape(name)}</methodName><params>"]
    for value in params:
        parts.append("<param>")
        _write(value, parts.append, keeps_none)
        parts.append("</param>")
    parts.append("</params></methodCall>\n")
    return "".join(parts).encode()


def write_response(value: Any, *, keeps_none: bool = False) -> bytes:
    """Write a methodResponse.

    Args:
        value: The result, plain.
        keeps_none: Whether members of structs that are None are written.

    Returns:
        The message in UTF-8.

    Raises:
        ApplicationError: XML-RPC cannot carry the result.
    """
    parts = [f"{_HEAD}<methodResponse><params><param>"]
    _write(value, parts.append, keeps_none)
    parts.append("</param></params></methodResponse>\n")
    return "".join(parts).encode()


def write_fault(code: int, message: str) -> bytes:
    """Write a methodResponse with a fault.

    Args:
        code: The faultCode.
        message: The faultString; characters that XML cannot carry are escaped.

    Returns:
        The message in UTF-8.
    """
    return (
        f"{_HEAD}<methodResponse><fault><value><struct>"
        f"<member><name>faultCode</name>{_write_int(code)}</member>"
        f"<member><name>faultString</name>{_write_str(replace_illegal(message))}"
        "</member></struct></value></fault></methodResponse>\n"
    ).encode()


def _write(value: Any, add: Callable[[str], None], keeps_none: bool) -> None:
    write_scalar = _SCALARS.get(value.__class__)
    if write_scalar is not None:
        add(write_scalar(value))
    elif value.__class__ is list:
        add("<value><array><data>")
        for element in value:
            _write(element, add, keeps_none)
        add("</data></array></value>")
    else:
        add("<value><struct>")
        for name, member in value.items():
            opening = _openings.get(name) or _opening(name)
            # Most members are scalars: they are spared a call and two parts.
            write_scalar = _SCALARS.get(member.__class__)
            if write_scalar is None:
                add(opening)
                _write(member, add, keeps_none)
                add("</member>")
            elif member is not None or keeps_none:
                add(f"{opening}{write_scalar(member)}</member>")
        add("</struct></value>")


def _opening(name: str) -> str:
    """How a member begins; the records of a list have the same ones."""
    opening = f"<member><name>{escape(name)}</name>"
    if len(name) <= _LONGEST_NAME:
        if len(_openings) >= _MOST_NAMES:
            _openings.clear()
        _openings[name] = opening
    return opening


def _write_nil(_: None) -> str:
    return "<value><nil/></value>"


def _write_bool(value: bool) -> str:
    return _TRUE if value else _FALSE


def _write_int(value: int) -> str:
    if -0x8000_0000 <= value <= 0x7FFF_FFFF:
        return f"<value><int>{value}</int></value>"
    if -0x8000_0000_0000_0000 <= value <= 0x7FFF_FFFF_FFFF_FFFF:
        return f"<value><i8>{value}</i8></value>"
    raise ApplicationError(
        "result cannot be sent as XML-RPC: got an integer of "
        f"{value.bit_length() + 1} bits, expected at most 64"
    )


def _write_double(value: float) -> str:
    if not math.isfinite(value):
        raise ApplicationError(
            f"result cannot be sent as XML-RPC: got {value!r}, expected a finite number"
        )
    text = repr(value)
    if "e" in text:
        text = format(Decimal(text), "f")
    return f"<value><double>{text}</double></value>"


def _write_str(value: str) -> str:
    return f"<value><string>{escape(value)}</string></value>"


def _write_bytes(value: bytes) -> str:
    text = b2a_base64(value, newline=False).decode("ascii")
    return f"<value><base64>{text}</base64></value>"


def _write_datetime(value: datetime) -> str:
    text = value.isoformat()
    text = f"{text[:4]}{text[5:7]}{text[8:]}"
    if text.endswith("+00:00"):
        text = f"{text[:-6]}Z"
    return f"<value><dateTime.iso8601>{text}</dateTime.iso8601></value>"


def _write_iso(value: date | time) -> str:
    return f"<value><string>{value.isoformat()}</string></value>"


def _write_decimal(value: Decimal) -> str:
    return f"<value><string>{value}</string></value>"


_SCALARS: dict[type, Callable[[Any], str]] = {
    type(None): _write_nil,
    bool: _write_bool,
    int: _write_int,
    float: _write_double,
    str: _write_str,
    bytes: _write_bytes,
    datetime: _write_datetime,
    date: _write_iso,
    time: _write_iso,
    Decimal: _write_decimal,
}
