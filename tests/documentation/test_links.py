"""Links lead to something that is there."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import greeting
import pytest

import toolserver.testing
from tests.documentation.blocks import ROOT, name_of
from tests.documentation.links import MARKDOWN, Link, anchors, ask, links
from tests.documentation.stage import Orders, Status, Stock

#: What Sphinx makes when it builds the site.
MADE = {"docs/reference/configuration.md", "docs/reference/tsctl.md"}


@pytest.mark.parametrize("page", MARKDOWN, ids=name_of)
def test_links_of_pages_lead_somewhere(page):
    for link in links(page):
        if link.is_external:
            check_syntax(link)
            continue
        path, _, anchor = link.target.partition("#")
        target = (page.parent / unquote(path)).resolve() if path else page
        assert target.exists(), link.target
        assert target.is_relative_to(ROOT), link.target
        is_made = name_of(target) in MADE
        if anchor and target.suffix == ".md" and not is_made:
            assert anchor in anchors(target), link.target


def check_syntax(link: Link) -> None:
    parts = urlsplit(link.target)
    assert parts.scheme in ("http", "https", "mailto"), link.target
    if parts.scheme == "mailto":
        assert re.fullmatch(r"[^@\s]+@[\w-]+(\.[\w-]+)+", parts.path), link.target
        return
    assert re.fullmatch(r"[\w-]+(\.[\w-]+)+(:\d+)?|localhost(:\d+)?", parts.netloc)
    # RFC 3986: what else there is has to be escaped.
    rest = f"{parts.path}?{parts.query}#{parts.fragment}"
    assert re.fullmatch(r"(?:[\w.~!$&'()*+,;=:@/?#-]|%[0-9A-Fa-f]{2})*", rest), link
    assert rest.isascii(), link.target


def test_headings_are_named_as_github_does(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# What `tsctl` *does*\n\n## Same\n\n## Same\n\n### A [link](b.md), once\n\n"
        "```sh\n# no heading\n```\n\n(label)=\n\n## Zoë & her_friends: 1.5!\n"
    )
    assert anchors(page) == {
        "what-tsctl-does",
        "same",
        "same-1",
        "a-link-once",
        "label",
        "zoë--her_friends-15",
    }


def test_what_is_a_link(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        '[a](a.md#b) ![c](c.png "C") `[no](code)` <https://d.example/> [e][f]\n\n'
        "[f]: https://f.example/(x)\n\n```\n[no](fence)\n```\n[g](g_(h).md)\n"
    )
    assert [link.target for link in links(page)] == [
        "a.md#b",
        "c.png",
        "g_(h).md",
        "https://f.example/(x)",
        "https://d.example/",
    ]


def test_the_network_is_asked_for_other_sites(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with toolserver.testing.serve(Orders, Status) as server:
        assert ask(server.url("/API/")) == ""
        assert ask(server.url("/API/nothing/")) == "status 404"
        assert ask(server.url("/shop/orders/find?number=1")) == ""
    assert ask(server.url("/API/")) == "ConnectionError"


# --- pages that the server makes

#: Keeps browsers from asking for an icon.
NO_ICON = "data:,"


class Links(HTMLParser):
    """Where a page leads, and the places that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.update(found[name] for name in ("id", "name") if name in found)
        for name in ("href", "src", "action"):
            if found.get(name) and not (tag == "form" and name == "action"):
                self.targets.append(found[name])


def test_links_of_the_servers_pages_lead_somewhere():
    tools = (Orders, Stock, Status, greeting.Greeting)
    with toolserver.testing.serve(*tools) as server:
        begin = server.url("/API/")
        pages, waiting = {}, [begin]
        while waiting:
            url = waiting.pop()
            if url in pages:
                continue
            accept = {"Accept": "text/html,*/*;q=0.8"}
            answer = server.http.get(url, headers=accept, timeout=20)
            assert answer.status_code in (200, 401), url
            is_page = answer.headers["Content-Type"].startswith("text/html")
            pages[url] = Links(answer.text if is_page else "")
            for target in pages[url].targets:
                place = urljoin(url, target)
                if place.startswith(server.url("/")):
                    waiting.append(place.partition("#")[0])
                elif ":" in target and target != NO_ICON:
                    check_syntax(Link(Path("page"), target))
        assert len(pages) > 5
        for url, page in pages.items():
            for target in page.targets:
                place, _, anchor = urljoin(url, target).partition("#")
                if anchor and place in pages:
                    assert unquote(anchor) in pages[place].ids, (url, target)
