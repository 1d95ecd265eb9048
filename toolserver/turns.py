"""Turns for everybody while one greenlet has work that never makes it wait.

A greenlet switches where it waits. Who sends as fast as we read, or takes as fast as
we write, never makes us wait, and would have the server for itself.
"""

from __future__ import annotations

import time

import gevent

__all__ = ["Turns", "give_way"]

#: Seconds of a turn.
_TURN = 0.001
_NO_TIME = 1e-9


def give_way() -> None:
    """Let all others run that can."""
    # Not 0: greenlets that sleep so are resumed 50 times before the loop looks at any
    # socket.
    gevent.sleep(_NO_TIME)


class Turns:
    """Counts the time that one greenlet takes of everybody's."""

    __slots__ = ("_due",)

    def __init__(self) -> None:
        self._due = time.monotonic() + _TURN

    def offer(self) -> None:
        """Let others run if the turn is over."""
        if time.monotonic() > self._due:
            give_way()
            self._due = time.monotonic() + _TURN
