"""The pages of the wiki: from what they show to HTML."""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from toolserver import Markup, html
from toolserver.markup import Child

from .markdown import render_text
from .names import method_path, page_path
from .revisions import Change, Revision

#: Comparing takes a time that grows faster than the texts.
_MOST_LINES = 2000


@dataclass(frozen=True)
class Draft:
    """A text that is being written.

    Attributes:
        page: Name of the page.
        text: What is in the editor.
        base: Number of the revision that it started from; 0 for none.
        author: Who writes.
        note: What they change.
    """

    page: str
    text: str = ""
    base: int = 0
    author: str = ""
    note: str = ""


@dataclass(frozen=True)
class Hit:
    """A page that was found.

    Attributes:
        page: Its name.
        excerpt: The part of its text where the first of the words occurs.
    """

    page: str
    excerpt: str


@dataclass(frozen=True)
class Pages:
    """Writes the pages of one wiki.

    Attributes:
        title: The name of the wiki.
        top: Where the wiki is, as seen from the page: empty, or a URL that ends in a
            slash.
    """

    title: str
    top: str = ""

    def page(self, revision: Revision, known: Collection[str]) -> Markup:
        """A page as its readers see it.

        Args:
            revision: Its latest revision.
            known: Names of the pages that exist.
        """
        return self._frame(
            revision.page,
            html.article(render_text(revision.text, known, self.top), class_="text"),
            html.footer(
                html.p("Last change: ", _signature(revision)),
                self._link("edit", revision.page, "Edit"),
                self._link("history", revision.page, "History"),
                class_="actions",
            ),
        )

    def missing(self, name: str) -> Markup:
        """What stands where nobody has written yet.

        Args:
            name: Name of the page.
        """
        return self._frame(
            name,
            html.p("There is no such page."),
            html.p(self._link("edit", name, "Write it")),
        )

    def problem(self, text: str) -> Markup:
        """What stands where there can be no page.

        Args:
            text: Why.
        """
        return self._frame("No such page", html.p(text, class_="problem"))

    def index(self, pages: Sequence[Change]) -> Markup:
        """The list of all pages.

        Args:
            pages: The latest revision of each.
        """
        return self._frame(
            self.title,
            html.ul(
                (html.li(self._page_link(change.page)) for change in pages),
                class_="pages",
            )
            if pages
            else html.p("There are no pages yet."),
            html.h2("A new page"),
            html.form(
                _field("Its name", "page", "", required=True, maxlength=200),
                html.div(html.button("Write it"), class_="end"),
                action=f"{self.top}edit",
                class_="fields",
            ),
        )

    def changes(self, changes: Sequence[Change]) -> Markup:
        """The pages by their last change.

        Args:
            changes: The latest revision of each, the newest first.
        """
        return self._frame(
            "Changes",
            html.ol(
                (self._change(change) for change in changes),
                class_="changes",
            ),
            html.p(html.a("As a feed (RSS)", href=f"{self.top}feed")),
        )

    def history(self, name: str, changes: Sequence[Change]) -> Markup:
        """All revisions of a page.

        Args:
            name: Name of the page.
            changes: The revisions, the newest first.
        """
        return self._frame(
            f"History of {name}",
            html.ol(
                (
                    html.li(
                        self._revision_link(change),
                        ", ",
                        _signature(change),
                        _note(change),
                    )
                    for change in changes
                ),
                class_="changes",
            ),
            html.p(self._page_link(name, "The page"), class_="actions"),
        )

    def revision(
        self, revision: Revision, before: str, known: Collection[str]
    ) -> Markup:
        """One revision: what it changed, and the page as it was.

        Args:
            revision: The revision.
            before: The text of the one before it.
            known: Names of the pages that exist.
        """
        old = {"page": revision.page, "revision": revision.number}
        return self._frame(
            f"{revision.page}, revision {revision.number}",
            html.p(_signature(revision)),
            _note(revision),
            html.h2("What changed"),
            _difference(before, revision.text),
            html.h2("The page at that time"),
            html.article(render_text(revision.text, known, self.top), class_="text"),
            html.footer(
                self._page_link(revision.page, "The page today"),
                self._link("history", revision.page, "History"),
                html.a("Edit from here", href=f"{self.top}edit?{urlencode(old)}"),
                class_="actions",
            ),
        )

    def hits(self, words: str, hits: Sequence[Hit]) -> Markup:
        """What was found.

        Args:
            words: What was searched for.
            hits: The pages that have all of them.
        """
        count = f"{len(hits)} page{'' if len(hits) == 1 else 's'}"
        found = (
            html.li(
                html.a(_marked(hit.page, words), href=self.top + page_path(hit.page)),
                html.p(_marked(hit.excerpt, words), class_="note"),
            )
            for hit in hits
        )
        return self._frame(
            f"Search: {words}",
            html.p(f"{count} found."),
            html.ol(found, class_="hits"),
            words=words,
        )

    def editor(
        self, draft: Draft, problem: str = "", theirs: Revision | None = None
    ) -> Markup:
        """The form in which a page is written.

        Args:
            draft: What is in it.
            problem: Why it was not saved.
            theirs: The revision that came in between.
        """
        return self._frame(
            f"Edit {draft.page}",
            problem and html.p(problem, class_="problem", role="alert"),
            _theirs(theirs) if theirs else None,
            html.form(
                html.input(type="hidden", name="page", value=draft.page),
                html.input(type="hidden", name="base", value=draft.base),
                html.label(
                    "Text",
                    html.textarea(draft.text, name="text", rows=20, maxlength=20_000),
                ),
                html.div(
                    _field("What you change", "note", draft.note, maxlength=200),
                    _field("Your name", "author", draft.author, maxlength=100),
                    class_="row",
                ),
                html.div(
                    html.button("Save"),
                    self._page_link(draft.page, "Leave it as it is"),
                    class_="end",
                ),
                _HOW_TO_WRITE,
                method="post",
                action=f"{self.top}write",
                class_="fields",
            ),
        )

    def _frame(self, title: str, *content: Child, words: str = "") -> Markup:
        search = html.input(
            type="search",
            name="words",
            value=words,
            required=True,
            maxlength=100,
            aria_label="Words to search for",
        )
        return html.document(
            title if title == self.title else f"{title} · {self.title}",
            html.a("To the text", href="#text", class_="skip"),
            html.header(
                html.a(self.title, href=self.top or "./", class_="name"),
                html.nav(
                    html.a("Pages", href=f"{self.top}list"),
                    html.a("Changes", href=f"{self.top}changes"),
                    aria_label="Wiki",
                ),
                html.form(
                    search,
                    html.button("Search"),
                    action=f"{self.top}search",
                    role="search",
                ),
                class_="site",
            ),
            html.main(html.h1(title), content, id="text"),
            head=[
                html.link(rel="stylesheet", href=f"{self.top}style.css"),
                html.link(
                    rel="alternate",
                    type="application/rss+xml",
                    title="Changes",
                    href=f"{self.top}feed",
                ),
            ],
        )

    def _link(self, method: str, name: str, label: str) -> Markup:
        return html.a(label, href=self.top + method_path(method, name))

    def _page_link(self, name: str, label: str = "") -> Markup:
        return html.a(label or name, href=self.top + page_path(name))

    def _revision_link(self, change: Change) -> Markup:
        path = method_path("read", change.page)
        return html.a(
            f"Revision {change.number}",
            href=f"{self.top}{path}&revision={change.number}",
        )

    def _change(self, change: Change) -> Markup:
        return html.li(
            self._page_link(change.page),
            " · ",
            self._link("history", change.page, "History"),
            html.br(),
            _signature(change),
            _note(change),
        )


def _field(label: str, name: str, value: str, **more: int | bool) -> Markup:
    return html.label(label, html.input(name=name, value=value, **more))


def _signature(change: Change) -> Markup:
    """When and by whom a change was made."""
    written = change.written.astimezone(dt.UTC)
    return html.span(
        html.time(f"{written:%Y-%m-%d %H:%M}", datetime=f"{written:%Y-%m-%dT%H:%MZ}"),
        f" by {change.author}" if change.author else None,
        ", taken away" if change.is_removal else None,
    )


def _theirs(revision: Revision) -> list[Markup]:
    return [
        html.h2("The page as it is now"),
        html.p(_signature(revision)),
        html.pre(revision.text, class_="theirs", tabindex=0),
        html.h2("Your text"),
    ]


def _note(change: Change) -> Markup | None:
    return html.p(change.note, class_="note") if change.note else None


def _marked(text: str, words: str) -> Iterator[Child]:
    """A text in which some words are marked."""
    pattern = "|".join(map(re.escape, words.split())) or "(?!)"
    end = 0
    for found in re.finditer(pattern, text, re.IGNORECASE):
        yield text[end : found.start()]
        yield html.mark(found[0])
        end = found.end()
    yield text[end:]


def _difference(before: str, after: str) -> Markup:
    """The lines that two texts do not share, and some around them."""
    old, new = before.splitlines(), after.splitlines()
    if max(len(old), len(new)) > _MOST_LINES:
        return html.p("The texts are too long to be compared.")
    lines: list[Markup] = []
    matcher = difflib.SequenceMatcher(None, old, new)
    for group in matcher.get_grouped_opcodes():
        if lines:
            lines.append(html.span("…"))
        for kind, old_from, old_to, new_from, new_to in group:
            if kind == "equal":
                lines += [html.span("  ", line) for line in old[old_from:old_to]]
                continue
            lines += [html.del_("- ", line) for line in old[old_from:old_to]]
            lines += [html.ins("+ ", line) for line in new[new_from:new_to]]
    return html.pre(lines, class_="difference")


_HOW_TO_WRITE = html.details(
    html.summary("How to write"),
    html.ul(
        html.li(html.code("[[Name]]"), " or ", html.code("[[Name|label]]"), ": a page"),
        html.li(html.code("*emphasis*"), ", ", html.code("**strong**")),
        html.li(html.code("# Heading"), ", ", html.code("## Smaller heading")),
        html.li(html.code("- item"), " or ", html.code("1. item"), ": lists"),
        html.li(html.code("[label](https://example.org/)"), ": a link"),
        html.li("An empty line begins a new paragraph."),
    ),
    html.p("An empty text takes the page away; its history stays."),
)
