"""Texts of doc strings as HTML, safely.

Doc strings are Markdown unless their module says otherwise by ``__docformat__`` (PEP
258): ``"restructuredtext"`` needs the extra ``rst``, without which it is shown as it is
written; ``"plaintext"`` is always shown so. HTML within the text is shown, never
obeyed, and links lead nowhere but to pages and mail addresses.
"""

from __future__ import annotations

import sys
from functools import cache, lru_cache
from importlib.util import find_spec

from markdown_it import MarkdownIt
from markupsafe import Markup, escape

__all__ = ["MARKDOWN", "PLAIN", "RST", "docformat_of", "to_html"]

MARKDOWN, RST, PLAIN = "markdown", "restructuredtext", "plaintext"
_FORMATS = {"md": MARKDOWN, "rst": RST, "rest": RST, "plain": PLAIN, "text": PLAIN}
#: Whether the extra is installed.
_HAS_RST = find_spec("docutils") is not None


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


@cache
def _markdown() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False})
    # A picture would be fetched from wherever the text says.
    return parser.enable("table").disable("image")
