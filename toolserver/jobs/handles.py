"""What tools hold of their jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar

from toolserver.jobs.records import JobState

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

__all__ = ["Job", "Jobs", "Keeper"]

P = ParamSpec("P")
R = TypeVar("R")


class Keeper(Protocol):
    """Knows what becomes of jobs, by their ids."""

    def state_of(self, id: str) -> JobState:
        """Where a job is in its life."""

    def result_of(self, id: str, timeout: float | None) -> Any:
        """Wait for a job and hand out what it returned, or raise what it raised."""

    def cancel(self, id: str) -> bool:
        """Cancel a job."""


class Job(Generic[R]):
    """A call that does not wait for its caller, or did not.

    Over the wire it is its id.

    Args:
        id: Its id.
        keeper: Knows what becomes of it.

    """

    __slots__ = ("_id", "_keeper")

    def __init__(self, id: str, keeper: Keeper) -> None:
        self._id = id
        self._keeper = keeper

    @property
    def id(self) -> str:
        """Its id, which can be sent anywhere."""
        return self._id

    @property
    def status(self) -> JobState:
        """Where it is in its life.

        Raises:
            JobExpired: It has ended and was forgotten.
        """
        return self._keeper.state_of(self.id)

    def result(self, timeout: float | None = None) -> R:
        """Wait for its end.

        Args:
            timeout: Seconds to wait; 0 for not at all, None for no bound.

        Returns:
            What the call returned; None where results are not kept.

        Raises:
            TimeoutError: It has not ended in time.
            RuntimeError: The running job is of the same queue, so that this one comes
                after it and would never end.
            JobFailed: It raised an exception of a class that is not known here.
            JobCancelled: It was cancelled.
            JobLost: It was begun again and again and never came to an end.
            JobExpired: It was forgotten, or its result was handed out once.
            Exception: What it raised.
        """
        return self._keeper.result_of(self.id, timeout)  # type: ignore[no-any-return]

    def cancel(self) -> bool:
        """Cancel it: at once if it waits, else as soon as it lets itself be ended.

        Returns:
            Whether it is cancelled or about to be; False where it had ended.
        """
        return self._keeper.cancel(self.id)

    def __str__(self) -> str:
        return self.id

    __wire__ = __str__

    def __repr__(self) -> str:
        return f"<Job {self.id}>"


class Starter(Protocol):
    """Starts jobs."""

    def spawn(self, function: Any, args: Any, kwargs: Any, options: Any) -> Job[Any]:
        """Start a job in this process, at once."""

    def enqueue(
        self,
        tool: Any,
        priority: int,
        method: Any,
        args: Any,
        kwargs: Any,
        options: Any,
    ) -> Job[Any]:
        """Put a job into the queue of a tool."""

    def schedule(
        self, when: Any, method: Any, args: Any, kwargs: Any, options: Any
    ) -> Job[Any]:
        """Have a job run at a time."""

    def with_options(
        self, tool: Any, *, keep_result: bool, once: bool, timeout: float | None
    ) -> Jobs:
        """Start jobs in another way."""


class Jobs:
    """Starts jobs of a tool in a way of its own; see `Tool.jobs`.

    Args:
        tool: The tool.
        starter: Starts them.
        keep_result: Whether results are kept at all.
        once: Whether a result is forgotten when it was handed out.
        timeout: Seconds that one run may take.

    Raises:
        ValueError: The time is none.
    """

    __slots__ = ("_starter", "_tool", "keep_result", "once", "timeout")

    def __init__(
        self,
        tool: Any,
        starter: Starter,
        *,
        keep_result: bool = True,
        once: bool = False,
        timeout: float | None = None,
    ) -> None:
        self._tool = tool
        if timeout is not None and not 0 < timeout < float("inf"):
            raise ValueError(f"timeout: got {timeout!r}, expected seconds")
        self._starter = starter
        self.keep_result = keep_result
        self.once = once
        self.timeout = timeout

    def spawn(
        self, method: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Job[R]:
        """Run a call at once, in this process; see `Tool.spawn`."""
        return self._starter.spawn(method, args, kwargs, self)

    def enqueue(
        self,
        priority: int,
        method: Callable[P, R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Job[R]:
        """Put a call into the queue of the tool; see `Tool.enqueue`."""
        return self._starter.enqueue(self._tool, priority, method, args, kwargs, self)

    def schedule(
        self,
        when: float | datetime | timedelta,
        method: Callable[P, R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Job[R]:
        """Run a call at a time; see `Tool.schedule`."""
        return self._starter.schedule(when, method, args, kwargs, self)
