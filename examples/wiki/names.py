"""Names of pages: in any script, with slashes, and safe as the paths of files."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import quote, urlencode

from toolserver.errors import InvalidParams

_MOST_PARTS = 5
_LONGEST_PART = 60
_MARKS = frozenset(" -_.,!?'()&+:;")
#: What is asked for first in a folder of static files.
_INDEX = "index.html"


def page_name(text: str) -> str:
    """Bring the name of a page into its one form.

    Args:
        text: The name as somebody typed it: up to five parts between slashes, each of
            letters, digits, symbols, blanks and a few marks.

    Returns:
        The name, composed (Unicode Normalization Form C) and without needless blanks.
        Its parts are names of folders: none is hidden, none leads upwards.

    Raises:
        InvalidParams: It is no such name.
    """
    # Longer ones are refused in any case; normalizing them would only take time.
    parts = unicodedata.normalize("NFC", text[:1000]).split("/")
    parts = [" ".join(part.split()) for part in parts]
    if len(parts) > _MOST_PARTS or not all(map(_is_part, parts)):
        raise InvalidParams(
            f"page: got {text[:100]!r}, expected up to {_MOST_PARTS} parts between"
            f" slashes, each of 1 to {_LONGEST_PART} letters, digits and blanks"
        )
    return "/".join(parts)


def _is_part(part: str) -> bool:
    return (
        0 < len(part) <= _LONGEST_PART
        # A name of a file has 255 bytes at most.
        and len(part.encode(errors="replace")) <= 240
        and not part.startswith(".")
        and not part.endswith(".")
        and part.casefold() != _INDEX
        and all(map(_is_allowed, part))
    )


def _is_allowed(character: str) -> bool:
    kind = unicodedata.category(character)
    return character in _MARKS or kind[0] in "LMN" or kind in ("So", "Sc")


def page_path(name: str) -> str:
    """The path of a page below the wiki, percent-encoded.

    Args:
        name: A name as `page_name` returns it.

    Returns:
        ``page/Garden/Roses/``; the same path leads to the rendered file.
    """
    return f"page/{quote(name)}/"


def method_path(method: str, name: str) -> str:
    """The path of a method below the wiki, with a page as its argument.

    Args:
        method: Name of the method.
        name: A name as `page_name` returns it.
    """
    return f"{method}?{urlencode({'page': name})}"


def linked_pages(text: str) -> set[str]:
    """The names of the pages that a text links to.

    Args:
        text: The text of a page.
    """
    found = set()
    for link in LINK.finditer(text):
        try:
            found.add(page_name(link[1]))
        except InvalidParams:
            continue
    return found


#: ``[[Name]]`` or ``[[Name|what is shown]]``.
LINK = re.compile(r"\[\[([^\[\]|\n]{1,310})(?:\|([^\[\]\n]{1,200}))?\]\]")
