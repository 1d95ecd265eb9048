"""What a store knows of a job.

Times are seconds of the jobs' own clock (see `toolserver.jobs.clock`), which reads like
the time of day but goes on evenly when somebody sets that.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = [
    "Claim",
    "Counts",
    "Ending",
    "JobChange",
    "JobRecord",
    "JobState",
    "JobStatus",
]


class JobState(StrEnum):
    """Where a job is in its life."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def is_final(self) -> bool:
        """Whether nothing comes after it."""
        return self not in (JobState.WAITING, JobState.RUNNING)

    @property
    def is_retriable(self) -> bool:
        """Whether the call can be made once more: it has not come to its own end."""
        return self in (JobState.FAILED, JobState.CANCELLED, JobState.LOST)


class JobRecord(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False
):
    """A job as it is put into a store; nothing of it changes later.

    Attributes:
        id: Its name, which cannot be guessed: 128 random bits.
        method: Full name of the method, ``"shop.orders.place"``.
        arguments: The arguments, as `toolserver.jobs.payload` writes them.
        queue: The queue in which it waits: the namespace of a tool, or None for a
            job that runs beside all others.
        priority: Those with a higher one go first in their queue.
        created: When it was asked for.
        due: From when on it may run.
        follows_clock: Whether `due` is a time of day, so that it moves along when the
            clock is set; else it is some time after `created`.
        client: Who asked for it, or None for an anonymous caller.
        auth_type: How the caller proved its name, or None.
        groups: Groups of the caller that no file tells, but its authenticator.
        request_id: The request that led to it.
        trace: The W3C trace context of that request; empty for none.
        timeout: Seconds that one run may take, or None for what the method says.
        result_ttl: Seconds for which what became of it is kept after its end.
        keeps_result: Whether its result is kept at all.
        once: Whether the result is dropped when it was handed out.
        max_tries: How often it is begun at most before it fails by its own exception.
        backoff: Seconds before the second try; each further pause is twice as long.
    """

    id: str
    method: str
    arguments: bytes = b""
    queue: str | None = None
    priority: int = 0
    created: float = 0.0
    due: float = 0.0
    follows_clock: bool = False
    client: str | None = None
    auth_type: str | None = None
    groups: tuple[str, ...] = ()
    request_id: str = ""
    trace: str = ""
    timeout: float | None = None
    result_ttl: float = 3600.0
    keeps_result: bool = True
    once: bool = False
    max_tries: int = 1
    backoff: float = 2.0


class Claim(msgspec.Struct, frozen=True, gc=False):
    """The right to run a job, as long as the lease of its runner lasts.

    Attributes:
        job: The job.
        attempt: How often the job was claimed, this time included. It fences: who
            ends a job has to know the number of its newest claim.
        tries: How often it was tried before and failed by its own exception.
    """

    job: JobRecord
    attempt: int
    tries: int = 0


class Ending(msgspec.Struct, frozen=True, gc=False):
    """What becomes of a job that was run.

    Attributes:
        state: The state that it ends in; or ``waiting`` for another try.
        result: What it returned, as `toolserver.jobs.payload` writes it.
        error: What it raised, as `toolserver.jobs.payload` writes it.
        due: When it is tried again, for the state ``waiting``.
    """

    state: JobState
    result: bytes | None = None
    error: bytes | None = None
    due: float = 0.0


class JobStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What can be told of a job.

    Attributes:
        job: The job as it was put in; its arguments may be left out.
        state: Where it is in its life.
        attempts: How often it was claimed.
        tries: How often it has failed by its own exception and is tried again.
        runner: The process that runs it or ran it last; empty before.
        started: When it was claimed last, or None.
        finished: When it ended, or None.
        fraction: How much of it is done, from 0 to 1; None where it never told.
        text: What it told of its progress.
        is_cancelling: Whether somebody wants it ended while it runs.
        is_taken: Whether its result was handed out once and dropped.
        result: What it returned, encoded; None before, or if it is not kept.
        error: What it raised, encoded; None where it raised nothing.
    """

    job: JobRecord
    state: JobState
    attempts: int = 0
    tries: int = 0
    runner: str = ""
    started: float | None = None
    finished: float | None = None
    fraction: float | None = None
    text: str = ""
    is_cancelling: bool = False
    is_taken: bool = False
    result: bytes | None = None
    error: bytes | None = None


class JobChange(msgspec.Struct, frozen=True):
    """What handlers of the chain ``system.job.state`` get.

    Attributes:
        id: The job.
        method: Full name of the method; empty where a process that has died ran it.
        state: Its new state.
    """

    id: str
    method: str
    state: JobState


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many jobs a store holds.

    Attributes:
        states: Jobs by state.
        waiting: Jobs that wait by queue; under None those outside of all queues.
    """

    states: dict[JobState, int]
    waiting: dict[str | None, int]
