"""What the parts of a server tell each other, in all of its processes.

Who publishes never waits, and does not know who listens. Of one publisher all
subscribers hear in the order in which it was told; nothing is kept for those who come
later. What is told is a hint: who depends on it looks at the facts now and then, too.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent

from toolserver.nativethreads import in_loop

__all__ = ["Bus"]

log = logging.getLogger("toolserver")

Callback = Callable[[Any], object]


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
            gevent.spawn(self._tell)

    def carry_by(self, carry: Callable[[str, Any], object]) -> None:
        """Let what is published reach other processes, too.

        Args:
            carry: Takes a topic and a value to the other processes without waiting;
                what comes from them is given to `deliver`.
        """
        self._carry = carry

    def _tell(self) -> None:
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
                gevent.spawn(self._tell)

    def _tell_all(self, topic: str, value: Any) -> None:
        for mark, callback in list(self._subscribers.get(topic, {}).items()):
            # An earlier one may have ended this one's subscription.
            if mark in self._subscribers.get(topic, {}):
                try:
                    callback(value)
                except Exception:
                    log.exception("bus: a subscriber of %r failed", topic)
