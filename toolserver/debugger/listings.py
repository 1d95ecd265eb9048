"""Lists of facts that are shown as tables."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any, TypeVar

__all__ = ["Listing", "printable"]

T = TypeVar("T")

#: Characters of a cell; the last one of a row is shown whole.
_WIDEST = 40


class Listing(list[T]):
    """A list of dataclasses, all of one class; at the prompt it is a table."""

    def __repr__(self) -> str:
        if not self:
            return "none"
        names = [field.name for field in fields(self[0])]  # type: ignore[arg-type]  # dataclasses
        cells = [[_cell(getattr(row, name)) for name in names] for row in self]
        # What is the same nothing everywhere takes no column.
        kept = [i for i in range(len(names)) if any(row[i] for row in cells)]
        rows = [[names[i].upper().replace("_", " ") for i in kept]]
        rows += [[row[i] for i in kept] for row in cells]
        rows = [[*map(_cut, row[:-1]), row[-1]] for row in rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) for cell, width in zip(row, widths, strict=True)
            ).rstrip()
            for row in rows
        )


def printable(text: str) -> str:
    """Write text from the network so that it does nothing to a terminal.

    Args:
        text: The text.

    Returns:
        The same with what is not printable as in Python's own texts.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")
    if isinstance(value, (list, tuple, set, frozenset)):
        return printable(", ".join(map(str, value)))
    return printable(str(value))


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."
