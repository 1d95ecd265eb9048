"""Calls that do not wait, for every RPC protocol: ``system.jobs``."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from toolserver.calls import Call
from toolserver.errors import Conflict
from toolserver.jobs.outside import (
    await_end,
    cancel_job,
    list_jobs,
    result_of,
    retry_job,
    start_job,
    told_of,
)
from toolserver.jobs.records import JobState
from toolserver.jobs.telling import JobInfo
from toolserver.marks import expose, limit, read_only
from toolserver.services import services
from toolserver.tools import InternalTool

__all__ = ["SystemJobsTool"]


class SystemJobsTool(InternalTool):
    """Makes calls that do not wait, and tells what becomes of them.

    A job belongs to the client who started it, and to the members of the group
    ``admin``; one that an anonymous caller started to whoever has its id. All that
    keeps a call from being made is told when it is started.
    """

    @expose("start")
    def start_call(
        self,
        name: str,
        args: list[Any] | None = None,
        named: dict[str, Any] | None = None,
        once: bool = False,
    ) -> str:
        """Have a method called at once, beside everything else.

        Args:
            name: Full name of the method.
            args: Its positional arguments.
            named: Its named arguments.
            once: Whether its result is forgotten when it was handed out once.

        Returns:
            The id of the job.
        """
        return start_job(_prepared(name, args, named), once=once)

    @expose("enqueue")
    def enqueue_call(
        self,
        priority: int,
        name: str,
        args: list[Any] | None = None,
        named: dict[str, Any] | None = None,
        once: bool = False,
    ) -> str:
        """Have a method called when it is its turn in the queue of its tool.

        Of one queue at most one call runs at a time.

        Args:
            priority: Those with a higher one go first; of several the one that came
                first.
            name: Full name of the method.
            args: Its positional arguments.
            named: Its named arguments.
            once: Whether its result is forgotten when it was handed out once.

        Returns:
            The id of the job.
        """
        return start_job(_prepared(name, args, named), priority=priority, once=once)

    @expose("schedule")
    def schedule_call(
        self,
        when: float | datetime | timedelta,
        name: str,
        args: list[Any] | None = None,
        named: dict[str, Any] | None = None,
        once: bool = False,
    ) -> str:
        """Have a method called at a time.

        Args:
            when: Seconds since the epoch, a time with a zone, or time from now as by
                ISO 8601, such as ``PT90S``.
            name: Full name of the method.
            args: Its positional arguments.
            named: Its named arguments.
            once: Whether its result is forgotten when it was handed out once.

        Returns:
            The id of the job.
        """
        return start_job(_prepared(name, args, named), when=when, once=once)

    @expose
    @read_only
    @limit(timeout=0)
    def status(self, id: str, wait: float = 0.0) -> JobInfo:
        """Tell of a job.

        Args:
            id: Its id.
            wait: Seconds to wait for its end, a minute at most; in a batch nobody
                waits.

        Returns:
            What is known of it.

        Raises:
            JobUnknown: There is no such job, or it is somebody else's.
            JobExpired: It has ended and was forgotten.
        """
        return told_of(await_end(id, wait))

    @expose
    @limit(timeout=0)
    def result(self, id: str, timeout: float = 0.0) -> Any:
        """Hand out what a job has returned, or fail as it did.

        Args:
            id: Its id.
            timeout: Seconds to wait for its end, a minute at most; in a batch nobody
                waits.

        Returns:
            What the method has returned.

        Raises:
            JobUnknown: There is no such job, or it is somebody else's.
            JobExpired: It has ended and was forgotten, or its result was handed out.
            Conflict: It has not ended.
            JobCancelled: It was cancelled.
            JobLost: It was begun again and again and never came to an end.
        """
        status = await_end(id, timeout)
        if not status.state.is_final:
            raise Conflict(f"job {id}: {status.state}, without a result so far")
        outcome = result_of(status)
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    @expose
    def cancel(self, id: str) -> bool:
        """Cancel a job: at once if it waits, else as soon as it lets itself be ended.

        Args:
            id: Its id.

        Returns:
            Whether it is cancelled, or is about to be; False where it had ended.

        Raises:
            JobUnknown: There is no such job, or it is somebody else's.
            JobExpired: It has ended and was forgotten.
        """
        status = cancel_job(id)
        return status.state is JobState.CANCELLED or not status.state.is_final

    @expose("retry")
    def retry_call(self, id: str) -> bool:
        """Have a job made once more that has failed, was lost or was cancelled.

        Args:
            id: Its id, which it keeps.

        Returns:
            Whether it is made once more, or has yet to be made; False where it is done.

        Raises:
            JobUnknown: There is no such job, or it is somebody else's.
            JobExpired: It has ended and was forgotten.
        """
        return retry_job(id).state is not JobState.DONE

    @expose("list")
    @read_only
    def list_own(
        self, state: JobState | None = None, queue: str | None = None, limit: int = 100
    ) -> list[JobInfo]:
        """List the caller's jobs, or for members of the group ``admin`` all.

        An anonymous caller has none: such jobs are known by their ids alone.

        Args:
            state: Only those in this state.
            queue: Only those in this queue, which is named as its tool.
            limit: How many at most, up to 1000.

        Returns:
            What is known of them, the newest first.
        """
        return list_jobs(state=state, queue=queue, limit=limit)


def _prepared(name: str, args: list[Any] | None, named: dict[str, Any] | None) -> Any:
    call = Call(name, args or (), named or {})
    return services().dispatcher.prepare(call)
