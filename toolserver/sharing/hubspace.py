"""The tuple space that all workers of a server share; it lives in their master.

It behaves as `toolserver.tuplespace.Space`: of several tuples that fit the oldest is
had, of several who wait the first one has it. What it cannot judge itself it offers to
the worker that asks, one tuple after another and the oldest first. While a worker
judges a tuple that just came, those who have come after it wait for its verdict, though
not for long; whoever asks anew may take it.
"""

from __future__ import annotations

import heapq
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol

import gevent

from toolserver.sharing.messages import Asked, Kind
from toolserver.sharing.values import unpack
from toolserver.tuplepatterns import fits
from toolserver.tuplestore import Entry, TupleStore

__all__ = ["Asker", "HubSpace"]

#: Seconds for which others wait until a worker has judged a tuple.
_PATIENCE = 0.1


class Asker(Protocol):
    """A worker, as the space sees it."""

    def send(self, *message: object) -> None:
        """Send it a message; never waits and never fails."""
        ...


class _Ask:
    """Somebody in a worker who asks for a tuple.

    Attributes:
        untried: The numbers of tuples that may fit, the oldest one first.
        offered: The one that the worker judges, or None.
        behind: For tuples that just came, those who get it if this one does not.
    """

    __slots__ = ("asked", "asker", "behind", "id", "is_over", "offered", "untried")

    def __init__(self, asker: Asker, id: int, asked: Asked) -> None:
        self.asker = asker
        self.id = id
        self.asked = asked
        self.untried: list[int] = []
        self.offered: Entry | None = None
        self.behind: dict[int, tuple[Entry, deque[_Ask]]] = {}
        self.is_over = False

    def may_have(self, entry: Entry) -> bool:
        """Whether a tuple fits as far as can be told here."""
        asked = self.asked
        return asked.reader not in entry.readers and fits(asked.pattern, entry.values)


class HubSpace:
    """The shared space.

    Args:
        max_tuples: Number of tuples that it holds at most.
        clock: Gives the time in seconds by which lifetimes are measured.
        on_expired: Is told what has expired: the packed values of each tuple.
    """

    def __init__(
        self,
        *,
        max_tuples: int = 100_000,
        clock: Callable[[], float] = time.monotonic,
        on_expired: Callable[[list[bytes]], object],
    ) -> None:
        self.max_tuples = max_tuples
        self._clock = clock
        self._on_expired = on_expired
        self._store = TupleStore()
        #: What the tuples were packed as; so they are sent on.
        self._packed: dict[int, bytes] = {}
        # By who asks and under which number; all of them in the order of their coming.
        self._asks: OrderedDict[tuple[Asker, int], _Ask] = OrderedDict()
        self._granted: dict[tuple[Asker, int], tuple[Asked, Entry, bytes]] = {}
        self._listeners: dict[str, OrderedDict[tuple[Asker, int], None]] = {}
        self._topics: dict[tuple[Asker, int], str] = {}
        #: Tuples that were refused, and who is to be asked next.
        self._refused: deque[tuple[Entry, deque[_Ask]]] = deque()

    def count(self) -> int:
        """Number of tuples in the space."""
        self._expire()
        return len(self._store)

    def out(self, packed: bytes, ttl: float | None) -> bool:
        """Put a tuple into the space.

        Args:
            packed: The tuple, packed.
            ttl: Seconds after which it is gone; None for no bound.

        Returns:
            Whether there was room for it.

        Raises:
            ValueError: It is no tuple.
        """
        values = unpack(packed)
        if not isinstance(values, tuple):
            raise ValueError("got no tuple")
        self._expire()
        now = self._clock()
        entry = self._store.make(values, float("inf") if ttl is None else now + ttl)
        wanting = self._wanting(entry)
        is_taken = bool(wanting) and wanting[-1].asked.takes and _all_exact(wanting)
        if not is_taken:
            if len(self._store) >= self.max_tuples:
                return False
            if not _all_exact(wanting):
                # Who judges it has that time, whatever its lifetime.
                entry.expires = max(entry.expires, now + _PATIENCE)
            self._store.insert(entry)
        self._packed[entry.number] = packed
        self._give(entry, deque(wanting))
        self._settle()
        if entry not in self._store:
            self._packed.pop(entry.number, None)
        return True

    def ask(self, asker: Asker, id: int, asked: Asked) -> None:
        """Ask for a tuple; the asker is sent what comes of it.

        Args:
            asker: Who asks.
            id: The number of the ask.
            asked: What is asked for.
        """
        self._expire()
        ask = _Ask(asker, id, asked)
        found = self._store.candidates(asked.pattern)
        if asked.is_exact:
            entry = next(filter(ask.may_have, found), None)
            if entry is not None:
                self._grant(ask, entry)
                return
        else:
            # In order, so that it is a heap.
            ask.untried = [entry.number for entry in found]
        self._asks[asker, id] = ask
        self._go_on(ask)

    def judge(self, asker: Asker, id: int, number: int, does_fit: bool) -> None:
        """Hear what a worker says of a tuple that it was offered.

        Args:
            asker: The worker.
            id: The number of the ask.
            number: The number of the tuple.
            does_fit: Whether it fits.
        """
        ask = self._asks.get((asker, id))
        if ask is None or ask.offered is None or ask.offered.number != number:
            return
        entry, ask.offered = ask.offered, None
        # Another one may have got it meanwhile.
        is_there = entry in self._store if ask.asked.takes else ask.may_have(entry)
        if does_fit and is_there:
            self._grant(ask, entry)
        self._pass_on(ask, number)
        self._go_on(ask)
        self._settle()

    def confirm(self, asker: Asker, id: int) -> None:
        """Hear that what was granted has arrived: it will not go back."""
        self._granted.pop((asker, id), None)

    def cancel(self, asker: Asker, id: int) -> None:
        """Forget an ask; what was granted and not confirmed goes back."""
        topic = self._topics.pop((asker, id), None)
        if topic is not None:
            self._unlisten(topic, asker, id)
        ask = self._asks.get((asker, id))
        if ask is not None:
            self._end(ask)
        granted = self._granted.pop((asker, id), None)
        if granted is not None:
            self._give_back(*granted)
        self._settle()

    def listen(self, asker: Asker, id: int, topic: str) -> None:
        """Ask to be told the next value of a topic."""
        self._listeners.setdefault(topic, OrderedDict())[asker, id] = None
        self._topics[asker, id] = topic

    def notify(self, topic: str, packed: bytes) -> int:
        """Tell a value to all who listen to a topic; gives their number."""
        listeners = self._listeners.pop(topic, OrderedDict())
        for asker, id in listeners:
            del self._topics[asker, id]
            asker.send(Kind.TOLD, id, packed)
        return len(listeners)

    def leave(self, asker: Asker) -> None:
        """Forget a worker that has ended, and give back what it has not confirmed."""
        for of_asker, id in [
            key
            for known in (self._granted, self._asks, self._topics)
            for key in known
            if key[0] is asker
        ]:
            self.cancel(of_asker, id)

    def _wanting(self, entry: Entry) -> list[_Ask]:
        """Those who may want a tuple, up to the first who is sure to take it at once.

        While others before it judge the tuple, it may have taken another one.
        """
        found = []
        waits = False
        for ask in self._asks.values():
            if not ask.may_have(entry):
                continue
            found.append(ask)
            waits = waits or not ask.asked.is_exact
            if ask.asked.takes and not waits:
                break
        return found

    def _give(self, entry: Entry, asks: deque[_Ask]) -> None:
        """Give a tuple to the first of some asks who takes it, and all before it."""
        while asks:
            ask = asks.popleft()
            if ask.is_over or not ask.may_have(entry):
                continue
            if ask.asked.is_exact:
                self._grant(ask, entry)
                if ask.asked.takes:
                    return
                continue
            heapq.heappush(ask.untried, entry.number)
            ask.behind[entry.number] = entry, asks
            self._go_on(ask)
            if asks:
                gevent.spawn_later(_PATIENCE, self._run_out, ask, entry.number)
            return

    def _go_on(self, ask: _Ask) -> None:
        """Offer the next tuple to who asks, or say that there is none."""
        if ask.is_over or ask.offered is not None:
            return
        while ask.untried:
            number = heapq.heappop(ask.untried)
            entry = self._store.entries.get(number)
            if entry is not None and ask.may_have(entry):
                ask.offered = entry
                packed = self._packed[number]
                ask.asker.send(Kind.OFFER, ask.id, number, packed)
                return
            self._pass_on(ask, number)
        if not ask.asked.waits:
            self._end(ask)
            ask.asker.send(Kind.NONE, ask.id)

    def _grant(self, ask: _Ask, entry: Entry) -> None:
        asked = ask.asked
        packed = self._packed[entry.number]
        if asked.takes and entry in self._store:
            self._store.remove(entry)
            del self._packed[entry.number]
        if asked.reader:
            entry.readers.add(asked.reader)
        if asked.takes or asked.reader:
            self._granted[ask.asker, ask.id] = asked, entry, packed
        self._end(ask)
        ask.asker.send(Kind.GRANT, ask.id, packed)

    def _end(self, ask: _Ask) -> None:
        ask.is_over = True
        self._asks.pop((ask.asker, ask.id), None)
        for number in list(ask.behind):
            self._pass_on(ask, number)

    def _pass_on(self, ask: _Ask, number: int) -> None:
        """Let those behind an ask have a tuple, if it is still there."""
        behind = ask.behind.pop(number, None)
        if behind is not None:
            self._refused.append(behind)

    def _run_out(self, ask: _Ask, number: int) -> None:
        self._pass_on(ask, number)
        self._settle()

    def _settle(self) -> None:
        """Give what was refused to those who are next."""
        while self._refused:
            entry, asks = self._refused.popleft()
            if entry in self._store:
                self._give(entry, asks)

    def _give_back(self, asked: Asked, entry: Entry, packed: bytes) -> None:
        entry.readers.discard(asked.reader)
        if asked.takes:
            self._store.restore(entry)
            self._packed[entry.number] = packed
        if entry in self._store:
            self._refused.append((entry, deque(self._wanting(entry))))

    def _unlisten(self, topic: str, asker: Asker, id: int) -> None:
        listeners = self._listeners[topic]
        del listeners[asker, id]
        if not listeners:
            del self._listeners[topic]

    def _expire(self) -> None:
        """Remove what has outlived its lifetime, and tell one worker of it."""
        if self._store.has_ends:
            expired = self._store.expire(self._clock())
            if expired:
                packed = [self._packed.pop(entry.number) for entry in expired]
                self._on_expired(packed)


def _all_exact(asks: list[_Ask]) -> bool:
    return all(ask.asked.is_exact for ask in asks)
