"""Texts of doc strings as HTML, safely.

Doc strings are Markdown unless their module says otherwise by ``__docformat__`` (PEP
258): ``"restructuredtext"`` needs the extra ``rst``, without which it is shown as it is
written; ``"plaintext"`` is always shown so. HTML within the text is shown, never
obeyed, and links lead nowhere but to pages and mail addresses.
"""

from __future__ import annotations

import inspect
import re
import sys
from functools import cache, lru_cache
from importlib.util import find_spec
from itertools import takewhile

from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from toolserver.tools import Tool

__all__ = [
    "MARKDOWN",
    "PLAIN",
    "RST",
    "doc_of",
    "docformat_of",
    "to_html",
    "to_inline_html",
]

MARKDOWN, RST, PLAIN = "markdown", "restructuredtext", "plaintext"
_FORMATS = {"md": MARKDOWN, "rst": RST, "rest": RST, "plain": PLAIN, "text": PLAIN}
_PARAGRAPH = re.compile(r"<p>((?:(?!<(?:p|/p|div|pre|ul|ol)\b).)*)</p>", re.DOTALL)
#: Whether the extra is installed.
_HAS_RST = find_spec("docutils") is not None


def doc_of(cls: type) -> str:
    """The doc string of a tool.

    Args:
        cls: Its class; where it has none, its bases are asked.

    Returns:
        The doc string, cleaned, or nothing: what the framework's classes say of
        themselves tells nothing of the tool.
    """
    own = takewhile(lambda base: base is not Tool, cls.__mro__)
    docs = [
        vars(base).get("__doc__")
        for base in own
        if not getattr(base, "_is_framework", False)
    ]
    return inspect.cleandoc(next(filter(None, docs), ""))


def docformat_of(cls: type) -> str:
    """How the doc strings of a class are written.

    Args:
        cls: The class; its module may say so by ``__docformat__``.

    Returns:
        `MARKDOWN`, `RST` or `PLAIN`.
    """
    module = sys.modules.get(cls.__module__)
    told = str(getattr(module, "__docformat__", "")).split()
    name = told[0].lower() if told else MARKDOWN
    name = _FORMATS.get(name, name)
    return name if name in (MARKDOWN, RST, PLAIN) else PLAIN


@lru_cache(maxsize=4096)
def to_html(text: str, docformat: str = MARKDOWN) -> Markup:
    """Render a text.

    Args:
        text: The text.
        docformat: How it is written.

    Returns:
        HTML without scripts, styles and pictures of other hosts.
    """
    if not text.strip():
        return Markup()
    if docformat == MARKDOWN:
        return Markup(_markdown().render(text))  # noqa: S704  # it has escaped HTML
    if docformat == RST and _HAS_RST:
        # Only servers with such doc strings wait for the library to be imported.
        from toolserver.describe.restructuredtext import render

        return render(text)
    return Markup('<p class="written">{}</p>').format(escape(text.strip("\n")))


@lru_cache(maxsize=4096)
def to_inline_html(text: str, docformat: str = MARKDOWN) -> Markup:
    """Render a text of one line, for a place within a line.

    Args:
        text: The text.
        docformat: How it is written.

    Returns:
        HTML as `to_html` makes it, without paragraphs; what would be more than one is
        shown as it is written.
    """
    found = _PARAGRAPH.fullmatch(to_html(text, docformat).strip())
    if docformat == PLAIN or found is None:
        return escape(text)
    return Markup(found[1])  # noqa: S704  # `to_html` has made it


@cache
def _markdown() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False})
    # A picture would be fetched from wherever the text says.
    return parser.enable("table").disable("image")
