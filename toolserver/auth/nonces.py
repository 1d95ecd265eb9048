"""Numbers that were used once, and may not be used again while they could be.

They are kept in an SQLite file, which all processes of a server share and which
outlives them. It is never synchronised to the disk, which would cost more than the
signature: what a crash of the machine has done to it is not trusted. A memory that is
new or not trusted knows nothing of what was accepted before, so requests of that time
are refused.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from toolserver.bootid import boot_id
from toolserver.errors import Overload, StartError
from toolserver.sqlitelocks import execute_patiently

__all__ = ["Nonces"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS nonces (
    keyid TEXT NOT NULL, nonce TEXT NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (keyid, nonce)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS ends ON nonces (until);
CREATE TABLE IF NOT EXISTS memory (boot TEXT NOT NULL, since INTEGER NOT NULL);
"""
#: Ended nonces are deleted now and then, a few at a time, so that nobody waits.
_BETWEEN, _AT_ONCE = 64, 256
#: Seconds between two counts of the nonces of a key that seems to have too many.
_RECOUNT = 1.0

#: Seconds to wait for another process to let go of the file; the loop waits, too.
_PATIENCE = 1.0

log = logging.getLogger("toolserver.auth")


class Nonces:
    """Remembers nonces of each key until they end.

    Args:
        path: The file.
        most: Nonces of one key that are remembered.
        since: From when on all were remembered, if the file does not tell: seconds
            since the epoch.
        clock: Tells the time in seconds since the epoch.

    Attributes:
        since: What was created before may have been accepted before, seconds since the
            epoch.

    Raises:
        StartError: The file cannot be used.
    """

    def __init__(
        self,
        path: Path,
        *,
        most: int,
        since: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._most = most
        self._clock = clock
        self._stored = 0
        self._counted: dict[str, float] = {}
        try:
            try:
                self._open(path, since)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                log.warning("%s: %s; it is made anew", path, error)
                for suffix in ("", "-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
                self._open(path, since)
        except (OSError, sqlite3.Error) as error:
            raise StartError(f"{path}: cannot be used: {error}") from error

    def _open(self, path: Path, since: int) -> None:
        # The file tells who calls. One that is there is left alone: closing it would
        # let go of all locks that this process has on it, by another `Nonces`, too
        # (POSIX, fcntl), and other processes would remove its log as that of nobody.
        with contextlib.suppress(FileExistsError):
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            os.close(os.open(path, flags, 0o600))
        self._base = base = sqlite3.connect(
            path, timeout=_PATIENCE, isolation_level=None
        )
        try:
            execute_patiently(base, "PRAGMA journal_mode = WAL", _PATIENCE)
            base.execute("PRAGMA synchronous = OFF")
            base.executescript(_SCHEMA)
            self.since = self._begin(since)
            counts = "SELECT keyid, count(*) FROM nonces GROUP BY keyid"
            self._counts: dict[str, int] = dict(base.execute(counts))
        except BaseException:
            base.close()
            raise

    def _begin(self, since: int) -> int:
        """From when on the memory is whole, and no longer in doubt."""
        boot = boot_id()
        with self._base:
            self._base.execute("BEGIN IMMEDIATE")
            found = self._base.execute("SELECT boot, since FROM memory").fetchone()
            if boot and found is not None and found[0] == boot:
                return int(found[1])
            # The machine was started since then: who knows what got lost.
            self._base.execute("DELETE FROM memory")
            self._base.execute("INSERT INTO memory VALUES (?, ?)", (boot, since))
        return since

    def knows(self, keyid: str, nonce: str) -> bool:
        """Whether a nonce is remembered.

        Args:
            keyid: The name of the key.
            nonce: The nonce.
        """
        found = self._base.execute(
            "SELECT 1 FROM nonces WHERE keyid = ? AND nonce = ?", (keyid, nonce)
        )
        return found.fetchone() is not None

    def store(self, keyid: str, nonce: str, until: int) -> bool:
        """Remember a nonce; no other call and no other process comes in between.

        Args:
            keyid: The name of the key.
            nonce: The nonce.
            until: When it can be forgotten, seconds since the epoch.

        Returns:
            Whether it is new.

        Raises:
            Overload: Too many nonces of this key are remembered. To forget one that
                could still be used would let its request be repeated. Or the file
                cannot be written, as where another process does not let go of it.
        """
        try:
            return self._store(keyid, nonce, until)
        except sqlite3.OperationalError as error:
            log.error("nonces.db cannot be written: %s", error)
            raise Overload("what was used once cannot be remembered now") from error

    def _store(self, keyid: str, nonce: str, until: int) -> bool:
        self._stored += 1
        if not self._stored % _BETWEEN:
            self._forget()
        if self._counts.get(keyid, 0) >= self._most and self._is_full(keyid):
            raise Overload(f"{keyid}: too many signed requests at once")
        made = self._base.execute(
            "INSERT OR IGNORE INTO nonces VALUES (?, ?, ?)", (keyid, nonce, until)
        )
        if made.rowcount != 1:
            return False
        self._counts[keyid] = self._counts.get(keyid, 0) + 1
        return True

    def _forget(self) -> None:
        ended = self._base.execute(
            "DELETE FROM nonces WHERE (keyid, nonce) IN "
            "(SELECT keyid, nonce FROM nonces WHERE until < ? LIMIT ?) RETURNING keyid",
            (int(self._clock()), _AT_ONCE),
        )
        for (keyid,) in ended.fetchall():
            self._counts[keyid] = max(0, self._counts.get(keyid, 0) - 1)

    def _is_full(self, keyid: str) -> bool:
        """Count again: another process may have deleted some."""
        now = self._clock()
        # A clock that was set back is no reason to count no more until it is there.
        if 0 <= now - self._counted.get(keyid, 0.0) < _RECOUNT:
            return True
        self._counted[keyid] = now
        self._forget()
        (count,) = self._base.execute(
            "SELECT count(*) FROM nonces WHERE keyid = ?", (keyid,)
        ).fetchone()
        self._counts[keyid] = count
        return bool(count >= self._most)

    def close(self) -> None:
        """Close the file, which goes on to remember."""
        self._base.close()
