"""The seam between the life of jobs and where they are stored.

An engine stores jobs and says which of them may run; it calls nothing and knows
neither tools nor clients. All engines obey one suite of tests.

The methods are called by greenlets, many at once. An engine that works on disks or
over the network lets the loop go on meanwhile, and returns when what was asked for
holds: what `put` has accepted is not lost any more, by the engine's own guarantee.
Times are those of the jobs' clock and come from the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from toolserver.jobs.records import (
    Claim,
    Counts,
    Ending,
    JobRecord,
    JobState,
    JobStatus,
)

__all__ = ["Engine", "Progress"]

#: How much is done of a running job, from 0 to 1, and what it says.
Progress = tuple[float, str]


class Engine(Protocol):
    """Stores jobs.

    Attributes:
        is_shared: Whether other processes may use the same store, so that jobs come
            and go that this process was not told of.
        is_durable: Whether jobs outlive the process.
    """

    is_shared: bool
    is_durable: bool

    def open(self, offset: float, boot: str) -> float:
        """Open the store, and agree on a clock with all who use it.

        Args:
            offset: Seconds since the epoch minus those of the machine's monotonic
                clock, just now.
            boot: What is another one each time that the machine is started.

        Returns:
            The offset that the processes of this store use: that of the one who opened
            it first since the machine was started.

        Raises:
            StartError: The store cannot be used.
        """
        ...

    def close(self) -> None:
        """Let go of the store, after all that was accepted is stored."""
        ...

    def put(self, jobs: Sequence[JobRecord]) -> list[bool]:
        """Store jobs; all or, where it raises, none.

        Args:
            jobs: The jobs.

        Returns:
            For each whether it is new; one whose id is known is left as it was.

        Raises:
            Overload: The store holds as many jobs as it may.
            JobNotStored: They could not be stored, as by a full disk.
        """
        ...

    def claim(
        self, runner: str, count: int, *, now: float, lease: float
    ) -> tuple[list[Claim], float | None]:
        """Take jobs that may run: waiting, due, and the first of an idle queue.

        Of one queue at most one job runs at a time, that with the highest priority, of
        several the one that was put in first. No queue waits for ever while others are
        full, and jobs outside of queues come by the time at which they were due.

        Args:
            runner: The process that will run them.
            count: How many at most.
            now: The time.
            lease: Until when all that it runs is the runner's, unless it asks for more.

        Returns:
            The jobs, which are running from now on; and when the next one becomes due,
            as `next_due` tells it.
        """
        ...

    def next_due(self, now: float) -> float | None:
        """When the next job becomes due that is not yet, or None without one."""
        ...

    def oldest_due(self, now: float) -> float | None:
        """When that job became due that waits and has been due for longest, if any."""
        ...

    def finish(
        self, endings: Mapping[str, tuple[int, Ending]], *, now: float
    ) -> set[str]:
        """End jobs that were run.

        Args:
            endings: For each id the attempt of its claim and what becomes of it.
            now: The time.

        Returns:
            The ids of those that it has ended. A job that was given to another runner
            meanwhile, or has ended, is left as it is. One that somebody wants ended is
            cancelled instead of being tried again.
        """
        ...

    def extend(self, runner: str, lease: float) -> None:
        """Say that a runner lives; it may be called by native threads.

        Args:
            runner: The process.
            lease: Until when its jobs are its own.
        """
        ...

    def beat(
        self, runner: str, progress: Mapping[str, Progress], *, lease: float
    ) -> dict[str, tuple[int, bool]]:
        """Say that a runner lives and how far its jobs are, and ask for news of them.

        Args:
            runner: The process.
            progress: For those that told something new, what they told.
            lease: Until when its jobs are its own.

        Returns:
            The ids of all that it runs, each with the attempt of its claim and whether
            somebody wants it ended.
        """
        ...

    def recover(
        self, gone: Iterable[str], *, now: float, max_attempts: int
    ) -> list[tuple[str, JobState]]:
        """Give back the jobs of runners that have died.

        Args:
            now: The time.
            gone: Those runners.
            max_attempts: Jobs claimed that often are lost instead, those that
                somebody wants ended are cancelled.

        Returns:
            The ids, each with its new state.
        """
        ...

    def release(self, runner: str, *, now: float) -> list[str]:
        """Give back what a runner has begun and does not end, as it stops.

        That does not bring a job nearer to being lost. Those that somebody wants ended
        are cancelled.

        Args:
            runner: The process.
            now: The time.

        Returns:
            The ids of the jobs, which wait again.
        """
        ...

    def runners(self) -> dict[str, float]:
        """Who runs jobs, each with the end of its lease."""
        ...

    def status(self, id: str) -> JobStatus | None:
        """What is known of a job, without its arguments; None of an unknown one."""
        ...

    def take(self, id: str) -> JobStatus | None:
        """What is known of a job, with its result, which is handed out by this.

        A job that has ended and is handed out `once` loses its result, so that exactly
        one of all who ask gets it.
        """
        ...

    def cancel(self, id: str, *, now: float) -> JobState | None:
        """Cancel a job that waits, or note that it shall end while it runs.

        Returns:
            Its state afterwards; None of an unknown one.
        """
        ...

    def retry(self, id: str, *, now: float) -> JobState | None:
        """Let a job wait once more that has failed, was lost or was cancelled.

        It is due now, and may be tried as often as a new one.

        Returns:
            Its state afterwards; None of an unknown one.
        """
        ...

    def purge(self, *, now: float) -> int:
        """Forget the jobs that have ended and whose time is over.

        Returns:
            How many there were. What is known of them is for a while only that they
            existed, see `has_expired`.
        """
        ...

    def has_expired(self, id: str) -> bool:
        """Whether a job was forgotten because its time was over."""
        ...

    def shift(self, ahead: float) -> None:
        """Move the jobs that wait for a time of day, as somebody has set the clock.

        Args:
            ahead: By how many seconds the time of day is ahead of the jobs' clock; at
                first it is not. Whoever says the same once more changes nothing.
        """
        ...

    def find(
        self,
        *,
        state: JobState | None = None,
        queue: str | None = None,
        client: str | None = None,
        limit: int = 100,
    ) -> list[JobStatus]:
        """List jobs without arguments and results, the newest first."""
        ...

    def counts(self) -> Counts:
        """Count the jobs."""
        ...
