"""Writes results in SOAP's encoding, for callers who know no WSDL.

Each value says its type. Lists are arrays, dictionaries the maps of Apache SOAP, which
PHP and Perl know, records structs.

Spec: SOAP 1.1, section 5; SOAP 1.2, part 2, section 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toolserver.describe.names import members, xml_name
from toolserver.protocols.soap_names import SOAP11, Version
from toolserver.protocols.soap_scalars import BY_CLASS
from toolserver.protocols.xmltext import escape
from toolserver.types import Kind, Type

__all__ = ["APACHE", "write_encoded"]

#: The namespace of maps.
APACHE = "http://xml.apache.org/xml-soap"

Add = Callable[[str], None]

_ANY = Type(Any)
_INT = 2**31


def write_encoded(
    value: Any, type_: Type, tag: str, version: Version, add: Callable[[str], None]
) -> None:
    """Write an element with a value and its type.

    The prefixes ``xsi``, ``xsd``, ``enc`` and ``apache`` have to be declared.

    Args:
        value: A plain value.
        type_: The type that a hint gives it; it tells records from dictionaries.
        tag: Name of the element.
        version: The version of SOAP.
        add: Takes the pieces.

    Raises:
        ApplicationError: XML cannot carry the value.
    """
    if value is None:
        add(f'<{tag} xsi:nil="true"/>')
        return
    scalar = BY_CLASS.get(value.__class__)
    if scalar is not None:
        name, text_of = scalar
        if name == "long" and -_INT <= value < _INT:
            name = "int"
        elif name == "string" and type_.kind is Kind.TIMEDELTA:
            name = "duration"
        add(f'<{tag} xsi:type="xsd:{name}">{text_of(value)}</{tag}>')
    elif value.__class__ is list:
        _write_array(value, type_, tag, version, add)
    else:
        _write_dict(value, type_, tag, version, add)


def _write_array(
    value: list[Any], type_: Type, tag: str, version: Version, add: Add
) -> None:
    if version is SOAP11:
        shape = f'enc:arrayType="xsd:anyType[{len(value)}]"'
    else:
        shape = f'enc:itemType="xsd:anyType" enc:arraySize="{len(value)}"'
    add(f'<{tag} xsi:type="enc:Array" {shape}>')
    types = [field.type for field in members(type_)]
    rest = type_.items[-1] if type_.items and type_.kind is not Kind.UNION else _ANY
    for index, element in enumerate(value):
        item_type = types[index] if index < len(types) else rest
        write_encoded(element, item_type, "item", version, add)
    add(f"</{tag}>")


def _write_dict(
    value: dict[str, Any], type_: Type, tag: str, version: Version, add: Add
) -> None:
    record = _record_of(value, type_)
    if record is not None:
        types = {field.name: field.type for field in members(record)}
        add(f'<{tag} xsi:type="enc:Struct">')
        for name, member in value.items():
            member_type = types.get(name, _ANY)
            write_encoded(member, member_type, xml_name(name), version, add)
        add(f"</{tag}>")
        return
    value_type = type_.items[-1] if type_.kind is Kind.MAP and type_.items else _ANY
    add(f'<{tag} xsi:type="apache:Map">')
    for key, member in value.items():
        add(f'<item><key xsi:type="xsd:string">{escape(key)}</key>')
        write_encoded(member, value_type, "value", version, add)
        add("</item>")
    add(f"</{tag}>")


def _record_of(value: dict[str, Any], type_: Type) -> Type | None:
    """The record type that a dictionary is of, if it is one's."""
    if type_.kind is Kind.RECORD:
        return type_
    if type_.kind is not Kind.UNION:
        return None
    for choice in type_.items:
        if choice.kind is Kind.RECORD and all(
            field.name in value for field in choice.fields if field.required
        ):
            return choice
    return None
