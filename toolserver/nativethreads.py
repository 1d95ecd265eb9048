"""Native threads beside the loop, for work that would hold it up.

Greenlets switch where they wait for the network or for each other; for disks and for
long computations they do not. Such work is done by the threads of a pool, while the
greenlet that asked for it waits like for anything else.

What belongs to the loop may not be touched from another thread: a call of another tool,
a lock, the tuple space. A thread has that done by the loop and waits natively.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any, ParamSpec, TypeVar

import gevent
from gevent.event import Event
from gevent.monkey import get_original
from gevent.threadpool import ThreadPool

from toolserver.handover import Result, helpers

__all__ = [
    "ThreadSlots",
    "ask_loop",
    "in_loop",
    "in_native_thread",
    "offload",
    "tasks",
]

P = ParamSpec("P")
T = TypeVar("T")

# What the patched process hides: a lock of the operating system.
_allocate_lock: Any = get_original("_thread", "allocate_lock")


class _Beside:
    """What a native thread does for one caller.

    Attributes:
        hub: The loop that it was asked from.
        abandoned: What ended the caller before it, or None.
        is_in_loop: Whether what is around it runs just now, not the thread.
    """

    __slots__ = ("abandoned", "hub", "is_in_loop")

    def __init__(self) -> None:
        self.hub = gevent.get_hub()
        self.abandoned: BaseException | None = None
        self.is_in_loop = False


_beside: ContextVar[_Beside | None] = ContextVar("toolserver.beside", default=None)
#: Who waits until the running task ends, where that is another one.
_asking: ContextVar[tuple[object, ...]] = ContextVar("toolserver.asking", default=())


def in_native_thread() -> bool:
    """Whether the caller runs beside the loop, where waiting holds nobody up."""
    return _beside.get() is not None


def tasks() -> tuple[object, ...]:
    """What runs, and before it what waits in vain until that has ended.

    Returns:
        Greenlets, and what native threads do for them; the running one is the last.
    """
    return (*_asking.get(), _beside.get() or gevent.getcurrent())


def offload(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a short blocking function, such as one for files, beside the loop.

    It is always run to its end: a time-out of the caller is raised after that, so
    that nothing is done behind the back of who goes on.

    Args:
        function: The function; it must not use gevent.
        *args: Its positional arguments.
        **kwargs: Its named arguments.

    Returns:
        What it returns.

    Raises:
        Exception: Whatever it raises.
    """
    if in_native_thread():
        return function(*args, **kwargs)
    work = functools.partial(function, *args, **kwargs)
    return helpers().run(work)


def in_loop(function: Callable[P, T]) -> Callable[P, T]:
    """Let a function be called in native threads, too: there the loop runs it.

    Args:
        function: The function, which uses what belongs to the loop.

    Returns:
        A function that gives the same; it fails with the time-out of its caller where
        that has ended already.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        beside = _beside.get()
        if beside is None:
            return function(*args, **kwargs)
        if beside.abandoned is not None:
            raise beside.abandoned
        return ask_loop(functools.partial(function, *args, **kwargs))

    return wrapped


def ask_loop(function: Callable[[], T]) -> T:
    """Let the loop run a function, and wait for it.

    Args:
        function: The function; it gets the context of the calling thread.

    Returns:
        What it returned.

    Raises:
        BaseException: What it raised.
    """
    beside = _beside.get()
    if beside is None:
        return function()
    results: list[Result[T]] = []
    done = _allocate_lock()
    done.acquire()
    context = copy_context()
    context.run(_asking.set, tasks())
    context.run(_beside.set, None)

    def run() -> None:
        try:
            results.append(Result(function))
        finally:
            done.release()

    def start() -> None:
        gevent.spawn(context.run, run)

    beside.hub.loop.run_callback_threadsafe(start)
    done.acquire()
    return results[0].get()


class ThreadSlots:
    """A pool of native threads; who finds all of them busy waits in order.

    Args:
        size: How many threads there are at most.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._waiting: deque[Event] = deque()
        self._size = size
        self._pool: ThreadPool | None = None

    @property
    def free(self) -> int:
        """How many threads could begin something now."""
        return self._free

    @property
    def waiting(self) -> int:
        """How many callers wait for a thread."""
        return len(self._waiting)

    def run(
        self,
        function: Callable[[], T],
        around: Callable[[Callable[[], T]], T],
        *,
        stays: bool,
    ) -> T:
        """Run a function in a thread, in the caller's context.

        What is put around it, such as a transaction, is run by the loop and is never
        left before the thread has ended.

        Args:
            function: The function.
            around: Calls what it is given, in a greenlet of its own.
            stays: Whether a caller that is ended, as by a time-out, stays until the
                thread has ended; else the error is raised at once.

        Returns:
            What `around` returned.

        Raises:
            BaseException: What it raised, or what ended the caller.
        """
        above = tasks()
        # A thread that asks the loop for this does nothing meanwhile: waiting for
        # another such thread to become free could be waiting for itself.
        is_extra = any(isinstance(each, _Beside) for each in above)
        if not is_extra:
            self._take()
        beside = _Beside()
        greenlet = gevent.Greenlet(
            copy_context().run, self._work, function, around, beside, above, is_extra
        )
        greenlet.start()
        try:
            result: Result[T] = greenlet.get()
        except BaseException as error:
            beside.abandoned = error
            if beside.is_in_loop:
                greenlet.kill(error)
            elif stays:
                greenlet.join()
            raise
        return result.get()

    def _work(
        self,
        function: Callable[[], T],
        around: Callable[[Callable[[], T]], T],
        beside: _Beside,
        above: tuple[object, ...],
        is_extra: bool,
    ) -> Result[T]:
        _asking.set(above)
        context = copy_context()
        context.run(_asking.set, tasks())
        context.run(_beside.set, beside)

        def inside() -> T:
            if beside.abandoned is not None:
                raise beside.abandoned
            pool = self._made_pool()
            pool.maxsize += is_extra
            beside.is_in_loop = False
            try:
                work = functools.partial(context.run, function)
                result: Result[T] = pool.apply(Result, (work,))
            finally:
                beside.is_in_loop = True
                pool.maxsize -= is_extra
            if beside.abandoned is not None:
                # The caller has gone: whatever came out, nothing of it is kept.
                raise beside.abandoned
            return result.get()

        beside.is_in_loop = True
        try:
            return Result(functools.partial(around, inside))
        finally:
            if not is_extra:
                self._give()

    def _made_pool(self) -> ThreadPool:
        if self._pool is None:
            self._pool = ThreadPool(self._size)
        return self._pool

    def _take(self) -> None:
        if self._free:
            self._free -= 1
            return
        turn = Event()
        self._waiting.append(turn)
        try:
            turn.wait()
        except BaseException:
            if turn.is_set():
                self._give()
            else:
                self._waiting.remove(turn)
            raise

    def _give(self) -> None:
        # Handed over, so that nobody who comes just now goes before.
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._free += 1

    def close(self) -> None:
        """Let idle threads end; what runs in others is not waited for."""
        if self._pool is not None and self._free == self._size:
            self._pool.kill()
            self._pool = None
