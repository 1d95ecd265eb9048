"""What stands in elements, whatever their language: children and attributes.

Text is escaped here and nowhere else; only what has ``__html__`` is taken as it is, and
that between tags alone: the value of an attribute is text in any case.
"""

from __future__ import annotations

import datetime as dt
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Protocol, TypeAlias

__all__ = ["Attribute", "Attributes", "Child", "Element"]


class _HasHTML(Protocol):
    def __html__(self) -> str: ...


_Scalar: TypeAlias = str | int | float | Decimal | dt.date | dt.time | uuid.UUID
Child: TypeAlias = "_Scalar | _HasHTML | Iterable[Child] | None"
Attribute: TypeAlias = "_Scalar | Iterable[_Scalar | None] | None"
Attributes: TypeAlias = Mapping[str, Attribute]

_SCALARS = (int, float, Decimal, dt.date, dt.time, uuid.UUID)
#: Iterables that would fall into pieces which nobody meant.
_WHOLE = (bytes, bytearray, memoryview, Mapping)


class Element(ABC):
    """Writes elements of one name.

    Args:
        name: The name, checked.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<element {self.name}>"

    @abstractmethod
    def text(self, value: str) -> str:
        """Escape text for the space between tags."""

    @abstractmethod
    def attribute(self, name: str, value: Attribute) -> str:
        """Write one attribute with a blank in front; nothing for one left out."""

    @abstractmethod
    def attribute_name(self, keyword: str) -> str:
        """The name of an attribute that was given as a keyword."""

    def opening(
        self,
        content: tuple[Child | Attributes, ...],
        keywords: Attributes,
    ) -> tuple[str, tuple[Child, ...]]:
        """Write name and attributes of the opening tag.

        Args:
            content: The children; a mapping in front of them holds attributes.
            keywords: Attributes by names that Python can spell.

        Returns:
            What follows the ``<``, and the children.

        Raises:
            ValueError: A name or a value cannot be written, or a name is given twice.
            TypeError: A value is nothing that could be meant as text.
        """
        named = {self.attribute_name(key): value for key, value in keywords.items()}
        count = len(keywords)
        first = content[0] if content else None
        # Most often it is text or markup: an abstract class is slow to ask.
        if not isinstance(first, str) and isinstance(first, Mapping):
            named.update(first)
            count += len(first)
            content = content[1:]
        if not count:
            return self.name, content
        if len(named) != count:
            raise ValueError(f"{self.name}: got an attribute twice: {list(named)}")
        written = [self.attribute(name, value) for name, value in named.items()]
        return "".join([self.name, *written]), content

    def children(self, content: Iterable[Child]) -> str:
        """Write what stands between the tags.

        Args:
            content: Text, markup, numbers, dates, None, and iterables of these.

        Raises:
            TypeError: Some child is nothing of this.
        """
        parts: list[str] = []
        self._write(parts, content)
        return "".join(parts)

    def _write(self, parts: list[str], content: Iterable[Child]) -> None:
        for child in content:
            if child is None or child is False:
                continue
            if type(child) is not str and hasattr(child, "__html__"):
                parts.append(child.__html__())
            elif isinstance(child, str):
                parts.append(self.text(child))
            elif isinstance(child, _SCALARS) and child is not True:
                parts.append(self.text(_plain(child)))
            elif isinstance(child, Iterable) and not isinstance(child, _WHOLE):
                self._write(parts, child)
            else:
                raise TypeError(
                    f"{self.name}: got a child of type {type(child).__name__},"
                    " expected text, markup, a number, a date, None or a list of these"
                )

    def attribute_text(self, name: str, value: Attribute) -> str:
        """The value of an attribute as text, not escaped.

        Args:
            name: Name of the attribute, for error messages.
            value: What is no iterable stands for itself; parts of an iterable are
                joined by blanks, None and False left out.

        Raises:
            TypeError: It is nothing that could be meant as text.
        """
        if isinstance(value, str):
            return value
        if isinstance(value, _SCALARS):
            return _plain(value)
        if isinstance(value, Iterable) and not isinstance(value, _WHOLE):
            parts = [part for part in value if part is not None and part is not False]
            return " ".join(self.attribute_text(name, part) for part in parts)
        raise TypeError(
            f"{self.name}: got {name} of type {type(value).__name__},"
            " expected text, a number, a date, None or a list of these"
        )


def _plain(value: object) -> str:
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return str(value)
