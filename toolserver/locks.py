"""The lock of a tool, which tells who holds it when somebody has to wait.

It serves greenlets and the threads of methods marked `threaded` alike.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from types import TracebackType

from gevent.event import Event

from toolserver.contexts import current
from toolserver.nativethreads import ask_loop, in_loop, tasks

__all__ = ["RLock"]


class _Holder:
    """Who holds a lock, or wants to."""

    __slots__ = ("call", "count", "since", "task", "turn")

    def __init__(self, task: object) -> None:
        self.task = task
        self.count = 1
        self.call = current()
        self.since = time.monotonic()
        self.turn: Event | None = None

    def __str__(self) -> str:
        call = self.call
        if call is None:
            return "no call"
        namespace = getattr(call.tool, "namespace", "")
        method = f"{namespace}.{call.method}" if namespace else call.method
        return f"{method or 'no method'}, request {call.request_id}"


class RLock:
    """A re-entrant lock, for ``with self.lock:``; who waits gets it in order.

    Whoever holds it may take it again, also in calls that it waits for, and in the
    threads of their methods.

    It holds within this process only: the other processes of a server have locks of
    their own.

    Args:
        name: What messages call it.
        log: Where it tells at level debug who waits for whom, and how long.
    """

    def __init__(self, name: str, log: logging.Logger) -> None:
        self._name = name
        self._log = log
        self._holder: _Holder | None = None
        self._waiting: deque[_Holder] = deque()

    def __repr__(self) -> str:
        return f"<RLock {self._name}: {self._holder or 'free'}>"

    @property
    def is_held(self) -> bool:
        """Whether the caller holds it."""
        return self._holder is not None and self._holder.task in tasks()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; each time it has to be released again.

        Args:
            blocking: Whether to wait until it is free.
            timeout: Seconds to wait at most; negative for no bound.

        Returns:
            Whether it was taken.
        """
        running = tasks()
        holder = self._holder
        if holder is not None and holder.task in running:
            holder.count += 1
            return True
        bound = (None if timeout < 0 else timeout) if blocking else 0.0
        return self._take(_Holder(running[-1]), bound)

    def release(self) -> None:
        """Give the lock back.

        Raises:
            RuntimeError: The caller does not hold it.
        """
        holder = self._holder
        if holder is None or holder.task not in tasks():
            raise RuntimeError(f"lock of {self._name}: the caller does not hold it")
        holder.count -= 1
        if not holder.count:
            ask_loop(self._pass_on)

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    @in_loop
    def _take(self, wanted: _Holder, timeout: float | None) -> bool:
        if self._holder is None:
            self._holder = wanted
            return True
        if timeout == 0:
            return False
        turn = wanted.turn = Event()
        self._waiting.append(wanted)
        tells = self._log.isEnabledFor(logging.DEBUG)
        if tells:
            self._tell(wanted, self._holder)
        try:
            turn.wait(timeout)
        except BaseException:
            if self._holder is wanted:
                self._pass_on()
            else:
                self._waiting.remove(wanted)
            raise
        if self._holder is not wanted:
            self._waiting.remove(wanted)
            return False
        waited = time.monotonic() - wanted.since
        wanted.since += waited
        if tells:
            self._log.debug(
                "lock of %s: %s: waited for %.3f s", self._name, wanted, waited
            )
        return True

    def _tell(self, wanted: _Holder, holder: _Holder) -> None:
        self._log.debug(
            "lock of %s: %s: waits; held for %.3f s by %s",
            self._name,
            wanted,
            wanted.since - holder.since,
            holder,
        )

    def _pass_on(self) -> None:
        # Handed over, so that nobody who comes just now goes before.
        following = self._holder = self._waiting.popleft() if self._waiting else None
        if following is not None and following.turn is not None:
            following.turn.set()
