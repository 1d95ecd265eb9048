"""HTML: ``html.p("text", class_="note")``.

What comes in is text and comes out as the same text, wherever it stands; what a page
cannot hold is shown as U+FFFD. A page of strangers' text never fails for its text.

Spec: HTML Living Standard, sections 4.12.1.3 (scripts), 13.1 (writing HTML) and 13.2.5
(what parsers make of it); URL Standard, section 4.4 (what they leave out of URLs).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from markupsafe import Markup, escape

from toolserver.markup.content import Attribute, Attributes, Child, Element

__all__ = ["HTML", "html"]

_ELEMENTS = """
    a abbr address article aside audio b bdi bdo blockquote body button canvas caption
    cite code colgroup data datalist dd del details dfn dialog div dl dt em fieldset
    figcaption figure footer form h1 h2 h3 h4 h5 h6 head header hgroup html i iframe ins
    kbd label legend li main map mark menu meter nav noscript object ol optgroup option
    output p picture pre progress q rp rt ruby s samp search section select slot small
    span strong sub summary sup table tbody td template textarea tfoot th thead time
    title tr u ul var video
"""
_NAMES = frozenset(_ELEMENTS.split())
_VOID_ELEMENTS = "area base br col embed hr img input link meta source track wbr"
_VOID = frozenset(_VOID_ELEMENTS.split())
_RAW = {
    "script": re.compile(r"<(?:!--|/?script)", re.IGNORECASE),
    "style": re.compile(r"</style", re.IGNORECASE),
}
_CUSTOM = re.compile(r"[a-z][a-z0-9._]*-[a-z0-9._-]*")
_ATTRIBUTE = re.compile(
    "[^\0- \x7f-\x9f\"'<>/=\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]+"
)
_URLS = {"action", "data", "formaction", "href", "poster", "src", "xlink:href"}
# A parser drops controls and blanks in front of a URL, and these three everywhere.
_IN_FRONT = "".join(map(chr, range(33)))
_DROPPED = dict.fromkeys(map(ord, "\t\n\r"))
_SCRIPT_SCHEMES = ("javascript:", "vbscript:")
#: A parser makes line feeds of carriage returns, and has no way to hold the others.
_ODD = re.compile("[\0\r\ud800-\udfff]")
#: A parser drops a line feed at the start of these.
_PREFORMATTED = frozenset({"pre", "textarea"})


def _text(value: str) -> str:
    # Whatever `__html__` says: where markup counts, nobody asks for its text.
    escaped = escape(str.__str__(value))
    if _ODD.search(escaped) is None:
        return escaped
    return _ODD.sub(lambda odd: "&#13;" if odd[0] == "\r" else "\ufffd", escaped)


@lru_cache(maxsize=1024)
def _attribute_name(keyword: str) -> str:
    return keyword.removesuffix("_").replace("_", "-")


class HTMLElement(Element):
    """Writes HTML elements of one name; see `HTML`."""

    def __call__(self, *content: Child | Attributes, **attributes: Attribute) -> Markup:
        """Write an element.

        Args:
            *content: The children, in order: text, markup, numbers, dates, and
                iterables of these; None and False are left out. A mapping in front
                of them holds attributes by names that Python cannot spell.
            **attributes: ``class_`` stands for ``class``, ``data_id`` for
                ``data-id``. True writes the bare name, None and False nothing; the
                parts of a list are joined by blanks.

        Returns:
            The element.

        Raises:
            ValueError: A name or a value cannot be written, or would run as script.
            TypeError: A child or a value is nothing that could be meant as text.
        """
        tag, children = self.opening(content, attributes)
        inner = self.children(children)
        if self.name in _PREFORMATTED and inner.startswith("\n"):
            inner = "\n" + inner
        return Markup(f"<{tag}>{inner}</{self.name}>")

    def text(self, value: str) -> str:
        """Escape text."""
        return _text(value)

    def attribute_name(self, keyword: str) -> str:
        """The name without the underscore at its end, the others as hyphens."""
        return _attribute_name(keyword)

    def attribute(self, name: str, value: Attribute) -> str:
        """Write one attribute."""
        if not _ATTRIBUTE.fullmatch(name):
            raise ValueError(f"{self.name}: got {name!r}, expected an attribute's name")
        if value is None or value is False:
            return ""
        if value is True:
            return f" {name}"
        lower = name.lower()
        if (lower.startswith("on") or lower == "srcdoc") and not hasattr(
            value, "__html__"
        ):
            raise ValueError(
                f"{self.name}: got {name} as plain text, expected Markup:"
                " what stands there runs as script"
            )
        text = self.attribute_text(name, value)
        if lower in _URLS:
            url = text.lstrip(_IN_FRONT).translate(_DROPPED).lower()
            if url.startswith(_SCRIPT_SCHEMES):
                raise ValueError(
                    f"{self.name}: got {name}={text[:60]!r},"
                    " expected a URL that runs no script"
                )
        return f' {name}="{_text(text)}"'


class _VoidElement(HTMLElement):
    def __call__(self, *content: Child | Attributes, **attributes: Attribute) -> Markup:
        tag, children = self.opening(content, attributes)
        if children:
            raise ValueError(f"{self.name}: got children, expected none")
        return Markup(f"<{tag}>")


class _RawElement(HTMLElement):
    """Scripts and styles: nothing is escaped in them, so nothing may end them."""

    def children(self, content: Iterable[Child]) -> str:
        inner = super().children(content)
        found = _RAW[self.name].search(inner)
        if found is not None:
            raise ValueError(
                f"{self.name}: got {found[0]!r} in its content, which could end it;"
                r" within strings '<' can be written as '\x3c'"
            )
        return inner

    def text(self, value: str) -> str:
        return value


class _Root(HTMLElement):
    def __call__(self, *content: Child | Attributes, **attributes: Attribute) -> Markup:
        page = super().__call__(*content, **attributes)
        return Markup(f"<!doctype html>\n{page}\n")


class HTML:
    """Has the elements of HTML as attributes, ``html.p``, ``html.h1``, ``html.del_``.

    Custom elements have underscores for hyphens, ``html.my_widget``, or are looked up
    by their names: ``html["my-widget"]``. Names that HTML does not have are refused.
    """

    def __getattr__(self, name: str) -> HTMLElement:
        try:
            element = self[_attribute_name(name)]
        except KeyError as error:
            raise AttributeError(
                f"html: {error.args[0]}", name=name, obj=self
            ) from None
        # Found here from now on.
        self.__dict__[name] = element
        return element

    def __getitem__(self, name: str) -> HTMLElement:
        if name in _VOID:
            return _VoidElement(name)
        if name in _RAW:
            return _RawElement(name)
        if name == "html":
            return _Root(name)
        if name in _NAMES or _CUSTOM.fullmatch(name):
            return HTMLElement(name)
        raise KeyError(f"got {name!r}, expected an element of HTML or a custom one")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *_NAMES, *_VOID, *_RAW})

    def document(
        self, title: str, *body: Child, lang: str = "en", head: Child = None
    ) -> Markup:
        """Write a whole page.

        Args:
            title: What the window and bookmarks show.
            *body: What the page shows.
            lang: The language of the page (RFC 5646).
            head: Further elements of the head: styles, links.

        Returns:
            The page, from its doctype on.
        """
        return self.html(
            self.head(
                self.meta(charset="utf-8"),
                self.meta(
                    name="viewport", content="width=device-width, initial-scale=1"
                ),
                self.title(title),
                head,
            ),
            self.body(*body),
            lang=lang,
        )


html = HTML()
