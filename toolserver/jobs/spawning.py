"""Jobs of this process alone, which begin at once.

Nothing of them is stored, and the greenlets that run them are taken again: such a job
costs little more than its call.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

import gevent
from gevent import getcurrent
from gevent.event import Event

from toolserver.contexts import Context, bind, current
from toolserver.errors import CallTimeout, JobCancelled, JobExpired
from toolserver.jobs.handles import Job, Jobs
from toolserver.jobs.pool import (
    JobPool,
    current_trace,
    running_job,
    set_running,
)
from toolserver.jobs.records import JobState
from toolserver.nativethreads import in_loop

__all__ = ["SpawnedJob", "Spawner"]

_process = secrets.token_hex(8)
_numbers = itertools.count(1)


class SpawnedJob(Job[Any]):
    """A job of this process.

    Args:
        spawner: Runs it.
        function: What is called.
        args: Its positional arguments.
        kwargs: Its named arguments.
        context: The context of the call.
        options: How it is run; None for as usual.
        trace: The trace context of who started it.

    Attributes:
        trace: The trace context of who started it.
        fraction: How much of it is done, from 0 to 1; None where it never told.
        text: What it told of its progress.
    """

    __slots__ = (
        *("_args", "_context", "_ended", "_error", "_function", "_greenlet"),
        *("_kwargs", "_options", "_spawner", "_state", "_value", "__weakref__"),
        *("fraction", "text", "trace"),
    )

    def __init__(
        self,
        spawner: Spawner,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        context: Context,
        options: Jobs | None,
        trace: str,
    ) -> None:
        self.id = context.job_id = f"{_process}{next(_numbers):016x}"
        self.trace = trace
        self.fraction: float | None = None
        self.text = ""
        self._spawner = spawner
        self._function = function
        self._args = args
        self._kwargs = kwargs
        self._context = context
        self._options = options
        self._state = JobState.WAITING
        self._ended: Event | None = None
        self._greenlet: Any = None
        self._value: Any = None
        self._error: BaseException | None = None

    @property
    def pool(self) -> JobPool:
        """The pool that runs it."""
        return self._spawner.pool

    @property
    def status(self) -> JobState:
        """Where it is in its life."""
        return self._state

    def tell(self, fraction: float, text: str) -> None:
        """Note how much of it is done."""
        self.fraction, self.text = fraction, text

    def serve(self) -> bool:
        """Make the call; whether there is another one."""
        if self._state is not JobState.WAITING:
            return False
        self._state = JobState.RUNNING
        self._greenlet = getcurrent()
        set_running(self)
        timeout = self._options.timeout if self._options is not None else None
        try:
            with bind(self._context):
                if timeout is None:
                    value = self._function(*self._args, **self._kwargs)
                else:
                    value = self._timed(timeout)
        except BaseException as error:  # it is raised for who asks for the result
            is_kill = isinstance(error, gevent.GreenletExit)
            self._end(JobState.CANCELLED if is_kill else JobState.FAILED, error)
        else:
            keeps = self._options is None or self._options.keep_result
            self._value = value if keeps else None
            self._end(JobState.DONE, None)
        return False

    def _timed(self, timeout: float) -> Any:
        with gevent.Timeout(timeout) as timer:
            try:
                return self._function(*self._args, **self._kwargs)
            except gevent.Timeout as expired:
                if expired is not timer:
                    raise
                raise CallTimeout(f"job: ended after {timeout:g} seconds") from None

    def _end(self, state: JobState, error: BaseException | None) -> None:
        self._state, self._error, self._greenlet = state, error, None
        # What it was called with may be large, and somebody may keep the job.
        self._args, self._kwargs = (), {}
        if state is JobState.FAILED and self._ended is None:
            self._spawner.on_failure(self._context, error)
        if self._ended is not None:
            self._ended.set()

    @in_loop
    def result(self, timeout: float | None = None) -> Any:
        """Wait for its end; see `Job.result`. It raises the very exception."""
        if not self._state.is_final:
            self._wait(timeout)
        if self._state is JobState.CANCELLED:
            raise JobCancelled(f"job {self.id}: was cancelled")
        if self._error is not None:
            raise self._error
        if self._options is not None and self._options.once:
            if self._value is _TAKEN:
                raise JobExpired(f"job {self.id}: its result was handed out")
            value, self._value = self._value, _TAKEN
            return value
        return self._value

    def _wait(self, timeout: float | None) -> None:
        if self._ended is None:
            self._ended = Event()
        waiting = running_job()
        if waiting is None:
            is_over = self._ended.wait(timeout)
        else:
            with waiting.pool.lend():
                is_over = self._ended.wait(timeout)
        if not is_over:
            raise TimeoutError(f"job {self.id}: has not ended in {timeout:g} s")

    @in_loop
    def cancel(self) -> bool:
        """Cancel it; see `Job.cancel`."""
        if self._state is JobState.WAITING:
            self._end(JobState.CANCELLED, None)
        elif self._state is JobState.RUNNING:
            gevent.kill(self._greenlet)
        return self._state in (JobState.CANCELLED, JobState.RUNNING)


_TAKEN = object()


class Spawner:
    """Starts jobs of this process.

    Args:
        services: What their contexts offer.
        size: Jobs that run at once.
        on_failure: Told the context and the exception of a job that failed while
            nobody waited for it.

    Attributes:
        pool: Runs them.
    """

    def __init__(
        self,
        services: Any,
        size: int,
        on_failure: Callable[[Context, BaseException | None], None],
    ) -> None:
        self.pool = JobPool(size)
        self.on_failure = on_failure
        self._services = services
        self._known: WeakValueDictionary[str, SpawnedJob] = WeakValueDictionary()

    def spawn(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: Jobs | None,
    ) -> SpawnedJob:
        """Start a job at once.

        Args:
            function: What is called.
            args: Its positional arguments.
            kwargs: Its named arguments.
            options: How it is run; None for as usual.

        Returns:
            The job.
        """
        outer = current()
        context = Context(services=self._services)
        if outer is not None:
            context.client, context.groups = outer.client, outer.groups
            context.auth_type, context.number = outer.auth_type, outer.number
        job = SpawnedJob(
            self, function, args, kwargs, context, options, current_trace()
        )
        if options is None or options.keep_result:
            self._known[job.id] = job
        self.pool.start(job)
        return job

    def find(self, id: str) -> SpawnedJob | None:
        """Find a job that somebody still holds, by its id."""
        return self._known.get(id)
