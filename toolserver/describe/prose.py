"""Texts of doc strings as HTML, safely.

Doc strings are Markdown unless their module says otherwise by ``__docformat__`` (PEP
258): ``"restructuredtext"`` needs the extra ``rst``, without which it is shown as it is
written; ``"plaintext"`` is always shown so. HTML within the text is shown, never
obeyed, and links lead nowhere but to pages and mail addresses.
"""

from __future__ import annotations

import sys
from functools import cache, lru_cache
from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup, escape

try:
    from docutils import nodes
    from docutils.core import publish_doctree, publish_parts
    from docutils.io import DocTreeInput
    from docutils.readers import doctree
except ImportError:  # the extra is not installed
    HAS_RST = False
else:
    HAS_RST = True

__all__ = ["MARKDOWN", "PLAIN", "RST", "docformat_of", "to_html"]

MARKDOWN, RST, PLAIN = "markdown", "restructuredtext", "plaintext"
_FORMATS = {"md": MARKDOWN, "rst": RST, "rest": RST, "plain": PLAIN, "text": PLAIN}

_SCHEMES = ("http:", "https:", "mailto:", "#")
_RST_SETTINGS: dict[str, Any] = {
    "_disable_config": True,
    # What a text includes or passes on as it is could be any file, or any script.
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "halt_level": 5,
    "report_level": 5,
    "doctitle_xform": False,
    "initial_header_level": 4,
    "syntax_highlight": "none",
    "math_output": "LaTeX",
    "smart_quotes": False,
}


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
    if docformat == RST and HAS_RST:
        return _render_rst(text)
    return Markup('<p class="written">{}</p>').format(escape(text.strip("\n")))


@cache
def _markdown() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False})
    # A picture would be fetched from wherever the text says.
    return parser.enable("table").disable("image")


def _render_rst(text: str) -> Markup:
    tree = publish_doctree(text, settings_overrides=_RST_SETTINGS)
    for image in list(tree.findall(nodes.image)):
        image.parent.replace(image, nodes.Text(image.get("alt", image["uri"])))
    for reference in tree.findall(nodes.reference):
        if not reference.get("refuri", "#").lower().startswith(_SCHEMES):
            reference["refuri"] = "#"
    parts = publish_parts(
        tree,
        source_class=DocTreeInput,
        reader=doctree.Reader(),
        writer="html5",
        settings_overrides=_RST_SETTINGS,
    )
    # Raw HTML is switched off, what else there is was escaped.
    return Markup(parts["body"])  # noqa: S704
