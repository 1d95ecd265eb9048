"""Stand-ins for the tools that a factory makes: what they offer, whatever the key.

Documents describe them once for all keys. Nothing of a stand-in is ever called: it was
not even initialized, it only has the methods of its class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from toolserver.entries import FactoryEntry, ToolEntry, make_entry

__all__ = ["Placed", "place"]


@dataclass(frozen=True)
class Placed:
    """A tool and the path that leads to it.

    Attributes:
        entry: The tool.
        path: Its path with a slash at its end; ``{key}`` where any key may stand.
        name: Its full name, with ``key`` in the place of keys.
        patterns: For each key in the path its name and what it has to match.
    """

    entry: ToolEntry
    path: str
    name: str
    patterns: tuple[tuple[str, str], ...] = ()


def place(entry: ToolEntry) -> Iterator[Placed]:
    """A tool, and if it is a factory all kinds of tools that it leads to.

    Args:
        entry: The tool.

    Yields:
        The tool itself, then stand-ins. A class is not followed again below itself.
    """
    yield from _below(Placed(entry, entry.path, entry.namespace), ())


def _below(placed: Placed, above: tuple[type, ...]) -> Iterator[Placed]:
    yield placed
    entry = placed.entry
    if not isinstance(entry, FactoryEntry):
        return
    factory = entry.factory
    number = len(placed.patterns) + 1
    key = f"key{number}" if number > 1 else "key"
    for cls in factory.children:
        if cls in above:
            continue
        child = object.__new__(cls)
        child.key = key
        child.parent = factory
        child.namespace = ".".join(part for part in (entry.namespace, key) if part)
        yield from _below(
            Placed(
                make_entry(child, source=entry.source, is_builtin=entry.is_builtin),
                f"{placed.path}{{{key}}}/",
                ".".join(part for part in (placed.name, key) if part),
                (*placed.patterns, (key, factory.key_pattern)),
            ),
            (*above, cls),
        )
