"""Jobs as callers from outside start them and ask for them.

A job belongs to the client who started it, and to the members of a group of
administrators. One that an anonymous caller started belongs to whoever has its id,
which cannot be guessed. For everybody else it does not exist.
"""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterator
from datetime import datetime, timedelta
from typing import get_origin

from toolserver.batches import is_batch
from toolserver.bus import Bus
from toolserver.calls import Call, Outcome
from toolserver.contexts import context
from toolserver.dispatcher import Prepared
from toolserver.entries import Target
from toolserver.errors import InvalidParams, JobExpired, JobUnknown, ToolserverError
from toolserver.jobs.records import JobRecord, JobState, JobStatus
from toolserver.jobs.scheduler import Scheduler, queue_of
from toolserver.jobs.telling import JobInfo, describe_job, error_of
from toolserver.jobs.watching import JobWatch
from toolserver.services import Services, services
from toolserver.subscribers import Subscriber, Subscribers
from toolserver.types import Kind

__all__ = [
    "await_end",
    "can_be_job",
    "cancel_job",
    "find_job",
    "follow_job",
    "list_jobs",
    "result_of",
    "retry_job",
    "start_job",
    "told_of",
]

#: Members may ask for all jobs.
_ADMINISTRATORS = "admin"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MOST_LISTED = 1000
_STREAMS = (Iterator, Generator)
#: Seconds that a request waits for the end of a job at most, and after which one that
#: waits looks by itself.
_LONGEST_WAIT, _LOOK = 60.0, 5.0
#: How far from now a job may be due.
_FARTHEST = timedelta(days=36525)


def can_be_job(target: Target) -> bool:
    """Whether the result of a method can be kept, as far as its hint tells.

    Args:
        target: The method.

    Returns:
        False where it is a stream, a file or a whole answer of the tool's own making.
    """
    returns = target.spec.returns
    choices = returns.items if returns.kind is Kind.UNION else (returns,)
    return not any(
        choice.kind is Kind.OBJECT
        or (get_origin(choice.hint) or choice.hint) in _STREAMS
        for choice in choices
    )


def start_job(
    prepared: Prepared,
    *,
    priority: int | None = None,
    when: float | datetime | timedelta | None = None,
    once: bool = False,
) -> str:
    """Have a call made that has been prepared.

    Args:
        prepared: The call.
        priority: Its priority in the queue of its tool; None for none, beside all.
        when: When it is made: seconds since the epoch, a time with a zone, or time
            from now; None for at once.
        once: Whether its result is forgotten when it was handed out once.

    Returns:
        The id of the job.

    Raises:
        InvalidParams: The time is none, or an argument cannot be stored.
        Overload: There are too many jobs.
    """
    if not -(2**31) <= (priority or 0) < 2**31:
        raise InvalidParams(f"priority: got {priority}, expected one of 32 bits")
    if isinstance(when, timedelta) and not abs(when) < _FARTHEST:
        raise InvalidParams(f"when: got {when}, expected less than {_FARTHEST}")
    scheduler = _scheduler()
    target, args, kwargs = prepared
    try:
        job = scheduler.put(
            *(target, args, kwargs),
            queue=None if priority is None else queue_of(target.tool),
            priority=priority or 0,
            when=when,
            options=scheduler.with_options(
                target.tool, keep_result=True, once=once, timeout=None
            ),
        )
    except ValueError as error:
        raise InvalidParams(str(error)) from error
    return job.id


def find_job(id: str) -> JobStatus:
    """Find a job for the running call's client.

    Args:
        id: Its id, as somebody has sent it.

    Returns:
        What is known of it.

    Raises:
        JobUnknown: There is none, or it is somebody else's.
        JobExpired: It has ended and was forgotten.
    """
    if _ID.fullmatch(id) is None:
        raise _unknown(id)
    engine = _scheduler().engine
    found = engine.status(id)
    if found is None:
        if engine.has_expired(id):
            raise JobExpired(f"job {id}: ended and forgotten")
        raise _unknown(id)
    if not _may_ask(found.job):
        raise _unknown(id)
    return found


def await_end(id: str, seconds: float, *, most: float = _LONGEST_WAIT) -> JobStatus:
    """Wait for the end of a job.

    Args:
        id: Its id.
        seconds: How long to wait; in a batch nobody waits.
        most: How long to wait at most, whatever was asked; a minute by default.

    Returns:
        What is known of it when it has ended, the time is over, the caller has hung up
        or the server stops.

    Raises:
        JobUnknown: There is no such job, or it is somebody else's.
        JobExpired: It has ended and was forgotten.
        Overload: Too many wait.
    """
    status = find_job(id)
    # Not a number is no time either.
    if status.state.is_final or not seconds > 0 or is_batch():
        return status
    offered = services()
    engine = _scheduler().engine
    deadline = time.monotonic() + min(seconds, most)
    waiting = offered.part(Subscribers).admit(context.request, offered.settings)
    with waiting, offered.part(JobWatch).watching(offered.part(Bus), id, waiting):
        while True:
            status = engine.status(id) or status
            left = deadline - time.monotonic()
            if status.state.is_final or waiting.end is not None or left <= 0:
                return status
            waiting.get(min(left, _LOOK))


def follow_job(
    offered: Services, id: str, subscriber: Subscriber
) -> Iterator[JobStatus]:
    """Follow a job that the caller may ask for, until it has ended.

    Args:
        offered: The services of the server, as no call runs while it is followed.
        id: The job.
        subscriber: Who waits.

    Yields:
        What is known of it: at first, when it has changed, and now and then. It ends
        after the last state, or when the job is forgotten.
    """
    engine = _scheduler(offered).engine
    with offered.part(JobWatch).watching(offered.part(Bus), id, subscriber):
        status = engine.status(id)
        told = iter(subscriber)
        while status is not None:
            yield status
            if status.state.is_final:
                return
            try:
                next(told)
            except StopIteration:
                return
            status = engine.status(id)


def cancel_job(id: str) -> JobStatus:
    """Cancel a job: at once if it waits, else as soon as it lets itself be ended.

    Args:
        id: Its id.

    Returns:
        What is known of it afterwards; one that had ended is as it was.

    Raises:
        JobUnknown: There is no such job, or it is somebody else's.
        JobExpired: It has ended and was forgotten.
    """
    status = find_job(id)
    if status.state.is_final:
        return status
    scheduler = _scheduler()
    scheduler.outcomes.cancel(id)
    return scheduler.engine.status(id) or status


def retry_job(id: str) -> JobStatus:
    """Have a job made once more that has failed, was lost or was cancelled.

    Args:
        id: Its id.

    Returns:
        What is known of it afterwards; any other is as it was.

    Raises:
        JobUnknown: There is no such job, or it is somebody else's.
        JobExpired: It has ended and was forgotten.
    """
    status = find_job(id)
    if not status.state.is_retriable:
        return status
    scheduler = _scheduler()
    scheduler.retry(status.job)
    return scheduler.engine.status(id) or status


def result_of(status: JobStatus, *, hands_out: bool = True) -> Outcome:
    """Hand out what became of a job that has ended.

    Args:
        status: What is known of it; its caller may ask for it.
        hands_out: Whether the caller gets it, which uses up what is handed out once.

    Returns:
        What a direct call would have come to.
    """
    id = status.job.id
    call = Call(status.job.method)
    scheduler = _scheduler()
    taken = scheduler.engine.take(id) if hands_out else status
    if taken is None:
        return Outcome(call, error=JobExpired(f"job {id}: ended and forgotten"))
    if taken.error is not None and not taken.is_taken:
        return Outcome(call, error=error_of(taken.error))
    try:
        return Outcome(call, scheduler.outcomes.outcome(taken))
    except ToolserverError as error:
        return Outcome(call, error=error)


def list_jobs(
    *, state: JobState | None = None, queue: str | None = None, limit: int = 100
) -> list[JobInfo]:
    """List the jobs of the running call's client, or for administrators all.

    Args:
        state: Only those in this state.
        queue: Only those in this queue.
        limit: How many at most.

    Returns:
        What is told of them, the newest first.

    Raises:
        InvalidParams: The limit is out of range.
    """
    if not 1 <= limit <= _MOST_LISTED:
        raise InvalidParams(f"limit: got {limit}, expected 1 to {_MOST_LISTED}")
    client = context.client
    if _ADMINISTRATORS in context.groups:
        client = None
    elif client is None:
        # Their ids are all that keeps anonymous jobs from strangers.
        return []
    scheduler = _scheduler()
    found = scheduler.engine.find(state=state, queue=queue, client=client, limit=limit)
    return [describe_job(status, scheduler.clock) for status in found]


def told_of(status: JobStatus, offered: Services | None = None) -> JobInfo:
    """What is told of a job that its caller may ask for.

    Args:
        status: What is known of it.
        offered: The services of the server, outside of calls.
    """
    return describe_job(status, _scheduler(offered).clock)


def _scheduler(offered: Services | None = None) -> Scheduler:
    return (offered or services()).part(Scheduler)


def _may_ask(job: JobRecord) -> bool:
    return (
        job.client is None
        or job.client == context.client
        or _ADMINISTRATORS in context.groups
    )


def _unknown(id: str) -> JobUnknown:
    return JobUnknown(f"no job {id[:64]!r}")
