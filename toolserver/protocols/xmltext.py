"""XML as bytes and text: which encodings are read, which characters are written.

Spec: XML 1.0, sections 2.2 (characters), 4.3.3 and appendix F (encodings); RFC 7303.
"""

from __future__ import annotations

import codecs
import re

from toolserver.errors import ApplicationError, ParseError
from toolserver.xmlcharacters import ILLEGAL, ILLEGAL_SET

__all__ = ["escape", "replace_illegal", "to_utf8"]

_UTF8 = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})
_LATIN1 = frozenset({"iso-8859-1", "iso8859-1", "iso_8859-1", "latin-1", "latin1"})
_DECLARED = re.compile(
    rb"""\s*<\?xml\s[^>]*?\bencoding\s*=\s*["']([A-Za-z0-9._-]+)["']"""
)
_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([^\s"';]+)""", re.IGNORECASE)
#: What cannot stand in XML text as it is. A carriage return could, but readers make
#: a line feed of it.
_SPECIAL = re.compile(rf"[&<>\r{ILLEGAL_SET}]")


def to_utf8(body: bytes, content_type: str = "") -> bytes:
    """Bring a document to UTF-8.

    A byte order mark tells the encoding, else the XML declaration, else the
    content type; else it is UTF-8. The declaration is left as it is: a parser has to
    be told that it no longer holds.

    Args:
        body: The document.
        content_type: Header field that came with it.

    Returns:
        The document in UTF-8 without a byte order mark; not checked if it came so.

    Raises:
        ParseError: In an encoding other than UTF-8, UTF-16 and Latin-1, or not in
            the one that it claims.
    """
    start = body[:4]
    if start.startswith(codecs.BOM_UTF8):
        return body[len(codecs.BOM_UTF8) :]
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _recode(body, "utf-16")
    # Without a mark UTF-16 is known by the zero byte that "<" has.
    if start.startswith(b"<\0"):
        return _recode(body, "utf-16-le")
    if start.startswith(b"\0<"):
        return _recode(body, "utf-16-be")
    found = _DECLARED.match(body)
    if found is not None:
        name = found[1].decode("ascii")
    else:
        sent = _CHARSET.search(content_type) if content_type else None
        if sent is None:
            return body
        name = sent[1]
    name = name.lower()
    if name in _UTF8:
        return body
    if name in _LATIN1:
        return _recode(body, "latin-1")
    raise ParseError(f"encoding: got {name[:60]!r}, expected UTF-8, UTF-16, ISO-8859-1")


def _recode(body: bytes, name: str) -> bytes:
    try:
        return body.decode(name).encode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError(f"not valid {name}: {error.reason}") from error


def escape(text: str) -> str:
    """Write text for the content of an element.

    Args:
        text: The text.

    Returns:
        The text with markup escaped.

    Raises:
        ApplicationError: It holds a character that XML cannot carry, such as most
            control characters.
    """
    if _SPECIAL.search(text) is None:
        return text
    illegal = ILLEGAL.search(text)
    if illegal is not None:
        raise ApplicationError(
            f"result cannot be sent as XML: it holds the character {illegal[0]!r}"
        )
    return (
        text.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("\r", "&#13;")
    )


def replace_illegal(text: str) -> str:
    r"""Make readable escapes of the characters that XML cannot carry.

    Args:
        text: A message that has to arrive, whatever it holds.

    Returns:
        The text with a form such as ``\x00`` in their places.
    """
    return ILLEGAL.sub(lambda found: repr(found[0])[1:-1], text)
