"""Calls to a remote server that do not wait, and what becomes of them."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from typing import (
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
)

from toolserver.errors import Overload

__all__ = ["RemoteCallable", "RemoteJob", "When", "remote_method", "when_text"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

#: When a call is made: seconds since the epoch, a time with a zone, or time from now.
When = float | dt.datetime | dt.timedelta

#: Seconds before the server is asked again where too many wait there.
_PAUSE = 0.5
_FINAL = frozenset({"done", "failed", "cancelled", "lost"})

_Call = Callable[[str, Sequence[Any], Mapping[str, Any]], Any]


class RemoteJob(Generic[R_co]):
    """A call that a server makes, or has made, without anybody waiting.

    Args:
        call: Calls a method of the server by its full name.
        id: The id of the job.
        convert: Makes of the plain result what it shall be.
        poll: Seconds for which the server may be asked to wait at a time.
    """

    __slots__ = ("_call", "_convert", "_poll", "id")

    def __init__(
        self,
        call: _Call,
        id: str,
        convert: Callable[[Any], R_co] | None = None,
        poll: float = 20.0,
    ) -> None:
        self.id = id
        self._call = call
        self._convert = convert
        self._poll = poll

    def __repr__(self) -> str:
        return f"<RemoteJob {self.id}>"

    @property
    def status(self) -> str:
        """``waiting``, ``running``, ``done``, ``failed``, ``cancelled`` or ``lost``."""
        return str(self.describe()["state"])

    @property
    def progress(self) -> tuple[float, str] | None:
        """How much is done, from 0 to 1, and what it says; None where it never told."""
        told = self.describe()
        fraction = told.get("fraction")
        return None if fraction is None else (float(fraction), str(told["text"]))

    def describe(self, wait: float = 0.0) -> dict[str, Any]:
        """What the server tells of the job.

        Args:
            wait: Seconds to wait for the job's end; the server sets a bound.

        Returns:
            Its ``state``, ``method``, times and the like.

        Raises:
            JobUnknown: There is no such job, or it is somebody else's.
            JobExpired: It has ended and was forgotten.
        """
        found: dict[str, Any] = self._call("system.jobs.status", (self.id, wait), {})
        return found

    def result(self, timeout: float | None = None) -> R_co:
        """Wait for the result.

        Args:
            timeout: Seconds to wait; None for no bound.

        Returns:
            What the method returned.

        Raises:
            TimeoutError: The job has not ended in time.
            JobCancelled: It was cancelled.
            JobLost: It was begun again and again and never came to an end.
            JobExpired: It has ended and was forgotten, or its result was handed out.
            ToolserverError: What the method raised, as a direct call would.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            wait = self._poll
            if deadline is not None:
                wait = min(wait, max(0.0, deadline - time.monotonic()))
            try:
                state = self.describe(wait)["state"]
            except Overload:
                state = self.describe()["state"]
                if state not in _FINAL:
                    time.sleep(min(wait, _PAUSE))
            if state in _FINAL:
                break
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"job {self.id}: {state} after {timeout:g} seconds")
        found = self._call("system.jobs.result", (self.id,), {})
        return cast(R_co, found) if self._convert is None else self._convert(found)

    def cancel(self) -> bool:
        """Cancel the job.

        Returns:
            Whether it is cancelled, or is about to be; False where it has ended.
        """
        return bool(self._call("system.jobs.cancel", (self.id,), {}))

    def retry(self) -> bool:
        """Have the job made once more that has failed, was lost or was cancelled.

        Returns:
            Whether it is made once more, or has yet to be made; False where it is done.
        """
        return bool(self._call("system.jobs.retry", (self.id,), {}))


class RemoteCallable(Protocol[P, R_co]):
    """A remote method as type checkers see it; made by `remote_method`."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the method and wait for its result."""

    def start(self, *args: P.args, **kwargs: P.kwargs) -> RemoteJob[R_co]:
        """Have the method called at once, beside everything else."""

    def enqueue(
        self, priority: int, /, *args: P.args, **kwargs: P.kwargs
    ) -> RemoteJob[R_co]:
        """Have the method called when it is its turn in the queue of its tool."""

    def schedule(
        self, when: When, /, *args: P.args, **kwargs: P.kwargs
    ) -> RemoteJob[R_co]:
        """Have the method called at a time."""


def remote_method(
    function: Callable[Concatenate[Any, P], R],
) -> RemoteCallable[P, R]:
    """Mark a method of a class given to `RemoteToolserver.get_tool`.

    It changes nothing at run time; type checkers and editors learn that calls of the
    method may be started, queued and scheduled, too.

    Args:
        function: The method.

    Returns:
        The same function.
    """
    return cast("RemoteCallable[P, R]", function)


def when_text(when: When) -> float | str:
    """A time in the form that every protocol can carry.

    Args:
        when: The time.

    Returns:
        Seconds since the epoch; for a time from now its text by ISO 8601, since the
        clocks of client and server may differ.

    Raises:
        TypeError: It is none.
        ValueError: It has no zone.
    """
    match when:
        case dt.datetime():
            if when.tzinfo is None:
                raise ValueError(f"when: got {when!r}, expected a time with a zone")
            return when.timestamp()
        case dt.timedelta():
            seconds = when.total_seconds()
            return f"{'-' if seconds < 0 else ''}PT{abs(seconds):f}S"
        case bool():
            pass
        case int() | float():
            return float(when)
    raise TypeError(f"when: got {when!r}, expected a number, datetime or timedelta")
