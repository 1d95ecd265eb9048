"""Threads that wait for short work of a loop, and how its results come back.

Those of gevent cost several times as much for each task: they make what wakes the loop
anew each time, where here one signal does for all that is done by then.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import gevent
from gevent.monkey import get_original

__all__ = ["Helpers", "Result", "helpers"]

T = TypeVar("T")

# What the patched process hides: threads of the operating system, and their queue.
_start_thread: Any = get_original("_thread", "start_new_thread")
_SimpleQueue: Any = get_original("queue", "SimpleQueue")
#: Threads of a loop at most.
_MOST = 10


class Result(Generic[T]):
    """Takes what a function returns or raises to another thread.

    Args:
        function: The function, which is called.
    """

    __slots__ = ("_error", "_value")

    def __init__(self, function: Callable[[], T]) -> None:
        self._error: BaseException | None = None
        try:
            self._value = function()
        except BaseException as error:  # it is raised where it is waited for
            self._error = error

    def get(self) -> T:
        """What the function returned.

        Raises:
            BaseException: What it raised.
        """
        if self._error is None:
            return self._value
        try:
            raise self._error
        finally:
            # Its traceback holds this frame, which would hold it.
            self._error = None


class _Task:
    """What a helper does for a greenlet.

    Attributes:
        work: What it does.
        result: What came out, once it is done.
        resume: Switches to the greenlet; None where it does not wait.
    """

    __slots__ = ("result", "resume", "work")

    def __init__(self, work: Callable[[], Any], resume: Callable[[], object]) -> None:
        self.work = work
        self.result: Result[Any] | None = None
        self.resume: Callable[[], object] | None = resume


class Helpers:
    """The threads of one loop.

    Args:
        hub: The loop.

    Attributes:
        pid: The process that has them.
    """

    def __init__(self, hub: Any) -> None:
        self.pid = os.getpid()
        self._hub = hub
        self._asked = _SimpleQueue()
        self._done: deque[_Task] = deque()
        self._threads = self._pending = 0
        self._signal = hub.loop.async_(ref=False)
        self._signal.start(self._resume)

    def run(self, work: Callable[[], T]) -> T:
        """Have work done while other greenlets go on.

        Args:
            work: What is done.

        Returns:
            What it returns.

        Raises:
            BaseException: What it raises, or what ended the caller, once it is done.
        """
        task = _Task(work, gevent.getcurrent().switch)
        self._pending += 1
        if self._pending == 1:
            # A loop that waits for nothing else must not end.
            self._signal.ref = True
        if self._threads < min(self._pending, _MOST):
            self._threads += 1
            _start_thread(self._work, ())
        self._asked.put(task)
        try:
            self._wait(task)
        except BaseException:
            self._wait(task)
            raise
        finally:
            task.resume = None
        result: Result[T] | None = task.result
        assert result is not None  # noqa: S101 - it was waited for
        return result.get()

    def _wait(self, task: _Task) -> None:
        while task.result is None:
            self._hub.switch()

    def _work(self) -> None:
        while True:
            task = self._asked.get()
            task.result = Result(task.work)
            self._done.append(task)
            # Else it would be kept until there is more to do.
            del task
            self._signal.send()

    def _resume(self) -> None:
        while self._done:
            task = self._done.popleft()
            self._pending -= 1
            if not self._pending:
                self._signal.ref = False
            if task.resume is not None:
                task.resume()


def helpers() -> Helpers:
    """The threads of the running loop."""
    hub: Any = gevent.get_hub()
    found: Helpers | None = getattr(hub, "toolserver_helpers", None)
    # A fork has none of the threads.
    if found is None or found.pid != os.getpid():
        found = hub.toolserver_helpers = Helpers(hub)
    return found
