"""Reads XML from strangers into a tree, within bounds.

What a parser would only tell when the tree is complete, namely a DTD, or more elements
than are allowed, is counted on the raw text first. Counting may find too many, in
comments or in text; only such a document is read with our own hands on each element,
which takes longer.

Attributes are counted in the text in any case: expat tells of an element when it has
read all of its attributes, and a million of them take seconds and some 200 MiB.

The parser is expat, not lxml's: libxml2 keeps each name that it meets until its thread
ends, so that strangers could fill the memory with names.

Spec: XML 1.0. Documents with a document type declaration are refused, and with them
all entities but the predefined ones (as SOAP 1.2, part 1, section 5 does).
"""

from __future__ import annotations

import re
from functools import lru_cache
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, TreeBuilder, XMLParser
from xml.parsers import expat

from toolserver.errors import ParseError
from toolserver.settings import Limits

__all__ = ["parse_xml"]

_UNBOUND_PREFIX = expat.errors.codes[expat.errors.XML_ERROR_UNBOUND_PREFIX]
#: What may hold anything that looks like an element. Where it does not end, it goes on
#: to the end of the text, so that none is looked at twice.
_NO_ELEMENT = re.compile(
    rb"<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)|<\?.*?(?:\?>|\Z)", re.DOTALL
)


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
    if text.count(b"=") > limits.xml_attributes:
        _check_attributes(text, limits.xml_attributes)
    if (
        text.count(b"<") - text.count(b"</") > limits.xml_elements
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


def _check_attributes(text: bytes, bound: int) -> None:
    """Refuse a document with an element of more attributes than are allowed."""
    pattern = _more_attributes(bound)
    if pattern.search(text) and pattern.search(_NO_ELEMENT.sub(b"", text)):
        raise ParseError(f"XML: more than {bound} attributes")


@lru_cache(maxsize=8)
def _more_attributes(bound: int) -> re.Pattern[bytes]:
    """What finds a start tag of more attributes, in time linear to the text.

    Neither a name nor, in well-formed XML, a value holds a "<", so that no search goes
    on where another one begins.
    """
    value = rb"""(?:"[^"<]*+"|'[^'<]*+')"""
    attribute = rb"\s++[^\s=<>]++\s*+=\s*+" + value
    return re.compile(rb"<[^\s=<>]++(?:%b){%d}" % (attribute, bound + 1))


def _parse_with_care(text: bytes, limits: Limits, knows_namespaces: bool) -> Element:
    """Read a document by a parser that can be stopped."""
    builder = TreeBuilder()
    remaining = limits.xml_elements

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal remaining
        remaining -= 1
        if remaining < 0:
            raise ParseError(f"XML: more than {limits.xml_elements} elements")
        if knows_namespaces:
            tag = _braced(tag)
            attributes = {_braced(name): attributes[name] for name in attributes}
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        builder.end(_braced(tag) if knows_namespaces else tag)

    def refuse_dtd(*_: object) -> None:
        raise ParseError("XML: a document type declaration is not accepted")

    # The text is UTF-8 by now, whatever its declaration says.
    parser = expat.ParserCreate("utf-8", "}" if knows_namespaces else None)
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse_dtd
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise ParseError(f"not well-formed XML: {error}") from error
    return builder.close()


def _braced(name: str) -> str:
    """A name as trees have it: ``{namespace}name``."""
    return f"{{{name}" if "}" in name else name
