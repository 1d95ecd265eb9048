"""The tables of jobs in SQLite, and what is said to them.

Each statement that is said for every job reads as many rows as it gives or changes,
however many wait: what it looks for are the first entries of an index. The conditions
of a partial index are repeated word for word, since SQLite uses it only then.
"""

from __future__ import annotations

__all__ = [
    "AGAIN",
    "BEGIN_JOB",
    "CANCELLING",
    "END",
    "END_TELLING",
    "FIRST_BESIDE",
    "FIRST_OF_QUEUES",
    "FORGET",
    "GIVE_BACK",
    "HELD",
    "LEASE",
    "NEXT_DUE",
    "PROGRESS",
    "PROMOTE",
    "PUT",
    "REMEMBER",
    "RETRY",
    "SCHEMA",
    "SHIFT",
    "STATUS",
    "VERSION",
]

#: The format of the file, its ``user_version``.
VERSION = 1

# `state` is the place of a state in `sqlite.STATES`: 0 waits, 1 runs, more has ended.
# A queued job `is_due` from when somebody has noticed it, and only then in the order of
# its queue. `attempts` counts claims and never goes back, as it fences; `released` are
# those of them that ended with a process that stopped. Of those that run there are few,
# in the order of their queues, of which each is there once; without a queue (NULL) any
# number may be.
SCHEMA = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    state INTEGER NOT NULL DEFAULT 0,
    queue TEXT,
    priority INTEGER NOT NULL,
    due REAL NOT NULL,
    is_due INTEGER NOT NULL,
    follows_clock INTEGER NOT NULL,
    client TEXT,
    keeps_result INTEGER NOT NULL,
    result_ttl REAL NOT NULL,
    record BLOB NOT NULL,
    arguments BLOB NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    released INTEGER NOT NULL DEFAULT 0,
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
CREATE UNIQUE INDEX running ON jobs (queue) WHERE state = 1;
CREATE INDEX queued ON jobs (queue, priority DESC, number)
    WHERE state = 0 AND is_due = 1 AND queue IS NOT NULL;
CREATE INDEX later ON jobs (due) WHERE state = 0 AND is_due = 0 AND queue IS NOT NULL;
CREATE INDEX beside ON jobs (due, number) WHERE state = 0 AND queue IS NULL;
CREATE INDEX ended ON jobs (ends) WHERE state > 1;
CREATE INDEX owned ON jobs (client, number) WHERE client IS NOT NULL;
CREATE TABLE runners (name TEXT PRIMARY KEY, lease REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE expired (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
CREATE TABLE clock (boot TEXT NOT NULL, offset REAL NOT NULL, ahead REAL NOT NULL);
"""

PUT = """
INSERT OR IGNORE INTO jobs (id, queue, priority, due, is_due, follows_clock, client,
    keeps_result, result_ttl, record, arguments)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
PROMOTE = """
UPDATE jobs SET is_due = 1
WHERE state = 0 AND is_due = 0 AND queue IS NOT NULL AND due <= ?
"""
# Goes from name to name of the queues in which a job waits, beginning behind the one
# that came last, and passes over those of which one runs.
FIRST_OF_QUEUES = """
WITH RECURSIVE
    behind (name) AS (
        SELECT min(queue) FROM jobs
            WHERE state = 0 AND is_due = 1 AND queue IS NOT NULL AND queue > :last
        UNION ALL
        SELECT (SELECT min(queue) FROM jobs
            WHERE state = 0 AND is_due = 1 AND queue IS NOT NULL AND queue > name)
        FROM behind WHERE name IS NOT NULL),
    before (name) AS (
        SELECT min(queue) FROM jobs
            WHERE state = 0 AND is_due = 1 AND queue IS NOT NULL AND queue <= :last
        UNION ALL
        SELECT (SELECT min(queue) FROM jobs
            WHERE state = 0 AND is_due = 1 AND queue IS NOT NULL
                AND queue > name AND queue <= :last)
        FROM before WHERE name IS NOT NULL),
    names (name) AS (SELECT name FROM behind UNION ALL SELECT name FROM before)
SELECT (SELECT number FROM jobs
    WHERE state = 0 AND is_due = 1 AND queue IS NOT NULL AND queue = name
    ORDER BY priority DESC, number LIMIT 1)
FROM names WHERE name IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM jobs WHERE state = 1 AND queue = name)
LIMIT :count
"""
FIRST_BESIDE = """
SELECT number FROM jobs WHERE state = 0 AND queue IS NULL AND due <= ?
ORDER BY due, number LIMIT ?
"""
NEXT_DUE = """
SELECT min(due) FROM jobs WHERE state = 0 AND queue IS NULL AND due > :now
UNION ALL
SELECT min(due) FROM jobs
WHERE state = 0 AND is_due = 0 AND queue IS NOT NULL AND due > :now
"""
BEGIN_JOB = """
UPDATE jobs SET state = 1, runner = ?, attempts = attempts + 1, started = ?
WHERE number = ? AND state = 0
RETURNING record, arguments, attempts, tries
"""
# Not each claim has to write it anew.
LEASE = """
INSERT INTO runners VALUES (?, ?) ON CONFLICT (name) DO UPDATE
SET lease = excluded.lease WHERE abs(excluded.lease - lease) >= 0.1
"""
PROGRESS = """
UPDATE jobs SET fraction = ?, text = ? WHERE id = ? AND state = 1 AND runner = ?
"""
HELD = """
SELECT id, attempts, is_cancelling, released FROM jobs WHERE state = 1 AND runner = ?
"""
END = """
UPDATE jobs SET state = :state, result = CASE WHEN keeps_result THEN :result END,
    error = :error, finished = :now, ends = :now + result_ttl
WHERE id = :id AND attempts = :attempt AND state = :was
"""
# One that somebody wants ended is not tried again.
AGAIN = """
UPDATE jobs SET state = 0, is_due = 0, due = ?, error = ?, tries = tries + 1
WHERE id = ? AND attempts = ? AND state = 1 AND NOT is_cancelling
"""
GIVE_BACK = """
UPDATE jobs SET state = 0, is_due = 0, released = released + ? WHERE id = ?
"""
_KNOWN = """
record, state, attempts, tries, runner, started, finished, fraction, text,
    is_cancelling, is_taken, {}
"""
END_TELLING = f"{END} RETURNING {_KNOWN.format('result, error')}"
CANCELLING = "UPDATE jobs SET is_cancelling = 1 WHERE id = ?"
STATUS = f"SELECT {_KNOWN} FROM jobs"  # noqa: S608  nothing comes from outside
# The pause before another try is none till a time of day.
SHIFT = """
UPDATE jobs SET due = due - ?, is_due = 0
WHERE state = 0 AND follows_clock AND tries = 0
"""
FORGET = """
DELETE FROM jobs WHERE number IN (
    SELECT number FROM jobs WHERE state > 1 AND ends <= ? ORDER BY ends LIMIT ?)
RETURNING id
"""
# `attempts` fences and never goes back: those of before are made not to count.
RETRY = """
UPDATE jobs SET state = 0, is_due = 0, due = ?, released = attempts, tries = 0,
    finished = NULL, ends = NULL, fraction = NULL, text = '', result = NULL,
    error = NULL, is_cancelling = 0, is_taken = 0
WHERE id = ?
"""
REMEMBER = "INSERT OR IGNORE INTO expired (id) VALUES (?)"
