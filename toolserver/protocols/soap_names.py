"""Namespaces and qualified names of SOAP, in the form in which a tree has them.

Spec: SOAP 1.1; SOAP 1.2, parts 1 and 2; XML Schema 1.0, part 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from xml.etree.ElementTree import Element

__all__ = [
    "NIL",
    "SOAP11",
    "SOAP12",
    "TYPE",
    "VERSIONS",
    "XSD",
    "XSI",
    "Version",
    "is_nil",
    "local_name",
    "type_of",
]

XSD = "http://www.w3.org/2001/XMLSchema"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
TYPE = f"{{{XSI}}}type"
NIL = f"{{{XSI}}}nil"


@dataclass(frozen=True)
class Version:
    """A version of SOAP.

    Attributes:
        number: ``"1.1"`` or ``"1.2"``.
        envelope: The namespace of its envelope.
        encoding: The namespace of its encoding, which is also its encodingStyle.
        media_type: That of its messages.
    """

    number: str
    envelope: str
    encoding: str
    media_type: str

    @cached_property
    def content_type(self) -> str:
        """The content type of our own messages."""
        return f"{self.media_type}; charset=utf-8"

    @cached_property
    def header_tag(self) -> str:
        """The tag of the element that holds the headers."""
        return f"{{{self.envelope}}}Header"

    @cached_property
    def style_attribute(self) -> str:
        """The attribute that says how values are encoded."""
        return f"{{{self.envelope}}}encodingStyle"

    @cached_property
    def body_tag(self) -> str:
        """The tag of the Body."""
        return f"{{{self.envelope}}}Body"


SOAP11 = Version(
    "1.1",
    "http://schemas.xmlsoap.org/soap/envelope/",
    "http://schemas.xmlsoap.org/soap/encoding/",
    "text/xml",
)
SOAP12 = Version(
    "1.2",
    "http://www.w3.org/2003/05/soap-envelope",
    "http://www.w3.org/2003/05/soap-encoding",
    "application/soap+xml",
)
#: The versions by the name that the root of their messages has.
VERSIONS = {f"{{{each.envelope}}}Envelope": each for each in (SOAP11, SOAP12)}


def local_name(tag: str) -> str:
    """The name of an element without its namespace.

    Args:
        tag: ``{namespace}name``, or a name without a namespace.
    """
    return tag.rpartition("}")[2]


def type_of(element: Element) -> str | None:
    """The local name of the type that an element says to have, or None.

    Args:
        element: An element, which may have an ``xsi:type``.
    """
    sent = element.get(TYPE)
    return None if sent is None else sent.rpartition(":")[2].strip()


def is_nil(element: Element) -> bool:
    """Whether an element says that it holds nothing.

    Args:
        element: An element, which may have an ``xsi:nil``.
    """
    return element.get(NIL, "").strip() in ("true", "1")
