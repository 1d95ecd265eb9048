"""Lists of lines ``name:value``, as hosts, accounts and groups are kept."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["NAME", "named_lines"]

#: Names of clients and groups.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")


def named_lines(text: str) -> Iterator[tuple[int, str, str]]:
    """Read the lines of a list.

    Args:
        text: The list; what follows a ``#`` at the start of a line or after a blank
            is a comment.

    Yields:
        The number of the line, the name and the value.

    Raises:
        ValueError: A line has no name, or a malformed one; begins with its number.
    """
    for number, line in enumerate(text.split("\n"), 1):
        content = re.sub(r"(?:^|\s)#.*", "", line).strip()
        if not content:
            continue
        name, colon, value = content.partition(":")
        name, value = name.strip(), value.strip()
        if not colon or not value:
            raise ValueError(f"{number}: expected name:value")
        if NAME.fullmatch(name) is None:
            raise ValueError(
                f"{number}: got the name {name!r}, expected letters, digits and any of "
                "._@+-"
            )
        yield number, name, value
