"""What a tool logs during a call, for the caller who may follow it.

Each call sees its own lines alone, and those of the tool that it has called: no other
tool's, none of the server's, and no tracebacks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from toolserver.contexts import Var, current
from toolserver.nativethreads import in_loop

__all__ = ["follow_log"]

Tell = Callable[[int, str, str], None]


@dataclass(frozen=True)
class _Follower:
    """Who follows the running call: from which level on, and of which logger."""

    level: int
    logger: str
    tell: Tell


_follower: Var[_Follower | None] = Var("log follower", default=None)


class _Handler(logging.Handler):
    """Tells followers of the lines of their calls."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Tell of a record, without a lock: it would bar native threads."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Tell of a record, if the running call is followed."""
        found = _follower.get() if current() is not None else None
        if found is None or record.levelno < found.level:
            return
        if not f"{record.name}.".startswith(f"{found.logger}."):
            return
        try:
            text = record.getMessage()
        except Exception:
            self.handleError(record)
            return
        _tell(found, record, text)


#: One for all: a logger takes the same handler only once.
_handler = _Handler()


@in_loop
def _tell(follower: _Follower, record: logging.LogRecord, text: str) -> None:
    follower.tell(record.levelno, record.name, text)


def follow_log(logger: logging.Logger, level: int, tell: Tell) -> None:
    """Have what is logged told, for the rest of the running call.

    What the logger leaves out by its own level is not told.

    Args:
        logger: That of the tool that is called.
        level: From which level on.
        tell: Gets level, logger and message; never waits.
    """
    logger.addHandler(_handler)
    _follower.set(_Follower(level, logger.name, tell))
