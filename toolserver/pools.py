"""The greenlets that run requests, and the queue in front of them.

A greenlet that has ended its request is parked and taken again for the next one,
which saves making a new one each time. So nothing of a request may stay behind in
it: each runs in a new, empty `contextvars.Context`, and what it kept in
`threading.local` is dropped as if its greenlet had ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any, Protocol

import gevent
from gevent import get_hub
from greenlet import greenlet

from toolserver.turns import give_way

__all__ = ["Pool", "PooledGreenlet", "Work", "end_all"]

#: Parked greenlets that are kept; more are let go after a burst.
_PARKED = 256
_KILL_TURNS = 50


class Work(Protocol):
    """What a worker runs: a connection with a request."""

    def serve(self) -> bool:
        """Run the request; whether the next one of the connection is ready."""
        ...


class PooledGreenlet(greenlet):
    """A greenlet that does one piece of work after the other."""

    # Kept apart from `__dict__`, which is cleared after each piece.
    __slots__ = ("_links",)

    def __init__(self) -> None:
        super().__init__(parent=get_hub())
        self._links: list[Callable[[Any], None]] = []

    def rawlink(self, callback: Callable[[Any], None]) -> None:
        """Have a callback run when the piece of work ends.

        gevent's locals and threads know a greenlet's end by this method.
        """
        self._links.append(callback)

    def unlink(self, callback: Callable[[Any], None]) -> None:
        """Take a callback off again."""
        if callback in self._links:
            self._links.remove(callback)

    def end_work(self) -> None:
        """Forget what a piece of work has left behind in the greenlet."""
        links, self._links = self._links, []
        for link in links:
            link(self)
        self.__dict__.clear()


class _Worker(PooledGreenlet):
    """One greenlet of the pool."""

    __slots__ = ("_pool",)

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool

    def run(self, work: Work | None) -> None:
        pool = self._pool
        turns = 0
        try:
            while work is not None:
                is_ready = Context().run(work.serve)
                if self._links:
                    self.end_work()
                if pool.queue:
                    if is_ready:
                        pool.queue.append(work)
                    work = pool.queue.popleft()
                elif not is_ready:
                    turns = 0
                    work = pool.park(self)
                else:
                    turns += 1
                    if turns % pool.turns == 0:
                        # Others get their turn while one connection pipelines.
                        give_way()
        finally:
            pool.leave(self)


class Pool:
    """Runs requests in greenlets, a bounded number at once; others wait in order.

    Args:
        size: Requests that run at once.
        max_waiting: Requests that may wait.
        turns: Requests that one connection runs before others get a turn.

    Attributes:
        workers: All greenlets of the pool.
        queue: What waits for one of them.
    """

    def __init__(self, size: int, max_waiting: int, turns: int) -> None:
        self.size = size
        self.turns = turns
        self.workers: set[_Worker] = set()
        self.queue: deque[Work] = deque()
        self._max_waiting = max_waiting
        self._parked: list[_Worker] = []
        self._is_closed = False

    @property
    def busy(self) -> int:
        """Requests that are running."""
        return len(self.workers) - len(self._parked)

    def submit(self, work: Work) -> bool:
        """Run a request now or later; called in the hub.

        Returns:
            Whether it was taken; False when too many are waiting.
        """
        if self._parked:
            self._parked.pop().switch(work)
            return True
        if len(self.workers) < self.size:
            worker = _Worker(self)
            self.workers.add(worker)
            worker.switch(work)
            return True
        if len(self.queue) < self._max_waiting:
            self.queue.append(work)
            return True
        return False

    def park(self, worker: _Worker) -> Work | None:
        """Wait for the next request; None when the worker shall end."""
        if self._is_closed or len(self._parked) >= _PARKED:
            return None
        self._parked.append(worker)
        work: Work | None = get_hub().switch()
        return work

    def leave(self, worker: _Worker) -> None:
        """Forget a greenlet that ends."""
        self.workers.discard(worker)
        # Someone may have killed it: a dead greenlet would swallow the next request.
        if worker in self._parked:
            self._parked.remove(worker)

    def kill(self) -> None:
        """End all greenlets, also those that run a request."""
        self._is_closed = True
        self.queue.clear()
        self._parked.clear()
        end_all(self.workers)


def end_all(workers: set[Any]) -> None:
    """End greenlets that take themselves out of a set as they end.

    Args:
        workers: The greenlets; who clings to life is left behind.
    """
    for worker in list(workers):
        gevent.kill(worker)
    for _ in range(_KILL_TURNS):
        if not workers:
            break
        gevent.sleep(0.01)
