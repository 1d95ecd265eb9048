"""Reads XML-RPC messages.

Spec: http://xmlrpc.com/spec, with the extension types of Apache XML-RPC
(http://ws.apache.org/xmlrpc/types.html).

Each element has to be one that belongs where it stands. Text that stands beside
elements is ignored, as other readers do: mostly it is white space.
"""

from __future__ import annotations

from typing import Any, NoReturn
from xml.etree.ElementTree import Element

from toolserver.errors import InvalidRequest, ParseError
from toolserver.protocols.xmlrpc_scalars import SCALARS
from toolserver.protocols.xmlrpc_scanner import scan_call
from toolserver.protocols.xmltext import to_utf8
from toolserver.protocols.xmltree import parse_xml
from toolserver.settings import Limits

__all__ = ["Fault", "read_call", "read_response", "walk_call"]

#: Text longer than this is not repeated in error messages.
_SHOWN = 60


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
    text = to_utf8(body, content_type)
    found = scan_call(text, limits)
    return walk_call(text, limits) if found is None else found


def walk_call(text: bytes, limits: Limits) -> tuple[str, list[Any]]:
    """Read a methodCall by way of a tree, whatever it looks like.

    Args:
        text: The message in UTF-8.
        limits: Bounds for depth, elements and attributes.

    Returns:
        The name of the method and the arguments.

    Raises:
        ParseError: As for `read_call`.
        InvalidRequest: No methodCall.
    """
    root = _read_root(text, limits, "methodCall")
    name = ""
    params: list[Any] | None = None
    for child in root:
        if child.tag == "methodName" and not name:
            name = _read_text(child).strip()
        elif child.tag == "params" and params is None:
            params = _read_params(child, limits.xml_depth)
        else:
            _refuse(child, "methodCall", "one methodName and one params")
    if not name:
        raise InvalidRequest("methodCall: got no methodName")
    return name, params or []


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
    root = _read_root(to_utf8(body, content_type), limits, "methodResponse")
    child = _only_child(root)
    if child.tag == "fault":
        _raise_fault(_read_value(_only_value(child), 3, limits.xml_depth))
    if child.tag != "params":
        _refuse(child, "methodResponse", "params or fault")
    params = _read_params(child, limits.xml_depth)
    if len(params) != 1:
        raise InvalidRequest(f"params: got {len(params)} values, expected one")
    return params[0]


def _read_root(text: bytes, limits: Limits, expected: str) -> Element:
    root = parse_xml(text, limits)
    if root.tag != expected:
        # XML-RPC has no namespace; where one is given, it means nothing.
        for element in root.iter():
            element.tag = _local_name(element.tag)
    if root.tag != expected:
        _refuse(root, "message", expected)
    return root


def _raise_fault(members: Any) -> NoReturn:
    if isinstance(members, dict):
        code, text = members.get("faultCode"), members.get("faultString")
        if isinstance(code, int) and isinstance(text, str):
            raise Fault(code, text)
    raise InvalidRequest("fault: expected a struct of faultCode and faultString")


def _read_params(params: Element, max_depth: int) -> list[Any]:
    values = []
    for param in params:
        if param.tag != "param":
            _refuse(param, "params", "param")
        values.append(_read_value(_only_value(param), 4, max_depth))
    return values


def _read_value(element: Element, depth: int, max_depth: int) -> Any:
    """Read a value element that stands at some depth of the document."""
    children = len(element)
    if depth + (children > 0) > max_depth:
        raise ParseError(f"XML nested deeper than {max_depth}")
    if not children:
        return element.text or ""
    if children > 1:
        _refuse(element[1], "value", "one type")
    child = element[0]
    tag = child.tag
    read = SCALARS.get(tag)
    if read is not None:
        text = child.text or ""
        if len(child):
            _refuse(child[0], tag, "text only")
        try:
            return read(text)
        except ValueError as error:
            raise InvalidRequest(
                f"{tag}: got {_show(text)!r}, expected {error}"
            ) from error
    if tag == "struct":
        return _read_struct(child, depth + 3, max_depth)
    if tag == "array":
        return _read_array(child, depth + 3, max_depth)
    name = _local_name(tag)
    if name == tag or name not in _EXTENSIONS:
        _refuse(child, "value", "a type of XML-RPC")
    child.tag = name
    return _read_value(element, depth, max_depth)


def _read_struct(struct: Element, depth: int, max_depth: int) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for member in struct:
        if member.tag != "member":
            _refuse(member, "struct", "member")
        parts = list(member)
        if len(parts) != 2 or parts[0].tag != "name" or parts[1].tag != "value":
            got = ", ".join(f"<{_show(part.tag)}>" for part in parts[:3])
            raise InvalidRequest(
                f"member: got {got or 'nothing'}, expected <name>, <value>"
            )
        name = _read_text(parts[0])
        if name in members:
            raise InvalidRequest(f"struct: got the member {_show(name)!r} twice")
        members[name] = _read_value(parts[1], depth, max_depth)
    return members


def _read_array(array: Element, depth: int, max_depth: int) -> list[Any]:
    if not len(array):
        return []
    data = _only_child(array)
    if data.tag != "data":
        _refuse(data, "array", "data")
    elements = []
    for value in data:
        if value.tag != "value":
            _refuse(value, "data", "value")
        elements.append(_read_value(value, depth, max_depth))
    return elements


def _only_value(element: Element) -> Element:
    value = _only_child(element)
    if value.tag != "value":
        _refuse(value, element.tag, "value")
    return value


def _only_child(element: Element) -> Element:
    if len(element) != 1:
        raise InvalidRequest(
            f"{element.tag}: got {len(element)} elements, expected one"
        )
    return element[0]


def _read_text(element: Element) -> str:
    if len(element):
        _refuse(element[0], element.tag, "text only")
    return element.text or ""


def _refuse(element: Element, where: str, expected: str) -> NoReturn:
    raise InvalidRequest(f"{where}: got <{_show(element.tag)}>, expected {expected}")


def _local_name(tag: str) -> str:
    return tag.rpartition("}")[2].rpartition(":")[2]


def _show(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


#: Types that Apache has in a namespace of its own. Which one it is does not matter:
#: the names are clear without it, and some clients forget to declare it.
_EXTENSIONS = frozenset(
    {
        *("nil", "i1", "i2", "i4", "i8", "biginteger"),
        *("float", "bigdecimal", "dateTime"),
    }
)
