"""Reads elements of which no hint tells what they are: by their types and their looks.

Spec: SOAP 1.1, section 5; SOAP 1.2, part 2, section 3; for maps, Apache SOAP, whose
form of them PHP and Perl have taken over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element

from toolserver.describe.names import from_xml_name
from toolserver.errors import InvalidParams, InvalidRequest
from toolserver.protocols.soap_names import (
    SOAP11,
    SOAP12,
    is_nil,
    local_name,
    type_of,
)
from toolserver.protocols.soap_scalars import BY_NAME

__all__ = ["Reader", "is_array", "is_map", "pairs_of", "read_any", "read_map"]

#: Makes a plain value out of an element.
Reader = Callable[[Element], Any]

_MAPS = ("Map", "MapOf")
_ENTRY = ["key", "value"]
#: Attributes that only arrays have, in SOAP 1.1 and 1.2. Some clients have brought the
#: earlier one along.
_ARRAY_TYPES = (
    f"{{{SOAP11.encoding}}}arrayType",
    f"{{{SOAP12.encoding}}}itemType",
    f"{{{SOAP12.encoding}}}arrayType",
)
_ARRAY_SIZE = f"{{{SOAP12.encoding}}}arraySize"


def read_map(element: Element, read_value: Reader) -> dict[str, Any]:
    """Read a dictionary, be it a map or a struct.

    Args:
        element: What holds it.
        read_value: Reads each value.

    Returns:
        The values by their keys.

    Raises:
        InvalidParams: A key is there twice.
    """
    found: dict[str, Any] = {}
    for name, child in pairs_of(element):
        if name in found:
            raise InvalidParams(f"key {name[:60]!r}: given twice")
        found[name] = read_value(child)
    return found


def is_map(element: Element) -> bool:
    """Whether an element has items of a key and a value.

    Args:
        element: An element with children.
    """
    sent_type = type_of(element)
    if sent_type is not None and not sent_type.startswith(_MAPS):
        return False
    return all(
        local_name(item.tag) == "item"
        and [local_name(part.tag) for part in item] == _ENTRY
        for item in element
    )


def pairs_of(element: Element, has_item: bool = False) -> list[tuple[str, Element]]:
    """The values of a map with their keys, or the members of a struct.

    Args:
        element: What holds them.
        has_item: Whether a struct may have a member named ``item``, so that only a
            type tells a map.
    """
    if is_map(element) and not (has_item and type_of(element) is None):
        return [(key.text or "", value) for key, value in element]
    return [(from_xml_name(local_name(child.tag)), child) for child in element]


def read_any(element: Element, default_type: str | None = None) -> Any:
    """Read an element of which no hint tells what it is.

    Args:
        element: The element.
        default_type: Local name of the type that it has if it does not say one.

    Returns:
        A plain value, by its type if it has one, else by what it looks like.

    Raises:
        InvalidRequest: It is not of the type that it says.
    """
    if is_nil(element):
        return None
    sent_type = type_of(element) or default_type
    if not len(element):
        return _read_leaf(element, sent_type)
    if is_array(element, sent_type):
        return _read_array(element)
    if is_map(element):
        return read_map(element, read_any)
    pairs = [(from_xml_name(local_name(child.tag)), child) for child in element]
    if sent_type is None and all(name == "item" for name, _ in pairs):
        return _read_array(element)
    found: dict[str, Any] = {}
    repeated: set[str] = set()
    for name, child in pairs:
        value = read_any(child)
        if name not in found:
            found[name] = value
        elif name in repeated:
            found[name].append(value)
        else:
            repeated.add(name)
            found[name] = [found[name], value]
    return found


def _read_leaf(element: Element, sent_type: str | None) -> Any:
    text = element.text or ""
    scalar = BY_NAME.get(sent_type or "")
    if scalar is not None:
        value = scalar(text)
        if scalar is not str and isinstance(value, str):
            raise InvalidRequest(
                f"{local_name(element.tag)}: got {text[:60]!r}, expected {sent_type}"
            )
        return value
    if not text.strip():
        if is_array(element, sent_type):
            return []
        if sent_type is not None and sent_type.startswith((*_MAPS, "Struct")):
            return {}
    return text


def is_array(element: Element, sent_type: str | None) -> bool:
    """Whether an element says that it is an array.

    Args:
        element: The element.
        sent_type: The local name of its type, or None.
    """
    if sent_type is not None and sent_type.startswith("Array"):
        return True
    return any(element.get(name) is not None for name in (*_ARRAY_TYPES, _ARRAY_SIZE))


def _read_array(element: Element) -> list[Any]:
    item_type = next(filter(None, map(element.get, _ARRAY_TYPES)), "")
    # Of "xsd:int[2]" the type of the elements; of "xsd:int[][2]" they are arrays.
    item_type = item_type.rpartition(":")[2].partition("[")[0].strip()
    known = item_type if item_type in BY_NAME else None
    return [read_any(child, known) for child in element]
