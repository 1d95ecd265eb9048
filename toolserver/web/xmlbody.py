"""Results as XML, for callers of REST who prefer it to JSON.

A mapping becomes elements named by its keys (``<item key="…">`` where a key is no XML
name), a list a row of ``<item>``, None an element with ``nil="true"``, bytes base64.
"""

from __future__ import annotations

import base64
import datetime
import math
import re
from decimal import Decimal
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from toolserver.errors import ApplicationError
from toolserver.plain import to_plain
from toolserver.xmlcharacters import ILLEGAL

__all__ = ["to_xml"]

_NAME = re.compile(r"(?!xml)[A-Za-z_][A-Za-z0-9_.-]*", re.IGNORECASE)


def to_xml(value: Any) -> bytes:
    """Write a result as an XML document.

    Args:
        value: What a method returned.

    Returns:
        UTF-8, with ``result`` as the root element.

    Raises:
        ApplicationError: The value holds what XML cannot express.
    """
    parts = ['<?xml version="1.0" encoding="utf-8"?>\n']
    _write(parts, "result", "", to_plain(value))
    return "".join(parts).encode()


def _write(parts: list[str], name: str, attributes: str, value: Any) -> None:
    if value is None:
        parts.append(f'<{name}{attributes} nil="true"/>')
        return
    parts.append(f"<{name}{attributes}>")
    if isinstance(value, dict):
        for key, member in value.items():
            if _NAME.fullmatch(key):
                _write(parts, key, "", member)
            else:
                _write(parts, "item", f" key={quoteattr(_text(key))}", member)
    elif isinstance(value, list):
        for element in value:
            _write(parts, "item", "", element)
    else:
        # A bare carriage return would be read as a line feed (XML 1.0, section 2.11).
        parts.append(escape(_text(value), {"\r": "&#13;"}))
    parts.append(f"</{name}>")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        # As XML Schema writes them.
        return "NaN" if math.isnan(value) else "INF" if value > 0 else "-INF"
    if isinstance(value, Decimal):
        return f"{value:f}"
    text = str(value)
    found = ILLEGAL.search(text)
    if found is not None:
        raise ApplicationError(
            f"result cannot be sent as XML: it holds the character {found[0]!r}"
        )
    return text
