"""Jobs of this process alone, which begin at once.

Nothing of them is stored, the greenlets that run them are taken again, and what only
some of them need is made when it is asked for: such a job costs little more than its
call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any

import gevent
from gevent import getcurrent
from gevent.event import Event

from toolserver.calls import Call
from toolserver.contexts import Context, bind_lastingly, current, next_number
from toolserver.errors import CallTimeout, JobCancelled, JobExpired, ToolserverError
from toolserver.events import wait_for
from toolserver.factories import TransientTool
from toolserver.jobs.handles import Job, Jobs
from toolserver.jobs.known import KnownJobs
from toolserver.jobs.pool import JobPool, running_job
from toolserver.jobs.records import JobState
from toolserver.message import Headers
from toolserver.nativethreads import ask_loop, in_loop, in_native_thread
from toolserver.services import Services
from toolserver.tools import Tool
from toolserver.traces import current_trace, trace_of

__all__ = ["SpawnedJob", "Spawner"]

_NO_NAMES: dict[str, Any] = {}
_TAKEN = object()
# Looked up once: members of enumerations cost more than other attributes.
_WAITING, _RUNNING, _DONE = JobState.WAITING, JobState.RUNNING, JobState.DONE

#: What is called for a method, with the tool and the name for its context.
_Path = tuple[Callable[..., Any], Tool | None, str]


def _nothing() -> None:
    """What a job calls that has ended."""


class SpawnedJob(Job[Any]):
    """A job of this process.

    Args:
        spawner: Runs it.
        function: What is called.
        args: Its positional arguments.
        kwargs: Its named arguments.
        options: How it is run; None for as usual.
        trace: The trace context of who started it, or the head of the request that
            has it.

    Attributes:
        context: The context of the call, until it has ended.
        progress: How much of it is done, from 0 to 1, and what it says; None where it
            never told.
    """

    __slots__ = (
        *("_args", "_ended", "_error", "_function", "_greenlet", "_kwargs", "_options"),
        *("_spawner", "_state", "_trace", "_value"),
        *("__weakref__", "context", "progress"),
    )

    def __init__(
        self,
        spawner: Spawner,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: Jobs | None,
        trace: str | Headers,
    ) -> None:
        self.context: Context | None = None
        self._trace = trace
        self.progress: tuple[float, str] | None = None
        self._id = ""
        self._spawner = spawner
        self._function = function
        self._args = args
        self._kwargs = kwargs or _NO_NAMES
        self._options = options
        self._state = _WAITING
        self._ended: Event | None = None
        self._greenlet: Any = None
        self._error: BaseException | None = None
        self._value: Any = None

    @property
    def id(self) -> str:
        """Its id, by which it is found until some time after its end."""
        if not self._id:
            known = self._spawner.known
            self._id = known.add(self)
            if self._state.is_final:
                known.note_end(self._id)
        return self._id

    @property
    def trace(self) -> str:
        """The W3C trace context of who started it, until it has ended."""
        trace = self._trace
        return trace if isinstance(trace, str) else trace_of(trace)

    @property
    def name(self) -> str:
        """The name of what it calls, as Python shows it."""
        return getattr(self._function, "__qualname__", repr(self._function))

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
        self.progress = fraction, text

    def serve(self) -> bool:
        """Make the call; whether there is another one."""
        if self._state is not _WAITING:
            return False
        self._state = _RUNNING
        self._greenlet = getcurrent()
        options = self._options
        try:
            bind_lastingly(self.context)  # type: ignore[arg-type]  # set by `Spawner`
            if options is None or options.timeout is None:
                value = self._function(*self._args, **self._kwargs)
            else:
                value = self._timed(options.timeout)
        except BaseException as error:  # it is raised for who asks for the result
            is_kill = isinstance(error, gevent.GreenletExit)
            self._end(JobState.CANCELLED if is_kill else JobState.FAILED, error)
        else:
            if options is None or options.keep_result:
                self._value = value
            self._end(_DONE, None)
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
        self._state = state
        if error is not None:
            self._error = error
            if state is JobState.FAILED and self._ended is None:
                self._spawner.on_failure(self, error)
        # What it was called with may be large, and somebody may keep the job. The
        # context knows the job: a circle.
        self._args, self._kwargs, self._function = (), _NO_NAMES, _nothing
        self.context = self._greenlet = None
        self._trace = ""
        if self._id:
            self._spawner.known.note_end(self._id)
        if self._ended is not None:
            self._ended.set()

    def result(self, timeout: float | None = None) -> Any:
        """Wait for its end; see `Job.result`. It raises the very exception."""
        if not self._state.is_final:
            if in_native_thread():
                return ask_loop(partial(self.result, timeout))
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
            is_over = wait_for(self._ended, timeout)
        else:
            with waiting.pool.lend():
                is_over = wait_for(self._ended, timeout)
        if not is_over:
            raise TimeoutError(f"job {self.id}: has not ended in {timeout:g} s")

    @in_loop
    def cancel(self) -> bool:
        """Cancel it; see `Job.cancel`."""
        if self._state is _WAITING:
            self._end(JobState.CANCELLED, None)
        elif self._state is _RUNNING:
            self.pool.end(self._greenlet, lambda: self._state is _RUNNING)
        return self._state in (JobState.CANCELLED, _RUNNING)


class Spawner:
    """Starts jobs of this process.

    Args:
        services: What their contexts offer.
        size: Jobs that run at once.
        on_failure: Told the job and the exception of one that failed while nobody
            waited for it.

    Attributes:
        pool: Runs them.
        known: Those whose ids somebody has.
    """

    def __init__(
        self,
        services: Services,
        size: int,
        on_failure: Callable[[SpawnedJob, BaseException], None],
    ) -> None:
        self.pool = JobPool(size)
        self.on_failure = on_failure
        self._services = services
        self._nobody = Context(services=services)
        self.known = KnownJobs(services.settings.jobs.result_ttl)
        #: What is called for the methods of tools that stay.
        self._paths: dict[Callable[..., Any], _Path] = {}
        services.registry.on_swap.append(self._paths.clear)

    def spawn(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
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
        if in_native_thread():
            return ask_loop(partial(self.spawn, function, args, kwargs, options))
        tool, name = None, ""
        if type(function) is MethodType:
            path = self._paths.get(function) or self._path(function)
            function, tool, name = path
        outer = current()
        if outer is None:
            job = SpawnedJob(self, function, args, kwargs, options, "")
            made = self._nobody.apart(tool, name, job)
            made.number = next_number()
        else:
            # To look it up costs more than most others need.
            trace = outer.request.headers if outer.request else current_trace()
            job = SpawnedJob(self, function, args, kwargs, options, trace)
            made = outer.apart(tool, name, job)
            made.services = self._services
        job.context = made
        self.pool.start(job)
        return job

    def _path(self, method: MethodType) -> _Path:
        """What calls a method, with transaction and contracts if it is a tool's."""
        tool = method.__self__
        if not isinstance(tool, Tool):
            return method, None, ""
        registry = self._services.registry
        try:
            target = registry.inner_target(tool, method.__name__)
        except ToolserverError:
            # A tool that is not registered is an object like any other.
            return method, None, ""
        path: _Path
        if target.is_guarded:
            invoke = self._services.dispatcher.invoke

            def call(*args: Any, **kwargs: Any) -> Any:
                made = Call(target.name, args, kwargs)
                return invoke(target, made, inside=True, checked=False)

            path = call, None, ""
        else:
            path = target.function, target.tool, target.spec.name
        if not isinstance(tool, TransientTool):
            self._paths[method] = path
        return path
