"""Values that are made when asked for, once per key, and forgotten again.

A value goes when nobody has asked for it for some time, or when there are too many;
then the one that was used least recently goes first. Expired ones are dropped at the
next look-up, so that no timer is needed.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar

__all__ = ["Bounds", "ChildCache"]

T = TypeVar("T")


class Bounds(Protocol):
    """How much a cache holds; looked at each time, so that it may change.

    Attributes:
        max_age: Seconds without use after which a value is forgotten.
        max_children: How many values are held.
    """

    max_age: float
    max_children: int


class _Flight(Future[T]):
    """A value that is being made.

    Attributes:
        maker: The thread or greenlet that makes it.
        is_stale: Whether the key was forgotten meanwhile.
    """

    def __init__(self) -> None:
        super().__init__()
        self.maker = threading.get_ident()
        self.is_stale = False


class _Abandoned(Exception):
    """Whoever made a value was ended itself; somebody else has to make it."""


class ChildCache(Generic[T]):
    """Holds values by key.

    Args:
        bounds: How many and how long.
        on_drop: Called with each value that is forgotten; must not raise.
        clock: Tells the time, seconds.
    """

    def __init__(
        self,
        bounds: Bounds,
        on_drop: Callable[[T], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bounds = bounds
        self._on_drop = on_drop
        self._clock = clock
        # Never held while a value is made or dropped.
        self._lock = threading.Lock()
        # With the time of the last use; the least recently used one first.
        self._values: OrderedDict[str, tuple[T, float]] = OrderedDict()
        self._flights: dict[str, _Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str, make: Callable[[], T]) -> T:
        """Find a value, or make it.

        Of many that ask for one key at the same time the first makes the value and
        the others wait for it. They share its failure, too, which is not kept.

        Args:
            key: The key.
            make: Makes the value.

        Returns:
            The value.

        Raises:
            RuntimeError: `make` asks for the value that it is making.
            Exception: Whatever `make` raised.
        """
        while True:
            with self._lock:
                expired = self._expire()
                held = self._values.get(key)
                flight = self._flights.get(key)
                if held is not None:
                    self._values[key] = held[0], self._clock()
                    self._values.move_to_end(key)
                elif flight is None:
                    own = self._flights[key] = _Flight()
            self._drop(expired)
            if held is not None:
                return held[0]
            if flight is None:
                return self._make(key, own, make)
            if flight.maker == threading.get_ident():
                raise RuntimeError(f"key {key!r} is asked for by what makes its value")
            try:
                return flight.result()
            except _Abandoned:
                continue

    def forget(self, key: str) -> None:
        """Drop a value, if there is one; one that is being made is made again.

        Args:
            key: The key.
        """
        with self._lock:
            held = self._values.pop(key, None)
            flight = self._flights.get(key)
            if flight is not None:
                flight.is_stale = True
        if held is not None:
            self._on_drop(held[0])

    def clear(self) -> None:
        """Drop all values."""
        with self._lock:
            dropped = [value for value, _ in self._values.values()]
            self._values.clear()
        self._drop(dropped)

    def _make(self, key: str, flight: _Flight[T], make: Callable[[], T]) -> T:
        try:
            value = make()
            while not self._keep(key, flight, value):
                # What it was made of has changed while it was made.
                self._on_drop(value)
                flight.is_stale = False
                value = make()
        except BaseException as error:
            with self._lock:
                self._flights.pop(key, None)
            # A time-out or the end of one caller is no failure of the others.
            shared = error if isinstance(error, Exception) else _Abandoned()
            flight.set_exception(shared)
            raise
        flight.set_result(value)
        return value

    def _keep(self, key: str, flight: _Flight[T], value: T) -> bool:
        with self._lock:
            if flight.is_stale:
                return False
            del self._flights[key]
            self._values[key] = value, self._clock()
            surplus = []
            while len(self._values) > max(1, self._bounds.max_children):
                surplus.append(self._values.popitem(last=False)[1][0])
        self._drop(surplus)
        return True

    def _expire(self) -> list[T]:
        expired = []
        due = self._clock() - self._bounds.max_age
        while self._values:
            value, used = next(iter(self._values.values()))
            if used > due:
                break
            self._values.popitem(last=False)
            expired.append(value)
        return expired

    def _drop(self, values: list[T]) -> None:
        for value in values:
            self._on_drop(value)
