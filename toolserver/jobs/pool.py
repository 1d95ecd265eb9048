"""The greenlets that run jobs, and which job runs in the current one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from gevent import get_hub

from toolserver.contexts import current
from toolserver.pools import Pool, Work

__all__ = ["JobPool", "RunningJob", "current_trace", "running_job", "set_running"]

#: Jobs begun in one turn of the loop, so that sockets get theirs.
_BEGUN = 100
_UNBOUNDED = 1 << 60


class RunningJob(Protocol):
    """A job as its own call knows it."""

    @property
    def trace(self) -> str:
        """The W3C trace context of who started it."""

    @property
    def pool(self) -> JobPool:
        """The pool that runs it."""

    def tell(self, fraction: float, text: str) -> None:
        """Tell how much of it is done."""


_running: ContextVar[RunningJob | None] = ContextVar("toolserver.job", default=None)
set_running = _running.set


def running_job() -> RunningJob | None:
    """The job that makes the running call, or None outside of jobs."""
    return _running.get()


def current_trace() -> str:
    """The W3C trace context of what runs; empty where there is none."""
    context = current()
    if context is not None and context.request is not None:
        found: str = context.request.headers.get("traceparent", "")
        return found[:128]
    job = _running.get()
    return job.trace if job is not None else ""


class JobPool:
    """Runs jobs in greenlets, a bounded number at once; others wait in order.

    A job that waits for another one gives its place away meanwhile, so that they cannot
    wait for each other for want of places.

    Args:
        size: Jobs that run at once.
    """

    def __init__(self, size: int) -> None:
        self._pool = Pool(size, _UNBOUNDED, 1)
        self._begun: deque[Work] = deque()
        self._is_beginning = False

    @property
    def room(self) -> int:
        """How many more jobs would begin at once."""
        pool = self._pool
        return max(0, pool.size - pool.busy - len(pool.queue) - len(self._begun))

    @property
    def busy(self) -> int:
        """Jobs that run or are about to."""
        return self._pool.busy + len(self._begun) + len(self._pool.queue)

    def start(self, work: Work) -> None:
        """Run a job soon.

        Args:
            work: What is served once, in an empty set of context variables.
        """
        self._begun.append(work)
        if not self._is_beginning:
            self._is_beginning = True
            get_hub().loop.run_callback(self._begin)

    def _begin(self) -> None:
        # In the hub: whoever switches to a greenlet of the pool is not switched back.
        for _ in range(min(len(self._begun), _BEGUN)):
            self._pool.submit(self._begun.popleft())
        if self._begun:
            get_hub().loop.run_callback(self._begin)
        else:
            self._is_beginning = False

    @contextmanager
    def lend(self) -> Iterator[None]:
        """Give the place of the running job away while it waits."""
        pool = self._pool
        pool.size += 1
        if pool.queue:
            self.start(pool.queue.popleft())
        try:
            yield
        finally:
            pool.size -= 1

    def kill(self) -> None:
        """End all jobs, also those that run."""
        self._begun.clear()
        self._pool.kill()
