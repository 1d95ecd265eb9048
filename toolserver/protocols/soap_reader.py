"""Makes readers of elements out of hints, once for each method.

One reader serves both styles of SOAP. What callers with a WSDL send has no types, and
the hint tells what it is; what others send has a type of its own, which only matters
where the hint leaves it open. So text may arrive as base64 and digits as an integer
where text is due, and a dictionary as a struct or as a map.

A reader makes plain values, which are converted to the hints afterwards; what does not
fit is left for that to complain about.

The depth of elements was bounded before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from xml.etree.ElementTree import Element

from toolserver.conversion import convert
from toolserver.describe.names import (
    choice_names,
    enumerated,
    from_xml_name,
    members,
    xml_name,
)
from toolserver.errors import InvalidParams, InvalidRequest
from toolserver.protocols.soap_names import (
    SOAP11,
    SOAP12,
    is_nil,
    local_name,
    type_of,
)
from toolserver.protocols.soap_scalars import BY_KIND, BY_NAME, read_base64
from toolserver.types import Field, Kind, Type

__all__ = ["Reader", "Readers", "read_any"]

Reader = Callable[[Element], Any]

_BASE64 = frozenset({"base64Binary", "base64"})
_TEXT_TYPES = frozenset({"string", "normalizedString", "token"})
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


class Readers:
    """Makes readers, and keeps those of records, which may contain themselves."""

    def __init__(self) -> None:
        self._records: dict[Any, Reader] = {}

    def reader(self, type_: Type) -> Reader:
        """Make the reader of a type.

        Args:
            type_: The type.

        Returns:
            What reads an element of that type.
        """
        kind = type_.kind
        if kind is Kind.STR:
            return _read_str
        if kind is Kind.BYTES:
            return _read_bytes
        parse = BY_KIND.get(kind)
        if parse is not None:
            return _scalar_reader(parse)
        if kind in (Kind.ENUM, Kind.LITERAL):
            texts = enumerated(type_)
            if not texts:
                return read_any
            return _scalar_reader(lambda text: texts.get(text, text))
        if kind is Kind.RECORD:
            return self._record_reader(type_)
        if kind is Kind.MAP:
            return _map_reader(self._last_item(type_))
        if kind is Kind.UNION:
            return self._union_reader(type_)
        if kind is Kind.TUPLE and not type_.variadic:
            return self._tuple_reader(type_)
        if kind in (Kind.LIST, Kind.SET, Kind.TUPLE):
            return _list_reader(self._last_item(type_))
        return read_any

    def _last_item(self, type_: Type) -> Reader:
        return self.reader(type_.items[-1]) if type_.items else read_any

    def _record_reader(self, type_: Type) -> Reader:
        known = self._records.get(type_.hint)
        if known is not None:
            return known
        fields: dict[str, Reader] = {}
        absent: list[str] = []

        def read(element: Element) -> Any:
            if not len(element):
                return _read_empty(element, {})
            found: dict[str, Any] = {}
            # A map is what PHP makes of an array with names.
            for name, child in _pairs(element, "item" in fields):
                read_member = fields.get(name)
                if read_member is not None:
                    if name in found:
                        raise InvalidParams(f"member {name!r}: given twice")
                    found[name] = read_member(child)
            for name in absent:
                found.setdefault(name, None)
            return found

        # Before its members are looked at: they may be of the same type.
        self._records[type_.hint] = read
        for field in type_.fields:
            fields[field.name] = self.reader(field.type)
            if _may_be_absent(field):
                absent.append(field.name)
        return read

    def _tuple_reader(self, type_: Type) -> Reader:
        parts = [
            (xml_name(field.name), self.reader(field.type), field)
            for field in members(type_)
        ]
        names = {name for name, _, _ in parts}

        def read(element: Element) -> Any:
            if not len(element):
                return _read_empty(element, [])
            if not names.issuperset(local_name(child.tag) for child in element):
                # An array of SOAP's encoding names its elements as it likes.
                readers = [read_part for _, read_part, _ in parts]
                readers += [read_any] * (len(element) - len(parts))
                return [
                    read_part(child)
                    for child, read_part in zip(element, readers, strict=False)
                ]
            sent = {local_name(child.tag): child for child in element}
            found = []
            for name, read_part, field in parts:
                if name in sent:
                    found.append(read_part(sent.pop(name)))
                elif _may_be_absent(field) or (sent and field.type.nullable):
                    found.append(None)
                else:
                    break
            return found

        return read

    def _union_reader(self, type_: Type) -> Reader:
        readers = list(map(self.reader, type_.items))
        named = dict(zip(choice_names(type_), readers, strict=True))
        tries = list(zip(type_.items, readers, strict=True))
        # Text can be read as text whatever it is.
        tries.sort(key=lambda pair: pair[0].kind is Kind.STR)

        def read(element: Element) -> Any:
            if is_nil(element):
                return None
            if len(element) == 1:
                chosen = named.get(local_name(element[0].tag))
                if chosen is not None:
                    return chosen(element[0])
            scalar = BY_NAME.get(type_of(element) or "")
            if scalar is not None and not len(element):
                return scalar(element.text or "")
            for choice, read_choice in tries:
                try:
                    value = read_choice(element)
                    convert(choice, value, "")
                except InvalidParams:
                    continue
                return value
            return read_any(element)

        return read


def _may_be_absent(field: Field) -> bool:
    """Whether a member that has no default is None where it was not sent."""
    return field.required and field.type.nullable


def _read_empty(element: Element, empty: Any) -> Any:
    """What an element without children holds where children are usual."""
    if is_nil(element):
        return None
    text = element.text
    return text if text is not None and text.strip() else empty


def _scalar_reader(parse: Callable[[str], Any]) -> Reader:
    def read(element: Element) -> Any:
        text = element.text
        if text is None or len(element):
            if is_nil(element):
                return None
            return read_any(element) if len(element) else parse("")
        return parse(text)

    return read


def _read_str(element: Element) -> Any:
    text = element.text or ""
    if len(element):
        return read_any(element)
    sent_type = type_of(element)
    if sent_type in _BASE64:
        # SOAP::Lite sends each text that is not ASCII so.
        data = read_base64(text)
        try:
            return data.decode() if isinstance(data, bytes) else data
        except UnicodeDecodeError:
            return data
    return None if not text and is_nil(element) else text


def _read_bytes(element: Element) -> Any:
    if len(element) or is_nil(element):
        return read_any(element)
    text = element.text or ""
    sent_type = type_of(element)
    if sent_type in _TEXT_TYPES:
        # Text of somebody who has no other way to say bytes.
        return text.encode()
    return (BY_NAME["hexBinary"] if sent_type == "hexBinary" else read_base64)(text)


def _list_reader(read_item: Reader) -> Reader:
    def read(element: Element) -> Any:
        if not len(element):
            return _read_empty(element, [])
        return [read_item(child) for child in element]

    return read


def _map_reader(read_value: Reader) -> Reader:
    def read(element: Element) -> Any:
        if not len(element):
            return _read_empty(element, {})
        return _read_map(element, read_value)

    return read


def _read_map(element: Element, read_value: Reader) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, child in _pairs(element):
        if name in found:
            raise InvalidParams(f"key {name[:60]!r}: given twice")
        found[name] = read_value(child)
    return found


def _is_map(element: Element) -> bool:
    """Whether an element has items of a key and a value."""
    sent_type = type_of(element)
    if sent_type is not None and not sent_type.startswith(_MAPS):
        return False
    return all(
        local_name(item.tag) == "item"
        and [local_name(part.tag) for part in item] == _ENTRY
        for item in element
    )


def _pairs(element: Element, has_item: bool = False) -> list[tuple[str, Element]]:
    """The values of a map with their keys, or the members of a struct.

    Args:
        element: What holds them.
        has_item: Whether a struct may have a member named ``item``, so that only a
            type tells a map.
    """
    if _is_map(element) and not (has_item and type_of(element) is None):
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
    if _is_array(element, sent_type):
        return _read_array(element)
    if _is_map(element):
        return _read_map(element, read_any)
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
        if _is_array(element, sent_type):
            return []
        if sent_type is not None and sent_type.startswith((*_MAPS, "Struct")):
            return {}
    return text


def _is_array(element: Element, sent_type: str | None) -> bool:
    if sent_type is not None and sent_type.startswith("Array"):
        return True
    return any(element.get(name) is not None for name in (*_ARRAY_TYPES, _ARRAY_SIZE))


def _read_array(element: Element) -> list[Any]:
    item_type = next(filter(None, map(element.get, _ARRAY_TYPES)), "")
    # Of "xsd:int[2]" the type of the elements; of "xsd:int[][2]" they are arrays.
    item_type = item_type.rpartition(":")[2].partition("[")[0].strip()
    known = item_type if item_type in BY_NAME else None
    return [read_any(child, known) for child in element]
