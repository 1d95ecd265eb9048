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
from toolserver.describe.names import choice_names, enumerated, members, xml_name
from toolserver.errors import InvalidParams
from toolserver.protocols.soap_names import is_nil, local_name, type_of
from toolserver.protocols.soap_scalars import BY_KIND, BY_NAME, read_base64
from toolserver.protocols.soap_untyped import (
    Reader,
    is_array,
    is_map,
    pairs_of,
    read_any,
    read_map,
)
from toolserver.recordmembers import tag_of
from toolserver.types import Field, Kind, Type

__all__ = ["Readers"]

_BASE64 = frozenset({"base64Binary", "base64"})
_TEXT_TYPES = frozenset({"string", "normalizedString", "token"})
_CONTAINERS = frozenset({Kind.MAP, Kind.RECORD, Kind.LIST, Kind.SET, Kind.TUPLE})


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
        known = self._records.get(type_.bare)
        if known is not None:
            return known
        fields: dict[str, Reader] = {}
        absent: list[str] = []

        tag = tag_of(type_.bare)
        tagged = {} if tag is None else {tag[0]: tag[1]}

        def read(element: Element) -> Any:
            if not len(element):
                return _read_empty(element, dict(tagged))
            found: dict[str, Any] = {}
            # A map is what PHP makes of an array with names.
            for name, child in pairs_of(element, "item" in fields):
                read_member = fields.get(name)
                if read_member is not None:
                    if name in found:
                        raise InvalidParams(f"member {name!r}: given twice")
                    found[name] = read_member(child)
            for name in absent:
                found.setdefault(name, None)
            # A schema has no tags: there the name of the element tells the class.
            return {**tagged, **found} if tagged else found

        # Before its members are looked at: they may be of the same type.
        self._records[type_.bare] = read
        for field in type_.fields:
            fields[field.name] = self.reader(field.type)
            if _may_be_absent(field):
                absent.append(field.name)
        if tag is not None:
            own = tag[1]
            fields[tag[0]] = _scalar_reader(
                lambda text: own if text == str(own) else text
            )
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
        choices = list(zip(type_.items, map(self.reader, type_.items), strict=True))
        named = dict(zip(choice_names(type_), (r for _, r in choices), strict=True))
        # Text can be read as text whatever it is.
        leaves = sorted(
            (choice for choice in choices if choice[0].kind not in _CONTAINERS),
            key=lambda choice: choice[0].kind is Kind.STR,
        )
        # The items of a map look like those of a list, too.
        containers = sorted(
            (choice for choice in choices if choice[0].kind in _CONTAINERS),
            key=lambda choice: choice[0].kind is not Kind.MAP,
        )
        looks = [(_look_of(choice), read) for choice, read in containers]

        def read(element: Element) -> Any:
            if is_nil(element):
                return None
            if not len(element):
                return _read_choice(element, leaves)
            if len(element) == 1:
                chosen = named.get(local_name(element[0].tag))
                if chosen is not None:
                    return chosen(element[0])
            # By its look alone: to try each choice in turn would take twice as long
            # with each level of unions inside unions.
            for looks_like, read_choice in looks:
                if looks_like(element):
                    return read_choice(element)
            return read_any(element)

        return read


def _read_choice(element: Element, leaves: list[tuple[Type, Reader]]) -> Any:
    """Read an element without children as the first choice that its text fits."""
    scalar = BY_NAME.get(type_of(element) or "")
    if scalar is not None:
        return scalar(element.text or "")
    for choice, read_leaf in leaves:
        value = read_leaf(element)
        try:
            convert(choice, value, "")
        except InvalidParams:
            continue
        return value
    return read_any(element)


def _look_of(type_: Type) -> Callable[[Element], bool]:
    """What tells whether an element with children may be of a container type."""
    kind = type_.kind
    if kind is Kind.MAP:
        return is_map
    if kind is Kind.RECORD:
        required = {field.name for field in type_.fields if field.required}
        required -= {field.name for field in type_.fields if field.type.nullable}
        tag = tag_of(type_.bare)
        if tag is not None:
            return lambda element: _looks_tagged(element, required, tag)
        return lambda element: required.issubset(name for name, _ in pairs_of(element))
    if kind is Kind.TUPLE and not type_.variadic:
        names = {xml_name(field.name) for field in members(type_)}
        return lambda element: names.issuperset(local_name(e.tag) for e in element)
    return lambda element: (
        is_array(element, type_of(element))
        or all(local_name(child.tag) == "item" for child in element)
    )


def _looks_tagged(
    element: Element, required: set[str], tag: tuple[str, str | int]
) -> bool:
    """Whether an element may be a struct with a tag, which need not be sent."""
    found = dict(pairs_of(element))
    told = found.get(tag[0])
    return required.issubset(found) and (told is None or told.text == str(tag[1]))


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
        return read_map(element, read_value)

    return read
