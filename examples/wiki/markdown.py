"""From the text of a page to HTML: Markdown with links to other pages.

Spec: CommonMark 0.31 with tables; raw HTML is text, and pictures, which would come from
other hosts, are links.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from toolserver import Markup, html
from toolserver.errors import InvalidParams

from .names import LINK, method_path, page_name, page_path


def render_text(text: str, known: Collection[str], wiki: str) -> Markup:
    """Render the text of a page.

    Args:
        text: Markdown; ``[[Name]]`` and ``[[Name|label]]`` link to pages.
        known: Names of the pages that exist; links to others lead to the editor.
        wiki: Where the wiki is, as seen from the page: a URL that ends in a slash.

    Returns:
        The HTML.
    """
    # The renderer escapes all text; raw HTML is off.
    return Markup(_MARKDOWN.render(text, {"known": known, "wiki": wiki}))


def _parse_link(state: StateInline, silent: bool) -> bool:
    found = LINK.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    if not silent:
        token = state.push("wiki_link", "a", 0)
        token.content = found[1]
        token.info = found[2] or found[1]
    state.pos = found.end()
    return True


def _render_link(
    _: Any, tokens: Sequence[Token], index: int, __: Any, env: dict[str, Any]
) -> str:
    token = tokens[index]
    try:
        name = page_name(token.content)
    except InvalidParams:
        return str(html.span(token.info))
    if name in env["known"]:
        return str(html.a(token.info, href=env["wiki"] + page_path(name)))
    return str(
        html.a(
            token.info,
            class_="missing",
            title="Nobody has written this page yet",
            href=env["wiki"] + method_path("edit", name),
        )
    )


def _lower_headings(state: StateCore) -> None:
    """The first level is the name of the page."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 1)}"


_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
_MARKDOWN.inline.ruler.before("link", "wiki_link", _parse_link)
_MARKDOWN.core.ruler.push("lower_headings", _lower_headings)
_MARKDOWN.add_render_rule("wiki_link", _render_link)
