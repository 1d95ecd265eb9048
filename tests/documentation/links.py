"""Where links of Markdown lead, and which places of a page they may lead to.

Run as a program it asks the network for the links to other sites: ``make links``.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import requests

from tests.documentation.blocks import PAGES, ROOT, name_of

__all__ = ["MARKDOWN", "Link", "anchors", "ask", "links"]

#: All pages in Markdown, also those that are no documentation.
MARKDOWN = [
    *PAGES,
    *(
        page
        for page in sorted([*ROOT.glob("*.md"), *ROOT.glob("*/*.md")])
        if page not in PAGES and "." not in page.relative_to(ROOT).parts[0][:1]
    ),
]

# Code has brackets of its own.
_CODE = re.compile(r"^ *(```+).*?^ *\1 *$|(`+)[^`\n].*?\2", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(
    r"\]\(\s*<?([^()\s>]+(?:\([^()\s]*\)[^()\s]*)*)>?(?:\s+\"[^\"]*\")?\s*\)"
)
_REFERENCE = re.compile(r"^ {0,3}\[[^\]\n]+\]:\s+<?(\S+?)>?\s*$", re.MULTILINE)
_BARE = re.compile(r"<(https?://[^>\s]+)>")
_HEADING = re.compile(r"^ {0,3}#{1,6} +(.*?) *#* *$", re.MULTILINE)
_NAMED = re.compile(r"<a (?:name|id)=\"([^\"]+)\"|^\(([\w-]+)\)= *$", re.MULTILINE)


class Link(NamedTuple):
    """A link as a page has it.

    Attributes:
        page: The page.
        target: Where it leads.
    """

    page: Path
    target: str

    @property
    def is_external(self) -> bool:
        return re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", self.target) is not None


def links(page: Path) -> list[Link]:
    text = _CODE.sub("`code`", page.read_text("utf-8"))
    found = _INLINE.findall(text) + _REFERENCE.findall(text) + _BARE.findall(text)
    return [Link(page, target) for target in found]


def anchors(page: Path) -> set[str]:
    """The places of a page that links may lead to, as GitHub names its headings."""
    text = page.read_text("utf-8")
    fenced = re.sub(r"^ *(```+).*?^ *\1 *$", "", text, flags=re.MULTILINE | re.DOTALL)
    found = {name or label for name, label in _NAMED.findall(fenced)}
    counts: Counter[str] = Counter()
    for heading in _HEADING.findall(fenced):
        plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower().strip()).replace(" ", "-")
        found.add(f"{slug}-{counts[slug]}" if counts[slug] else slug)
        counts[slug] += 1
    return found


def ask(url: str) -> str:
    """What keeps an address from being there; empty if nothing does."""
    headers = {"User-Agent": "Mozilla/5.0 (link check)"}
    try:
        with requests.get(url, timeout=30, headers=headers, stream=True) as answer:
            # Who keeps programs out has something there.
            is_there = answer.ok or answer.status_code in (401, 403, 429)
            return "" if is_there else f"status {answer.status_code}"
    except requests.RequestException as error:
        return type(error).__name__


def main() -> int:
    pages: dict[str, set[str]] = {}
    for page in MARKDOWN:
        for link in links(page):
            if link.target.startswith(("http:", "https:")):
                url = link.target.partition("#")[0]
                pages.setdefault(url, set()).add(name_of(page))
    # Examples are nobody's.
    asked = [url for url in pages if not re.search(r"//[^/]*(example|localhost)", url)]
    with ThreadPoolExecutor(8) as pool:
        failures = [
            f"{url}: {why} ({', '.join(sorted(pages[url]))})"
            for url, why in zip(asked, pool.map(ask, asked), strict=True)
            if why
        ]
    print("\n".join([*failures, f"{len(asked)} links, {len(failures)} lead nowhere"]))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
