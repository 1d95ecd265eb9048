"""A tuple space: where the parts of a server leave things for each other.

`out` puts a tuple into a space, `take` takes one that fits a pattern, `read` only looks
at it; both can wait for one. It is a queue, a shared table and a broadcast in one, and
who puts and who takes need not know each other.

Of several tuples that fit the one that came first is had; of several who wait, the one
who came first has it.

After David Gelernter, "Generative communication in Linda", 1985.
"""

from __future__ import annotations

import itertools
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from gevent.event import Event

from toolserver.errors import Overload
from toolserver.nativethreads import in_loop
from toolserver.tuplepatterns import Pattern, Tuple, check_pattern, fits
from toolserver.tuplestore import Entry, TupleStore

__all__ = [
    "NoTuple",
    "Space",
    "SpaceClosed",
    "SpaceFull",
    "check_out",
]


class NoTuple(TimeoutError):
    """No tuple that fits the pattern came in time."""


class SpaceClosed(Overload):
    """The server stops: nobody can wait for tuples any more."""


class SpaceFull(Overload):
    """The space holds as many tuples as it may."""


class _Waiter:
    """Somebody who waits for a tuple."""

    __slots__ = ("arrived", "entry", "error", "number", "pattern", "reader", "takes")

    def __init__(self, pattern: Pattern, *, takes: bool, reader: str) -> None:
        self.number = -1
        self.pattern = pattern
        self.takes = takes
        self.reader = reader
        self.arrived = Event()
        self.entry: Entry | None = None
        self.error: Exception | None = None

    def wants(self, entry: Entry) -> bool:
        """Whether an entry fits; a predicate that fails is its owner's to know."""
        try:
            return fits(self.pattern, entry.values)
        except Exception as error:
            self.fail(error)
            return False

    def give(self, entry: Entry) -> None:
        self.entry = entry
        self.arrived.set()

    def fail(self, error: Exception) -> None:
        self.error = error
        self.arrived.set()


class Space:
    """A tuple space for the greenlets of one thread.

    Tuples are kept as they are, not copied, so what they hold should not be changed.

    Args:
        max_tuples: Number of tuples that it holds at most.
        clock: Gives the time in seconds by which lifetimes are measured.
        on_removed: Is told each tuple that was taken or has expired.
    """

    def __init__(
        self,
        *,
        max_tuples: int = 100_000,
        clock: Callable[[], float] = time.monotonic,
        on_removed: Callable[[Tuple], object] | None = None,
    ) -> None:
        self.max_tuples = max_tuples
        self._clock = clock
        self._on_removed = on_removed
        self._store = TupleStore()
        self._waiter_numbers = itertools.count()
        self._waiters: OrderedDict[int, _Waiter] = OrderedDict()
        self._listeners: dict[str, OrderedDict[int, _Waiter]] = {}
        self._closed = False

    def __len__(self) -> int:
        """Number of tuples in the space."""
        self._expire()
        return len(self._store)

    @in_loop
    def out(self, values: Tuple, *, ttl: float | None = None) -> None:
        """Put a tuple into the space.

        Who waits for it is woken at once: all who read, and the first who takes.

        Args:
            values: The tuple.
            ttl: Seconds after which it is gone if nobody has taken it; None for no
                bound.

        Raises:
            TypeError: It is no tuple.
            ValueError: The lifetime is negative.
            SpaceFull: There are too many tuples.
        """
        check_out(values, ttl)
        self._expire()
        expires = float("inf") if ttl is None else self._clock() + ttl
        entry = self._store.make(values, expires)
        wanting = self._wanting(entry)
        is_taken = bool(wanting) and wanting[-1].takes
        if not is_taken and len(self._store) >= self.max_tuples:
            raise SpaceFull(f"tuple space: full, it holds {self.max_tuples} tuples")
        self._give(entry, wanting)
        if not is_taken:
            self._store.insert(entry)

    @in_loop
    def take(self, pattern: Pattern, *, timeout: float | None = None) -> Tuple:
        """Take a tuple out of the space.

        Args:
            pattern: What the tuple has to look like. Predicates must not wait.
            timeout: Seconds to wait for one; 0 for not at all, None for no bound.

        Returns:
            The oldest tuple that fits.

        Raises:
            NoTuple: None came in time.
            SpaceClosed: There is none, and the server stops.
        """
        entry = self._find(pattern, takes=True)
        if entry is None:
            waiter = _Waiter(pattern, takes=True, reader="")
            entry = self._wait_for(waiter, timeout)
        self._tell_removed(entry)
        return entry.values

    @in_loop
    def read(
        self, pattern: Pattern, *, reader: str = "", timeout: float | None = None
    ) -> Tuple:
        """Look at a tuple and leave it in the space.

        Args:
            pattern: What the tuple has to look like. Predicates must not wait.
            reader: A name under which each tuple is had once only, so that all who
                have names get all tuples; empty for the oldest one each time.
            timeout: Seconds to wait for one; 0 for not at all, None for no bound.

        Returns:
            The oldest tuple that fits.

        Raises:
            NoTuple: None came in time.
            SpaceClosed: There is none, and the server stops.
        """
        entry = self._find(pattern, takes=False, reader=reader)
        if entry is None:
            waiter = _Waiter(pattern, takes=False, reader=reader)
            entry = self._wait_for(waiter, timeout)
        return entry.values

    @in_loop
    def notify(self, topic: str, value: Any = None) -> int:
        """Tell a value to all who wait for a topic just now.

        Args:
            topic: The topic.
            value: The value.

        Returns:
            How many have got it.
        """
        listeners = self._listeners.pop(topic, _NOBODY)
        entry = Entry(-1, (topic, value), 0.0)
        for listener in listeners.values():
            listener.give(entry)
        return len(listeners)

    @in_loop
    def wait(self, topic: str, *, timeout: float | None = None) -> Any:
        """Wait for the next value that is told under a topic from now on.

        Args:
            topic: The topic.
            timeout: Seconds to wait; None for no bound.

        Returns:
            The value.

        Raises:
            NoTuple: None came in time.
            SpaceClosed: The server stops.
        """
        if timeout is not None and timeout <= 0:
            raise NoTuple(f"nothing is told under the topic {topic!r} just now")
        listener = _Waiter((topic, ...), takes=False, reader="")
        listeners = self._listeners.setdefault(topic, OrderedDict())
        try:
            entry = self._wait(listener, timeout, listeners)
        finally:
            # Others may have come since these were told something.
            if not listeners and self._listeners.get(topic) is listeners:
                del self._listeners[topic]
        if entry is None:
            raise NoTuple(f"nothing was told under {topic!r} in {timeout:g} s")
        return entry.values[1]

    def close(self) -> None:
        """Wake all who wait, and let nobody wait any more.

        What is there can still be had, and more can be put in.
        """
        self._closed = True
        for line in (self._waiters, *self._listeners.values()):
            while line:
                line.popitem(last=False)[1].fail(_closed())

    def _find(self, pattern: Pattern, *, takes: bool, reader: str = "") -> Entry | None:
        check_pattern(pattern)
        self._expire()
        for entry in self._store.candidates(pattern):
            if reader and reader in entry.readers:
                continue
            if fits(pattern, entry.values):
                if takes:
                    self._store.remove(entry)
                elif reader:
                    entry.readers.add(reader)
                return entry
        return None

    def _wait_for(self, waiter: _Waiter, timeout: float | None) -> Entry:
        if timeout is not None and timeout <= 0:
            raise NoTuple(f"no tuple fits {waiter.pattern!r}")
        entry = self._wait(waiter, timeout, self._waiters)
        if entry is None:
            raise NoTuple(f"no tuple fitted {waiter.pattern!r} in {timeout:g} s")
        return entry

    def _wait(
        self, waiter: _Waiter, timeout: float | None, line: OrderedDict[int, _Waiter]
    ) -> Entry | None:
        """Wait in a line; gives None where nothing came in time."""
        if self._closed:
            raise _closed()
        waiter.number = next(self._waiter_numbers)
        line[waiter.number] = waiter
        try:
            waiter.arrived.wait(timeout)
        except BaseException:
            # Killed or timed out by somebody else: what was on its way goes back.
            if waiter.entry is not None:
                self._give_back(waiter, waiter.entry)
            raise
        finally:
            line.pop(waiter.number, None)
        if waiter.error is not None:
            raise waiter.error
        return waiter.entry

    def _wanting(self, entry: Entry) -> list[_Waiter]:
        """Those who wait for an entry, up to the first who takes it."""
        found = []
        readers = set(entry.readers)
        for waiter in list(self._waiters.values()):
            if waiter.reader in readers:
                continue
            if waiter.wants(entry):
                found.append(waiter)
                if waiter.takes:
                    break
                if waiter.reader:
                    readers.add(waiter.reader)
            elif waiter.error is not None:
                self._waiters.pop(waiter.number, None)
        return found

    def _give(self, entry: Entry, waiters: Iterable[_Waiter]) -> None:
        for waiter in waiters:
            self._waiters.pop(waiter.number, None)
            if waiter.reader:
                entry.readers.add(waiter.reader)
            waiter.give(entry)

    def _give_back(self, waiter: _Waiter, entry: Entry) -> None:
        if not waiter.takes:
            if waiter.reader and entry in self._store:
                entry.readers.discard(waiter.reader)
                self._give(entry, self._wanting(entry))
            return
        wanting = self._wanting(entry)
        is_taken = bool(wanting) and wanting[-1].takes
        self._give(entry, wanting)
        if not is_taken:
            self._store.restore(entry)

    def _expire(self) -> None:
        """Remove what has outlived its lifetime."""
        if self._store.has_ends:
            for entry in self._store.expire(self._clock()):
                self._tell_removed(entry)

    def _tell_removed(self, entry: Entry) -> None:
        if self._on_removed is not None:
            self._on_removed(entry.values)


_NOBODY: OrderedDict[int, _Waiter] = OrderedDict()


def check_out(values: Tuple, ttl: float | None) -> None:
    """Refuse what cannot be put into a space.

    Args:
        values: The tuple.
        ttl: Its lifetime, seconds; None for no bound.

    Raises:
        TypeError: It is no tuple.
        ValueError: The lifetime is negative.
    """
    if not isinstance(values, tuple):
        raise TypeError(f"out: got {type(values).__name__}, expected a tuple")
    if ttl is not None and not ttl >= 0:
        raise ValueError(f"ttl: got {ttl!r}, expected seconds, 0 or more")


def _closed() -> SpaceClosed:
    return SpaceClosed("tuple space: the server stops")
