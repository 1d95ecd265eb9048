"""Jobs in an SQLite file, which all processes of a server share.

What was accepted outlives any process, and with ``durability = "power"`` the machine's
sudden end. A job may run twice if the process dies that runs it, but never twice at
the same time: a partial unique index lets one job of a queue run, and who ends a job
has to know the number of its newest claim.

What changes the file is done by one native thread, in transactions that many share;
what only asks is done by another one meanwhile, and sees all that was committed.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import OrderedDict
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
from toolserver.jobs.sqlitestatements import (
    AGAIN,
    BEGIN_JOB,
    CANCELLING,
    END,
    END_TELLING,
    FIRST_BESIDE,
    FIRST_OF_QUEUES,
    FORGET,
    GIVE_BACK,
    HELD,
    LEASE,
    NEXT_DUE,
    PROGRESS,
    PROMOTE,
    PUT,
    REMEMBER,
    RETRY,
    SCHEMA,
    SHIFT,
    STATUS,
    VERSION,
)
from toolserver.jobs.sqlitestore import SQLiteStore

__all__ = ["SQLiteEngine"]

#: The states by their numbers in the file.
_STATES = (
    *(JobState.WAITING, JobState.RUNNING, JobState.DONE, JobState.FAILED),
    *(JobState.CANCELLED, JobState.LOST),
)
_NUMBER = {state: number for number, state in enumerate(_STATES)}
_WAITING, _RUNNING = _NUMBER[JobState.WAITING], _NUMBER[JobState.RUNNING]
#: Ids of forgotten jobs that are remembered as such; and how many are forgotten in one
#: transaction, so that nobody waits long.
_REMEMBERED, _FORGOTTEN = 100_000, 1000
#: Bytes of a page of the file: each that a job touches is written whole, so they are
#: small. And pages in the journal after which they are moved into the file.
_PAGE, _CHECKPOINT = 2048, 4000
#: Jobs that ended here and are kept at hand, and the longest results of such.
_RECENT, _SHORT = 1000, 2000
#: Seconds between two countings of a store that is full.
_COUNTED = 1.0

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(JobRecord).decode


class SQLiteEngine:
    """Keeps jobs in an SQLite file.

    Args:
        path: The file.
        survives_power: Whether what was accepted outlives power failure, too.
        max_stored: How many jobs are kept at most, ended ones too.
        busy: Seconds for which other processes may lock the file.
    """

    is_shared = True
    is_durable = True

    def __init__(
        self,
        path: Path,
        *,
        survives_power: bool = False,
        max_stored: int = 1_000_000,
        busy: float = 30.0,
    ) -> None:
        self._path = path
        self._max_stored = max_stored
        synchronous = "FULL" if survives_power else "NORMAL"
        self._writes = SQLiteStore(
            path,
            "BEGIN IMMEDIATE",
            (
                "PRAGMA journal_mode = WAL",
                f"PRAGMA synchronous = {synchronous}",
                f"PRAGMA wal_autocheckpoint = {_CHECKPOINT}",
            ),
            busy=busy,
        )
        self._reads = SQLiteStore(path, "BEGIN", ("PRAGMA query_only = 1",), busy=busy)
        self._write = self._writes.run
        self._read = self._reads.run
        #: Who waits for a job asks as soon as it has ended.
        self._recent: OrderedDict[str, JobStatus] = OrderedDict()
        self._last_queue = ""
        self._is_queued_next = False
        self._count = 0
        self._counted = 0.0
        self._uncounted = 0

    def open(self, offset: float, boot: str) -> float:
        """Open the file; see `Engine.open`."""

        def prepare(base: sqlite3.Connection) -> float:
            base.execute(f"PRAGMA page_size = {_PAGE}")
            # Where it fails the connection is closed, which undoes it.
            base.execute("BEGIN IMMEDIATE")
            self._prepare(base)
            self._recount(base)
            agreed = _agree(base, offset, boot)
            base.execute("COMMIT")
            return agreed

        try:
            # What is called, and with what, is nobody else's business.
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            os.close(os.open(self._path, flags, 0o600))
            agreed = self._writes.open(prepare)
            self._reads.open(lambda base: None)
        except (OSError, sqlite3.Error) as error:
            self._writes.close()
            raise StartError(
                f"{self._path}: the store of jobs cannot be used: {error}; mend it, or "
                "move it away and lose its jobs"
            ) from error
        return agreed

    def _prepare(self, base: sqlite3.Connection) -> None:
        (version,) = base.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise StartError(
                f"{self._path}: made by a newer version of the server (format "
                f"{version}, expected {VERSION})"
            )
        if not version:
            for statement in SCHEMA.split(";"):
                base.execute(statement)
            base.execute(f"PRAGMA user_version = {VERSION}")

    def close(self) -> None:
        """Let go of the file; see `Engine.close`."""
        self._reads.close()
        self._writes.close()

    def put(self, jobs: Sequence[JobRecord]) -> list[bool]:
        """Store jobs; see `Engine.put`."""
        rows = [
            (
                *(job.id, job.queue, job.priority, job.due, job.due <= job.created),
                *(job.follows_clock, job.client, job.keeps_result, job.result_ttl),
                _encode(msgspec.structs.replace(job, arguments=b"")),
                job.arguments,
            )
            for job in jobs
        ]

        def put(base: sqlite3.Connection) -> list[bool]:
            found = [base.execute(PUT, row).rowcount == 1 for row in rows]
            self._check_room(base, sum(found))
            return found

        return self._write(put)

    def _check_room(self, base: sqlite3.Connection, more: int) -> None:
        """See to it that no more are kept than may be, with those just put in."""
        self._uncounted += more
        expected = self._count + self._uncounted
        # Counting looks at every job, so it is done now and then: others put in, too.
        is_stale = self._uncounted > max(1000, self._count // 10)
        if expected > self._max_stored:
            is_stale = time.monotonic() >= self._counted + _COUNTED
        if is_stale:
            self._recount(base)
            expected = self._count
        if more and expected > self._max_stored:
            # They are undone by this.
            self._uncounted -= more
            raise Overload(f"jobs: {self._max_stored} are kept, the most there may be")

    def _recount(self, base: sqlite3.Connection) -> None:
        (self._count,) = base.execute("SELECT count(*) FROM jobs").fetchone()
        self._counted, self._uncounted = time.monotonic(), 0

    def claim(
        self, runner: str, count: int, *, now: float, lease: float
    ) -> tuple[list[Claim], float | None]:
        """Take jobs that may run; see `Engine.claim`."""

        def claim(base: sqlite3.Connection) -> tuple[list[Claim], float | None]:
            base.execute(PROMOTE, (now,))
            beside = base.execute(FIRST_BESIDE, (now, count)).fetchall()
            wanted = {"last": self._last_queue, "count": count}
            queued = base.execute(FIRST_OF_QUEUES, wanted).fetchall()
            found = []
            kinds = (queued, beside) if self._is_queued_next else (beside, queued)
            for (number,) in _by_turns(*kinds)[:count]:
                row = base.execute(BEGIN_JOB, (runner, now, number)).fetchone()
                record, arguments, attempts, tries = row
                job = msgspec.structs.replace(_decode(record), arguments=arguments)
                found.append(Claim(job, attempts, tries))
                self._is_queued_next = job.queue is None
                if job.queue is not None:
                    self._last_queue = job.queue
            if found:
                base.execute(LEASE, (runner, lease))
            return found, _next_due(base, now)

        return self._write(claim)

    def next_due(self, now: float) -> float | None:
        """When the next job becomes due; see `Engine.next_due`."""
        return self._read(lambda base: _next_due(base, now))

    def oldest_due(self, now: float) -> float | None:
        """When the job became due that is due for longest; see `Engine.oldest_due`."""
        query = "SELECT min(due) FROM jobs WHERE state = 0 AND due <= ?"

        def find(base: sqlite3.Connection) -> float | None:
            (due,) = base.execute(query, (now,)).fetchone()
            return due  # type: ignore[no-any-return]  # a REAL

        return self._read(find)

    def finish(
        self, endings: Mapping[str, tuple[int, Ending]], *, now: float
    ) -> set[str]:
        """End jobs that were run; see `Engine.finish`."""

        def finish(base: sqlite3.Connection) -> dict[str, JobStatus | None]:
            found: dict[str, JobStatus | None] = {}
            for id_, (attempt, ending) in endings.items():
                again = (ending.due, ending.error, id_, attempt)
                if ending.state is not JobState.WAITING:
                    values = _ending(id_, attempt, ending, now)
                    row = base.execute(END_TELLING, values).fetchone()
                    if row is not None:
                        found[id_] = _read_status(row)
                elif base.execute(AGAIN, again).rowcount == 1 or _end(
                    base, id_, attempt, Ending(JobState.CANCELLED), now
                ):
                    found[id_] = None
            return found

        found = self._write(finish)
        for status in found.values():
            if status is not None:
                self._keep_at_hand(status)
        return set(found)

    def _keep_at_hand(self, status: JobStatus) -> None:
        told = len(status.result or b"") + len(status.error or b"")
        if not status.job.once and told <= _SHORT:
            self._recent[status.job.id] = status
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)

    def extend(self, runner: str, lease: float) -> None:
        """Say that a runner lives; see `Engine.extend`."""
        self._writes.run_later(lambda base: base.execute(LEASE, (runner, lease)))

    def beat(
        self, runner: str, progress: Mapping[str, Progress], *, lease: float
    ) -> dict[str, tuple[int, bool]]:
        """Say that a runner lives and how far its jobs are; see `Engine.beat`."""

        def beat(base: sqlite3.Connection) -> dict[str, tuple[int, bool]]:
            base.execute(LEASE, (runner, lease))
            for id_, (fraction, text) in progress.items():
                base.execute(PROGRESS, (fraction, text, id_, runner))
            held = base.execute(HELD, (runner,))
            return {id_: (attempts, bool(flag)) for id_, attempts, flag, _ in held}

        return self._write(beat)

    def recover(
        self, gone: Iterable[str], *, now: float, max_attempts: int
    ) -> list[tuple[str, JobState]]:
        """Give back the jobs of runners that have died; see `Engine.recover`."""
        dead = list(gone)

        def recover(base: sqlite3.Connection) -> list[tuple[str, JobState]]:
            found = []
            for runner in dead:
                base.execute("DELETE FROM runners WHERE name = ?", (runner,))
                held = base.execute(HELD, (runner,)).fetchall()
                for id_, attempts, is_cancelling, released in held:
                    state = JobState.WAITING
                    if is_cancelling:
                        state = JobState.CANCELLED
                    elif attempts - released >= max_attempts:
                        state = JobState.LOST
                    if state is JobState.WAITING:
                        base.execute(GIVE_BACK, (0, id_))
                    else:
                        _end(base, id_, attempts, Ending(state), now)
                    found.append((id_, state))
            return found

        return self._write(recover)

    def release(self, runner: str, *, now: float) -> list[str]:
        """Give back what a runner does not end; see `Engine.release`."""

        def release(base: sqlite3.Connection) -> list[str]:
            base.execute("DELETE FROM runners WHERE name = ?", (runner,))
            found = []
            for id_, attempts, is_cancelling, _ in base.execute(
                HELD, (runner,)
            ).fetchall():
                if is_cancelling:
                    _end(base, id_, attempts, Ending(JobState.CANCELLED), now)
                else:
                    base.execute(GIVE_BACK, (1, id_))
                    found.append(id_)
            return found

        return self._write(release)

    def runners(self) -> dict[str, float]:
        """Who runs jobs; see `Engine.runners`."""
        return self._read(
            lambda base: dict(base.execute("SELECT name, lease FROM runners"))
        )

    def status(self, id: str) -> JobStatus | None:
        """What is known of a job; see `Engine.status`."""
        return self._recent.get(id) or self._read(lambda base: _status(base, id))

    def take(self, id: str) -> JobStatus | None:
        """What is known of a job, with its result; see `Engine.take`."""

        def take(base: sqlite3.Connection) -> JobStatus | None:
            found = _status(base, id)
            base.execute(
                "UPDATE jobs SET is_taken = 1, result = NULL WHERE id = ?", (id,)
            )
            return found

        found = self.status(id)
        if found is None or not found.job.once or not found.state.is_final:
            return found
        return self._write(take)

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
                _end(base, id, found[1], Ending(state), now, was=_WAITING)
            elif state is JobState.RUNNING:
                base.execute(CANCELLING, (id,))
            return state

        return self._write(cancel)

    def retry(self, id: str, *, now: float) -> JobState | None:
        """Let a job wait once more; see `Engine.retry`."""

        def retry(base: sqlite3.Connection) -> JobState | None:
            found = base.execute("SELECT state FROM jobs WHERE id = ?", (id,))
            row = found.fetchone()
            if row is None:
                return None
            state = _STATES[row[0]]
            if state.is_retriable:
                base.execute(RETRY, (now, id))
                state = JobState.WAITING
            return state

        self._recent.pop(id, None)
        return self._write(retry)

    def purge(self, *, now: float) -> int:
        """Forget jobs whose time is over; see `Engine.purge`."""

        def purge(base: sqlite3.Connection) -> int:
            gone = base.execute(FORGET, (now, _FORGOTTEN)).fetchall()
            if gone:
                base.executemany(REMEMBER, gone)
                base.execute(
                    "DELETE FROM expired WHERE number <= "
                    "(SELECT max(number) FROM expired) - ?",
                    (_REMEMBERED,),
                )
                self._count -= len(gone)
            return len(gone)

        for id_, status in list(self._recent.items()):
            if (status.finished or now) + status.job.result_ttl <= now:
                del self._recent[id_]
        total, count = 0, _FORGOTTEN
        while count == _FORGOTTEN:
            count = self._write(purge)
            total += count
        return total

    def has_expired(self, id: str) -> bool:
        """Whether a job was forgotten because its time was over."""

        def look(base: sqlite3.Connection) -> bool:
            found = base.execute("SELECT 1 FROM expired WHERE id = ?", (id,))
            return found.fetchone() is not None

        return self._read(look)

    def shift(self, ahead: float) -> None:
        """Move the jobs that wait for a time of day; see `Engine.shift`."""

        def shift(base: sqlite3.Connection) -> None:
            (before,) = base.execute("SELECT ahead FROM clock").fetchone()
            # Another process may have seen it before, and measured a little else.
            if abs(ahead - before) < 0.25:
                return
            base.execute("UPDATE clock SET ahead = ?", (ahead,))
            base.execute(SHIFT, (ahead - before,))

        self._write(shift)

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
        query = f"{STATUS} WHERE {where} ORDER BY number DESC LIMIT ?".format(
            "NULL, NULL"
        )

        def find(base: sqlite3.Connection) -> list[JobStatus]:
            values = [*(value for _, value in given), limit]
            return [_read_status(row) for row in base.execute(query, values)]

        return self._read(find)

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

        return self._read(count)


def _agree(base: sqlite3.Connection, offset: float, boot: str) -> float:
    """The offset of the jobs' clock that the first process since boot has set."""
    found = base.execute("SELECT boot, offset, ahead FROM clock").fetchone()
    ahead = 0.0
    if found is not None:
        before, agreed, ahead = found
        if boot and before == boot:
            return float(agreed)
    base.execute("DELETE FROM clock")
    # What waits for a time of day was moved by how far that is ahead of this clock.
    base.execute("INSERT INTO clock VALUES (?, ?, ?)", (boot, offset - ahead, ahead))
    return offset - ahead


def _by_turns(one: list[Any], other: list[Any]) -> list[Any]:
    """Both lists, so that neither kind waits for the end of the other."""
    shorter = min(len(one), len(other))
    pairs = [each for pair in zip(one, other, strict=False) for each in pair]
    return pairs + one[shorter:] + other[shorter:]


def _next_due(base: sqlite3.Connection, now: float) -> float | None:
    found = base.execute(NEXT_DUE, {"now": now}).fetchall()
    return min((due for (due,) in found if due is not None), default=None)


def _end(
    base: sqlite3.Connection,
    id_: str,
    attempt: int,
    ending: Ending,
    now: float,
    was: int = _RUNNING,
) -> bool:
    return base.execute(END, _ending(id_, attempt, ending, now, was)).rowcount == 1


def _ending(
    id_: str, attempt: int, ending: Ending, now: float, was: int = _RUNNING
) -> dict[str, Any]:
    return {
        "state": _NUMBER[ending.state],
        "result": ending.result,
        "error": ending.error,
        "now": now,
        "id": id_,
        "attempt": attempt,
        "was": was,
    }


def _status(base: sqlite3.Connection, id_: str) -> JobStatus | None:
    query = f"{STATUS} WHERE id = ?".format("result, error")
    row = base.execute(query, (id_,)).fetchone()
    return None if row is None else _read_status(row)


def _read_status(row: tuple[Any, ...]) -> JobStatus:
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
