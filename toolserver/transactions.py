"""A transaction out of three hooks: begin, commit, abort.

A failing commit is the failure of the call, and what was begun is aborted; a failing
abort is logged, because why it came to it is of more use to the caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from logging import Logger
from typing import Protocol

__all__ = ["HOOKS", "hooked_transaction"]

#: What a tool overrides to take part in transactions; any of them suffices.
HOOKS = ("transaction", "begin", "commit", "abort")


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
