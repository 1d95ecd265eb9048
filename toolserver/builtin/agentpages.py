"""Lists that are told to agents page by page.

Spec: Model Context Protocol, revision 2026-07-28, utilities, pagination.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from toolserver.errors import InvalidParams

__all__ = ["page_of"]

T = TypeVar("T")

#: Entries of a list that are told at once.
_PAGE = 200


def page_of(
    key: str, entries: Iterable[T], cursor: str, describe: Callable[[T], dict[str, Any]]
) -> dict[str, Any]:
    """A page of a list.

    Args:
        key: The member that holds the entries.
        entries: All entries.
        cursor: Where to go on, from the page before; empty for the first one.
        describe: Tells of an entry.

    Returns:
        The entries of the page, and a cursor if there are more.

    Raises:
        InvalidParams: The cursor is none.
    """
    begin = _read_cursor(cursor) if cursor else 0
    found = list(entries)
    page: dict[str, Any] = {key: list(map(describe, found[begin : begin + _PAGE]))}
    if begin + _PAGE < len(found):
        page["nextCursor"] = _cursor(begin + _PAGE)
    return page


def _cursor(begin: int) -> str:
    # Opaque to clients, so that it may become another thing.
    return base64.urlsafe_b64encode(str(begin).encode()).decode()


def _read_cursor(cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor.encode()).decode()
        if len(text) > 12 or not text.isascii() or not text.isdigit():
            raise ValueError
        return int(text)
    except (ValueError, binascii.Error):
        raise InvalidParams(
            f"cursor: got {cursor!r:.70}, expected one of ours"
        ) from None
