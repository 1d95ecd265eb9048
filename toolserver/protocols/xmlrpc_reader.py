"""Reads XML-RPC messages.

Spec: http://xmlrpc.com/spec, with the extension types of Apache XML-RPC
(http://ws.apache.org/xmlrpc/types.html).

The XML is read by expat in one pass, without a tree: for messages of usual size it is
as fast as lxml, and it hands over control at the very first sign of a DTD and at
every element, so that no bound is passed before it is checked. A table says which
element may stand where; everything that it does not name is refused.

Text is collected until the next tag, so that comments and processing instructions,
for which there is no handler, do not split it.
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any
from xml.parsers import expat

from toolserver.errors import InvalidRequest, ParseError
from toolserver.protocols.xmltext import to_utf8
from toolserver.settings import Limits

__all__ = ["Fault", "read_call", "read_response"]

_INTEGER = re.compile(r"[+-]?[0-9]+")
_DOUBLE = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DATE_TIME = re.compile(
    r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})[T ]"
    r"([0-9]{2}):?([0-9]{2}):?([0-9]{2}(?:\.[0-9]+)?)"
    r"(Z|[+-][0-9]{2}:?[0-9]{2}(?::?[0-9]{2})?)?"
)
#: Text longer than this is not repeated in error messages.
_SHOWN = 60
_BOOLEANS = {"1": True, "0": False, "true": True, "false": False}


class Fault(Exception):
    """A fault that a response carries.

    Args:
        code: Its faultCode.
        message: Its faultString.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def read_call(body: bytes, content_type: str, limits: Limits) -> tuple[str, list[Any]]:
    """Read a methodCall.

    Args:
        body: The message.
        content_type: Header field that came with it; it may tell the encoding.
        limits: Bounds for depth, elements and attributes.

    Returns:
        The name of the method and the arguments.

    Raises:
        ParseError: Not well-formed, past a bound, with a DTD, or in an encoding
            other than UTF-8, UTF-16 and Latin-1.
        InvalidRequest: No methodCall.
    """
    reader = _read(body, content_type, limits, "call")
    if not reader.name:
        raise InvalidRequest("methodCall: got no methodName")
    return reader.name, reader.params


def read_response(body: bytes, content_type: str, limits: Limits) -> Any:
    """Read a methodResponse.

    Args:
        body: The message.
        content_type: Header field that came with it; it may tell the encoding.
        limits: Bounds for depth, elements and attributes.

    Returns:
        The result.

    Raises:
        Fault: The response is one.
        ParseError: As for `read_call`.
        InvalidRequest: No methodResponse.
    """
    reader = _read(body, content_type, limits, "response")
    if reader.is_fault:
        members = reader.params[0] if len(reader.params) == 1 else None
        if isinstance(members, dict):
            code, text = members.get("faultCode"), members.get("faultString")
            if isinstance(code, int) and isinstance(text, str):
                raise Fault(code, text)
        raise InvalidRequest("fault: expected a struct of faultCode and faultString")
    if len(reader.params) != 1:
        count = len(reader.params)
        raise InvalidRequest(f"methodResponse: got {count} values, expected one")
    return reader.params[0]


def _read(body: bytes, content_type: str, limits: Limits, message: str) -> _Reader:
    reader = _Reader(limits, message)
    # The encoding is given, so that expat does not follow the XML declaration.
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.texts.append
    parser.StartDoctypeDeclHandler = _refuse_dtd
    try:
        parser.Parse(to_utf8(body, content_type), True)
    except expat.ExpatError as error:
        raise ParseError(f"not well-formed XML: {error}") from error
    return reader


def _refuse_dtd(*_: object) -> None:
    raise ParseError("XML: a document type declaration is not accepted")


def _read_integer(text: str) -> int:
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


#: What turns the text of an element into a value, or says what it expected.
_SCALARS: dict[str, Callable[[str], Any]] = {
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
#: Types that Apache has in a namespace of its own. Its prefix is not looked up: the
#: names are clear without it, and some clients forget to declare it.
_EXTENSIONS = frozenset(
    {
        *("nil", "i1", "i2", "i4", "i8", "biginteger"),
        *("float", "bigdecimal", "dateTime"),
    }
)
#: Which elements may stand in which; the first two are the messages as a whole.
_CHILDREN: dict[str, frozenset[str]] = {
    "call": frozenset({"methodCall"}),
    "response": frozenset({"methodResponse"}),
    "methodCall": frozenset({"methodName", "params"}),
    "methodResponse": frozenset({"params", "fault"}),
    "params": frozenset({"param"}),
    "param": frozenset({"value"}),
    "fault": frozenset({"value"}),
    "value": frozenset({*_SCALARS, "array", "struct"}),
    "array": frozenset({"data"}),
    "data": frozenset({"value"}),
    "struct": frozenset({"member"}),
    "member": frozenset({"name", "value"}),
    **dict.fromkeys(("methodName", "name", *_SCALARS), frozenset()),
}


class _Reader:
    """Gets the tags and texts of a message and holds what it has read so far."""

    __slots__ = (
        "_frames",
        "_has_params",
        "_has_type",
        "_limits",
        "_max_opened",
        "_names",
        "_open",
        "_params",
        "_remaining",
        "_value",
        "is_fault",
        "name",
        "params",
        "texts",
    )

    def __init__(self, limits: Limits, message: str) -> None:
        self.name = ""
        self.params: list[Any] = []
        self.is_fault = False
        self.texts: list[str] = []
        self._limits = limits
        self._remaining = limits.xml_elements
        # Open elements, below one that stands for the message.
        self._open = [message]
        self._max_opened = limits.xml_depth + 1
        # What values are added to: the parameters, and the lists and dicts that are
        # not complete; None for an array before its data.
        self._frames: list[Any] = [self.params]
        self._names: list[str | None] = []
        self._params = 0
        self._has_params = False
        # The innermost value, and whether the element of its type has come.
        self._value: Any = None
        self._has_type = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        opened = self._open
        parent = opened[-1]
        if tag not in _CHILDREN[parent]:
            tag = _find_extension(tag, parent)
        if self.texts:
            self._take_blank(parent)
        opened.append(tag)
        self._remaining -= 1
        if attributes or self._remaining < 0 or len(opened) > self._max_opened:
            self._check_bounds(len(attributes))
        if tag == "value":
            self._has_type = False
        elif parent == "value":
            if self._has_type:
                raise InvalidRequest(f"value: got <{_show(tag)}> after another type")
            if tag == "array":
                self._frames.append(None)
            elif tag == "struct":
                self._frames.append({})
        elif tag == "member":
            self._names.append(None)
        elif tag == "data":
            if self._frames[-1] is not None:
                raise InvalidRequest("array: got a second <data>")
            self._frames[-1] = []

    def end(self, _: str) -> None:
        tag = self._open.pop()
        texts = self.texts
        read = _SCALARS.get(tag)
        if read is not None:
            text = "".join(texts)
            texts.clear()
            try:
                self._value = read(text)
            except ValueError as error:
                raise InvalidRequest(
                    f"{tag}: got {_show(text)!r}, expected {error}"
                ) from error
            self._has_type = True
        elif tag == "value":
            self._end_value()
        elif tag == "name":
            if self._names[-1] is not None:
                raise InvalidRequest("member: got a second <name>")
            self._names[-1] = "".join(texts)
            texts.clear()
        elif tag == "methodName":
            if self.name:
                raise InvalidRequest("methodCall: got a second <methodName>")
            self.name = "".join(texts).strip()
            texts.clear()
        else:
            if texts:
                self._take_blank(tag)
            self._end_structure(tag)

    def _end_value(self) -> None:
        if not self._has_type:
            self._value = "".join(self.texts)
            self.texts.clear()
        elif self.texts:
            self._take_blank("value")
        if self._open[-1] != "member":
            self._frames[-1].append(self._value)
            return
        name = self._names[-1]
        if name is None:
            raise InvalidRequest("member: got <value> before <name>")
        if name in self._frames[-1]:
            raise InvalidRequest(f"struct: got the member {_show(name)!r} twice")
        self._frames[-1][name] = self._value

    def _end_structure(self, tag: str) -> None:
        if tag == "param":
            self._params += 1
            if len(self.params) != self._params:
                raise InvalidRequest("param: expected one <value>")
        elif tag == "member":
            if self._names.pop() not in self._frames[-1]:
                raise InvalidRequest("member: expected <name> and <value>")
        elif tag == "struct":
            self._value = self._frames.pop()
            self._has_type = True
        elif tag == "array":
            self._value = self._frames.pop() or []
            self._has_type = True
        elif tag == "params":
            if self._has_params:
                raise InvalidRequest("got a second <params>")
            self._has_params = True
        elif tag == "fault":
            self.is_fault = True

    def _take_blank(self, tag: str) -> None:
        text = "".join(self.texts)
        if not text.isspace():
            raise InvalidRequest(f"{tag}: got the text {_show(text.strip())!r}")
        self.texts.clear()

    def _check_bounds(self, attributes: int) -> None:
        limits = self._limits
        if self._remaining < 0:
            raise ParseError(f"XML: more than {limits.xml_elements} elements")
        if len(self._open) > self._max_opened:
            raise ParseError(f"XML nested deeper than {limits.xml_depth}")
        if attributes > limits.xml_attributes:
            raise ParseError(f"XML: more than {limits.xml_attributes} attributes")


def _find_extension(tag: str, parent: str) -> str:
    _, colon, local = tag.partition(":")
    if colon and parent == "value" and local in _EXTENSIONS:
        return local
    expected = ", ".join(sorted(_CHILDREN[parent])) or "text only"
    raise InvalidRequest(f"{parent}: got <{_show(tag)}>, expected {expected}")


def _show(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
