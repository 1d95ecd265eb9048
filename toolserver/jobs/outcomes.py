"""What has become of jobs: who asks for it, and who waits for it."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

from gevent.event import Event

from toolserver.bus import Bus
from toolserver.errors import (
    JobCancelled,
    JobExpired,
    JobLost,
    JobUnknown,
    ToolserverError,
)
from toolserver.events import wait_for
from toolserver.jobs.clock import JobClock
from toolserver.jobs.engine import Engine
from toolserver.jobs.handles import Job
from toolserver.jobs.known import KnownJobs
from toolserver.jobs.making import target_of
from toolserver.jobs.payload import read_error, read_result
from toolserver.jobs.pool import running_job
from toolserver.jobs.records import JobRecord, JobState, JobStatus
from toolserver.jobs.runner import CANCEL, OnChange, Run, Runner
from toolserver.jobs.watching import JobWatch
from toolserver.nativethreads import in_loop
from toolserver.services import Services

__all__ = ["Outcomes"]

#: Seconds after which who waits for a job looks by itself.
_LOOK = 1.0
#: Jobs that were put in last and of which it is remembered that none has ended.
_PENDING = 1000


class Outcomes:
    """Tells what has become of jobs, and cancels them.

    Args:
        services: The parts of the server.
        engine: Where jobs are stored.
        clock: The clock of jobs.
        runner: Runs those of this process.
        known: Jobs that are not stored.
        on_change: Told of those that are cancelled.
        has_peers: Whether other processes run jobs of the store.
    """

    def __init__(
        self,
        services: Services,
        engine: Engine,
        clock: JobClock,
        runner: Runner,
        known: KnownJobs,
        on_change: OnChange,
        *,
        has_peers: bool,
    ) -> None:
        self._registry = services.registry
        self._bus = services.part(Bus)
        self._watch = services.part(JobWatch)
        self._engine = engine
        self._clock = clock
        self._runner = runner
        self._known = known
        self._on_change = on_change
        self._pending: OrderedDict[str, None] | None = None
        if engine.is_shared and not has_peers:
            self._pending = OrderedDict()

    def note_put(self, id: str) -> None:
        """Remember that a job was put in just now: the store need not be asked.

        Args:
            id: The job.
        """
        if self._pending is not None:
            self._pending[id] = None
            if len(self._pending) > _PENDING:
                self._pending.popitem(last=False)

    def note_end(self, id: str) -> None:
        """Forget that a job was put in, as it has ended.

        Args:
            id: The job.
        """
        if self._pending is not None:
            self._pending.pop(id, None)

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
        spawned = self._known.find(id)
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
        told = _Told()
        # Before the store is asked, so that no end is missed.
        with self._watch.watching(self._bus, id, told):
            waiting = running_job()
            if waiting is None and self._pending and id in self._pending:
                return self.outcome(self._wait(id, told, timeout))
            found = self._take(id)
            if found.state.is_final:
                return self.outcome(found)
            if waiting is None:
                return self.outcome(self._wait(id, told, timeout))
            if isinstance(waiting, Run):
                _check_queue(found.job, waiting.claim.job)
            with waiting.pool.lend():
                self._runner.wake()
                return self.outcome(self._wait(id, told, timeout))

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
            type_ = target_of(self._registry, status.job.method).spec.returns
        except ToolserverError:
            type_ = None
        return read_result(status.result, type_)

    @in_loop
    def cancel(self, id: str) -> bool:
        """Cancel a job; see `Job.cancel`."""
        before = self._status(id)
        if before.state.is_final:
            return before.state is JobState.CANCELLED
        state = self._engine.cancel(id, now=self._clock.now())
        if state is None:
            raise self._unknown(id)
        if state is JobState.CANCELLED:
            self._on_change(id, before.job.method, state, None, "")
        elif state is JobState.RUNNING and not self._runner.cancel(id):
            self._bus.publish(CANCEL, id)
        return state in (JobState.CANCELLED, JobState.RUNNING)

    def _status(self, id: str) -> JobStatus:
        found = self._engine.status(id)
        if found is None:
            raise self._unknown(id)
        return found

    def _take(self, id: str) -> JobStatus:
        found = self._engine.take(id)
        if found is None:
            raise self._unknown(id)
        return found

    def _unknown(self, id: str) -> ToolserverError:
        if self._engine.has_expired(id):
            return JobExpired(f"job {id}: ended and forgotten")
        return JobUnknown(f"no job {id[:64]!r}")

    def _wait(self, id: str, told: _Told, timeout: float | None) -> JobStatus:
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _LOOK
            if deadline is not None:
                left = min(left, deadline - time.monotonic())
                if left <= 0:
                    raise TimeoutError(f"job {id}: has not ended in {timeout:g} s")
            wait_for(told.event, left)
            told.event.clear()
            found = self._take(id)
            if found.state.is_final:
                return found


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
