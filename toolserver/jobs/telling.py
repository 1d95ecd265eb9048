"""What is told of a job to those who may ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from toolserver.errors import JobFailed, ToolFault, ToolserverError
from toolserver.jobs.clock import JobClock
from toolserver.jobs.payload import StoredError, read_error
from toolserver.jobs.records import JobStatus

__all__ = ["JobError", "JobInfo", "describe_job", "error_of"]


@dataclass(frozen=True)
class JobError:
    """Why a job has failed, as far as its caller may know.

    Attributes:
        type: The name of the exception's class; empty where that is not told.
        message: Its message.
        code: The number by which RPC knows it.
    """

    type: str
    message: str
    code: int


@dataclass(frozen=True)
class JobInfo:
    """What is told of a job.

    Attributes:
        id: Its id.
        method: Full name of the method.
        state: ``waiting``, ``running``, ``done``, ``failed``, ``cancelled``, ``lost``.
        queue: The queue in which it waits, or None.
        priority: Those with a higher one go first in their queue.
        client: Who started it; None for an anonymous caller.
        created: When it was started.
        due: From when on it may run.
        started: When it began to run, or None.
        finished: When it ended, or None.
        fraction: How much of it is done, from 0 to 1; None where it never told.
        text: What it says of its progress.
        attempts: How often it was begun.
        is_cancelling: Whether somebody wants it ended while it runs.
        error: Why it has failed, or None.
    """

    id: str
    method: str
    state: str
    queue: str | None
    priority: int
    client: str | None
    created: datetime
    due: datetime
    started: datetime | None
    finished: datetime | None
    fraction: float | None
    text: str
    attempts: int
    is_cancelling: bool
    error: JobError | None


def describe_job(status: JobStatus, clock: JobClock) -> JobInfo:
    """Tell of a job.

    Args:
        status: What is known of it.
        clock: The clock of jobs, which may go apart from the time of day.
    """
    job = status.job
    apart = clock.true_offset - clock.offset
    told = None
    if status.error is not None:
        stored = read_error(status.error)
        told = JobError(_kind(stored), stored.message, stored.code)
    return JobInfo(
        id=job.id,
        method=job.method,
        state=status.state.value,
        queue=job.queue,
        priority=job.priority,
        client=job.client,
        created=_moment(job.created + apart),
        due=_moment(job.due + apart),
        started=None if status.started is None else _moment(status.started + apart),
        finished=None if status.finished is None else _moment(status.finished + apart),
        fraction=status.fraction,
        text=status.text,
        attempts=status.attempts,
        is_cancelling=status.is_cancelling,
        error=told,
    )


def error_of(written: bytes) -> ToolserverError:
    """What the caller of a job is told of its failure, as of that of a direct call.

    Args:
        written: What the store has of the failure.
    """
    stored = read_error(written)
    error = stored.rebuild()
    if not isinstance(error, JobFailed):
        return error
    kind = _kind(stored)
    text = ": ".join(filter(None, (kind, stored.message)))
    # Wrappers of the method see the message, as of the exception itself.
    return ToolFault(text, exception=Exception(stored.message), kind=kind)


def _kind(stored: StoredError) -> str:
    # What is told by a reference to the log alone has no class of its own.
    return "" if stored.kind == ToolFault.__name__ else stored.kind


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
