"""Hints as XML Schema: the types of one tool, each under a name of its own.

Spec: XML Schema 1.0. Only what code generators are at home with is used: sequences,
enumerations, and a choice for a union.
"""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element, SubElement

from toolserver.describe.names import (
    BUILT_IN,
    choice_names,
    enumerated,
    members,
    type_name,
    xml_name,
)
from toolserver.types import Kind, Type

__all__ = ["Schema"]

_ANY = Type(Any)
#: Kinds of which every value may be None.
_NULLABLE = frozenset({Kind.ANY, Kind.NONE, Kind.OBJECT})
_ARRAY_OF_ANY, _MAP_OF_ANY = "ArrayOfAnyType", "MapOfAnyType"


class Schema:
    """Collects the types of one tool.

    Args:
        namespace: The target namespace.

    Attributes:
        root: The schema; prefixes are ``xsd`` and ``tns``.
    """

    def __init__(self, namespace: str) -> None:
        self.root = Element(
            "xsd:schema",
            {
                # So that the schema can also be taken out of its document.
                "xmlns:xsd": "http://www.w3.org/2001/XMLSchema",
                "xmlns:tns": namespace,
                "targetNamespace": namespace,
                "elementFormDefault": "qualified",
            },
        )
        self._names: dict[Any, str] = {}
        # What untyped values are made of has these names in messages, too.
        self._taken = {_ARRAY_OF_ANY, _MAP_OF_ANY}

    def add_wrapper(self, name: str) -> Element:
        """Add a global element that holds others.

        Args:
            name: Its name.

        Returns:
            Its sequence, for `add_element`.
        """
        element = SubElement(self.root, "xsd:element", name=name)
        return SubElement(SubElement(element, "xsd:complexType"), "xsd:sequence")

    def add_element(
        self,
        parent: Element,
        name: str,
        type_: Type,
        *,
        required: bool = True,
        repeated: bool = False,
    ) -> None:
        """Add an element of some type.

        Args:
            parent: The sequence or choice to which it belongs.
            name: Its name.
            type_: Its type.
            required: Whether it has to be there, if it is not nullable.
            repeated: Whether it may be there any number of times.
        """
        nullable = type_.nullable or type_.kind in _NULLABLE or None in type_.values
        facts = {"name": name, "type": self._reference(type_)}
        if repeated or nullable or not required:
            facts["minOccurs"] = "0"
        if repeated:
            facts["maxOccurs"] = "unbounded"
        if nullable:
            facts["nillable"] = "true"
        SubElement(parent, "xsd:element", facts)

    def _reference(self, type_: Type) -> str:
        name = type_name(type_)
        if type_.kind in BUILT_IN or name == "anyType":
            if name == "anyType":
                self._add_untyped()
            return f"xsd:{name}"
        key = _key(type_)
        known = self._names.get(key)
        if known is None:
            known = self._names[key] = self._distinct(name, key)
            self._add_type(known, type_)
        return f"tns:{known}"

    def _distinct(self, name: str, key: Any) -> str:
        if key == ("array", "anyType", True):
            return _ARRAY_OF_ANY
        if key == ("map", "anyType", True):
            return _MAP_OF_ANY
        name = xml_name(name)
        found, number = name, 1
        while found in self._taken:
            number += 1
            found = f"{name}{number}"
        self._taken.add(found)
        return found

    def _add_untyped(self) -> None:
        """Add what lists and dictionaries are where a hint says nothing of them."""
        for key, name, add in (
            (("array", "anyType", True), _ARRAY_OF_ANY, self._add_array),
            (("map", "anyType", True), _MAP_OF_ANY, self._add_map),
        ):
            if key not in self._names:
                self._names[key] = name
                add(name, _ANY)

    def _add_type(self, name: str, type_: Type) -> None:
        kind = type_.kind
        if kind in (Kind.ENUM, Kind.LITERAL):
            self._add_enumeration(name, type_)
        elif kind is Kind.UNION:
            choice = SubElement(self._complex(name), "xsd:choice")
            for element, item in zip(choice_names(type_), type_.items, strict=True):
                self.add_element(choice, element, item)
        elif kind is Kind.MAP:
            self._add_map(name, _last_item(type_))
        elif kind is Kind.RECORD or (kind is Kind.TUPLE and not type_.variadic):
            sequence = SubElement(self._complex(name), "xsd:sequence")
            for field in members(type_):
                self.add_element(
                    sequence,
                    xml_name(field.name),
                    field.type,
                    required=field.required,
                )
        else:
            self._add_array(name, _last_item(type_))

    def _add_array(self, name: str, item: Type) -> None:
        sequence = SubElement(self._complex(name), "xsd:sequence")
        self.add_element(sequence, "item", item, repeated=True)

    def _add_map(self, name: str, value: Type) -> None:
        sequence = SubElement(self._complex(name), "xsd:sequence")
        item = SubElement(
            sequence, "xsd:element", name="item", minOccurs="0", maxOccurs="unbounded"
        )
        entry = SubElement(SubElement(item, "xsd:complexType"), "xsd:sequence")
        SubElement(entry, "xsd:element", name="key", type="xsd:string")
        self.add_element(entry, "value", value)

    def _add_enumeration(self, name: str, type_: Type) -> None:
        texts = enumerated(type_)
        kinds = {type(value) for value in texts.values()}
        base = "xsd:long" if kinds == {int} else "xsd:string"
        simple = SubElement(self.root, "xsd:simpleType", name=name)
        restriction = SubElement(simple, "xsd:restriction", base=base)
        for text in texts:
            SubElement(restriction, "xsd:enumeration", value=text)

    def _complex(self, name: str) -> Element:
        return SubElement(self.root, "xsd:complexType", name=name)


def _last_item(type_: Type) -> Type:
    return type_.items[-1] if type_.items else _ANY


def _key(type_: Type) -> Any:
    """What two types have in common that may share one definition."""
    kind = type_.kind
    if kind in BUILT_IN:
        return BUILT_IN[kind]
    if kind in (Kind.LIST, Kind.SET) or (kind is Kind.TUPLE and type_.variadic):
        return ("array", *_nullable_key(_last_item(type_)))
    if kind is Kind.MAP:
        return ("map", *_nullable_key(_last_item(type_)))
    if kind is Kind.TUPLE and type_.items:
        return ("tuple", *map(_nullable_key, type_.items))
    if kind is Kind.UNION:
        return ("union", *map(_nullable_key, type_.items))
    if kind is Kind.LITERAL:
        return ("literal", *((type(value), value) for value in type_.values))
    if kind is Kind.ENUM:
        return ("enum", type_.bare)
    return (kind, type_.bare)


def _nullable_key(type_: Type) -> tuple[Any, bool]:
    return _key(type_), type_.nullable or type_.kind in _NULLABLE
