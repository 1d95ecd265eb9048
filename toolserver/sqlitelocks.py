"""Waiting for what others have locked in an SQLite file, where SQLite does not.

SQLite waits in C, so that no other greenlet runs, and sometimes it does not wait at
all, whatever its time-out says: who switches the write-ahead log on while another
process opens the same file is told at once that it is locked.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

import gevent

__all__ = ["execute_patiently", "is_locked"]

#: Seconds between two trials: the first pause, and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def execute_patiently(
    connection: sqlite3.Connection,
    statement: str,
    timeout_s: float,
    sleep: Callable[[float], object] = gevent.sleep,
) -> None:
    """Execute a statement, again and again while others have locked the file.

    Args:
        connection: A connection to the file.
        statement: A statement without results that outlive it.
        timeout_s: For how long, seconds.
        sleep: Waits some seconds between two trials; another one in a native thread.

    Raises:
        sqlite3.OperationalError: It was locked for all that time, or something else
            stands in the way.
    """
    end = time.monotonic() + timeout_s
    pause = _FIRST_PAUSE
    while True:
        try:
            connection.execute(statement).close()
            return
        except sqlite3.OperationalError as error:
            if not is_locked(error) or time.monotonic() + pause > end:
                raise
        sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def is_locked(error: BaseException) -> bool:
    """Whether an error says that others have locked the file.

    Args:
        error: What SQLite raised.
    """
    code = getattr(error, "sqlite_errorcode", 0)
    return isinstance(code, int) and code & 0xFF in _LOCKED
