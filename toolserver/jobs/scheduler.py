"""The life of jobs: from the call that starts one to what became of it."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import gevent
from gevent.event import Event

from toolserver.bootid import boot_id
from toolserver.bus import Bus
from toolserver.calls import Call
from toolserver.chains import Chains, chain
from toolserver.contexts import Context, bind, context, current
from toolserver.entries import Target
from toolserver.errors import (
    ApplicationError,
    CallTimeout,
    Forbidden,
    InvalidParams,
    InvalidRequest,
    JobCancelled,
    JobExpired,
    JobLost,
    JobUnknown,
    MethodNotFound,
    NotFound,
    RequireBroken,
    Signal,
    ToolserverError,
    Unauthenticated,
)
from toolserver.factories import TransientTool
from toolserver.jobs.clock import JobClock
from toolserver.jobs.engine import Engine
from toolserver.jobs.handles import Job, Jobs
from toolserver.jobs.payload import (
    read_arguments,
    read_error,
    read_result,
    write_arguments,
    write_error,
    write_result,
)
from toolserver.jobs.pool import current_trace, running_job
from toolserver.jobs.records import (
    Ending,
    JobChange,
    JobRecord,
    JobState,
    JobStatus,
)
from toolserver.jobs.rules import SERVER, Rules
from toolserver.jobs.runner import CANCEL, READY, Run, Runner
from toolserver.jobs.spawning import SpawnedJob, Spawner
from toolserver.jobs.watching import CHANGED, JobWatch
from toolserver.nativethreads import in_loop
from toolserver.services import Services, services
from toolserver.settings import JobSettings
from toolserver.tools import Tool

__all__ = ["Identities", "Scheduler", "job"]

log = logging.getLogger("toolserver.jobs")

#: What keeps a call from being made, so that another try is of no use.
_NOT_TRIED = (
    *(Forbidden, InvalidParams, InvalidRequest, MethodNotFound, RequireBroken),
    Unauthenticated,
)
#: Seconds after which who waits for a job looks by itself.
_LOOK = 1.0
#: Seconds since the epoch at most: the year 9999.
_LAST = 253_402_300_799


class Identities(Protocol):
    """Knows who may call."""

    def groups_of(self, client: str) -> frozenset[str]:
        """The groups of a client by the file of groups."""

    def is_known(self, client: str, auth_type: str | None) -> bool:
        """Whether a client could still prove its name in the way that it did."""


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
        self._watch = services.part(JobWatch)
        self._states = chain("system.job.state", JobChange)
        self._spawner = Spawner(services, settings.max_jobs, self._tell_failure)
        self.runner = Runner(
            engine,
            self.clock,
            self._bus,
            settings,
            has_peers=has_peers,
            make=self._make,
            on_change=self._tell_change,
            on_clock_set=lambda: self.plan(anew=True),
        )
        # Nobody asks for what calls by rules return.
        unkept = Jobs(None, self, keep_result=False)
        self._rules = Rules(services.registry, engine, self.clock, self.put, unkept)
        services.registry.on_swap.append(self.plan)
        self._is_open = False

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
        """Let jobs that run end, and keep the others.

        Args:
            timeout: Seconds that they get.
        """
        if not self._is_open:
            return
        self._is_open = False
        deadline = time.monotonic() + timeout
        self.runner.stop(timeout)
        spawned = self._spawner.pool
        while spawned.busy and time.monotonic() < deadline:
            gevent.sleep(0.02)
        lost = spawned.busy
        spawned.kill()
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
            self._tell_change(record.id, record.method, JobState.WAITING, None, "")
            if self.engine.is_shared:
                self._bus.publish(READY, self.runner.name)
        return Job(record.id, self)

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

    # --- what became of them

    @in_loop
    def find(self, id: str) -> Job[Any]:
        """Find a job by its id, whosever it is.

        Args:
            id: The id.

        Returns:
            The job.

        Raises:
            JobUnknown: There is none.
            JobExpired: It has ended and was forgotten.
        """
        spawned = self._spawner.known.find(id)
        if spawned is not None:
            return spawned
        self._status(id)
        return Job(id, self)

    @in_loop
    def state_of(self, id: str) -> JobState:
        """Where a job is in its life; see `Job.status`."""
        return self._status(id).state

    @in_loop
    def result_of(self, id: str, timeout: float | None) -> Any:
        """Wait for a job and hand out its result; see `Job.result`."""
        found = self._take(id)
        if not found.state.is_final:
            waiting = running_job()
            if waiting is None:
                found = self._wait(id, timeout)
            else:
                if isinstance(waiting, Run):
                    _check_queue(found.job, waiting.claim.job)
                with waiting.pool.lend():
                    self.runner.wake()
                    found = self._wait(id, timeout)
        return self.outcome(found)

    def outcome(self, status: JobStatus) -> Any:
        """What a job that has ended has returned.

        Args:
            status: What is known of it.

        Returns:
            Its result, by the hints of its method; None where results are not kept.

        Raises:
            JobExpired: Its result was handed out once.
            JobCancelled: It was cancelled.
            JobLost: It never came to an end.
            Exception: What it raised.
        """
        id_ = status.job.id
        if status.state is JobState.CANCELLED:
            raise JobCancelled(f"job {id_}: was cancelled")
        if status.state is JobState.LOST:
            raise JobLost(
                f"job {id_}: was begun {status.attempts} times and never came to an end"
            )
        if status.is_taken:
            raise JobExpired(f"job {id_}: its result was handed out")
        if status.error is not None and status.state is JobState.FAILED:
            raise read_error(status.error).rebuild()
        try:
            type_ = self._target(status.job.method).spec.returns
        except ToolserverError:
            type_ = None
        return read_result(status.result, type_)

    @in_loop
    def cancel(self, id: str) -> bool:
        """Cancel a job; see `Job.cancel`."""
        before = self._status(id)
        if before.state.is_final:
            return before.state is JobState.CANCELLED
        state = self.engine.cancel(id, now=self.clock.now())
        if state is None:
            raise self._unknown(id)
        if state is JobState.CANCELLED:
            self._tell_change(id, before.job.method, state, None, "")
        elif state is JobState.RUNNING and not self.runner.cancel(id):
            self._bus.publish(CANCEL, id)
        return state in (JobState.CANCELLED, JobState.RUNNING)

    def _status(self, id: str) -> JobStatus:
        found = self.engine.status(id)
        if found is None:
            raise self._unknown(id)
        return found

    def _take(self, id: str) -> JobStatus:
        found = self.engine.take(id)
        if found is None:
            raise self._unknown(id)
        return found

    def _unknown(self, id: str) -> ToolserverError:
        if self.engine.has_expired(id):
            return JobExpired(f"job {id}: ended and forgotten")
        return JobUnknown(f"no job {id[:64]!r}")

    def _wait(self, id: str, timeout: float | None) -> JobStatus:
        deadline = None if timeout is None else time.monotonic() + timeout
        told = _Told()
        with self._watch.watching(self._bus, id, told):
            while not (found := self._take(id)).state.is_final:
                left = _LOOK
                if deadline is not None:
                    left = min(left, deadline - time.monotonic())
                    if left <= 0:
                        raise TimeoutError(f"job {id}: has not ended in {timeout:g} s")
                told.event.wait(left)
                told.event.clear()
        return found

    # --- making their calls

    def _make(self, run: Run) -> Ending:
        """Make the call of a job; in a greenlet of the pool."""
        record = run.claim.job
        if record.client == SERVER and not self._follow(record):
            return Ending(JobState.CANCELLED)
        made = Context(
            services=self._services,
            client=None if record.client == SERVER else record.client,
            auth_type=record.auth_type,
            request_id=record.request_id,
        )
        made.job = run
        dispatcher = self._services.dispatcher
        with bind(made):
            try:
                made.groups = self._groups(record)
                target, call = self._read(record)
            except Exception as raised:
                # Nothing was called: another try would be of no use.
                error = dispatcher.failure(Call(record.method), raised)
                return Ending(JobState.FAILED, error=write_error(error))
            try:
                value = self._call(target, call, record)
            except gevent.GreenletExit as killed:
                if run.is_cancelled or run.is_released:
                    raise
                error = dispatcher.failure(target, killed)
            except BaseException as raised:  # a tool may raise SystemExit, too
                error = dispatcher.failure(target, raised)
            else:
                return self._done(target, record, value)
        if run.is_cancelled:
            return Ending(JobState.CANCELLED)
        tries = run.claim.tries + 1
        if tries < record.max_tries and not isinstance(error, _NOT_TRIED):
            pause = record.backoff * 2 ** (tries - 1)
            due = self.clock.now() + pause
            log.warning("job %s: failed, tried again in %g s", record.id, pause)
            return Ending(JobState.WAITING, error=write_error(error), due=due)
        return Ending(JobState.FAILED, error=write_error(error))

    def _follow(self, record: JobRecord) -> bool:
        """Store the call after that of a rule; whether there is still such a rule."""
        try:
            target = self._target(record.method)
        except ToolserverError:
            return False
        return self._rules.follow(target, record)

    def _groups(self, record: JobRecord) -> frozenset[str]:
        client = record.client
        if client is None or client == SERVER:
            return frozenset(record.groups)
        if not self._identities.is_known(client, record.auth_type):
            raise Forbidden(f"job {record.id}: there is no client {client!r} any more")
        return self._identities.groups_of(client).union(record.groups)

    def _read(self, record: JobRecord) -> tuple[Target, Call]:
        """What a job calls, and its call."""
        try:
            target = self._target(record.method)
        except MethodNotFound as error:
            raise NotFound(error.message) from None
        args, kwargs = read_arguments(record.arguments)
        return target, Call(record.method, args, kwargs)

    def _call(self, target: Target, call: Call, record: JobRecord) -> Any:
        invoke = self._services.dispatcher.invoke
        # Who may call is asked of clients.
        checked = record.client != SERVER
        with gevent.Timeout(record.timeout) as timer:
            try:
                return invoke(target, call, inside=True, checked=checked)
            except gevent.Timeout as expired:
                if expired is not timer:
                    raise
                raise CallTimeout(
                    f"{target.name}: ended after {record.timeout:g} seconds"
                ) from None
            except Signal as signal:
                kind = type(signal).__name__
                raise ApplicationError(
                    f"{target.name}: answered with {kind}, which only REST can express",
                    data={"type": kind},
                ) from None

    def _done(self, target: Target, record: JobRecord, value: Any) -> Ending:
        """The end of a job whose call has returned: it is not made again."""
        if not record.keeps_result:
            return Ending(JobState.DONE)
        try:
            return Ending(JobState.DONE, result=write_result(value))
        except Exception as raised:
            error = self._services.dispatcher.failure(target, raised)
            return Ending(JobState.FAILED, error=write_error(error))

    def _target(self, name: str) -> Target:
        registry = self._services.registry
        try:
            return registry.target(name)
        except MethodNotFound:
            namespace, _, attribute = name.rpartition(".")
            return registry.inner_target(registry.entry(namespace).tool, attribute)

    # --- what is told of them

    def _tell_change(
        self, id: str, method: str, state: JobState, fraction: float | None, text: str
    ) -> None:
        self._bus.publish(CHANGED, [id, state.value, fraction, text])
        if (
            fraction is None
            and self._services.part(Chains).links(self._states.name).handlers
        ):
            with bind(Context(services=self._services)):
                self._states.run(JobChange(id, method, state))

    def _tell_failure(self, job: SpawnedJob, error: BaseException) -> None:
        log.error("job %s failed", job.id, exc_info=error)


class _Told:
    """Wakes who waits for the end of a job."""

    __slots__ = ("event",)

    def __init__(self) -> None:
        self.event = Event()

    def put(self, item: Any) -> None:
        if JobState(item[1]).is_final:
            self.event.set()


def _check_queue(job: JobRecord, waiting: JobRecord) -> None:
    """Refuse to wait for what cannot begin, or end, before who waits has ended."""
    if job.id == waiting.id:
        raise RuntimeError(f"job {job.id}: cannot wait for its own end")
    if job.queue is not None and job.queue == waiting.queue:
        raise RuntimeError(
            f"job {job.id}: cannot begin before job {waiting.id} has ended, which is "
            f"of the same queue {job.queue!r} and would wait for it"
        )


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
    return services().part(Scheduler).find(id)
