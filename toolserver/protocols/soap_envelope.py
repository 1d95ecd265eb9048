"""Reads the envelopes of SOAP messages: which version, which operation, which style.

Spec: SOAP 1.1, section 4; SOAP 1.2, part 1, section 5, with appendix A for versions;
WS-I Basic Profile 1.1, section 3.
"""

from __future__ import annotations

from typing import NamedTuple
from xml.etree.ElementTree import Element

from toolserver.errors import InvalidRequest
from toolserver.protocols.soap_names import (
    TYPE,
    VERSIONS,
    XSI,
    Version,
    local_name,
)
from toolserver.protocols.soap_references import check_depth, resolve_references
from toolserver.protocols.xmltree import parse_xml
from toolserver.settings import Limits

__all__ = [
    "Envelope",
    "MustUnderstand",
    "VersionMismatch",
    "open_envelope",
    "read_body",
]

_ROOT11 = "{http://schemas.xmlsoap.org/soap/encoding/}root"
#: Earlier forms of the namespace of ``xsi:type``, which some clients still send.
_OLD_XSI = tuple(
    f"http://www.w3.org/{year}/XMLSchema-instance" for year in ("1999", "2000/10")
)
#: Who has to understand a header: whoever gets it, or who answers it.
_OURS = frozenset(
    {
        "",
        "http://schemas.xmlsoap.org/soap/actor/next",
        "http://www.w3.org/2003/05/soap-envelope/role/next",
        "http://www.w3.org/2003/05/soap-envelope/role/ultimateReceiver",
    }
)


class VersionMismatch(InvalidRequest):
    """The root is an envelope of a version of SOAP that is not spoken here."""


class MustUnderstand(InvalidRequest):
    """A header asks to be understood, and is not.

    Args:
        message: Which one.
        names: The tags of all such headers.
    """

    def __init__(self, message: str, *, names: list[str]) -> None:
        super().__init__(message)
        self.names = names


class Envelope(NamedTuple):
    """What the Body of a message holds.

    Attributes:
        operation: The element that is named like the method.
        name: Its local name.
        namespace: Its namespace.
        says_encoded: Whether the message says to use SOAP's encoding.
    """

    operation: Element
    name: str
    namespace: str
    says_encoded: bool


def open_envelope(text: bytes, limits: Limits) -> tuple[Version, Element]:
    """Read a message as far as its root.

    Args:
        text: The message in UTF-8.
        limits: Bounds for depth, elements and attributes.

    Returns:
        The version and the root.

    Raises:
        ParseError: Not well-formed, past a bound, or with a DTD.
        VersionMismatch: An envelope of another version.
        InvalidRequest: No envelope.
    """
    root = parse_xml(text, limits, knows_namespaces=True)
    # Where there are few elements, they cannot be nested deep either.
    if text.count(b"</") >= limits.xml_depth:
        check_depth(root, limits)
    version = VERSIONS.get(root.tag)
    if version is not None:
        return version, root
    if local_name(root.tag) == "Envelope":
        raise VersionMismatch(
            f"got an envelope of {root.tag[1:].partition('}')[0][:100]!r}, expected "
            "SOAP 1.1 or 1.2"
        )
    raise InvalidRequest(f"message: got <{root.tag[:60]}>, expected an Envelope")


def read_body(text: bytes, version: Version, root: Element, limits: Limits) -> Envelope:
    """Read the headers and find the operation.

    Args:
        text: The message in UTF-8.
        version: Its version.
        root: Its root, which is changed: references are put into their places.
        limits: Bounds for what they lead to.

    Returns:
        What the Body holds.

    Raises:
        MustUnderstand: A header asks to be understood.
        InvalidRequest: There is no operation, or something else beside it.
        ParseError: What references lead to passes a bound.
    """
    if b"XMLSchema-instance" in text:
        for uri in _OLD_XSI:
            if uri.encode() in text:
                _renew_types(root, uri)
    body = root.find(version.body_tag)
    if body is None:
        raise InvalidRequest("Envelope: got no Body")
    header = root.find(version.header_tag)
    if header is not None:
        _check_header(header, f"{{{version.envelope}}}")
    if not len(body):
        raise InvalidRequest("Body: got no element, expected one named like a method")
    operation = body[0]
    if len(body) > 1:
        operation = next((e for e in body if e.get(_ROOT11) != "0"), operation)
    says_encoded = b"encodingStyle" in text and any(
        version.encoding.rstrip("/") in element.get(version.style_attribute, "")
        for element in (operation, body, root)
    )
    if b"href" in text or b":ref" in text:
        resolve_references(body, operation, limits)
    elif len(body) > 1 and not says_encoded:
        raise InvalidRequest(f"Body: got {len(body)} elements, expected one")
    namespace, _, name = operation.tag.rpartition("}")
    return Envelope(operation, name, namespace[1:], says_encoded)


def _check_header(header: Element, prefix: str) -> None:
    asking = [
        entry.tag
        for entry in header
        if entry.get(f"{prefix}mustUnderstand", "").strip() in ("1", "true")
        and (entry.get(f"{prefix}actor") or entry.get(f"{prefix}role") or "") in _OURS
    ]
    if asking:
        raise MustUnderstand(
            f"header <{local_name(asking[0])[:60]}> is not understood", names=asking
        )


def _renew_types(root: Element, uri: str) -> None:
    """Bring the attributes of an early XML Schema to today's names."""
    renewed = {f"{{{uri}}}type": TYPE, f"{{{uri}}}null": f"{{{XSI}}}nil"}
    renewed[f"{{{uri}}}nil"] = renewed[f"{{{uri}}}null"]
    for element in root.iter():
        for old, new in renewed.items():
            value = element.get(old)
            if value is not None:
                element.set(new, value)
