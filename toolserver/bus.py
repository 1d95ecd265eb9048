"""What the parts of a server tell each other, in all of its processes.

Who publishes never waits, and does not know who listens. Of one publisher all
subscribers hear in the order in which it was told; nothing is kept for those who come
later. What is told is a hint: who depends on it looks at the facts now and then, too.
"""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

from gevent import get_hub

from toolserver.nativethreads import in_loop
from toolserver.pools import PooledGreenlet

__all__ = ["Bus"]

log = logging.getLogger("toolserver")

Callback = Callable[[Any], object]


class _Teller(PooledGreenlet):
    """The greenlet in which subscribers are told; in between it is parked.

    To make one each time would cost many times what it does.
    """

    __slots__ = ("_bus",)

    def __init__(self, bus: Bus) -> None:
        super().__init__()
        self._bus = bus

    def run(self) -> None:
        try:
            while True:
                Context().run(self._bus.tell)
                self.end_work()
                if not self._bus.park(self):
                    return
                get_hub().switch()
        except BaseException:  # it would end the loop
            get_hub().handle_error(self, *sys.exc_info())


class Bus:
    """Tells values to those who subscribed to their topics.

    In one process it is direct. Over several processes, what is published in one is
    carried to the others, too.
    """

    def __init__(self) -> None:
        # By marks, so that a callback may be subscribed more than once.
        self._subscribers: dict[str, dict[object, Callback]] = {}
        self._untold: deque[tuple[str, Any]] = deque()
        self._carry: Callable[[str, Any], object] | None = None
        self._parked: _Teller | None = None
        self._is_closed = False

    @in_loop
    def publish(self, topic: str, value: Any = None) -> None:
        """Tell a value to all subscribers of a topic, soon.

        Args:
            topic: The topic, such as ``"jobs.ready"``.
            value: What is told: a plain value that nobody changes any more. With
                several processes the others get an equal one.

        Raises:
            TypeError: There are other processes, and the value cannot be carried.
            Overload: There are other processes, and too much waits to be carried.
        """
        if self._carry is not None:
            self._carry(topic, value)
        self.deliver(topic, value)

    @in_loop
    def subscribe(self, topic: str, callback: Callback) -> Callable[[], None]:
        """Be told what is published under a topic from now on.

        Args:
            topic: The topic.
            callback: Gets each value, in a greenlet and a context of the bus. It must
                not wait: all who come after it would wait, too. What it raises is
                logged.

        Returns:
            Ends it; a second time it does nothing.
        """
        mark = object()
        self._subscribers.setdefault(topic, {})[mark] = callback

        def unsubscribe() -> None:
            callbacks = self._subscribers.get(topic, {})
            if callbacks.pop(mark, None) is not None and not callbacks:
                del self._subscribers[topic]

        return unsubscribe

    def deliver(self, topic: str, value: Any) -> None:
        """Tell a value to the subscribers in this process alone, soon.

        Args:
            topic: The topic.
            value: What is told.
        """
        if topic not in self._subscribers:
            return
        self._untold.append((topic, value))
        if len(self._untold) == 1:
            get_hub().loop.run_callback(self._begin)

    def carry_by(self, carry: Callable[[str, Any], object]) -> None:
        """Let what is published reach other processes, too.

        Args:
            carry: Takes a topic and a value to the other processes without waiting;
                what comes from them is given to `deliver`.
        """
        self._carry = carry

    def close(self) -> None:
        """Keep nothing that would wait for more."""
        self._is_closed = True
        parked, self._parked = self._parked, None
        if parked is not None:
            get_hub().loop.run_callback(parked.throw)

    def park(self, teller: _Teller) -> bool:
        """Keep a greenlet that has told all, until there is more; whether it is kept.

        Args:
            teller: The greenlet, which waits.
        """
        if not self._is_closed:
            self._parked = teller
        return not self._is_closed

    def _begin(self) -> None:
        # In the hub. Someone may have killed it.
        teller, self._parked = self._parked, None
        if teller is None or teller.dead:
            teller = _Teller(self)
        teller.switch()

    def tell(self) -> None:
        """Tell what is untold; in a greenlet of the bus."""
        try:
            while self._untold:
                topic, value = self._untold[0]
                try:
                    self._tell_all(topic, value)
                finally:
                    # Taken off last: until then there is somebody who tells.
                    self._untold.popleft()
        finally:
            if self._untold:
                get_hub().loop.run_callback(self._begin)

    def _tell_all(self, topic: str, value: Any) -> None:
        for mark, callback in list(self._subscribers.get(topic, {}).items()):
            # An earlier one may have ended this one's subscription.
            if mark in self._subscribers.get(topic, {}):
                try:
                    callback(value)
                except Exception:
                    log.exception("bus: a subscriber of %r failed", topic)
