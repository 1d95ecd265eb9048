"""A wiki: pages that everybody may write, kept with all that they ever were.

Pages are rendered when they are written: readers get them as static files, below
``/wiki/page/``. Everything else is methods, for browsers and for programs.

    curl -d page=Garden -d 'text=We have *[[Roses]]*.' localhost:4334/wiki/write
    curl localhost:4334/wiki/page/Garden/
    curl -H 'Accept: application/json' 'localhost:4334/wiki/search?words=roses'
    tsctl call wiki.read page=Garden
"""

from __future__ import annotations

import datetime as dt
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from toolserver import (
    Markup,
    Request,
    Response,
    StandardTool,
    expose,
    generator,
    on_error,
    read_only,
    redirect,
    register,
    rest,
    rss,
)
from toolserver.errors import Conflict, InvalidParams, NotFound, ToolserverError

from .names import linked_pages, page_name, page_path
from .pages import Draft, Hit, Pages
from .revisions import Change, Revision, Revisions

Name = Annotated[str, Meta(min_length=1, max_length=500)]
Text = Annotated[str, Meta(max_length=20_000)]
Line = Annotated[str, Meta(max_length=200)]
Words = Annotated[str, Meta(min_length=1, max_length=100)]

_STYLE = Path(__file__).with_name("style.css")
_IN_FEED = 30
_MOST_SHOWN = 100
#: Letters of an excerpt in front of what was found.
_AROUND = 80


@dataclass(frozen=True)
class WikiSettings:
    """The section ``[tool.wiki]`` of the configuration may change these.

    Attributes:
        title: The name of the wiki.
        most_pages: How many pages there may be.
        most_revisions: How many revisions a page may have.
    """

    title: str = "Wiki"
    most_pages: int = 1000
    most_revisions: int = 1000


class EditConflict(Conflict):
    """Somebody else has changed the page in between."""

    code = -32110

    def __init__(self, latest: Revision) -> None:
        super().__init__(
            f"page: {latest.page!r} has got revision {latest.number} in between",
            data={"revision": latest.number, "text": latest.text},
        )
        self.latest = latest


@register("wiki")
class Wiki(StandardTool):
    """A wiki."""

    settings = WikiSettings()

    def on_setup(self) -> None:
        """Write the style sheet, and all pages as this version renders them."""
        self._revisions = Revisions(self.storage)
        self.storage.public.write("style.css", _STYLE.read_bytes())
        for revision in self._revisions.all():
            self._publish(revision.page)

    def on_start(self) -> None:
        """Open the revisions."""
        self._revisions = Revisions(self.storage)

    # What programs call, and what browsers are shown of it.

    @read_only
    def read(self, page: Name, revision: int = 0) -> Revision:
        """Read a page.

        Args:
            page: Its name.
            revision: Number of the revision; by default the latest.

        Returns:
            The revision.

        Raises:
            NotFound: There is no such page or revision.
        """
        name = page_name(page)
        found = self._revisions.get(name, revision)
        if found is None or (found.is_removal and not revision):
            raise NotFound(f"there is no page {name!r}")
        return found

    @generator(read, content_type="text/html")
    def _show_revision(self, request: Request, revision: Revision) -> Markup:
        before = None
        if revision.number > 1:
            before = self._revisions.get(revision.page, revision.number - 1)
        text = "" if before is None else before.text
        known = self._revisions.existing(linked_pages(revision.text))
        return self._pages(request).revision(revision, text, known)

    def write(
        self, page: Name, text: Text, base: int = 0, author: Line = "", note: Line = ""
    ) -> Change:
        """Write a page.

        Args:
            page: Its name.
            text: Its text, with Markdown; an empty one takes the page away.
            base: Number of the revision that the text was made from; 0 for none.
            author: Who writes.
            note: What was changed.

        Returns:
            The new revision without its text, or the latest if the text is the same.

        Raises:
            EditConflict: The page has changed in between; `data` has its text.
            Conflict: There are as many pages or revisions as there may be.
        """
        name = page_name(page)
        # Forms send the line ends of mail.
        text = text.replace("\r\n", "\n").strip("\n")
        latest = self._revisions.get(name)
        if latest is not None and text == latest.text:
            return latest.change
        number, was_there = 0, False
        if latest is not None:
            number, was_there = latest.number, not latest.is_removal
        self._check_bounds(name, text, number)
        revision = Revision(
            page=name,
            number=number + 1,
            author=author,
            note=note,
            written=dt.datetime.now(dt.UTC),
            is_removal=not text,
            text=text,
        )
        if was_there and base != number:
            raise EditConflict(self.read(name, number))
        if not self._revisions.add(revision):
            raise EditConflict(self.read(name, revision.number))
        self._publish(name)
        if revision.is_removal == was_there:
            # Links to a page tell whether there is one.
            for other in self._revisions.all():
                if name in linked_pages(other.text):
                    self._publish(other.page)
        return revision.change

    @generator(write, "POST", content_type="text/html")
    def _to_the_page(self, request: Request, change: Change) -> Response:
        # Loading the page again must not send the form again.
        return redirect(self._top(request) + page_path(change.page))

    @on_error(write, "POST")
    def _not_saved(self, request: Request, error: Exception) -> Response | Markup:
        """Nothing that somebody wrote is lost: it is in the editor again."""
        if not isinstance(error, (Conflict, InvalidParams)) or not _is_browser(request):
            return self._sorry(request, error)
        form = request.form
        theirs = error.latest if isinstance(error, EditConflict) else None
        draft = Draft(
            page=form.get("page", ""),
            text=form.get("text", ""),
            base=theirs.number if theirs else _number(form.get("base", "")),
            author=form.get("author", ""),
            note=form.get("note", ""),
        )
        problem = _IN_BETWEEN if theirs else f"This was not saved: {error}"
        return self._pages(request).editor(draft, problem, theirs)

    @expose("list")
    @read_only
    def list_pages(self) -> list[Change]:
        """The latest revision of each page, by name."""
        found = [found.change for found in self._revisions.all() if found.text]
        return sorted(found, key=lambda change: change.page.casefold())

    @generator(list_pages, content_type="text/html")
    def _show_list(self, request: Request, pages: list[Change]) -> Markup:
        return self._pages(request).index(pages)

    @read_only
    def changes(self) -> list[Change]:
        """The latest revision of each page, the newest first; removals, too."""
        found = [found.change for found in self._revisions.all()]
        return sorted(found, key=lambda change: change.written, reverse=True)

    @generator(changes, content_type="text/html")
    def _show_changes(self, request: Request, changes: list[Change]) -> Markup:
        return self._pages(request).changes(changes[:_MOST_SHOWN])

    @read_only
    def history(self, page: Name) -> list[Change]:
        """The revisions of a page, the newest first.

        Args:
            page: Its name.

        Raises:
            NotFound: There never was such a page.
        """
        name = page_name(page)
        found = self._revisions.history(name)
        if not found:
            raise NotFound(f"there is no page {name!r}")
        return found

    @generator(history, content_type="text/html")
    def _show_history(self, request: Request, changes: list[Change]) -> Markup:
        return self._pages(request).history(changes[0].page, changes)

    @read_only
    def search(self, words: Words) -> list[Hit]:
        """Search the pages.

        Args:
            words: Words that all occur in the name or the text, in any order.

        Returns:
            Up to 100 pages, those with the words in their names first.
        """
        wanted = words.casefold().split()
        hits = []
        for revision in self._revisions.all():
            name = revision.page.casefold()
            whole = f"{name}\n{revision.text.casefold()}"
            if revision.text and all(word in whole for word in wanted):
                in_name = all(word in name for word in wanted)
                hits.append((not in_name, name, revision))
        return [
            Hit(revision.page, _excerpt(revision.text, words))
            for _, _, revision in sorted(hits, key=lambda hit: hit[:2])[:_MOST_SHOWN]
        ]

    @generator(search, content_type="text/html")
    def _show_hits(self, request: Request, hits: list[Hit]) -> Markup:
        return self._pages(request).hits(request.query.get("words", ""), hits)

    # What browsers alone ask for.

    @rest("GET")
    def index(self, request: Request) -> Markup:
        """The list of pages."""
        return self._show_list(request, self.list_pages())

    @rest("GET")
    def page(self, request: Request) -> Response | Markup:
        """A page that is no file, most often because nobody has written it."""
        top = self._top(request)
        if not any(request.rest):
            return redirect(f"{top}list")
        name = page_name("/".join(request.rest))
        if not request.raw_path.endswith(f"/{page_path(name)}"):
            # Relative links hold for one form of the path alone.
            return redirect(top + page_path(name))
        revision, known = self._publish(name)
        if revision is not None:
            return self._pages(request).page(revision, known)
        return Response(self._pages(request).missing(name), status=404)

    @rest("GET")
    def edit(self, request: Request) -> Markup:
        """The form in which a page is written."""
        name = page_name(request.query["page"])
        latest = self._revisions.get(name)
        shown, base = latest, 0 if latest is None else latest.number
        if "revision" in request.query:
            shown = self._revisions.get(name, _number(request.query["revision"]))
        text = "" if shown is None else shown.text
        return self._pages(request).editor(Draft(name, text, base))

    @rest("GET")
    def feed(self, request: Request) -> Markup:
        """The latest changes as RSS."""
        own = f"{request.scheme}://{request.host}{request.raw_path}"
        top = own.removesuffix("feed")
        return rss(
            self.settings.title,
            top,
            f"Changes of {self.settings.title}",
            (
                rss.item(
                    change.page,
                    link=top + page_path(change.page),
                    description=change.note or _WHAT[change.is_removal],
                    creator=change.author,
                    published=change.written,
                    guid=f"{top}{page_path(change.page)}#{change.number}",
                )
                for change in self.changes()[:_IN_FEED]
            ),
            self_link=own,
        )

    @on_error()
    def _sorry(self, request: Request, error: Exception) -> Markup:
        if not isinstance(error, ToolserverError) or not _is_browser(request):
            raise error
        return self._pages(request).problem(error.message)

    # Rendered pages.

    def _publish(self, name: str) -> _Shown:
        """Write the file of a page, or take it away, and say what it shows now."""
        path = f"page/{name}/index.html"
        pages = Pages(self.settings.title, "../" * (name.count("/") + 2))
        written = None
        while (shown := self._shown(name)) != written:
            # Another process may be at it, too: who writes last, looks again.
            revision, known = shown
            if revision is None:
                with suppress(FileNotFoundError):
                    self.storage.public.delete(path)
            else:
                # What is lost is rendered again.
                page = pages.page(revision, known)
                self.storage.public.write(path, page, durable=False)
            written = shown
        return shown

    def _shown(self, name: str) -> _Shown:
        revision = self._revisions.get(name)
        if revision is None or revision.is_removal:
            return None, frozenset()
        return revision, self._revisions.existing(linked_pages(revision.text))

    def _pages(self, request: Request) -> Pages:
        return Pages(self.settings.title, self._top(request))

    def _top(self, request: Request) -> str:
        """Where the wiki is, as seen from the URL of a request."""
        own = self.namespace.count(".") + 2
        return "../" * (request.raw_path.count("/") - own)

    def _check_bounds(self, name: str, text: str, number: int) -> None:
        most_pages, most = self.settings.most_pages, self.settings.most_revisions
        if not text and not number:
            raise InvalidParams(f"text: got none, expected that of the page {name!r}")
        if not number and self._revisions.count() >= most_pages:
            raise Conflict(f"there are {most_pages} pages already")
        if number >= most:
            raise Conflict(f"the page {name!r} has {most} revisions already")


#: A page as it is to be shown: its revision, and the pages it links to that exist.
_Shown = tuple[Revision | None, frozenset[str]]

_WHAT = ("The page was written.", "The page was taken away.")
_IN_BETWEEN = (
    "This was not saved, because somebody else has changed the page in between. Your"
    " text is in the editor below: bring the two together and save again."
)


def _is_browser(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _number(text: str) -> int:
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else 0


def _excerpt(text: str, words: str) -> str:
    """The part of a text around the first of some words."""
    pattern = "|".join(map(re.escape, words.split()))
    found = re.search(pattern, text, re.IGNORECASE)
    start = max(0, found.start() - _AROUND) if found else 0
    end = start + 3 * _AROUND
    return ("…" if start else "") + text[start:end] + ("…" if text[end:] else "")
