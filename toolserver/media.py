"""Results that are more than text: pictures, sounds, documents.

Over REST one of them is sent as it is, with its media type, and agents get it as what
it is; other protocols carry it as a record.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Audio", "Document", "Image", "Media"]


@dataclass(frozen=True)
class Image:
    """A picture.

    Attributes:
        data: Its bytes.
        media_type: What they are.
    """

    data: bytes
    media_type: str = "image/png"


@dataclass(frozen=True)
class Audio:
    """A sound.

    Attributes:
        data: Its bytes.
        media_type: What they are.
    """

    data: bytes
    media_type: str = "audio/wav"


@dataclass(frozen=True)
class Document:
    """A document.

    Attributes:
        uri: What it is called.
        content: Its text, or its bytes.
        media_type: What it is.
    """

    uri: str
    content: str | bytes
    media_type: str = "text/plain"


#: The classes above.
Media = (Image, Audio, Document)
