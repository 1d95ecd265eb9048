"""What was written, revision by revision; nothing of it is ever changed.

Each revision is a file of its own, made only where there is none yet. Of two that are
written on top of the same one, whatever process they come from, one fails.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import msgspec

from toolserver import Storage


@dataclass(frozen=True)
class Change:
    """One revision of a page, without its text.

    Attributes:
        page: Name of the page.
        number: Its number, from 1.
        author: Who wrote it, as they call themselves.
        note: What they changed, in their own words.
        written: When.
        is_removal: Whether it took the page away.
    """

    page: str
    number: int
    author: str
    note: str
    written: dt.datetime
    is_removal: bool = False


@dataclass(frozen=True)
class Revision(Change):
    """One revision of a page.

    Attributes:
        text: Its text, with Markdown; empty if it took the page away.
    """

    text: str = ""

    @property
    def change(self) -> Change:
        """The revision without its text."""
        return Change(
            self.page,
            self.number,
            self.author,
            self.note,
            self.written,
            self.is_removal,
        )


class Revisions:
    """The revisions of all pages.

    Args:
        storage: Where they are kept: in a folder for each page, which a hash of its
            name names, as files numbered from 1.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def get(self, page: str, number: int = 0) -> Revision | None:
        """A revision of a page.

        Args:
            page: Name of the page.
            number: Number of the revision; 0 for the latest.

        Returns:
            The revision, or None if there is none of this number.
        """
        folder = _folder(page)
        return self._read(folder, number or self._latest(folder))

    def add(self, revision: Revision) -> bool:
        """Keep a revision.

        Args:
            revision: The revision; its number follows that of the latest.

        Returns:
            Whether its number was free.
        """
        try:
            self._storage.create(
                f"{_folder(revision.page)}/{revision.number}.json",
                msgspec.json.encode(asdict(revision)),
            )
        except FileExistsError:
            return False
        return True

    def history(self, page: str) -> list[Change]:
        """All revisions of a page, the newest first."""
        folder = _folder(page)
        numbers = range(self._latest(folder), 0, -1)
        found = (self._read(folder, number) for number in numbers)
        return [revision.change for revision in found if revision is not None]

    def all(self) -> list[Revision]:
        """The latest revision of each page, also of those taken away."""
        found = (self._read(*latest) for latest in self._numbers(_ROOT).items())
        return [revision for revision in found if revision is not None]

    def count(self) -> int:
        """How many pages there are, with those taken away."""
        return len(self._numbers(_ROOT))

    def existing(self, pages: Iterable[str]) -> frozenset[str]:
        """Those of some pages that there are."""
        return frozenset(
            page
            for page in pages
            if (found := self.get(page)) is not None and not found.is_removal
        )

    def _latest(self, folder: str) -> int:
        return self._numbers(folder).get(folder, 0)

    def _numbers(self, below: str) -> dict[str, int]:
        """The numbers of the latest revisions by folder."""
        latest: dict[str, int] = {}
        for name in self._storage.list(below, pattern="*.json"):
            folder, _, file = name.rpartition("/")
            number = int(file.removesuffix(".json"))
            latest[folder] = max(number, latest.get(folder, 0))
        return latest

    def _read(self, folder: str, number: int) -> Revision | None:
        try:
            data = self._storage.read(f"{folder}/{number}.json")
        except FileNotFoundError:
            return None
        return msgspec.json.decode(data, type=Revision)


_ROOT = "pages"


def _folder(page: str) -> str:
    # The name itself could be too long, or differ in case alone from another one.
    return f"{_ROOT}/{hashlib.sha256(page.encode()).hexdigest()}"
