"""Keys in an SQLite file beside that of the jobs, which all processes share.

Amounts are kept by triggers, so that nobody has to count.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from toolserver.errors import Overload, StartError, TooMany
from toolserver.idempotency.records import Bounds, Finding, KeyState, KeyUse
from toolserver.jobs.sqlitestore import SQLiteStore

__all__ = ["SQLiteKeyStore"]

_VERSION = 1
#: The states by their numbers in the file.
_STATES = (KeyState.RUNNING, KeyState.KEPT, KeyState.UNKEPT)
_RUNNING, _KEPT, _UNKEPT = range(3)
#: Keys that are forgotten in one transaction, so that nobody waits long.
_FORGOTTEN = 100
#: The row of amounts that tells of all callers.
_ALL = b""

_SCHEMA = (
    """CREATE TABLE keys (
        number INTEGER PRIMARY KEY,
        name BLOB NOT NULL UNIQUE,
        caller BLOB NOT NULL,
        fingerprint BLOB NOT NULL,
        attempt INTEGER NOT NULL,
        state INTEGER NOT NULL,
        runner TEXT NOT NULL,
        lease REAL NOT NULL,
        expires REAL NOT NULL,
        size INTEGER NOT NULL,
        answer BLOB
    )""",
    "CREATE INDEX keys_of_caller ON keys (caller, number)",
    "CREATE INDEX keys_by_end ON keys (expires)",
    "CREATE INDEX keys_running ON keys (runner) WHERE state = 0",
    """CREATE TABLE amounts (
        caller BLOB PRIMARY KEY, keys INTEGER NOT NULL, bytes INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "INSERT INTO amounts VALUES (X'', 0, 0)",
    """CREATE TRIGGER key_added AFTER INSERT ON keys BEGIN
        INSERT INTO amounts VALUES (new.caller, 1, new.size)
            ON CONFLICT (caller)
            DO UPDATE SET keys = keys + 1, bytes = bytes + new.size;
        UPDATE amounts SET keys = keys + 1, bytes = bytes + new.size
            WHERE caller = X'';
    END""",
    """CREATE TRIGGER key_forgotten AFTER DELETE ON keys BEGIN
        UPDATE amounts SET keys = keys - 1, bytes = bytes - old.size
            WHERE caller IN (X'', old.caller);
        DELETE FROM amounts WHERE caller = old.caller AND keys = 0;
    END""",
    """CREATE TRIGGER key_resized AFTER UPDATE OF size ON keys BEGIN
        UPDATE amounts SET bytes = bytes + new.size - old.size
            WHERE caller IN (X'', new.caller);
    END""",
)
_FIND = (
    "SELECT number, fingerprint, attempt, state, runner, lease, expires, answer "
    "FROM keys WHERE name = ?"
)
_PUT = "INSERT INTO keys VALUES (NULL, ?, ?, ?, 1, 0, ?, ?, ?, 0, NULL)"
_TAKE_OVER = (
    "UPDATE keys SET attempt = attempt + 1, runner = ?, lease = ?, expires = ? "
    "WHERE number = ?"
)
_FINISH = (
    "UPDATE keys SET state = ?, answer = ?, size = ?, expires = ? "
    "WHERE name = ? AND attempt = ? AND state = 0 RETURNING number, caller"
)
_PURGE = (
    "DELETE FROM keys WHERE number IN (SELECT number FROM keys WHERE expires <= ? "
    "AND (state <> 0 OR lease < ?) ORDER BY expires LIMIT ?)"
)
_FORGET_OLDEST = (
    "DELETE FROM keys WHERE number = (SELECT number FROM keys WHERE state <> 0 AND "
    "number <> ? ORDER BY number LIMIT 1)"
)
_FORGET_OLDEST_OF = (
    "DELETE FROM keys WHERE number = (SELECT number FROM keys WHERE caller = ? AND "
    "state <> 0 AND number <> ? ORDER BY number LIMIT 1)"
)


class SQLiteKeyStore:
    """Keeps keys in an SQLite file.

    Args:
        path: The file.
        bounds: How much is kept.
        survives_power: Whether what was accepted outlives power failure, too.
    """

    def __init__(
        self, path: Path, bounds: Bounds, *, survives_power: bool = False
    ) -> None:
        self._path = path
        self._bounds = bounds
        synchronous = "FULL" if survives_power else "NORMAL"
        self._file = SQLiteStore(
            path,
            settings=(
                "PRAGMA journal_mode = WAL",
                f"PRAGMA synchronous = {synchronous}",
            ),
        )

    def open(self) -> None:
        """Open the file; see `KeyStore.open`."""
        try:
            # Answers are for their callers alone.
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            os.close(os.open(self._path, flags, 0o600))
            self._file.open(self._prepare)
        except (OSError, sqlite3.Error) as error:
            raise StartError(
                f"{self._path}: the store of idempotency keys cannot be used: {error}; "
                "mend it, or move it away and lose its answers"
            ) from error

    def _prepare(self, base: sqlite3.Connection) -> None:
        # Where it fails the connection is closed, which undoes it.
        base.execute("BEGIN IMMEDIATE")
        (version,) = base.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise StartError(
                f"{self._path}: made by a newer version of the server (format "
                f"{version}, expected {_VERSION})"
            )
        if not version:
            for statement in _SCHEMA:
                base.execute(statement)
            base.execute(f"PRAGMA user_version = {_VERSION}")
        base.execute("COMMIT")

    def close(self) -> None:
        """Let go of the file; see `KeyStore.close`."""
        self._file.close()

    def begin(
        self, use: KeyUse, *, runner: str, now: float, lease: float, expires: float
    ) -> Finding:
        """Look a key up; see `KeyStore.begin`."""

        def begin(base: sqlite3.Connection) -> Finding:
            base.execute(_PURGE, (now, now, _FORGOTTEN))
            row = base.execute(_FIND, (use.name,)).fetchone()
            if row is not None and row[6] <= now and (row[3] or row[5] < now):
                base.execute("DELETE FROM keys WHERE number = ?", (row[0],))
                row = None
            if row is None:
                self._check_room(base, use.caller)
                owned = (use.name, use.caller, use.fingerprint)
                base.execute(_PUT, (*owned, runner, lease, expires))
                return Finding(KeyState.OPEN, 1)
            number, fingerprint, attempt, state, owner, leased, _, answer = row
            if fingerprint != use.fingerprint:
                return Finding(KeyState.REUSED)
            if state != _RUNNING or leased >= now:
                return Finding(_STATES[state], attempt, owner, answer)
            if not use.may_repeat:
                return Finding(KeyState.BROKEN_OFF, attempt)
            base.execute(_TAKE_OVER, (runner, lease, expires, number))
            return Finding(KeyState.OPEN, attempt + 1)

        return self._file.run(begin)

    def finish(
        self, name: bytes, attempt: int, answer: bytes | None, *, expires: float
    ) -> bool:
        """Keep an answer; see `KeyStore.finish`."""
        size = 0 if answer is None else len(answer)
        state = _UNKEPT if answer is None else _KEPT

        def finish(base: sqlite3.Connection) -> bool:
            values = (state, answer, size, expires, name, attempt)
            found = base.execute(_FINISH, values).fetchall()
            for number, caller in found:
                self._make_room(base, number, caller)
            return bool(found)

        return self._file.run(finish)

    def release(self, name: bytes, attempt: int) -> None:
        """Forget a key; see `KeyStore.release`."""
        query = "DELETE FROM keys WHERE name = ? AND attempt = ? AND state = 0"
        self._file.run(lambda base: base.execute(query, (name, attempt)).rowcount)

    def extend(self, keys: Iterable[tuple[bytes, int]], lease: float) -> None:
        """Say until when keys are their runner's; see `KeyStore.extend`."""
        query = "UPDATE keys SET lease = ? WHERE name = ? AND attempt = ? AND state = 0"
        rows = [(lease, name, attempt) for name, attempt in keys]
        self._file.run(lambda base: base.executemany(query, rows).rowcount)

    def abandon(self, runner: str) -> None:
        """Let requests count as broken off; see `KeyStore.abandon`."""
        query = "UPDATE keys SET lease = 0 WHERE runner = ? AND state = 0"
        self._file.run(lambda base: base.execute(query, (runner,)).rowcount)

    def purge(self, now: float) -> int:
        """Forget the keys whose time is over; see `KeyStore.purge`."""
        values = (now, now, _FORGOTTEN)
        total, count = 0, _FORGOTTEN
        while count == _FORGOTTEN:
            count = self._file.run(lambda base: base.execute(_PURGE, values).rowcount)
            total += count
        return total

    def _check_room(self, base: sqlite3.Connection, caller: bytes) -> None:
        """See to it that one more key can be kept."""
        bounds = self._bounds
        keys, _ = _amounts(base, caller)
        if keys >= bounds.caller_keys and not _forget_oldest(base, 0, caller):
            raise TooMany(f"got {keys} keys whose calls still run, expected less")
        keys, _ = _amounts(base, _ALL)
        if keys >= bounds.keys and not _forget_oldest(base, 0):
            raise Overload(f"got {keys} keys whose calls still run")

    def _make_room(self, base: sqlite3.Connection, spared: int, caller: bytes) -> None:
        """Forget answers where there are too many bytes, the oldest ones first."""
        bounds = self._bounds
        while _amounts(base, caller)[1] > bounds.caller_bytes and _forget_oldest(
            base, spared, caller
        ):
            pass
        while _amounts(base, _ALL)[1] > bounds.bytes and _forget_oldest(base, spared):
            pass


def _amounts(base: sqlite3.Connection, caller: bytes) -> tuple[int, int]:
    query = "SELECT keys, bytes FROM amounts WHERE caller = ?"
    row: tuple[int, int] | None = base.execute(query, (caller,)).fetchone()
    return row or (0, 0)


def _forget_oldest(base: sqlite3.Connection, spared: int, caller: bytes = _ALL) -> bool:
    if caller:
        found = base.execute(_FORGET_OLDEST_OF, (caller, spared))
    else:
        found = base.execute(_FORGET_OLDEST, (spared,))
    return found.rowcount == 1
