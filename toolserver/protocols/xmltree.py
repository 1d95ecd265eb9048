"""Reads XML from strangers into a tree, within bounds.

What a parser would only tell when the tree is complete, namely a DTD, or more elements
or attributes than are allowed, is counted on the raw text first. Counting may find too
many, in comments or in text; only such a document is read with our own hands on each
element, which takes longer.

The parser is expat, not lxml's: libxml2 keeps each name that it meets until its thread
ends, so that strangers could fill the memory with names.

Spec: XML 1.0. Documents with a document type declaration are refused, and with them
all entities but the predefined ones (as SOAP 1.2, part 1, section 5 does).
"""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, TreeBuilder, XMLParser
from xml.parsers import expat

from toolserver.errors import ParseError
from toolserver.settings import Limits

__all__ = ["parse_xml"]

_UNBOUND_PREFIX = expat.errors.codes[expat.errors.XML_ERROR_UNBOUND_PREFIX]


def parse_xml(
    text: bytes, limits: Limits, *, knows_namespaces: bool = False
) -> Element:
    """Read a document.

    Comments and processing instructions are left out. The depth is bounded by the
    number of elements only: whoever follows the tree has to count.

    Args:
        text: The document in UTF-8, as `to_utf8` makes it.
        limits: Bounds for the number of elements and of attributes of an element.
        knows_namespaces: Whether a prefix has to be declared, and each name in a
            namespace be read as such.

    Returns:
        The root. A name in a namespace is ``{namespace}name``, or ``prefix:name`` in
        documents that are large or do not declare a prefix, if these are accepted.

    Raises:
        ParseError: Not well-formed, past a bound, or with a DTD.
    """
    if b"\0" in text:
        # No text of XML has one, but UTF-16 has: expat would read it as that, whatever
        # it is told, and all that is counted below would be missed.
        raise ParseError("not well-formed XML: it holds a zero byte")
    if (
        text.count(b"<") - text.count(b"</") > limits.xml_elements
        or text.count(b"=") > limits.xml_attributes
        or b"<!DOCTYPE" in text
    ):
        return _parse_with_care(text, limits, knows_namespaces)
    parser = XMLParser(encoding="utf-8")  # noqa: S314 - DTDs do not get here
    try:
        parser.feed(text)
        return parser.close()
    except ElementTree.ParseError as error:
        if error.code == _UNBOUND_PREFIX and not knows_namespaces:
            # It does no harm, if nothing else is wrong.
            return _parse_with_care(text, limits, knows_namespaces)
        raise ParseError(f"not well-formed XML: {error}") from error


def _parse_with_care(text: bytes, limits: Limits, knows_namespaces: bool) -> Element:
    """Read a document by a parser that can be stopped."""
    builder = TreeBuilder()
    remaining = limits.xml_elements
    declared = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal remaining, declared
        remaining -= 1
        if remaining < 0:
            raise ParseError(f"XML: more than {limits.xml_elements} elements")
        if len(attributes) + declared > limits.xml_attributes:
            raise ParseError(f"XML: more than {limits.xml_attributes} attributes")
        declared = 0
        if knows_namespaces:
            tag = _braced(tag)
            attributes = {_braced(name): attributes[name] for name in attributes}
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        builder.end(_braced(tag) if knows_namespaces else tag)

    def declare(*_: object) -> None:
        # Not among the attributes of a parser that knows namespaces.
        nonlocal declared
        declared += 1

    def refuse_dtd(*_: object) -> None:
        raise ParseError("XML: a document type declaration is not accepted")

    # The text is UTF-8 by now, whatever its declaration says.
    parser = expat.ParserCreate("utf-8", "}" if knows_namespaces else None)
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartNamespaceDeclHandler = declare
    parser.StartDoctypeDeclHandler = refuse_dtd
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise ParseError(f"not well-formed XML: {error}") from error
    return builder.close()


def _braced(name: str) -> str:
    """A name as trees have it: ``{namespace}name``."""
    return f"{{{name}" if "}" in name else name
