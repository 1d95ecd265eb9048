"""Results as the hints of a class have them."""

from __future__ import annotations

import inspect
import typing
from typing import Any

from toolserver.conversion import convert
from toolserver.errors import InvalidParams
from toolserver.marks import marks_of
from toolserver.types import Kind, Type

__all__ = ["Hints"]


class Hints:
    """The types of the results of a class's methods, read when they are needed.

    Args:
        cls: A tool class, a `typing.Protocol`, or any class with the same methods.
    """

    def __init__(self, cls: type[Any]) -> None:
        self._cls = cls
        self._known: dict[str, Type | None] = {}

    def wire_name(self, attribute: str) -> str:
        """The name by which callers know a method.

        Args:
            attribute: Its name in the class, where ``@expose`` may give it another.
        """
        name = marks_of(getattr(self._cls, attribute, None)).get("name")
        if not isinstance(name, str) or not name:
            return attribute
        self._known[name] = self._read(attribute)
        return name

    def convert(self, method: str, value: Any) -> Any:
        """Make the result of a method what its hint says.

        Args:
            method: Name of the method as callers know it.
            value: The result, plain.

        Returns:
            The converted result; as it is where there is no hint.

        Raises:
            TypeError: It does not fit the hint.
        """
        if method not in self._known:
            self._known[method] = self._read(method)
        type_ = self._known[method]
        if type_ is None:
            return value
        try:
            return convert(type_, value, f"result of {method}")
        except InvalidParams as error:
            raise TypeError(error.message) from error

    def _read(self, method: str) -> Type | None:
        found = inspect.getattr_static(self._cls, method, None)
        function = getattr(found, "__func__", found)
        if not callable(function):
            return None
        hint = typing.get_type_hints(function, include_extras=True).get("return", Any)
        type_ = Type(hint)
        return None if type_.kind is Kind.OBJECT else type_
