"""Definitions of one document: schemas that others refer to by name.

A class may need two of them, one for what is sent and one for what comes back. Where
both are the same they are one definition. Names are known only when all are there, so
references are filled in at the end.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Definitions", "Schema", "Way"]

Schema = dict[str, Any]


class Way(enum.Enum):
    """Which way values go."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True)
class _Reference:
    """Stands for the URI of a definition until all have their names."""

    key: Any
    way: Way


class Definitions:
    """Collects definitions and gives them names.

    Args:
        prefix: What stands before the name of a definition in references.
        taken: Names that no definition may get.
    """

    def __init__(self, prefix: str, taken: Iterable[str]) -> None:
        self._prefix = prefix
        self._taken = frozenset(taken)
        self._defined: dict[_Reference, Schema] = {}
        self._titles: dict[Any, tuple[str, str]] = {}

    def refer(
        self, key: Any, way: Way, title: tuple[str, str], make: Callable[[], Schema]
    ) -> Schema:
        """Refer to a definition, which is made where it is not there yet.

        Args:
            key: What is defined: a class, or a generic one with its arguments.
            way: Which way its values go.
            title: What it is called, and the module that it comes from.
            make: Makes the schema; it may refer to the same definition.

        Returns:
            A schema with nothing but the reference.
        """
        reference = _Reference(key, way)
        if reference not in self._defined:
            self._titles.setdefault(key, title)
            # Known before it is made, for it may contain itself.
            self._defined[reference] = {}
            self._defined[reference] = make()
        return {"$ref": reference}

    def named(self) -> dict[str, Schema]:
        """All definitions by name.

        Returns:
            Schemas; `resolve` fills in their references.
        """
        names = self._names()
        return {name: self._defined[reference] for reference, name in names.items()}

    def resolve(self, document: Any) -> Any:
        """Fill in the references, when all schemas of a document were made.

        Args:
            document: The document, or any part of it.

        Returns:
            A copy that JSON can express.
        """
        return self._resolve(document, self._names(all_=True))

    def _resolve(self, part: Any, names: Mapping[_Reference, str]) -> Any:
        if isinstance(part, dict):
            return {key: self._resolve(value, names) for key, value in part.items()}
        if isinstance(part, list):
            return [self._resolve(value, names) for value in part]
        return self._prefix + names[part] if isinstance(part, _Reference) else part

    def _names(self, *, all_: bool = False) -> dict[_Reference, str]:
        """Names of definitions; with `all_` also of those that equal another one."""
        alike = self._alike()
        names: dict[_Reference, str] = {}
        used = set(self._taken)
        for key, (title, module) in self._titles.items():
            ways = [way for way in Way if _Reference(key, way) in self._defined]
            name = _free_name(title, module, used)
            used.add(name)
            differ = len(ways) == 2 and key not in alike
            for way in ways:
                names[_Reference(key, way)] = name
            if differ:
                given = _free_name(f"{name}Input", module, used)
                used.add(given)
                names[_Reference(key, Way.IN)] = given
            elif len(ways) == 2 and not all_:
                del names[_Reference(key, Way.IN)]
        return names

    def _alike(self) -> set[Any]:
        """Classes that are the same whichever way they go."""
        alike = {
            key
            for key in self._titles
            if all(_Reference(key, way) in self._defined for way in Way)
        }

        def differ(one: Any, other: Any) -> bool:
            if isinstance(one, _Reference) and isinstance(other, _Reference):
                same_way = one.way is other.way
                return one.key != other.key or not (same_way or one.key in alike)
            if isinstance(one, dict) and isinstance(other, dict):
                return one.keys() != other.keys() or any(
                    differ(one[key], other[key]) for key in one
                )
            if isinstance(one, list) and isinstance(other, list):
                return len(one) != len(other) or any(map(differ, one, other))
            return one.__class__ is not other.__class__ or bool(one != other)

        while True:
            # What refers to a class that differs, differs too.
            different = {
                key
                for key in alike
                if differ(
                    self._defined[_Reference(key, Way.IN)],
                    self._defined[_Reference(key, Way.OUT)],
                )
            }
            if not different:
                return alike
            alike -= different


def _free_name(title: str, module: str, used: set[str]) -> str:
    """A name for a definition: that of the class, with its module if need be."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", title).strip("_") or "Type"
    if name not in used:
        return name
    tail = re.sub(r"[^A-Za-z0-9_.-]+", "_", module.rpartition(".")[2])
    qualified = f"{tail}.{name}"
    number = 1
    while qualified in used:
        number += 1
        qualified = f"{tail}.{name}{number}"
    return qualified
