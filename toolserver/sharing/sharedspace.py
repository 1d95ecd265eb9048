"""The tuple space of a server with several workers, as each of them sees it.

The tuples are in the master; see `toolserver.sharing.hubspace`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from gevent.queue import Empty

from toolserver.errors import Overload
from toolserver.nativethreads import in_loop
from toolserver.sharing.link import Link, LinkLost
from toolserver.sharing.messages import Kind, described
from toolserver.sharing.values import pack, unpack
from toolserver.tuplepatterns import Pattern, Tuple, check_pattern, fits
from toolserver.tuplespace import NoTuple, SpaceClosed, SpaceFull, check_out

__all__ = ["SharedSpace"]


class SharedSpace:
    """Behaves as `toolserver.tuplespace.Space`, for all workers of a server at once.

    Tuples hold plain values, see `toolserver.sharing.values`; who takes one gets a copy
    of it. Predicates are called in the process and the greenlet that asks.

    Args:
        link: The connection to the hub.
        on_removed: Is told each tuple that this worker has taken.
    """

    def __init__(
        self, link: Link, *, on_removed: Callable[[Tuple], object] | None = None
    ) -> None:
        self._link = link
        self._on_removed = on_removed
        #: The asks that may wait for long.
        self._waiting: set[int] = set()
        self._closed = False

    @in_loop
    def __len__(self) -> int:
        """Number of tuples in the space."""
        _, count = self._request(Kind.COUNT)
        return int(count)

    @in_loop
    def out(self, values: Tuple, *, ttl: float | None = None) -> None:
        """Put a tuple into the space; see `Space.out`.

        Raises:
            TypeError: It is no tuple, or holds what cannot be carried.
            ValueError: The lifetime is negative, or the tuple is too large.
            SpaceFull: There are too many tuples.
            SpaceClosed: The master has gone.
        """
        check_out(values, ttl)
        kind, number = self._request(Kind.OUT, pack(tuple(values)), ttl)
        if kind == Kind.FULL:
            raise SpaceFull(f"tuple space: full, it holds {number} tuples")

    @in_loop
    def take(self, pattern: Pattern, *, timeout: float | None = None) -> Tuple:
        """Take a tuple out of the space; see `Space.take`."""
        values = self._ask(pattern, True, "", timeout)
        if self._on_removed is not None:
            self._on_removed(values)
        return values

    @in_loop
    def read(
        self, pattern: Pattern, *, reader: str = "", timeout: float | None = None
    ) -> Tuple:
        """Look at a tuple and leave it in the space; see `Space.read`."""
        return self._ask(pattern, False, reader, timeout)

    @in_loop
    def notify(self, topic: str, value: Any = None) -> int:
        """Tell a value to all who wait for a topic just now; see `Space.notify`."""
        _, count = self._request(Kind.NOTIFY, topic, pack(value))
        return int(count)

    @in_loop
    def wait(self, topic: str, *, timeout: float | None = None) -> Any:
        """Wait for the next value that is told under a topic; see `Space.wait`."""
        if timeout is not None and timeout <= 0:
            raise NoTuple(f"nothing is told under the topic {topic!r} just now")
        if self._closed:
            raise _closed()
        with self._asking(True) as id:
            self._link.send(Kind.LISTEN, id, topic)
            try:
                _, packed = self._answer(id, timeout)
            except Empty:
                problem = f"nothing was told under {topic!r} in {timeout:g} s"
                raise NoTuple(problem) from None
            return unpack(packed)

    def close(self) -> None:
        """Wake all of this worker who wait, and let none wait any more."""
        self._closed = True
        for id in self._waiting:
            self._link.give_up(id)

    def _request(self, kind: Kind, *parts: object) -> list[Any]:
        try:
            return self._link.request(kind, *parts)
        except LinkLost:
            raise _closed() from None

    def _ask(
        self, pattern: Pattern, takes: bool, reader: str, timeout: float | None
    ) -> Tuple:
        check_pattern(pattern)
        waits = timeout is None or timeout > 0
        with self._asking(waits) as id:
            asked = described(pattern), takes, reader, waits and not self._closed
            self._link.send(Kind.ASK, id, *asked)
            try:
                values = self._outcome(id, pattern, timeout if waits else None)
            except Empty:
                problem = f"no tuple fitted {pattern!r} in {timeout:g} s"
                raise NoTuple(problem) from None
            if values is not None:
                if takes or reader:
                    self._link.send(Kind.CONFIRM, id)
                return values
            if waits:
                raise _closed()
            raise NoTuple(f"no tuple fits {pattern!r}")

    def _outcome(
        self, id: int, pattern: Pattern, timeout: float | None
    ) -> Tuple | None:
        """Judge what is offered until something is granted, or nothing is there."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            kind, *parts = self._answer(id, left)
            if kind == Kind.GRANT:
                return tuple(unpack(parts[0]))
            if kind == Kind.NONE:
                return None
            number, packed = parts
            does_fit = fits(pattern, unpack(packed))
            self._link.send(Kind.VERDICT, id, number, does_fit)

    @contextmanager
    def _asking(self, waits: bool) -> Iterator[int]:
        """The number of an ask; where it fails, what was on its way goes back."""
        id = self._link.open()
        if waits:
            self._waiting.add(id)
        try:
            yield id
        except BaseException:
            with suppress(Overload):
                self._link.send(Kind.CANCEL, id)
            raise
        finally:
            self._waiting.discard(id)
            self._link.close_ask(id)

    def _answer(self, id: int, timeout: float | None) -> list[Any]:
        try:
            return self._link.answer(id, timeout)
        except LinkLost:
            raise _closed() from None


def _closed() -> SpaceClosed:
    return SpaceClosed("tuple space: the server stops")
