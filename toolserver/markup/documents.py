"""XML: ``xml("order", xml.item("book", count=2), ns="urn:example:shop")``.

A document is well-formed, its namespaces included, or an error: whatever markup went
into it, expat has read it. Programs read XML, so what it cannot carry is refused and
never changed.

Spec: XML 1.0, sections 2.2 (characters), 2.3 (names), 2.8 (prolog), 2.11 and 3.3.3
(what parsers change); Namespaces in XML 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar, Self, TypeVar
from xml.parsers import expat

from markupsafe import Markup, escape

from toolserver.markup.content import Attribute, Attributes, Child, Element
from toolserver.xmlcharacters import ILLEGAL

__all__ = ["XML", "XMLWriter", "make_document", "xml"]

_START = (
    "A-Z_a-z\xc0-\xd6\xd8-\xf6\xf8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d"
    "\u2070-\u218f\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd"
    "\U00010000-\U000effff"
)
_NCNAME = rf"[{_START}][{_START}.0-9\xb7\u0300-\u036f\u203f\u2040-]*"
_NAME = re.compile(rf"(?:{_NCNAME}:)?{_NCNAME}")
_DOCTYPE = re.compile(r"[^\[\]<>]+")
_DECLARATION = '<?xml version="1.0"?>\n'
#: Parsers make line feeds of carriage returns, in attributes blanks of line ends.
_LINE_ENDS = {ord("\r"): "&#13;"}
_BLANKS = {**_LINE_ENDS, ord("\t"): "&#9;", ord("\n"): "&#10;"}


class XML(Markup):
    """An element or a document: markup that is sent as XML."""

    content_type: ClassVar[str] = "application/xml"
    #: How much of a document stands in front of its root element.
    _prolog = 0

    def __html__(self) -> Self:
        """The element, to stand in another; a document without its prolog."""
        if not self._prolog:
            return self
        return type(self)(str.__str__(self)[self._prolog :])


Document = TypeVar("Document", bound=XML)


def make_document(root: XML, kind: type[Document], doctype: str = "") -> Document:
    """Put the prolog in front of a root element, and read it all as a receiver will.

    Args:
        root: The element.
        kind: The class of the document.
        doctype: What stands in the document type declaration; empty for none.

    Returns:
        The document.

    Raises:
        ValueError: It is not well-formed, or uses a prefix that nothing declares.
    """
    prolog = _DECLARATION
    if doctype:
        # A subset of its own could define entities, which many a receiver refuses.
        if not _DOCTYPE.fullmatch(doctype):
            raise ValueError(
                f"xml: got doctype={doctype!r}, expected a name and identifiers"
            )
        prolog += f"<!DOCTYPE {doctype}>\n"
    text = prolog + str.__str__(root)
    parser = expat.ParserCreate(namespace_separator=" ")
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, UnicodeEncodeError) as error:
        raise ValueError(f"xml: not well-formed: {error}") from error
    document = kind(text)
    document._prolog = len(prolog)
    return document


class XMLElement(Element):
    """Writes XML elements of one name; see `XMLWriter`."""

    def __call__(
        self,
        *content: Child | Attributes,
        ns: str | Mapping[str, str] = "",
        **attributes: Attribute,
    ) -> XML:
        """Write an element.

        Args:
            *content: The children, in order: text, markup, numbers, dates, and
                iterables of these; None and False are left out. A mapping in front
                of them holds attributes by names that Python cannot spell.
            ns: The namespace of this element and of those in it that have no
                prefix; or a mapping of prefixes to namespaces, ``""`` for none.
            **attributes: ``class_`` stands for ``class``. None is left out, True and
                False are ``"true"`` and ``"false"``.

        Returns:
            The element.

        Raises:
            ValueError: A name or a value cannot be written.
            TypeError: A child or a value is nothing that could be meant as text.
        """
        tag, children = self.opening(content, attributes)
        if ns:
            spaces = {"": ns} if isinstance(ns, str) else ns
            tag += "".join(self._declare(*space) for space in spaces.items())
        inner = self.children(children)
        return XML(f"<{tag}>{inner}</{self.name}>" if inner else f"<{tag}/>")

    def _declare(self, prefix: str, namespace: str) -> str:
        name = f"xmlns:{prefix}" if prefix else "xmlns"
        if not _NAME.fullmatch(name):
            raise ValueError(f"{self.name}: got {prefix!r}, expected a prefix")
        return f' {name}="{self._escape(namespace, _BLANKS)}"'

    def _escape(self, value: str, blanks: dict[int, str]) -> str:
        illegal = ILLEGAL.search(value)
        if illegal is not None:
            raise ValueError(
                f"{self.name}: got {illegal[0]!r} in {value[:60]!r},"
                " which XML cannot carry"
            )
        return str.__str__(escape(str.__str__(value))).translate(blanks)

    def text(self, value: str) -> str:
        """Escape text."""
        return self._escape(value, _LINE_ENDS)

    def attribute_name(self, keyword: str) -> str:
        """The name without the underscore at its end."""
        return keyword.removesuffix("_")

    def attribute(self, name: str, value: Attribute) -> str:
        """Write one attribute."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{self.name}: got {name!r}, expected an attribute's name")
        if name == "xmlns" or name.startswith("xmlns:"):
            raise ValueError(f"{self.name}: got the attribute {name}, expected ns=")
        if value is None:
            return ""
        if isinstance(value, bool):
            value = "true" if value else "false"
        return f' {name}="{self._escape(self.attribute_text(name, value), _BLANKS)}"'


class XMLWriter:
    """Called, it writes a document; its attributes are elements of any name.

    ``xml.item`` writes elements named ``item``, and ``xml["dc:creator"]`` those whose
    names Python cannot spell.
    """

    def __call__(
        self,
        name: str,
        /,
        *content: Child | Attributes,
        ns: str | Mapping[str, str] = "",
        doctype: str = "",
        **attributes: Attribute,
    ) -> XML:
        """Write a document.

        Args:
            name: Name of the root element.
            *content: Its children, as for any element; a document among them loses
                its declaration.
            ns: Namespaces, as for any element: those of the whole document.
            doctype: What stands in the document type declaration, if there is to be
                one: ``'plist PUBLIC "…" "…"'``; nothing in brackets.
            **attributes: Attributes of the root element.

        Returns:
            The document, which REST sends as ``application/xml``.

        Raises:
            ValueError: It would not be well-formed.
            TypeError: A child or a value is nothing that could be meant as text.
        """
        root = self[name](*content, ns=ns, **attributes)
        return make_document(root, XML, doctype)

    def __getattr__(self, name: str) -> XMLElement:
        # Python itself looks for names like these.
        if name.startswith("_"):
            raise AttributeError(f"xml: got {name!r}", name=name, obj=self)
        return self[name.removesuffix("_")]

    def __getitem__(self, name: str) -> XMLElement:
        if not _NAME.fullmatch(name):
            raise KeyError(f"got {name!r}, expected the name of an element")
        return XMLElement(name)


xml = XMLWriter()
