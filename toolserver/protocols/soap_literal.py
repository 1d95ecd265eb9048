"""Makes writers of results in the literal style, once for each method.

What is written is what the schema of the tool says: elements in the tool's namespace,
and no types, which strict clients do not expect. Only where the hint leaves the type
open, so that the schema says ``anyType``, an ``xsi:type`` tells what it is.

Spec: WS-I Basic Profile 1.1, section 4.7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toolserver.describe.names import choice_names, enumerated, members, xml_name
from toolserver.errors import ApplicationError
from toolserver.protocols.soap_scalars import BY_CLASS, TEXTS
from toolserver.protocols.xmltext import escape
from toolserver.recordmembers import tag_of
from toolserver.types import Kind, Type

__all__ = ["Writer", "Writers"]

Add = Callable[[str], None]
#: Adds the element for a plain value to the pieces of a message.
Writer = Callable[[Any, Add], None]

_MISSING: Any = object()
#: How little a record looks like the struct that its tag says it is not.
_OTHER = 1_000_000


class Writers:
    """Makes writers, and keeps those of records, which may contain themselves."""

    def __init__(self) -> None:
        self._records: dict[Any, Writer] = {}

    def writer(self, type_: Type, tag: str) -> Writer:
        """Make the writer of an element.

        Args:
            type_: The type of its values.
            tag: Its name.

        Returns:
            What writes an element of that name for a plain value.
        """
        kind = type_.kind
        texts = TEXTS.get(kind)
        if texts is not None:
            return _scalar_writer(type_, tag, texts)
        if kind in (Kind.ENUM, Kind.LITERAL) and enumerated(type_):
            return _enum_writer(type_, tag)
        if kind is Kind.RECORD:
            return _around(tag, dict, self._record_content(type_), type_)
        if kind is Kind.MAP:
            return _around(tag, dict, self._map_content(type_), type_)
        if kind is Kind.UNION:
            return self._union_writer(type_, tag)
        if kind is Kind.TUPLE and not type_.variadic:
            return _around(tag, list, self._tuple_content(type_), type_)
        if kind in (Kind.LIST, Kind.SET, Kind.TUPLE):
            return _around(tag, list, self._list_content(type_), type_)
        return _any_writer(tag)

    def _last_item(self, type_: Type, tag: str) -> Writer:
        return self.writer(type_.items[-1], tag) if type_.items else _any_writer(tag)

    def _record_content(self, type_: Type) -> Writer:
        known = self._records.get(type_.bare)
        if known is not None:
            return known
        fields: list[tuple[str, Writer, bool]] = []

        def write(value: Any, add: Add) -> None:
            for name, write_member, required in fields:
                member = value.get(name, _MISSING)
                if member is not _MISSING:
                    write_member(member, add)
                elif required:
                    raise ApplicationError(
                        f"result cannot be sent as SOAP: member {name!r} is missing, "
                        f"expected {type_.name}"
                    )

        # Before its members are looked at: they may be of the same type.
        self._records[type_.bare] = write
        fields += [
            (field.name, self.writer(field.type, xml_name(field.name)), field.required)
            for field in members(type_)
        ]
        return write

    def _tuple_content(self, type_: Type) -> Writer:
        parts = [
            self.writer(field.type, xml_name(field.name)) for field in members(type_)
        ]

        def write(value: Any, add: Add) -> None:
            if len(value) != len(parts):
                raise _mismatch(value, type_)
            for element, write_part in zip(value, parts, strict=True):
                write_part(element, add)

        return write

    def _list_content(self, type_: Type) -> Writer:
        write_item = self._last_item(type_, "item")

        def write(value: Any, add: Add) -> None:
            for element in value:
                write_item(element, add)

        return write

    def _map_content(self, type_: Type) -> Writer:
        write_value = self._last_item(type_, "value")

        def write(value: Any, add: Add) -> None:
            for key, member in value.items():
                add(f"<item><key>{escape(key)}</key>")
                write_value(member, add)
                add("</item>")

        return write

    def _union_writer(self, type_: Type, tag: str) -> Writer:
        names = choice_names(type_)
        choices = [
            (choice, self.writer(choice, name))
            for choice, name in zip(type_.items, names, strict=True)
        ]

        def write(value: Any, add: Add) -> None:
            if value is None:
                add(_nil(tag))
                return
            for _, write_choice in sorted(
                choices, key=lambda pair: _misfit(pair[0], value)
            ):
                pieces: list[str] = []
                try:
                    write_choice(value, pieces.append)
                except ApplicationError:
                    continue
                add(f"<{tag}>{''.join(pieces)}</{tag}>")
                return
            raise _mismatch(value, type_)

        return write


def _misfit(choice: Type, value: Any) -> int:
    """How little a choice of a union looks like a value; 0 for the best."""
    if choice.kind is Kind.RECORD and isinstance(value, dict):
        names = {field.name for field in members(choice)}
        tag = tag_of(choice.bare)
        if tag is not None and tag[0] in value:
            if value[tag[0]] != tag[1]:
                return _OTHER
            names.add(tag[0])
        return len(names.symmetric_difference(value))
    texts = TEXTS.get(choice.kind)
    if texts is not None:
        return 0 if next(iter(texts)) is value.__class__ else 1
    return 1


def _scalar_writer(
    type_: Type, tag: str, texts: dict[type, Callable[[Any], str]]
) -> Writer:
    usual, text_of = next(iter(texts.items()))
    opened, closed = f"<{tag}>", f"</{tag}>"

    def write(value: Any, add: Add) -> None:
        if value.__class__ is usual:
            add(f"{opened}{text_of(value)}{closed}")
        elif value is None:
            add(_nil(tag))
        elif value.__class__ in texts:
            add(f"{opened}{texts[value.__class__](value)}{closed}")
        else:
            raise _mismatch(value, type_)

    return write


def _enum_writer(type_: Type, tag: str) -> Writer:
    texts = {
        (value.__class__, value): escape(text)
        for text, value in enumerated(type_).items()
    }

    def write(value: Any, add: Add) -> None:
        if value is None:
            add(_nil(tag))
            return
        try:
            add(f"<{tag}>{texts[value.__class__, value]}</{tag}>")
        except (KeyError, TypeError):
            raise _mismatch(value, type_) from None

    return write


def _around(tag: str, container: type, write_content: Writer, type_: Type) -> Writer:
    """Write an element around content of elements."""
    opened, closed = f"<{tag}>", f"</{tag}>"

    def write(value: Any, add: Add) -> None:
        if value.__class__ is container:
            add(opened)
            write_content(value, add)
            add(closed)
        elif value is None:
            add(_nil(tag))
        else:
            raise _mismatch(value, type_)

    return write


def _any_writer(tag: str) -> Writer:
    def write(value: Any, add: Add) -> None:
        _write_any(value, tag, add)

    return write


def _write_any(value: Any, tag: str, add: Add) -> None:
    if value is None:
        add(_nil(tag))
        return
    scalar = BY_CLASS.get(value.__class__)
    if value.__class__ is str:
        # What has no type is text.
        add(f"<{tag}>{escape(value)}</{tag}>")
    elif scalar is not None:
        name, text_of = scalar
        add(f'<{tag} xsi:type="xsd:{name}">{text_of(value)}</{tag}>')
    elif value.__class__ is list:
        add(f'<{tag} xsi:type="ArrayOfAnyType">')
        for element in value:
            _write_any(element, "item", add)
        add(f"</{tag}>")
    else:
        add(f'<{tag} xsi:type="MapOfAnyType">')
        for key, member in value.items():
            add(f"<item><key>{escape(key)}</key>")
            _write_any(member, "value", add)
            add("</item>")
        add(f"</{tag}>")


def _nil(tag: str) -> str:
    return f'<{tag} xsi:nil="true"/>'


def _mismatch(value: Any, type_: Type) -> ApplicationError:
    shown = repr(value)
    if len(shown) > 60:
        shown = f"{shown[:60]}…"
    return ApplicationError(
        f"result cannot be sent as SOAP: got {type(value).__name__} {shown}, "
        f"expected {type_.name}"
    )
