"""A transaction out of three hooks: begin, commit, abort.

A failing commit is the failure of the call, and what was begun is aborted; a failing
abort is logged, because why it came to it is of more use to the caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from logging import Logger
from typing import Protocol

import gevent

from toolserver.contexts import Context, Var, current

__all__ = ["HOOKS", "hooked_transaction", "start_clock", "stop_clock"]

#: What a tool overrides to take part in transactions; any of them suffices.
HOOKS = ("transaction", "begin", "commit", "abort")

#: The timer of a call, and the identity of that call's own context: calls inside of it
#: see the variable, too.
_clock: Var[tuple[int, gevent.Timeout] | None] = Var("clock of the call", default=None)


class Transactional(Protocol):
    """A tool with the three hooks."""

    log: Logger

    def begin(self) -> None:
        """Begin."""
        ...

    def commit(self) -> None:
        """Keep what was done."""
        ...

    def abort(self) -> None:
        """Undo what was done."""
        ...


@contextmanager
def hooked_transaction(tool: Transactional) -> Iterator[None]:
    """Put the hooks of a tool around its work.

    Whatever ends the work aborts it: exceptions, a call's time-out, and the end of its
    greenlet.

    Args:
        tool: The tool.

    Yields:
        Once, for the work.
    """
    tool.begin()
    try:
        yield
        tool.commit()
    except BaseException:
        try:
            tool.abort()
        except Exception:
            tool.log.exception("abort failed")
        raise


def start_clock(context: Context, timer: gevent.Timeout) -> None:
    """Note which timer ends a call.

    Args:
        context: The bound context of the call.
        timer: The timer, running.
    """
    _clock.set((id(context), timer))


def stop_clock() -> None:
    """Call off the time-out of the running call, because it is about to be committed.

    A time-out in the middle of a commit would tell the caller that the call failed,
    although its work is kept. The time-outs of calls around this one go on.
    """
    found = _clock.get()
    if found is not None and found[0] == id(current()):
        found[1].close()
