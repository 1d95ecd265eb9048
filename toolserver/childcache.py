"""Values that are made when asked for, once per key, and forgotten again.

A value goes when nobody has asked for it for some time, or when there are too many;
then the one that was used least recently goes first. Expired ones are dropped at the
next look-up, so that no timer is needed. Caches may share a bound besides their own:
what nobody asks for any more in one of them makes room in the others.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, Protocol, TypeVar

from toolserver.errors import CallTimeout

__all__ = ["Bounds", "ChildCache", "Population"]

T = TypeVar("T")

#: How often a value is made again because its key was forgotten meanwhile.
_ATTEMPTS = 10
#: Part of a shared bound that is freed at once, as finding the oldest takes time.
_FREED = 0.02


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


class Population:
    """What several caches hold together.

    Args:
        most: How many values that may be; None for no bound.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self.count = 0
        #: Tells the other processes of the server, where there are any, the namespace
        #: of a factory and the key that it was told to forget.
        self.tell_forgotten: Callable[[str, str], object] | None = None
        #: Those that hold something.
        self.caches: set[ChildCache[Any]] = set()
        # Of all the caches. Never held while a value is made or dropped.
        self.lock = threading.Lock()

    def take_surplus(self) -> list[tuple[ChildCache[Any], Any]]:
        """Take out what was used least recently, if there is too much.

        The lock has to be held. A factory is asked for whenever what it made is: so it
        is never older than that by more than a moment.

        Returns:
            The values and the caches that they were in.
        """
        if self.most is None or self.count <= self.most:
            return []
        surplus = self.count - self.most + int(self.most * _FREED)
        oldest = heapq.nsmallest(
            surplus,
            ((used, cache, key) for cache in self.caches for key, used in cache.uses()),
            key=lambda found: found[0],
        )
        return [(cache, cache.take(key)) for _, cache, key in oldest]


class _Waits:
    """Who waits for what somebody else makes, in all caches.

    Two values that need each other, made by two at the same time, would be waited for
    until the end of days.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[int, _Flight[Any]] = {}

    def wait(self, key: str, flight: _Flight[T], timeout: float | None) -> T:
        """Wait for a value.

        Args:
            key: Its key.
            flight: The making of it.
            timeout: Seconds to wait at most; None for no bound.

        Raises:
            RuntimeError: Its maker waits, be it by way of others, for what the caller
                makes.
            CallTimeout: It took too long.
            Exception: What its maker failed with.
        """
        own = threading.get_ident()
        with self._lock:
            awaited: _Flight[Any] | None = flight
            while awaited is not None and not awaited.done():
                if awaited.maker == own:
                    raise RuntimeError(f"key {key!r} needs what needs it to be made")
                awaited = self._flights.get(awaited.maker)
            self._flights[own] = flight
        try:
            return flight.result(timeout)
        except TimeoutError:
            if flight.done():  # it is the maker's own failure
                raise
            raise CallTimeout(
                f"key {key!r}: not made within {timeout:g} seconds"
            ) from None
        finally:
            del self._flights[own]


_waits = _Waits()


class ChildCache(Generic[T]):
    """Holds values by key.

    Args:
        bounds: How many and how long.
        on_drop: Called with each value that is forgotten; must not raise.
        clock: Tells the time, seconds; the same one for all caches of a population.
        population: A bound that is shared with other caches; by default none is.

    Attributes:
        population: What it holds together with them.
    """

    def __init__(
        self,
        bounds: Bounds,
        on_drop: Callable[[T], None],
        clock: Callable[[], float] = time.monotonic,
        population: Population | None = None,
    ) -> None:
        self._bounds = bounds
        self._on_drop = on_drop
        self._clock = clock
        self.population = population if population is not None else Population()
        self._lock = self.population.lock
        # With the time of the last use; the least recently used one first.
        self._values: OrderedDict[str, tuple[T, float]] = OrderedDict()
        self._flights: dict[str, _Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def uses(self) -> list[tuple[str, float]]:
        """The keys and when they were used last; the lock has to be held."""
        return [(key, used) for key, (_, used) in self._values.items()]

    def peek(self, key: str) -> T | None:
        """A value that is there; this does not count as a use.

        Args:
            key: Its key.
        """
        held = self._values.get(key)
        return None if held is None else held[0]

    def take(self, key: str) -> T | None:
        """Take out a value, if there is one; the lock has to be held.

        Args:
            key: Its key.
        """
        held = self._values.pop(key, None)
        if held is None:
            return None
        self.population.count -= 1
        if not self._values:
            self.population.caches.discard(self)
        return held[0]

    def get(
        self, key: str, make: Callable[[], T], *, timeout: float | None = None
    ) -> T:
        """Find a value, or make it.

        Of many that ask for one key at the same time the first makes the value and
        the others wait for it. They share its failure, too, which is not kept.

        Args:
            key: The key.
            make: Makes the value.
            timeout: Seconds to wait at most where somebody else makes it; None for no
                bound.

        Returns:
            The value.

        Raises:
            RuntimeError: `make` asks for the value that it is making, be it by way of
                others, or its key is forgotten each time.
            CallTimeout: Who makes it takes too long.
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
                return _waits.wait(key, flight, timeout)
            except _Abandoned:
                continue

    def forget(self, key: str) -> None:
        """Drop a value, if there is one; one that is being made is made again.

        Args:
            key: The key.
        """
        with self._lock:
            value = self.take(key)
            flight = self._flights.get(key)
            if flight is not None:
                flight.is_stale = True
        if value is not None:
            self._on_drop(value)

    def clear(self) -> None:
        """Drop all values."""
        with self._lock:
            dropped = [value for value, _ in self._values.values()]
            for key in list(self._values):
                self.take(key)
        self._drop(dropped)

    def _make(self, key: str, flight: _Flight[T], make: Callable[[], T]) -> T:
        try:
            for _ in range(_ATTEMPTS):
                value = make()
                if self._keep(key, flight, value):
                    break
                # What it was made of has changed while it was made.
                self._on_drop(value)
                flight.is_stale = False
            else:
                raise RuntimeError(f"key {key!r} is forgotten each time it is made")
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
            self.population.count += 1
            self.population.caches.add(self)
            surplus = []
            while len(self._values) > max(1, self._bounds.max_children):
                surplus.append(self._take_oldest())
            shared = self.population.take_surplus()
        self._drop(surplus)
        for cache, old in shared:
            cache._on_drop(old)
        return True

    def _take_oldest(self) -> T:
        key, (value, _) = next(iter(self._values.items()))
        self.take(key)
        return value

    def _expire(self) -> list[T]:
        expired = []
        due = self._clock() - self._bounds.max_age
        while self._values:
            _, used = next(iter(self._values.values()))
            if used > due:
                break
            expired.append(self._take_oldest())
        return expired

    def _drop(self, values: list[T]) -> None:
        for value in values:
            self._on_drop(value)
