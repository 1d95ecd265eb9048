"""The greenlets that run jobs, and which job runs in the current one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any, Protocol

from gevent import get_hub

from toolserver.contexts import current
from toolserver.pools import PooledGreenlet, Work, end_all

__all__ = ["JobPool", "RunningJob", "running_job"]

#: Jobs begun in one turn of the loop, so that sockets get theirs.
_BEGUN = 100
#: Greenlets without a job that are kept; more are let go after a burst.
_PARKED = 256


class RunningJob(Protocol):
    """A job as its own call knows it."""

    @property
    def id(self) -> str:
        """Its id."""

    @property
    def trace(self) -> str:
        """The W3C trace context of who started it."""

    @property
    def pool(self) -> JobPool:
        """The pool that runs it."""

    def tell(self, fraction: float, text: str) -> None:
        """Tell how much of it is done."""


def running_job() -> RunningJob | None:
    """The job that makes the running call, or None outside of jobs."""
    context = current()
    job: RunningJob | None = None if context is None else context.job
    return job


class _Worker(PooledGreenlet):
    """A greenlet that runs one job after the other, without a switch in between."""

    __slots__ = ("_pool",)

    def __init__(self, pool: JobPool) -> None:
        super().__init__()
        self._pool = pool

    def run(self) -> None:
        pool, waiting = self._pool, self._pool.waiting
        try:
            while True:
                pool.taken += 1
                try:
                    while waiting and pool.turns > 0 and pool.taken <= pool.size:
                        pool.turns -= 1
                        Context().run(waiting.popleft().serve)
                        if self._links:
                            self.end_work()
                finally:
                    pool.taken -= 1
                if not pool.park(self):
                    return
                get_hub().switch()
        finally:
            pool.workers.discard(self)


class JobPool:
    """Runs jobs in greenlets, a bounded number at once; others wait in order.

    A job that waits for another one gives its place away meanwhile, so that they cannot
    wait for each other for want of places.

    Args:
        size: Jobs that run at once.

    Attributes:
        size: Jobs that run at once.
        waiting: Jobs that are about to run; each is served once, in an empty set of
            context variables.
        workers: The greenlets.
        taken: Greenlets that run a job.
        turns: Jobs that may yet begin before the loop has its turn.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.waiting: deque[Work] = deque()
        self.workers: set[_Worker] = set()
        self.taken = 0
        self.turns = 0
        self._parked: list[_Worker] = []
        self._is_beginning = False
        self._is_closed = False

    @property
    def room(self) -> int:
        """How many more jobs would begin at once."""
        return max(0, self.size - self.busy)

    @property
    def busy(self) -> int:
        """Jobs that run or are about to."""
        return self.taken + len(self.waiting)

    def start(self, work: Work) -> None:
        """Run a job soon.

        Args:
            work: The job.
        """
        self.waiting.append(work)
        if not self._is_beginning:
            self._begin_soon()

    def park(self, worker: _Worker) -> bool:
        """Keep a greenlet that has no job, if more are wanted; whether it is kept."""
        if self.waiting and not self._is_beginning:
            self._begin_soon()
        if self._is_closed or len(self._parked) >= _PARKED:
            return False
        self._parked.append(worker)
        return True

    def end(self, greenlet: Any, is_running: Callable[[], bool]) -> None:
        """End a job that runs, unless it ends by itself before it can be.

        Args:
            greenlet: Its greenlet, which runs others after it.
            is_running: Whether it still runs the job.
        """

        def end() -> None:
            if is_running():
                greenlet.throw()

        get_hub().loop.run_callback(end)

    def _begin_soon(self) -> None:
        self._is_beginning = True
        get_hub().loop.run_callback(self._begin)

    def _begin(self) -> None:
        # In the hub, to which each greenlet switches that waits for something.
        self.turns = _BEGUN
        while self.waiting and self.turns > 0 and self.taken < self.size:
            worker = self._parked.pop() if self._parked else None
            # Someone may have killed it; a dead greenlet would run nothing.
            if worker is None or worker.dead:
                worker = _Worker(self)
                self.workers.add(worker)
            worker.switch()
        self._is_beginning = False
        if self.waiting and self.taken < self.size:
            self._begin_soon()

    @contextmanager
    def lend(self) -> Iterator[None]:
        """Give the place of the running job away while it waits."""
        self.size += 1
        if self.waiting and not self._is_beginning:
            self._begin_soon()
        try:
            yield
        finally:
            self.size -= 1

    def kill(self) -> None:
        """End all jobs, also those that run."""
        self._is_closed = True
        self.waiting.clear()
        self._parked.clear()
        end_all(self.workers)
