"""What types, elements and namespaces are called in XML Schema, SOAP and WSDL.

The names follow from the hints alone, so that a codec and a document agree on them
without knowing of each other.

Spec: Namespaces in XML 1.0 (NCName).
"""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Collection
from typing import Any
from urllib.parse import quote, unquote

from toolserver.types import Field, Kind, Type

__all__ = [
    "BUILT_IN",
    "choice_names",
    "enumerated",
    "from_xml_name",
    "members",
    "namespace_of",
    "response_name",
    "target_namespace",
    "type_name",
    "xml_name",
]

#: Types of XML Schema by kind.
BUILT_IN = {
    Kind.ANY: "anyType",
    Kind.NONE: "anyType",
    Kind.OBJECT: "anyType",
    Kind.BOOL: "boolean",
    Kind.INT: "long",
    Kind.FLOAT: "double",
    Kind.DECIMAL: "decimal",
    Kind.STR: "string",
    Kind.BYTES: "base64Binary",
    Kind.DATETIME: "dateTime",
    Kind.DATE: "date",
    Kind.TIME: "time",
    Kind.TIMEDELTA: "duration",
    Kind.UUID: "string",
}
_URN = "urn:toolserver:"
_NCNAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_NOT_IN_NAME = re.compile(r"^[^A-Za-z_]|[^A-Za-z0-9_.-]|_(?=x[0-9A-F]{4,6}_)")
_ESCAPED = re.compile(r"_x([0-9A-F]{4,6})_")
_EMPTY = "_x_"
_NO_WORD = re.compile(r"[^A-Za-z0-9_]+")


def xml_name(name: str) -> str:
    """A name of an element for any name.

    Args:
        name: The name of a method, a parameter or a member.

    Returns:
        The name itself if it can be one, else with ``_xHHHH_`` for each character
        that cannot stand there.
    """
    if _NCNAME.fullmatch(name) is not None and "_x" not in name:
        return name
    return _NOT_IN_NAME.sub(lambda found: f"_x{ord(found[0]):04X}_", name) or _EMPTY


def from_xml_name(name: str) -> str:
    """The name for which `xml_name` made the name of an element.

    Args:
        name: The local name of an element.

    Returns:
        The name.
    """
    if "_x" not in name:
        return name
    return "" if name == _EMPTY else _ESCAPED.sub(_unescape, name)


def _unescape(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    return chr(number) if number <= 0x10FFFF else found[0]


def target_namespace(namespace: str) -> str:
    """The XML namespace of a tool.

    Args:
        namespace: Its dotted name.

    Returns:
        A URN, in which what it cannot hold is percent-encoded.
    """
    return _URN + quote(namespace, safe="~")


def namespace_of(uri: str) -> str | None:
    """The dotted name of the tool whose XML namespace this is.

    Args:
        uri: The namespace.

    Returns:
        The name, or None for a namespace of somebody else's.
    """
    return unquote(uri[len(_URN) :]) if uri.startswith(_URN) else None


def response_name(operation: str, operations: Collection[str]) -> str:
    """The name of the element that holds the result of an operation.

    Args:
        operation: The name of the operation.
        operations: Those of all operations of the tool, which are elements, too.

    Returns:
        The name with ``Response`` behind it, and underscores until it is no other's.
    """
    name = f"{operation}Response"
    while name in operations:
        name += "_"
    return name


def type_name(type_: Type) -> str:
    """What a type is called in a schema where no other has that name.

    Args:
        type_: The type.

    Returns:
        A type of XML Schema, the name of a class, or one such as ``ArrayOfLong``.
    """
    kind = type_.kind
    if kind in (Kind.LIST, Kind.SET) or (kind is Kind.TUPLE and type_.variadic):
        return f"ArrayOf{_item_name(type_)}"
    if kind is Kind.MAP:
        return f"MapOf{_item_name(type_)}"
    if kind is Kind.TUPLE and type_.items:
        return "TupleOf" + "And".join(map(_capital_name, type_.items))
    if kind is Kind.UNION:
        return "Or".join(_capitalize(name) for name in choice_names(type_))
    if kind is Kind.LITERAL:
        if not enumerated(type_):
            return "anyType"
        words = [_NO_WORD.sub("", str(value)) for value in type_.values[:3]]
        return "OneOf" + "".join(word[:20].capitalize() for word in words)
    if kind is Kind.ENUM and not enumerated(type_):
        return "anyType"
    built_in = BUILT_IN.get(kind)
    if built_in is not None:
        return built_in
    shown = type_.name.removesuffix(" | None")
    return _NO_WORD.sub("_", shown).strip("_") or "Record"


def _item_name(type_: Type) -> str:
    return _capital_name(type_.items[-1]) if type_.items else "AnyType"


def _capital_name(type_: Type) -> str:
    optional = "Optional" if type_.nullable and type_.kind is not Kind.ANY else ""
    return optional + _capitalize(type_name(type_))


def _capitalize(name: str) -> str:
    return name[:1].upper() + name[1:]


def choice_names(type_: Type) -> tuple[str, ...]:
    """The names of the elements of which one holds the value of a union.

    Args:
        type_: A union.

    Returns:
        For each of its types a name; a further type of one name gets a number.
    """
    names: list[str] = []
    for item in type_.items:
        base = name = type_name(item)
        number = 1
        while name in names:
            number += 1
            name = f"{base}{number}"
        names.append(name)
    return tuple(names)


def enumerated(type_: Type) -> dict[str, Any]:
    """The allowed values of an enumeration or a literal by their texts.

    Args:
        type_: The type.

    Returns:
        The values; none where some are not simply text, numbers or truth values.
    """
    texts: dict[str, Any] = {}
    for value in type_.values:
        if value is None:
            continue
        if type(value) is bool:
            texts.setdefault("true" if value else "false", value)
        elif type(value) in (str, int):
            texts.setdefault(str(value), value)
        elif isinstance(value, str):
            plain = str.__str__(value)
            texts.setdefault(plain, plain)
        else:
            return {}
    return texts


def members(type_: Type) -> tuple[Field, ...]:
    """The named parts of a record, and those of a tuple of a fixed length.

    Args:
        type_: The type.

    Returns:
        Its fields, also those that a dataclass computes by itself, which are only
        sent; of a plain tuple ``item1``, ``item2`` and so on; none for other types.
    """
    if type_.kind is Kind.RECORD:
        return type_.fields + _computed(type_)
    if type_.kind is not Kind.TUPLE or type_.variadic:
        return ()
    if type_.items:
        return tuple(
            Field(f"item{number}", item, required=True)
            for number, item in enumerate(type_.items, 1)
        )
    return type_.places


def _computed(type_: Type) -> tuple[Field, ...]:
    record = _class_of(type_)
    if not dataclasses.is_dataclass(record):
        return ()
    hidden = [field.name for field in dataclasses.fields(record) if not field.init]
    if not hidden:
        return ()
    hints = typing.get_type_hints(record, include_extras=True)
    return tuple(Field(name, Type(hints[name]), required=False) for name in hidden)


def _class_of(type_: Type) -> Any:
    """The class of a type that may have parameters."""
    return typing.get_origin(type_.bare) or type_.bare
