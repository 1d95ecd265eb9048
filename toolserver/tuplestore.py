"""The tuples that a space holds: in the order of their arrival, and by what they are.

Nobody waits here; see `toolserver.tuplespace`.
"""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from toolserver.tuplepatterns import Pattern, Tuple, candidates_key, keys

__all__ = ["Entry", "TupleStore"]

#: Expired entries that the heap of times may hold before it is made anew.
_SLACK = 64
_FOREVER = float("inf")


class Entry:
    """A tuple in a space.

    Args:
        number: Its place in the order of arrival.
        values: The tuple.
        expires: When it is gone; infinite for never.

    Attributes:
        readers: The names under which it was had already.
    """

    __slots__ = ("expires", "number", "readers", "values")

    def __init__(self, number: int, values: Tuple, expires: float) -> None:
        self.number = number
        self.values = values
        self.expires = expires
        self.readers: set[str] = set()


class TupleStore:
    """Holds tuples; finds those that a pattern may fit."""

    __slots__ = ("_expiries", "_groups", "_numbers", "entries")

    def __init__(self) -> None:
        self._numbers = itertools.count()
        # By their number, in the order of their arrival. Ordered dictionaries find
        # their first entry at once also when many before it were removed.
        self.entries: OrderedDict[int, Entry] = OrderedDict()
        self._groups: dict[object, OrderedDict[int, Entry]] = {}
        self._expiries: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, entry: Entry) -> bool:
        return entry.number in self.entries

    def make(self, values: Tuple, expires: float = _FOREVER) -> Entry:
        """Make an entry that comes after all that were made; it is not stored yet.

        Args:
            values: The tuple.
            expires: When it is gone.
        """
        return Entry(next(self._numbers), values, expires)

    def insert(self, entry: Entry) -> None:
        """Store the newest entry."""
        for entries in self._of(entry):
            entries[entry.number] = entry
        if entry.expires != _FOREVER:
            heapq.heappush(self._expiries, (entry.expires, entry.number))
            if len(self._expiries) > 2 * len(self.entries) + _SLACK:
                # Most of these were taken long before their time.
                self._expiries = [
                    (other.expires, other.number)
                    for other in self.entries.values()
                    if other.expires != _FOREVER
                ]
                heapq.heapify(self._expiries)

    def restore(self, entry: Entry) -> None:
        """Store an entry that was removed, in the place that it had."""
        self.insert(entry)
        for entries in self._of(entry):
            for number in [number for number in entries if number > entry.number]:
                entries.move_to_end(number)

    def remove(self, entry: Entry) -> None:
        """Take an entry out."""
        del self.entries[entry.number]
        for key in keys(entry.values):
            group = self._groups[key]
            del group[entry.number]
            if not group:
                del self._groups[key]

    def candidates(self, pattern: Pattern) -> Iterable[Entry]:
        """Entries that a pattern may fit, in the order of their arrival."""
        return self._groups.get(candidates_key(pattern), _NONE).values()

    def expire(self, now: float) -> list[Entry]:
        """Take out what has outlived its lifetime.

        Args:
            now: The time.

        Returns:
            The entries, those first that ended first.
        """
        expired: list[Entry] = []
        while self._expiries and self._expiries[0][0] <= now:
            _, number = heapq.heappop(self._expiries)
            entry = self.entries.get(number)
            if entry is not None:
                self.remove(entry)
                expired.append(entry)
        return expired

    @property
    def has_ends(self) -> bool:
        """Whether there may be entries that end."""
        return bool(self._expiries)

    def _of(self, entry: Entry) -> Iterator[OrderedDict[int, Entry]]:
        """All that lists an entry."""
        yield self.entries
        for key in keys(entry.values):
            yield self._groups.setdefault(key, OrderedDict())


_NONE: OrderedDict[int, Entry] = OrderedDict()
