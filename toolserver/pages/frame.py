"""What all pages have in common: their frame, their files, and what they may do.

Nothing comes from another host, no script or style stands in a page itself, and a
browser is told so (Content Security Policy Level 3).
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from toolserver.markup.content import Child
from toolserver.markup.pages import html
from toolserver.message import Response

__all__ = ["asset", "page"]

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_SAFE = [
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
]


def page(
    title: str, *body: Child, root: str, query: str = "", renewed_every: str = ""
) -> Response:
    """Put a page into its frame.

    Args:
        title: What it is about.
        *body: What stands in its main part.
        root: Path of the pages, with slashes around it.
        query: What was searched for.
        renewed_every: Seconds after which a browser with scripts looks again; empty
            for a page that stays.

    Returns:
        The page.
    """
    made = html.document(
        title,
        html.a("Skip to the content", href="#content", class_="skip"),
        html.header(
            html.a("Tools", href=root, class_="home"),
            html.form(
                html.input(
                    type="search",
                    name="q",
                    value=query,
                    placeholder="Search",
                    aria_label="Search tools and methods",
                ),
                html.button("Search"),
                action=root,
                role="search",
            ),
        ),
        html.main(*body, id="content", data_renewed_every=renewed_every or None),
        head=[
            html.link(rel="stylesheet", href=f"{root}_files/pages.css"),
            html.link(rel="icon", href="data:,"),
            html.script(src=f"{root}_files/pages.js", defer=True),
        ],
    )
    return Response(made, content_type="text/html; charset=utf-8", headers=_SAFE)


def asset(name: str) -> Response | None:
    """A file that the pages need.

    Args:
        name: Its name.

    Returns:
        The file, or None if there is none of that name.
    """
    content = _assets().get(name)
    if content is None:
        return None
    return Response(
        content,
        content_type=_TYPES[name.rpartition(".")[2]],
        headers=[*_SAFE, ("Cache-Control", "max-age=300")],
    )


@cache
def _assets() -> dict[str, bytes]:
    folder = resources.files(__package__).joinpath("assets")
    return {file.name: file.read_bytes() for file in folder.iterdir()}
