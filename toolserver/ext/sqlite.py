"""SQLite under greenlets: nobody waits inside of SQLite, and long queries make way.

SQLite waits for a lock in C, and while it does no other greenlet runs. If the lock is
held by another greenlet of the same process, that one cannot go on and let go of it:
all stand still until SQLite's own time-out has passed. Therefore

- the engine has one connection, so that a transaction of this process waits in the pool
  for the one before it, as a greenlet waits;
- a transaction takes the lock for writing at its begin (``BEGIN IMMEDIATE``). One that
  takes it at its first change can fail in its middle, because what it had read has
  changed since, and would have to be run again;
- SQLite itself never waits. What another process has locked is tried again after a
  pause in which other greenlets run;
- the write-ahead log is on: then readers in other processes, as a backup, never stop a
  commit, so that nothing but the begin has to be tried again.

A long query lets other greenlets run every now and then, from SQLite's progress
handler. There its own greenlet may be killed, which ends the query.

Foreign keys are checked; SQLite leaves that out unless asked.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, ExceptionContext, event

from toolserver.errors import Overload
from toolserver.sqlitelocks import execute_patiently, is_locked
from toolserver.turns import Turns

__all__ = ["CONNECT_ARGUMENTS", "is_unreachable", "located", "prepare"]

#: For `sqlite3.connect`: seconds that SQLite itself waits, and that the connection,
#: which one transaction has at a time, may go to another thread.
CONNECT_ARGUMENTS = {"timeout": 0, "check_same_thread": False}
#: Steps of SQLite's virtual machine between two pauses of a query, below a millisecond.
_STEPS = 20_000
#: Where a connection's `info` has what killed its query.
_KILLED = "toolserver.killed"


def located(url: URL, folder: Path | None) -> URL:
    """Complete the path of a database file.

    Args:
        url: URL of any database.
        folder: Where relative files are; None for the current folder.

    Returns:
        The same for all ways to name one file; URLs of others as they are.
    """
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name == ":memory:":
        return url
    if name.startswith("file:"):
        return url
    return url.set(database=str(((folder or Path()) / name).resolve()))


def prepare(engine: Engine, timeout_s: float) -> None:
    """Let the connections of an engine do as this module says.

    Args:
        engine: An engine with one connection, made with `CONNECT_ARGUMENTS`.
        timeout_s: How long to wait for other processes, seconds.
    """

    def connected(connection: sqlite3.Connection, record: Any) -> None:
        turns = Turns()

        def make_way() -> bool:
            try:
                turns.offer()
            except BaseException as killed:
                # SQLite takes no exceptions, it only ends the query.
                record.info[_KILLED] = killed
                return True
            return False

        # No BEGIN but ours: the driver would begin before changes only.
        connection.isolation_level = None
        _patiently(connection, "PRAGMA journal_mode = WAL", timeout_s)
        connection.execute("PRAGMA foreign_keys = ON").close()
        connection.set_progress_handler(make_way, _STEPS)

    def begins(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        _patiently(driver, "BEGIN IMMEDIATE", timeout_s)

    def failed(context: ExceptionContext) -> None:
        connection = context.connection
        if connection is None or connection.invalidated or connection.closed:
            return
        killed = connection.info.pop(_KILLED, None)
        driver: Any = connection.connection.driver_connection
        if connection.in_transaction() and not driver.in_transaction:
            # After some errors SQLite undoes the whole transaction. What its call did
            # from then on would be kept piece by piece.
            connection.invalidate(context.original_exception)
        if killed is not None:
            raise killed

    def checked_in(connection: sqlite3.Connection | None, record: Any) -> None:
        # A refused COMMIT leaves the transaction open, which SQLAlchemy takes for
        # ended.
        if connection is not None and connection.in_transaction:
            connection.rollback()

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begins)
    event.listen(engine, "handle_error", failed)
    event.listen(engine, "checkin", checked_in)


def is_unreachable(cause: BaseException | None) -> bool:
    """Whether an error of sqlite3 says that the file cannot be used at all.

    Args:
        cause: The error.
    """
    code = getattr(cause, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR)


def _patiently(
    connection: sqlite3.Connection, statement: str, timeout_s: float
) -> None:
    """Execute what another process may have locked."""
    try:
        execute_patiently(connection, statement, timeout_s)
    except sqlite3.OperationalError as error:
        if not is_locked(error):
            raise
        raise Overload(
            f"another process has locked the database for {timeout_s:g} seconds"
        ) from error
