"""Requests that wait for what happens: long polls, and streams of events.

Each waits in its own greenlet and holds nothing else. It is woken by what is told to
it, and it ends when its client hangs up, when the server stops, or when its client
takes what it is told too slowly. There is a bound for all of them, so that they leave
workers for other requests.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Self

from gevent.event import Event

from toolserver.errors import Overload
from toolserver.message import Request
from toolserver.settings import Settings

__all__ = ["PING", "End", "Subscriber", "Subscribers"]

#: Seconds after which one who waits is told that nothing has happened. Proxies cut
#: connections that are silent for longer, often after half a minute.
PING = 15.0
#: What is told to a subscriber and not yet taken, at most.
_MOST = 256


class End(StrEnum):
    """Why nothing more will be told to a subscriber."""

    #: The client has hung up.
    GONE = "gone"
    #: The server stops.
    STOPPING = "stopping"
    #: The client takes too slowly what it is told.
    SLOW = "slow"


class Subscriber:
    """One request that waits; a context manager that ends the wait.

    Args:
        group: All those of the server.
        request: The request; None for a call that none has led to.
        outlasts_stop: Whether it is told what it waits for while the server stops, too.

    Attributes:
        end: Why nothing more will be told to it, or None.
    """

    __slots__ = ("_arrived", "_group", "_items", "_writer", "end", "outlasts_stop")

    def __init__(
        self, group: Subscribers, request: Request | None, outlasts_stop: bool
    ) -> None:
        self.end: End | None = None
        self.outlasts_stop = outlasts_stop
        self._group = group
        self._items: deque[Any] = deque()
        self._arrived = Event()
        self._writer = request.writer if request is not None else None
        if self._writer is not None:
            self._writer.on_hangup(lambda: self.finish(End.GONE))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def put(self, item: Any) -> None:
        """Tell it something; never waits.

        Args:
            item: What is told; anything but None.
        """
        if self.end is not None:
            return
        if len(self._items) >= _MOST:
            self._items.clear()
            self.finish(End.SLOW)
            return
        self._items.append(item)
        self._arrived.set()

    def finish(self, end: End) -> None:
        """Tell it that nothing more comes after what it has been told; never waits."""
        if self.end is None:
            self.end = end
            self._arrived.set()

    def get(self, timeout: float | None = None) -> Any:
        """Wait for the next thing that is told.

        Args:
            timeout: Seconds to wait at most; None for no bound.

        Returns:
            What is told; None where nothing came in time, or nothing more will.
        """
        if not self._items and self.end is None:
            self._arrived.clear()
            self._arrived.wait(timeout)
        if not self._items or self.end is End.GONE:
            return None
        return self._items.popleft()

    def __iter__(self) -> Iterator[Any]:
        """What is told, and None whenever nothing was for the time of a ping."""
        while True:
            item = self.get(PING)
            if item is None and self.end is not None:
                return
            yield item

    def close(self) -> None:
        """End the wait; a second time does nothing."""
        self._group.leave(self)
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.on_hangup(None)


class Subscribers:
    """All requests of one server that wait."""

    def __init__(self) -> None:
        self._members: set[Subscriber] = set()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._members)

    def admit(
        self,
        request: Request | None,
        settings: Settings,
        *,
        outlasts_stop: bool = False,
    ) -> Subscriber:
        """Let a request wait.

        Args:
            request: The request; None for a call that none has led to.
            settings: Those of the server, which bound how many may wait.
            outlasts_stop: Whether it waits for a running call, which has its time while
                the server stops.

        Returns:
            What waits for it; to be closed. Where the server stops it has ended, unless
            it outlasts that.

        Raises:
            Overload: As many wait as may.
        """
        most = min(settings.limits.streams, max(1, settings.server.max_workers // 2))
        if len(self._members) >= most:
            raise Overload(f"{most} requests wait for events already")
        subscriber = Subscriber(self, request, outlasts_stop)
        self._members.add(subscriber)
        if self._is_closed and not outlasts_stop:
            subscriber.finish(End.STOPPING)
        return subscriber

    def leave(self, subscriber: Subscriber) -> None:
        """Forget one that waits no more."""
        self._members.discard(subscriber)

    def close(self) -> None:
        """Tell all that the server stops, but for those who outlast it."""
        self._is_closed = True
        for subscriber in list(self._members):
            if not subscriber.outlasts_stop:
                subscriber.finish(End.STOPPING)
