"""Native threads beside the loop, for work that would hold it up.

Greenlets switch where they wait for the network or for each other; for disks and for
long computations they do not. Such work is done by the threads of a pool, while the
greenlet that asked for it waits like for anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

import gevent

__all__ = ["in_native_thread", "offload"]

P = ParamSpec("P")
T = TypeVar("T")

_beside: ContextVar[bool] = ContextVar("toolserver.nativethreads", default=False)


def in_native_thread() -> bool:
    """Whether the caller runs beside the loop, where waiting holds nobody up."""
    return _beside.get()


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
    running = gevent.get_hub().threadpool.spawn(function, *args, **kwargs)
    try:
        return running.get()  # type: ignore[return-value]  # gevent says T | None
    except BaseException:
        running.wait()
        raise
