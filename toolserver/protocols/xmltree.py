"""Reads XML from strangers into a tree, within bounds.

The parser is lxml's, the fastest there is for messages of any size. What it would only
tell too late, namely a DTD, or more elements or attributes than are allowed, is
counted on the raw text first. Counting may find too many, in comments or in text; only
such a document is read by expat before, which hands over control at each element.

Spec: XML 1.0. Documents with a document type declaration are refused, and with them
all entities but the predefined ones (as SOAP 1.2, part 1, section 5 does).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from toolserver.errors import ParseError
from toolserver.settings import Limits

if TYPE_CHECKING:
    from lxml.etree import XMLParser, _Element

__all__ = ["parse_xml"]


def parse_xml(text: bytes, limits: Limits) -> _Element:
    """Read a document.

    Comments and processing instructions are left out. The depth is bounded by the
    parser only, at some 2000: whoever follows the tree has to count.

    Args:
        text: The document in UTF-8, as `to_utf8` makes it.
        limits: Bounds for the number of elements and of attributes of an element.

    Returns:
        The root.

    Raises:
        ParseError: Not well-formed, past a bound, or with a DTD.
    """
    etree, parser, lenient_parser = _load_parsers()
    if (
        text.count(b"<") - text.count(b"</") > limits.xml_elements
        or text.count(b"=") > limits.xml_attributes
        or b"<!DOCTYPE" in text
    ):
        _check(text, limits)
    root: _Element
    try:
        root = etree.fromstring(text, parser)
    except etree.XMLSyntaxError as error:
        if not error.msg.startswith("Namespace prefix"):
            raise ParseError(f"not well-formed XML: {error.msg}") from error
        # A prefix that was not declared does no harm, if nothing else is wrong.
        _check(text, limits)
        root = etree.fromstring(text, lenient_parser)
    return root


@cache
def _load_parsers() -> tuple[Any, XMLParser, XMLParser]:
    # lxml takes memory and time, which servers without XML can do without.
    from lxml import etree

    strict, lenient = (
        etree.XMLParser(
            # The text is UTF-8 by now, whatever its declaration says.
            encoding="utf-8",
            resolve_entities=False,
            no_network=True,
            remove_comments=True,
            remove_pis=True,
            # Without it texts end at 10 MB; the bounds are our own.
            huge_tree=True,
            recover=recovers,
        )
        for recovers in (False, True)
    )
    return etree, strict, lenient


def _check(text: bytes, limits: Limits) -> None:
    remaining = limits.xml_elements

    def start(_: str, attributes: dict[str, str]) -> None:
        nonlocal remaining
        remaining -= 1
        if remaining < 0:
            raise ParseError(f"XML: more than {limits.xml_elements} elements")
        if len(attributes) > limits.xml_attributes:
            raise ParseError(f"XML: more than {limits.xml_attributes} attributes")

    def refuse_dtd(*_: object) -> None:
        raise ParseError("XML: a document type declaration is not accepted")

    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = refuse_dtd
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise ParseError(f"not well-formed XML: {error}") from error
