"""The life of jobs: from the call that starts one to what became of it."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import gevent

from toolserver.bootid import boot_id
from toolserver.bus import Bus
from toolserver.chains import Chains, chain
from toolserver.contexts import Context, bind, context, current
from toolserver.entries import Target
from toolserver.errors import (
    ToolserverError,
)
from toolserver.factories import TransientTool
from toolserver.jobs.clock import JobClock
from toolserver.jobs.engine import Engine
from toolserver.jobs.handles import Job, Jobs
from toolserver.jobs.making import Identities, JobCalls
from toolserver.jobs.outcomes import Outcomes
from toolserver.jobs.payload import (
    write_arguments,
)
from toolserver.jobs.records import (
    JobChange,
    JobRecord,
    JobState,
)
from toolserver.jobs.rules import Rules
from toolserver.jobs.runner import READY, Runner
from toolserver.jobs.spawning import SpawnedJob, Spawner
from toolserver.jobs.watching import CHANGED
from toolserver.nativethreads import in_loop
from toolserver.services import Services, services
from toolserver.settings import JobSettings
from toolserver.tools import Tool
from toolserver.traces import current_trace

__all__ = ["Scheduler", "job"]

log = logging.getLogger("toolserver.jobs")

#: Seconds since the epoch at most: the year 9999.
_LAST = 253_402_300_799


class Scheduler:
    """Starts jobs, runs those of this process, and tells what became of them.

    Args:
        services: The parts of the server.
        engine: Where jobs are stored.
        identities: Knows who may call.
        settings: How jobs are run.
        clock: The clock of jobs.
        has_peers: Whether other processes use the same store.

    Attributes:
        engine: Where jobs are stored.
        clock: The clock of jobs.
        runner: Runs jobs of the store.
        outcomes: What has become of jobs.
    """

    def __init__(
        self,
        services: Services,
        engine: Engine,
        identities: Identities,
        settings: JobSettings,
        *,
        clock: JobClock | None = None,
        has_peers: bool = False,
    ) -> None:
        self.engine = engine
        self.clock = clock or JobClock()
        self._services = services
        self._identities = identities
        self._settings = settings
        self._bus = services.part(Bus)
        self._states = chain("system.job.state", JobChange)
        self._state_links = services.part(Chains).links(self._states.name)
        self._spawner = Spawner(services, settings.max_jobs, self._tell_failure)
        # Nobody asks for what calls by rules return.
        unkept = Jobs(None, self, keep_result=False)
        self._rules = Rules(services.registry, engine, self.clock, self.put, unkept)
        services.registry.on_swap.append(self.plan)
        calls = JobCalls(services, identities, self.clock, self._rules)
        self.runner = Runner(
            engine,
            self.clock,
            self._bus,
            settings,
            has_peers=has_peers,
            make=calls.make,
            on_change=self._tell_change,
            on_clock_set=lambda: self.plan(anew=True),
        )
        self.outcomes = Outcomes(
            *(services, engine, self.clock, self.runner),
            *(self._spawner.known, self._tell_change),
            has_peers=has_peers,
        )
        self._is_open = False
        self._lost = 0

    # --- life

    def open(self) -> None:
        """Open the store: jobs can be started from now on, and wait.

        Raises:
            StartError: The store cannot be used.
        """
        self.clock.offset = self.engine.open(self.clock.true_offset, boot_id())
        self._is_open = True

    def start(self) -> None:
        """Begin to run what is in the store."""
        self.plan()
        self.runner.start()

    def plan(self, *, anew: bool = False) -> None:
        """Store the next calls of methods marked `every`, as tools may have changed.

        Args:
            anew: Whether also where one waits, as somebody has set the clock.
        """
        self._rules.plan(anew=anew)

    def settle(self, timeout: float) -> None:
        """Wait until no job runs and none may run now, for tests.

        Args:
            timeout: Seconds to wait.

        Raises:
            TimeoutError: Some go on for longer.
        """
        deadline = time.monotonic() + timeout
        while not self.runner.wait_until_idle(0.1) or self._spawner.pool.busy:
            if time.monotonic() > deadline:
                count = self.runner.running + self._spawner.pool.busy
                raise TimeoutError(f"{count} jobs have not ended in {timeout:g} s")
            gevent.sleep(0.001)

    def hold(self) -> None:
        """Begin no more jobs of the store, as the server stops."""
        self._rules.stop()
        self.runner.hold()

    def stop(self, timeout: float) -> None:
        """Let jobs that run end, and keep the others; more may yet be stored.

        Args:
            timeout: Seconds that they get.
        """
        if not self._is_open:
            return
        deadline = time.monotonic() + timeout
        self.runner.stop(timeout)
        spawned = self._spawner.pool
        while spawned.busy and time.monotonic() < deadline:
            gevent.sleep(0.02)
        self._lost = spawned.busy
        spawned.kill()

    def close(self) -> None:
        """Let go of the store, as the tools have stopped and start no more jobs."""
        if not self._is_open:
            return
        self._is_open = False
        lost = self._lost
        if not self.engine.is_durable:
            waiting = self.engine.counts().states.get(JobState.WAITING, 0)
            # What rules ask for comes again by itself.
            lost += waiting - self._rules.count()
        if lost:
            log.warning("%d jobs were in memory alone and are lost", lost)
        self.engine.close()

    # --- starting jobs

    def put(
        self,
        target: Target,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        queue: str | None = None,
        priority: int = 0,
        when: float | datetime | timedelta | None = None,
        options: Jobs | None = None,
        id: str = "",
        client: str | None = None,
    ) -> Job[Any]:
        """Store a call, which is made when it is its turn.

        It is the running call's client's; its groups are looked up when it is made.

        Args:
            target: What is called.
            args: Positional arguments, converted.
            kwargs: Named arguments, converted.
            queue: The queue, or None to run beside everything else.
            priority: Those with a higher one go first in their queue.
            when: When it is due: seconds since the epoch, a time with a zone, or the
                time from now; None for at once.
            options: What becomes of its result; None for as usual.
            id: Its id, where it is to be known; by default random.
            client: Whose it is, if not the running call's client's.

        Returns:
            The job. Where the id was known already, it is the job of before.

        Raises:
            InvalidParams: An argument cannot be stored.
            Overload: It could not be stored.
        """
        now = self.clock.now()
        due, follows_clock = now, False
        if when is not None:
            due, follows_clock = self._due(when, now)
        outer = current()
        groups: frozenset[str] = frozenset()
        if outer is not None and outer.client is not None:
            groups = outer.groups - self._identities.groups_of(outer.client)
        retry = target.spec.retry
        record = JobRecord(
            id=id or secrets.token_hex(16),
            method=target.name,
            arguments=write_arguments(
                target.spec.unlocked or target.spec, args, kwargs
            ),
            queue=queue,
            priority=priority,
            created=now,
            due=due,
            follows_clock=follows_clock,
            client=client or context.client,
            auth_type=context.auth_type,
            groups=tuple(sorted(groups)),
            request_id=context.request_id,
            trace=current_trace(),
            timeout=options.timeout if options is not None else None,
            result_ttl=self._settings.result_ttl,
            keeps_result=options is None or options.keep_result,
            once=options is not None and options.once,
            max_tries=1 + retry.times if retry is not None else 1,
            backoff=retry.backoff if retry is not None else 0.0,
        )
        # It is asked for together with being put in, which is one way to the store.
        self.runner.wake()
        (is_new,) = self.engine.put([record])
        if is_new:
            self.outcomes.note_put(record.id)
            self._tell_waiting(record)
        return Job(record.id, self.outcomes)

    @in_loop
    def retry(self, job: JobRecord) -> None:
        """Have a job made once more that has failed, was lost or was cancelled.

        Args:
            job: The job; another one is left as it is.
        """
        self.runner.wake()
        if self.engine.retry(job.id, now=self.clock.now()) is JobState.WAITING:
            self._tell_waiting(job)

    def _tell_waiting(self, job: JobRecord) -> None:
        self._tell_change(job.id, job.method, JobState.WAITING, None, "")
        if self.engine.is_shared:
            self._bus.publish(READY, self.runner.name)

    def spawn(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: Jobs | None,
    ) -> SpawnedJob:
        """Run a call at once, in this process; see `Tool.spawn`."""
        return self._spawner.spawn(function, args, kwargs, options)

    @in_loop
    def enqueue(
        self,
        tool: Tool,
        priority: int,
        method: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: Jobs | None,
    ) -> Job[Any]:
        """Put a call into the queue of a tool; see `Tool.enqueue`."""
        target, args, kwargs = self._converted("enqueue", method, args, kwargs)
        return self.put(
            target,
            args,
            kwargs,
            queue=queue_of(tool),
            priority=_checked_priority(priority),
            options=options,
        )

    @in_loop
    def schedule(
        self,
        when: float | datetime | timedelta,
        method: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        options: Jobs | None,
    ) -> Job[Any]:
        """Have a call made at a time; see `Tool.schedule`."""
        target, args, kwargs = self._converted("schedule", method, args, kwargs)
        return self.put(target, args, kwargs, when=when, options=options)

    def with_options(
        self, tool: Tool, *, keep_result: bool, once: bool, timeout: float | None
    ) -> Jobs:
        """Start jobs in another way; see `Tool.jobs`."""
        return Jobs(tool, self, keep_result=keep_result, once=once, timeout=timeout)

    def _converted(
        self,
        what: str,
        method: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> tuple[Target, Sequence[Any], Mapping[str, Any]]:
        owner = getattr(method, "__self__", None)
        if not isinstance(owner, Tool):
            raise TypeError(
                f"{what}: got {method!r:.100}, expected a method of a registered tool; "
                "spawn takes anything that can be called"
            )
        name = getattr(method, "__name__", "")
        try:
            target = self._services.registry.inner_target(owner, name)
        except ToolserverError as error:
            raise TypeError(f"{what}: {error.message}") from None
        spec = target.spec.unlocked or target.spec
        converted, named = spec.convert(args, kwargs)
        return target, converted, named

    def _due(
        self, when: float | datetime | timedelta, now: float
    ) -> tuple[float, bool]:
        if isinstance(when, timedelta):
            return now + when.total_seconds(), False
        if isinstance(when, datetime):
            if when.tzinfo is None:
                raise ValueError(
                    f"when: got {when!r}, expected a time with a zone, as "
                    "datetime.now(UTC)"
                )
            when = when.astimezone(UTC).timestamp()
        if not isinstance(when, (int, float)) or not 0 <= when <= _LAST:
            raise ValueError(
                f"when: got {when!r}, expected seconds since the epoch, a datetime "
                "with a zone, or a timedelta from now"
            )
        # What waits is moved once it is seen that the clock was set: this need not be.
        self.runner.follow_clock()
        return self.clock.at(float(when)), True

    # --- what is told of them

    def _tell_change(
        self, id: str, method: str, state: JobState, fraction: float | None, text: str
    ) -> None:
        if state.is_final:
            self.outcomes.note_end(id)
        self._bus.publish(CHANGED, [id, state.value, fraction, text])
        if fraction is None and self._state_links.handlers:
            with bind(Context(services=self._services)):
                self._states.run(JobChange(id, method, state))

    def _tell_failure(self, job: SpawnedJob, error: BaseException) -> None:
        log.error("job %s failed", job.id, exc_info=error)


def queue_of(tool: Tool) -> str:
    """The queue of a tool: tools of a factory share that of the factory.

    Args:
        tool: The tool.
    """
    while isinstance(tool, TransientTool):
        tool = tool.parent
    return tool.namespace


def _checked_priority(priority: int) -> int:
    if not isinstance(priority, int) or not -(2**31) <= priority < 2**31:
        raise TypeError(f"priority: got {priority!r}, expected a whole number")
    return priority


def job(id: str) -> Job[Any]:
    """Find a job of this server by its id.

    Args:
        id: The id.

    Returns:
        The job.

    Raises:
        JobUnknown: There is none.
        JobExpired: It has ended and was forgotten.
    """
    return services().part(Scheduler).outcomes.find(id)
