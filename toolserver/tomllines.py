"""Tells on which lines the keys of a TOML text are, which `tomllib` does not.

The text has to be well-formed: `tomllib` has read it before.
Spec: TOML 1.0.0.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Statement", "statements"]

_PART = r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|[A-Za-z0-9_-]+)"""
_PATH = re.compile(rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*")
_ONE_PART = re.compile(_PART)
_SKIPPED = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|[\[\]{}\n]"
    r"|[^\"'\#\[\]{}\n]+",
    re.DOTALL,
)


@dataclass(frozen=True)
class Statement:
    """A header or a key with its value.

    Attributes:
        path: Where it belongs, from the root of the document.
        line: Number of its first line, from 1.
        is_header: Whether it is the header of a table.
    """

    path: tuple[str, ...]
    line: int
    is_header: bool


def statements(text: str) -> Iterator[Statement]:
    """Find the statements of a well-formed TOML text.

    Args:
        text: The text.

    Yields:
        Its statements, in order; what is inside of an inline table belongs to the
        statement around it.
    """
    table: tuple[str, ...] = ()
    position, line, counted = 0, 1, 0
    while True:
        position = _end(_SKIPPED.match(text, position), position)
        if position >= len(text):
            return
        line += text.count("\n", counted, position)
        counted = position
        is_header = text[position] == "["
        if is_header:
            # The second bracket is that of an array of tables.
            start = re.compile(r"\[\[?[ \t]*").match(text, position)
            position = _end(start, position)
        found = _PATH.match(text, position)
        if found is None:
            return
        path = tuple(_plain(part) for part in _ONE_PART.findall(found[0]))
        if is_header:
            table = path
        yield Statement(path if is_header else table + path, line, is_header)
        position = _end_of_value(text, found.end())


def _end(found: re.Match[str] | None, otherwise: int) -> int:
    return otherwise if found is None else found.end()


def _plain(part: str) -> str:
    return next(iter(tomllib.loads(f"{part}=0"))) if part[0] in "\"'" else part


def _end_of_value(text: str, position: int) -> int:
    depth = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            return len(text)
        symbol = found[0]
        if symbol == "\n" and depth <= 0:
            break
        depth += (symbol in ("[", "{")) - (symbol in ("]", "}"))
        position = found.end()
    return position
