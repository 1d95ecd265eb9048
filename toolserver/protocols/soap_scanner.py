"""Reads the small SOAP messages that clients usually send, without a tree of them.

Calls of one client begin with the same bytes each time: a declaration, the start tags
of Envelope and Body with their namespaces, and the start tag of the operation. What was
read thoroughly once is known again by these bytes. After them come the arguments, which
are often nothing but text in elements without attributes; one regular expression finds
them. That takes half the time of a tree.

Whatever is out of the ordinary, right or wrong, is left to the reader that makes a
tree: nothing is refused here, and nothing is accepted that it would refuse.
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement

from toolserver.protocols.soap_envelope import Envelope
from toolserver.protocols.soap_names import Version
from toolserver.settings import Limits

__all__ = ["Scanner"]

_NAME = r"[A-Za-z_][A-Za-z0-9_.-]*+(?::[A-Za-z_][A-Za-z0-9_.-]*+)?+"
_SPACE = r"[ \t\r\n]*+"
# Values in which white space is not changed.
_VALUE = r"""[^"<&\t\r\n]*+"""
_ATTRIBUTES = rf'(?:[ \t\r\n]++{_NAME}="{_VALUE}")*+{_SPACE}'
# Characters that stand for themselves: a reader of XML changes carriage returns.
_TEXT = r"[^<>&\x00-\x08\x0b-\x1f]*+"
_FLAT = re.compile(
    (
        rf"({_SPACE}(?:<\?xml [^?<>]*+\?>)?+{_SPACE}"
        rf"<({_NAME}){_ATTRIBUTES}>{_SPACE}"
        rf"<({_NAME}){_ATTRIBUTES}>{_SPACE}"
        rf"<({_NAME}){_ATTRIBUTES}>)"
        rf"((?:{_SPACE}<({_NAME})>{_TEXT}</\6>)*+){_SPACE}"
        rf"</\4{_SPACE}>{_SPACE}</\3{_SPACE}>{_SPACE}</\2{_SPACE}>{_SPACE}"
    ).encode()
)
_ARGUMENT = re.compile(rf"<({_NAME})>([^<]*+)</[^>]*+>")
_ATTRIBUTE = re.compile(rf'[ \t\r\n]({_NAME})="({_VALUE})"'.encode())
#: Two characters at the end of Unicode's first plane that are none of XML.
_NO_CHARACTERS = b"\xef\xbf"
#: Sizes of messages and of their beginnings, and how many of these are remembered.
_LARGEST = 65536
_LONGEST = 2048
_REMEMBERED = 256


class _Beginning:
    """What is known of messages that begin with the same bytes.

    Args:
        version: The version of SOAP.
        envelope: What a thorough reader has found after such a beginning.
        start: The beginning.
    """

    __slots__ = ("_prefixes", "name", "namespace", "tag", "version")

    def __init__(self, version: Version, envelope: Envelope, start: bytes) -> None:
        self.version = version
        self.name = envelope.name
        self.namespace = envelope.namespace
        self.tag = envelope.operation.tag
        # All are declared on the way to the operation, the inner ones later.
        self._prefixes = {
            name.decode().partition(":")[2]: uri.decode()
            for name, uri in _ATTRIBUTE.findall(start)
            if name == b"xmlns" or name.startswith(b"xmlns:")
        }

    def tag_of(self, name: str) -> str | None:
        """The tag of an argument; None where its prefix is not declared."""
        prefix, colon, local = name.rpartition(":")
        if not colon:
            uri = self._prefixes.get("")
            return f"{{{uri}}}{name}" if uri else name
        uri = self._prefixes.get(prefix)
        return f"{{{uri}}}{local}" if uri else None


class Scanner:
    """Remembers how messages begin.

    Args:
        limits: Bounds for elements.
    """

    def __init__(self, limits: Limits) -> None:
        self._max_arguments = limits.xml_elements - 3
        self._known: dict[bytes, _Beginning] = {}

    def scan(self, text: bytes) -> tuple[Version, Envelope] | None:
        """Read a message, if it begins as one that was learned.

        Args:
            text: The message in UTF-8.

        Returns:
            The version and what the Body holds; None where a reader of all XML has to
            look at it.
        """
        if len(text) > _LARGEST:
            return None
        found = _FLAT.fullmatch(text)
        if found is None:
            return None
        beginning = self._known.get(found[1])
        if beginning is None or _NO_CHARACTERS in text:
            return None
        try:
            arguments = _ARGUMENT.findall(found[5].decode())
        except UnicodeDecodeError:
            return None
        if len(arguments) > self._max_arguments:
            return None
        operation = Element(beginning.tag)
        for name, content in arguments:
            tag = beginning.tag_of(name)
            if tag is None:
                return None
            SubElement(operation, tag).text = content or None
        return beginning.version, Envelope(
            operation, beginning.name, beginning.namespace, False
        )

    def learn(self, text: bytes, version: Version, envelope: Envelope) -> None:
        """Remember how a message begins that was read thoroughly.

        Args:
            text: The message in UTF-8.
            version: Its version.
            envelope: What its Body holds.
        """
        if envelope.says_encoded or len(text) > _LARGEST:
            return
        found = _FLAT.fullmatch(text)
        if found is None or len(found[1]) > _LONGEST or envelope.operation.attrib:
            return
        if len(self._known) >= _REMEMBERED:
            # Whatever strangers send: the beginnings that matter come back soon.
            self._known.clear()
        self._known[found[1]] = _Beginning(version, envelope, found[1])
