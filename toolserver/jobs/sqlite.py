"""Jobs in an SQLite file, which all processes of a server share.

What was accepted outlives any process, and with ``durability = "power"`` the machine's
sudden end. A job may run twice if the process dies that runs it, but never twice at
the same time: a partial unique index lets one job of a queue run, and who ends a job
has to know the number of its newest claim.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from toolserver.errors import Overload, StartError
from toolserver.jobs.engine import Progress
from toolserver.jobs.records import (
    Claim,
    Counts,
    Ending,
    JobRecord,
    JobState,
    JobStatus,
)
from toolserver.jobs.sqlitestore import SQLiteStore

__all__ = ["SQLiteEngine"]

_VERSION = 1
_SCHEMA = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    state INTEGER NOT NULL DEFAULT 0,
    queue TEXT,
    priority INTEGER NOT NULL,
    due REAL NOT NULL,
    is_due INTEGER NOT NULL DEFAULT 0,
    follows_clock INTEGER NOT NULL,
    client TEXT,
    record BLOB NOT NULL,
    arguments BLOB NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    runner TEXT NOT NULL DEFAULT '',
    started REAL,
    finished REAL,
    ends REAL,
    fraction REAL,
    text TEXT NOT NULL DEFAULT '',
    is_cancelling INTEGER NOT NULL DEFAULT 0,
    is_taken INTEGER NOT NULL DEFAULT 0,
    result BLOB,
    error BLOB);
CREATE UNIQUE INDEX one_of_queue ON jobs (queue) WHERE state = 1 AND queue IS NOT NULL;
CREATE INDEX queued ON jobs (queue, priority DESC, number)
    WHERE state = 0 AND is_due = 1 AND queue IS NOT NULL;
CREATE INDEX later ON jobs (due) WHERE state = 0 AND is_due = 0 AND queue IS NOT NULL;
CREATE INDEX beside ON jobs (due, number) WHERE state = 0 AND queue IS NULL;
CREATE INDEX held ON jobs (runner) WHERE state = 1;
CREATE INDEX ended ON jobs (ends) WHERE state > 1;
CREATE TABLE runners (name TEXT PRIMARY KEY, lease REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE expired (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
CREATE TABLE clock (boot TEXT NOT NULL, offset REAL NOT NULL, ahead REAL NOT NULL);
"""
#: The states by their numbers in the file.
_STATES = (
    *(JobState.WAITING, JobState.RUNNING, JobState.DONE, JobState.FAILED),
    *(JobState.CANCELLED, JobState.LOST),
)
_NUMBER = {state: number for number, state in enumerate(_STATES)}
#: Ids of forgotten jobs that are remembered as such; and how many are forgotten at
#: once, so that nobody waits long.
_REMEMBERED, _FORGOTTEN = 100_000, 1000

_IDLE_QUEUES = """
WITH RECURSIVE names (name) AS (
    SELECT min(queue) FROM jobs
        WHERE state = 0 AND is_due = 1 AND queue IS NOT NULL
    UNION ALL
    SELECT (SELECT min(queue) FROM jobs
        WHERE state = 0 AND is_due = 1 AND queue IS NOT NULL AND queue > name)
    FROM names WHERE name IS NOT NULL)
SELECT name FROM names WHERE name IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM jobs WHERE state = 1 AND queue IS NOT NULL AND queue = name)
"""
_FIRST_QUEUED = """
SELECT number FROM jobs
WHERE state = 0 AND is_due = 1 AND queue IS NOT NULL AND queue = ?
ORDER BY priority DESC, number LIMIT 1
"""
_FIRST_BESIDE = """
SELECT number FROM jobs WHERE state = 0 AND queue IS NULL AND due <= ?
ORDER BY due, number LIMIT ?
"""
_CLAIM = """
UPDATE jobs SET state = 1, runner = ?, attempts = attempts + 1, started = ?
WHERE number = ? AND state = 0
RETURNING record, arguments, attempts, tries
"""
_STATUS = """
SELECT record, state, attempts, tries, runner, started, finished, fraction, text,
    is_cancelling, is_taken, {} FROM jobs
"""
_PROMOTE = """
UPDATE jobs SET is_due = 1
WHERE state = 0 AND is_due = 0 AND queue IS NOT NULL AND due <= ?
"""
_FINISH = """
UPDATE jobs SET state = ?, result = ?, error = ?, finished = ?, ends = ?
WHERE id = ? AND attempts = ? AND state = ?
"""
_TRY_AGAIN = """
UPDATE jobs SET state = 0, is_due = 0, due = ?, error = ?, tries = tries + 1
WHERE id = ? AND state = 1 AND attempts = ?
"""
_LEASE = "INSERT OR REPLACE INTO runners VALUES (?, ?)"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(JobRecord).decode


class SQLiteEngine:
    """Keeps jobs in an SQLite file.

    Args:
        path: The file.
        survives_power: Whether what was accepted outlives power failure, too.
        max_stored: How many jobs are kept at most, ended ones too.
    """

    is_shared = True
    is_durable = True

    def __init__(
        self, path: Path, *, survives_power: bool = False, max_stored: int = 1_000_000
    ) -> None:
        self._path = path
        self._store = SQLiteStore(path, "FULL" if survives_power else "NORMAL")
        self._run = self._store.run
        self._max_stored = max_stored
        self._last_queue = ""
        self._count = 0
        self._uncounted = 0

    def open(self, offset: float, boot: str) -> float:
        """Open the file; see `Engine.open`."""

        def prepare(base: sqlite3.Connection) -> float:
            base.execute("BEGIN IMMEDIATE")
            try:
                self._prepare(base)
                self._recount(base)
                found = base.execute("SELECT boot, offset FROM clock").fetchone()
                if boot and found is not None and found[0] == boot:
                    agreed = float(found[1])
                else:
                    base.execute("DELETE FROM clock")
                    base.execute("INSERT INTO clock VALUES (?, ?, 0)", (boot, offset))
                    agreed = offset
                base.execute("COMMIT")
            except BaseException:
                base.execute("ROLLBACK")
                raise
            return agreed

        try:
            # What is called, and with what, is nobody else's business.
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            os.close(os.open(self._path, flags, 0o600))
            return float(self._store.open(prepare))
        except (OSError, sqlite3.Error) as error:
            raise StartError(
                f"{self._path}: the store of jobs cannot be used: {error}; mend it, or "
                "move it away and lose its jobs"
            ) from error

    def _prepare(self, base: sqlite3.Connection) -> None:
        (version,) = base.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise StartError(
                f"{self._path}: made by a newer version of the server (format "
                f"{version}, expected {_VERSION})"
            )
        if not version:
            for statement in _SCHEMA.split(";"):
                base.execute(statement)
            base.execute(f"PRAGMA user_version = {_VERSION}")

    def close(self) -> None:
        """Let go of the file; see `Engine.close`."""
        self._store.close()

    def put(self, jobs: Sequence[JobRecord]) -> list[bool]:
        """Store jobs; see `Engine.put`."""
        rows = [
            (
                *(job.id, job.queue, job.priority, job.due, job.follows_clock),
                job.client,
                _encode(msgspec.structs.replace(job, arguments=b"")),
                job.arguments,
            )
            for job in jobs
        ]

        def put(base: sqlite3.Connection) -> list[bool]:
            self._check_room(base, len(rows))
            return [
                base.execute(
                    "INSERT OR IGNORE INTO jobs (id, queue, priority, due, "
                    "follows_clock, client, record, arguments) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    row,
                ).rowcount
                == 1
                for row in rows
            ]

        return self._run(put)

    def _check_room(self, base: sqlite3.Connection, more: int) -> None:
        self._uncounted += more
        expected = self._count + self._uncounted
        # Counting looks at every job, so it is done now and then: others put in, too.
        if expected > self._max_stored or self._uncounted > max(
            1000, self._count // 10
        ):
            self._recount(base)
            self._uncounted = more
        if self._count + self._uncounted > self._max_stored:
            self._uncounted -= more
            raise Overload(f"jobs: {self._max_stored} are kept, the most there may be")

    def _recount(self, base: sqlite3.Connection) -> None:
        (self._count,) = base.execute("SELECT count(*) FROM jobs").fetchone()
        self._uncounted = 0

    def claim(
        self, runner: str, count: int, *, now: float, lease: float
    ) -> list[Claim]:
        """Take jobs that may run; see `Engine.claim`."""

        def claim(base: sqlite3.Connection) -> list[Claim]:
            base.execute(_LEASE, (runner, lease))
            base.execute(_PROMOTE, (now,))
            beside = [number for (number,) in base.execute(_FIRST_BESIDE, (now, count))]
            queued = self._first_of_queues(base, count)
            found = []
            # By turns, so that neither kind waits for the end of the other.
            for number in _alternate(beside, queued)[:count]:
                row = base.execute(_CLAIM, (runner, now, number)).fetchone()
                if row is not None:
                    record, arguments, attempts, tries = row
                    job = msgspec.structs.replace(_decode(record), arguments=arguments)
                    found.append(Claim(job, attempts, tries))
                    if job.queue is not None:
                        self._last_queue = job.queue
            return found

        return self._run(claim)

    def _first_of_queues(self, base: sqlite3.Connection, count: int) -> list[int]:
        """The first job of each idle queue; the queue after the last one goes first."""
        names = [name for (name,) in base.execute(_IDLE_QUEUES)]
        names.sort(key=lambda name: (name <= self._last_queue, name))
        return [
            base.execute(_FIRST_QUEUED, (name,)).fetchone()[0] for name in names[:count]
        ]

    def next_due(self, now: float) -> float | None:
        """When the next job becomes due; see `Engine.next_due`."""

        def look(base: sqlite3.Connection) -> float | None:
            (beside,) = base.execute(
                "SELECT min(due) FROM jobs WHERE state = 0 AND queue IS NULL"
            ).fetchone()
            (queued,) = base.execute(
                "SELECT min(due) FROM jobs "
                "WHERE state = 0 AND is_due = 0 AND queue IS NOT NULL"
            ).fetchone()
            return min(
                (due for due in (beside, queued) if due is not None), default=None
            )

        return self._run(look)

    def finish(
        self, endings: Mapping[str, tuple[int, Ending]], *, now: float
    ) -> set[str]:
        """End jobs that were run; see `Engine.finish`."""

        def finish(base: sqlite3.Connection) -> set[str]:
            found = set()
            for id_, (attempt, ending) in endings.items():
                if ending.state is JobState.WAITING:
                    again = (ending.due, ending.error, id_, attempt)
                    done = base.execute(_TRY_AGAIN, again).rowcount
                else:
                    done = _finish(base, id_, attempt, ending, now)
                if done:
                    found.add(id_)
            return found

        return self._run(finish)

    def extend(self, runner: str, lease: float) -> None:
        """Say that a runner lives; see `Engine.extend`."""
        self._store.run_later(
            lambda base: base.execute(_LEASE, (runner, lease)) and None
        )

    def beat(
        self, runner: str, progress: Mapping[str, Progress], *, lease: float
    ) -> dict[str, tuple[int, bool]]:
        """Say that a runner lives and how far its jobs are; see `Engine.beat`."""

        def beat(base: sqlite3.Connection) -> dict[str, tuple[int, bool]]:
            base.execute(_LEASE, (runner, lease))
            for id_, (fraction, text) in progress.items():
                base.execute(
                    "UPDATE jobs SET fraction = ?, text = ? "
                    "WHERE id = ? AND state = 1 AND runner = ?",
                    (fraction, text, id_, runner),
                )
            held = base.execute(
                "SELECT id, attempts, is_cancelling FROM jobs "
                "WHERE state = 1 AND runner = ?",
                (runner,),
            )
            return {id_: (attempts, bool(flag)) for id_, attempts, flag in held}

        return self._run(beat)

    def recover(
        self, gone: Iterable[str], *, now: float, max_attempts: int
    ) -> list[tuple[str, JobState]]:
        """Give back the jobs of runners that have died; see `Engine.recover`."""
        dead = list(gone)

        def recover(base: sqlite3.Connection) -> list[tuple[str, JobState]]:
            found = []
            for runner in dead:
                base.execute("DELETE FROM runners WHERE name = ?", (runner,))
                held = base.execute(
                    "SELECT id, attempts, is_cancelling FROM jobs "
                    "WHERE state = 1 AND runner = ?",
                    (runner,),
                ).fetchall()
                for id_, attempts, is_cancelling in held:
                    state = JobState.WAITING
                    if is_cancelling:
                        state = JobState.CANCELLED
                    elif attempts >= max_attempts:
                        state = JobState.LOST
                    if state is JobState.WAITING:
                        base.execute(
                            "UPDATE jobs SET state = 0, is_due = 0 WHERE id = ?", (id_,)
                        )
                    else:
                        _finish(base, id_, attempts, Ending(state), now)
                    found.append((id_, state))
            return found

        return self._run(recover)

    def release(self, runner: str, *, now: float) -> list[str]:
        """Give back what a runner does not end; see `Engine.release`."""

        def release(base: sqlite3.Connection) -> list[str]:
            base.execute("DELETE FROM runners WHERE name = ?", (runner,))
            held = base.execute(
                "UPDATE jobs SET state = 0, is_due = 0, attempts = attempts - 1 "
                "WHERE state = 1 AND runner = ? RETURNING id",
                (runner,),
            )
            return [id_ for (id_,) in held.fetchall()]

        return self._run(release)

    def runners(self) -> dict[str, float]:
        """Who runs jobs; see `Engine.runners`."""
        return self._run(
            lambda base: dict(base.execute("SELECT name, lease FROM runners"))
        )

    def status(self, id: str) -> JobStatus | None:
        """What is known of a job; see `Engine.status`."""
        return self._run(lambda base: _status(base, id))

    def take(self, id: str) -> JobStatus | None:
        """What is known of a job, with its result; see `Engine.take`."""

        def take(base: sqlite3.Connection) -> JobStatus | None:
            found = _status(base, id)
            if found is not None and found.job.once and found.state.is_final:
                base.execute(
                    "UPDATE jobs SET is_taken = 1, result = NULL WHERE id = ?", (id,)
                )
            return found

        return self._run(take)

    def cancel(self, id: str, *, now: float) -> JobState | None:
        """Cancel a job; see `Engine.cancel`."""

        def cancel(base: sqlite3.Connection) -> JobState | None:
            found = base.execute(
                "SELECT state, attempts FROM jobs WHERE id = ?", (id,)
            ).fetchone()
            if found is None:
                return None
            state = _STATES[found[0]]
            if state is JobState.WAITING:
                state = JobState.CANCELLED
                _finish(base, id, found[1], Ending(state), now, was=JobState.WAITING)
            elif state is JobState.RUNNING:
                base.execute("UPDATE jobs SET is_cancelling = 1 WHERE id = ?", (id,))
            return state

        return self._run(cancel)

    def purge(self, *, now: float) -> int:
        """Forget jobs whose time is over; see `Engine.purge`."""

        def purge(base: sqlite3.Connection) -> int:
            gone = base.execute(
                "DELETE FROM jobs WHERE number IN (SELECT number FROM jobs "
                "WHERE state > 1 AND ends <= ? LIMIT ?) RETURNING id",
                (now, _FORGOTTEN),
            ).fetchall()
            if gone:
                base.executemany("INSERT OR IGNORE INTO expired (id) VALUES (?)", gone)
                base.execute(
                    "DELETE FROM expired WHERE number <= "
                    "(SELECT max(number) FROM expired) - ?",
                    (_REMEMBERED,),
                )
                self._count = max(0, self._count - len(gone))
            return len(gone)

        return self._run(purge)

    def has_expired(self, id: str) -> bool:
        """Whether a job was forgotten because its time was over."""

        def look(base: sqlite3.Connection) -> bool:
            found = base.execute("SELECT 1 FROM expired WHERE id = ?", (id,))
            return found.fetchone() is not None

        return self._run(look)

    def shift(self, ahead: float) -> None:
        """Move the jobs that wait for a time of day; see `Engine.shift`."""

        def shift(base: sqlite3.Connection) -> None:
            (before,) = base.execute("SELECT ahead FROM clock").fetchone()
            # Another process may have seen it before, and measured a little else.
            if abs(ahead - before) < 0.25:
                return
            base.execute("UPDATE clock SET ahead = ?", (ahead,))
            base.execute(
                "UPDATE jobs SET due = due - ? WHERE state = 0 AND follows_clock",
                (ahead - before,),
            )

        self._run(shift)

    def find(
        self,
        *,
        state: JobState | None = None,
        queue: str | None = None,
        client: str | None = None,
        limit: int = 100,
    ) -> list[JobStatus]:
        """List jobs, the newest first; see `Engine.find`."""
        wanted: list[tuple[str, Any]] = [
            ("state = ?", None if state is None else _NUMBER[state]),
            ("queue = ?", queue),
            ("client = ?", client),
        ]
        given = [(text, value) for text, value in wanted if value is not None]
        where = " AND ".join(text for text, _ in given) or "1"
        query = f"{_STATUS} WHERE {where} ORDER BY number DESC LIMIT ?".format(
            "NULL, NULL"
        )

        def find(base: sqlite3.Connection) -> list[JobStatus]:
            values = [*(value for _, value in given), limit]
            return [_read(row) for row in base.execute(query, values)]

        return self._run(find)

    def counts(self) -> Counts:
        """Count the jobs."""

        def count(base: sqlite3.Connection) -> Counts:
            states = base.execute("SELECT state, count(*) FROM jobs GROUP BY state")
            waiting = base.execute(
                "SELECT queue, count(*) FROM jobs WHERE state = 0 GROUP BY queue"
            )
            return Counts(
                states={_STATES[state]: number for state, number in states},
                waiting=dict(waiting.fetchall()),
            )

        return self._run(count)


def _alternate(one: list[int], other: list[int]) -> list[int]:
    shorter = min(len(one), len(other))
    pairs = [number for pair in zip(one, other, strict=False) for number in pair]
    return pairs + one[shorter:] + other[shorter:]


def _finish(
    base: sqlite3.Connection,
    id_: str,
    attempt: int,
    ending: Ending,
    now: float,
    was: JobState = JobState.RUNNING,
) -> bool:
    found = base.execute("SELECT record FROM jobs WHERE id = ?", (id_,)).fetchone()
    if found is None:
        return False
    job = _decode(found[0])
    result = ending.result if job.keeps_result else None
    ends = now + job.result_ttl
    values = (_NUMBER[ending.state], result, ending.error, now, ends)
    place = (id_, attempt, _NUMBER[was])
    return base.execute(_FINISH, (*values, *place)).rowcount == 1


def _status(base: sqlite3.Connection, id_: str) -> JobStatus | None:
    query = f"{_STATUS} WHERE id = ?".format("result, error")
    row = base.execute(query, (id_,)).fetchone()
    return None if row is None else _read(row)


def _read(row: tuple[Any, ...]) -> JobStatus:
    record, state, attempts, tries, runner, started, finished, *rest = row
    fraction, text, is_cancelling, is_taken, result, error = rest
    return JobStatus(
        job=_decode(record),
        state=_STATES[state],
        attempts=attempts,
        tries=tries,
        runner=runner,
        started=started,
        finished=finished,
        fraction=fraction,
        text=text,
        is_cancelling=bool(is_cancelling),
        is_taken=bool(is_taken),
        result=result,
        error=error,
    )
