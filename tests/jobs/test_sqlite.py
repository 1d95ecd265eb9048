"""Jobs in an SQLite file: what can happen to files, and how many they may hold."""

import contextlib
import os
import re
import sqlite3
import subprocess

import gevent
import pytest

from tests.jobs.engines import claim, ids, put, record
from tests.jobs.test_engine_model import plain
from toolserver.errors import JobNotStored, StartError
from toolserver.jobs import sqlitestatements
from toolserver.jobs.records import Ending, JobState
from toolserver.jobs.sqlite import SQLiteEngine
from toolserver.jobs.sqlitestore import SQLiteStore

MANY = 100_000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.db"


@contextlib.contextmanager
def opened(path, **options):
    engine = SQLiteEngine(path, **options)
    engine.open(0.0, "boot")
    try:
        yield engine
    finally:
        engine.close()


def end(engine, claims):
    ending = Ending(JobState.DONE)
    endings = {each.job.id: (each.attempt, ending) for each in claims}
    return engine.finish(endings, now=2.0)


def test_a_file_is_found_again(path):
    first = SQLiteEngine(path)
    assert first.open(5.0, "boot") == 5.0
    put(first, "a", queue="q")
    for file in path.parent.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
    second = SQLiteEngine(path)
    # All who use it go by the clock of the first.
    assert second.open(9.0, "boot") == 5.0
    assert ids(claim(second)) == ["a"]
    assert claim(first, runner="two") == []
    first.close()
    second.close()
    third = SQLiteEngine(path)
    assert third.open(7.0, "another boot") == 7.0
    assert third.status("a").state is JobState.RUNNING
    third.close()


@pytest.mark.parametrize("content", ["nonsense" * 1000, "newer"])
def test_a_file_that_cannot_be_used_is_kept(path, content):
    if content == "newer":
        with contextlib.closing(sqlite3.connect(path)) as base:
            base.execute("PRAGMA user_version = 99")
            base.execute("CREATE TABLE t (x)")
    else:
        path.write_text(content)
    before = path.read_bytes()
    engine = SQLiteEngine(path)
    with pytest.raises(StartError, match=r"jobs\.db"):
        engine.open(0.0, "boot")
    assert path.read_bytes() == before


@pytest.mark.parametrize("durability", [False, True])
def test_it_syncs_as_often_as_it_is_asked_to(path, durability):
    with opened(path, survives_power=durability) as engine:
        found = {
            name: engine._write(
                lambda base, name=name: base.execute(f"PRAGMA {name}").fetchone()[0]
            )
            for name in ("synchronous", "journal_mode")
        }
    assert found == {"synchronous": 2 if durability else 1, "journal_mode": "wal"}


def test_a_damaged_file_gives_clear_errors(path):
    with opened(path) as engine:
        put(engine, *(f"{number}" for number in range(200)), queue="q")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    with pytest.raises((JobNotStored, StartError), match="malformed"):
        use(path)


def use(path):
    with opened(path) as engine:
        put(engine, "x", queue="q")
        claim(engine)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(StartError, match=r"jobs\.db"):
        SQLiteEngine(tmp_path / "none" / "jobs.db").open(0.0, "boot")


def test_a_locked_file_stores_nothing_and_goes_on_later(path):
    with (
        opened(path, busy=0.05) as engine,
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        put(engine, "before")
        other.execute("BEGIN IMMEDIATE")
        # All at once, of which none waits for the other's turn.
        tried = [gevent.spawn(put, engine, f"{number}") for number in range(20)]
        gevent.joinall(tried)
        for greenlet in tried:
            assert isinstance(greenlet.exception, JobNotStored)
            assert "locked" in str(greenlet.exception)
        assert engine.status("before").state is JobState.WAITING
        other.execute("ROLLBACK")
        assert put(engine, "after") == [True]
        assert engine.counts().states == {JobState.WAITING: 2}


def test_a_file_that_was_removed_takes_nothing_that_would_be_lost(path):
    away = path.with_name("away.db")
    with opened(path) as engine:
        assert put(engine, "before") == [True]
        path.rename(away)
        for _ in range(2):
            with pytest.raises(JobNotStored, match="was removed or replaced"):
                put(engine, "lost")
            path.touch()
        path.unlink()
        away.rename(path)
        assert put(engine, "after") == [True]
        assert engine.counts().states == {JobState.WAITING: 2}


def test_what_is_asked_all_at_once_is_done_in_turn(path):
    with opened(path) as engine:
        asked = [gevent.spawn(put, engine, f"{number}") for number in range(1200)]
        gevent.joinall(asked, raise_error=True)
        (first, *_, last) = (each.job.id for each in engine.find(limit=1200))
    assert (first, last) == ("1199", "0")


def test_a_file_that_cannot_be_opened_is_told(tmp_path):
    store = SQLiteStore(tmp_path / "none" / "jobs.db")
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        store.open(lambda base: None)
    with pytest.raises(JobNotStored, match="not open"):
        store.run(lambda base: None)


def test_a_start_that_fails_leaves_nothing_behind(path):
    def prepare(base):
        base.execute("BEGIN IMMEDIATE")
        base.execute("CREATE TABLE half (x)")
        raise StartError("on the way")

    with pytest.raises(StartError):
        SQLiteStore(path).open(prepare)
    with contextlib.closing(sqlite3.connect(path)) as base:
        base.execute("BEGIN IMMEDIATE")
        assert base.execute("SELECT * FROM sqlite_master").fetchall() == []


def test_what_is_asked_of_a_closed_store_is_refused(path):
    with opened(path) as engine:
        put(engine, "a")
        waiting = gevent.spawn(put, engine, "b")
        gevent.idle()
    assert waiting.get(timeout=5) == [True]
    for ask in (lambda: engine.status("a"), lambda: put(engine, "c")):
        with pytest.raises(JobNotStored, match="not open"):
            ask()
    engine.close()


def test_a_store_that_has_no_room_takes_what_fits(path):
    with opened(path) as engine:
        engine._write(
            lambda base: base.execute("PRAGMA max_page_count = 60").fetchall()
        )
        large = gevent.spawn(engine.put, [record("large", arguments=b"x" * 500_000)])
        small = [gevent.spawn(put, engine, f"{number}") for number in range(10)]
        gevent.joinall([large, *small])
        assert isinstance(large.exception, JobNotStored)
        assert [greenlet.get() for greenlet in small] == [[True]] * 10
        assert engine.counts().states == {JobState.WAITING: 10}


@contextlib.contextmanager
def small_disk(folder):
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_disk(path):
    with path.open("wb", 0) as file:
        while True:
            file.write(b"x" * 1024)


def put_until_it_fails(engine):
    for number in range(1000):
        engine.put([record(f"x{number}", arguments=b"x" * 5000)])


def test_a_full_disk_loses_nothing_that_was_accepted(tmp_path):
    with small_disk(tmp_path), opened(tmp_path / "jobs.db") as engine:
        put(engine, "first", queue="q")
        (first,) = claim(engine)
        with pytest.raises(OSError, match="No space"):
            fill_disk(tmp_path / "filler")
        with pytest.raises(JobNotStored, match="full"):
            put_until_it_fails(engine)
        with pytest.raises(JobNotStored, match="full"):
            end(engine, [first])
        assert engine.status("first").state is JobState.RUNNING
        accepted = sum(engine.counts().states.values())
        (tmp_path / "filler").unlink()
        # With room again it goes on where it was.
        assert end(engine, [first]) == {"first"}
        assert put(engine, "last") == [True]
        assert sum(engine.counts().states.values()) == accepted + 1


def test_a_disk_that_may_not_be_written_keeps_the_server_from_starting(tmp_path):
    with small_disk(tmp_path):
        with opened(tmp_path / "jobs.db") as engine:
            put(engine, "a")
        subprocess.run(
            ["mount", "-o", "remount,ro", str(tmp_path)],
            check=True,
            capture_output=True,
        )
        with pytest.raises(StartError, match=r"jobs\.db"):
            SQLiteEngine(tmp_path / "jobs.db").open(0.0, "boot")


def test_one_that_fails_undoes_nothing_of_the_others(path):
    def fail():
        with pytest.raises(ZeroDivisionError):
            engine._write(lambda base: base.execute("DELETE FROM jobs") and 1 / 0)

    with opened(path) as engine:
        greenlets = []
        for number in range(50):
            greenlets.append(gevent.spawn(put, engine, f"{number}"))
            greenlets.append(gevent.spawn(fail))
        gevent.joinall(greenlets, raise_error=True)
        assert engine.counts().states == {JobState.WAITING: 50}


def test_questions_do_not_wait_for_what_is_stored(path):
    with (
        opened(path) as engine,
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        put(engine, "a")
        other.execute("BEGIN IMMEDIATE")
        waiting = gevent.spawn(put, engine, "b")
        assert engine.status("a").state is JobState.WAITING
        assert engine.next_due(-1.0) == 0.0
        assert engine.counts().states == {JobState.WAITING: 1}
        other.execute("COMMIT")
        assert waiting.get(timeout=5) == [True]


def fill(engine, queues):
    """Put many jobs in, each queue as many as the others, quicker than by `put`."""
    put(engine, "template", due=0.0, queue="template")

    def copy(base):
        for column in ("record", "arguments"):
            assert base.execute(f"SELECT {column} FROM jobs").fetchone()
        base.execute(
            """
            WITH RECURSIVE numbers (n) AS (
                SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :many - 1)
            INSERT INTO jobs (id, queue, priority, due, is_due, follows_clock, client,
                keeps_result, result_ttl, record, arguments)
            SELECT 'filled' || n,
                CASE WHEN n % :queues THEN 'queue' || (n % :queues) END,
                n % 7, n % 3 - 1, n % 3 < 2, 0, 'ann', 1, 60, record, arguments
            FROM numbers, jobs WHERE id = 'template'
            """,
            {"many": MANY, "queues": queues},
        )

    engine._write(copy)
    engine.cancel("template", now=0.0)


def steps(engine, operation):
    """Instructions of SQLite's machine that an operation takes, in tens."""
    count = 0

    def tell():
        nonlocal count
        count += 1

    engine._write(lambda base: base.set_progress_handler(tell, 10))
    operation()
    engine._write(lambda base: base.set_progress_handler(None, 10))
    return count


@pytest.mark.parametrize("queues", [2, 50])
def test_those_who_wait_do_not_slow_those_who_run(path, queues):
    def turn():
        put(engine, "mine", due=1.0, queue="mine", priority=9)
        (mine,) = claim(engine, 1)
        end(engine, [mine])
        engine.purge(now=1e9)

    def measure():
        turn()
        return min(steps(engine, turn) for _ in range(5))

    with opened(path) as engine:
        # As many queues as with those who wait, with a job each.
        for number in range(queues):
            put(engine, f"one{number}", queue=f"queue{number}" if number else None)
        few = measure()
        fill(engine, queues)
        claim(engine, queues, runner="two")
        # What has become due meanwhile was put in order by this.
        assert claim(engine, 0) == []
        assert measure() <= 2 * few
        assert engine.counts().states[JobState.WAITING] > MANY - 2 * queues - 10


@pytest.mark.parametrize(
    "name",
    [
        *("AGAIN", "BEGIN_JOB", "END", "FIRST_BESIDE", "FIRST_OF_QUEUES", "FORGET"),
        *("GIVE_BACK", "HELD", "NEXT_DUE", "PROGRESS", "PROMOTE"),
    ],
)
def test_no_statement_of_a_job_looks_at_all_of_them(path, name):
    statement = getattr(sqlitestatements, name)
    given = dict.fromkeys(re.findall(r":(\w+)", statement))
    with opened(path) as engine:
        fill_a_little(engine)
        plan = engine._write(
            lambda base: base.execute(
                f"EXPLAIN QUERY PLAN {statement}",
                given or [None] * statement.count("?"),
            ).fetchall()
        )
    details = [row[3] for row in plan]
    looks = [detail for detail in details if " jobs " in f"{detail} "]
    assert looks
    for look in looks:
        # Of those that run there are few, and they have an index of their own.
        assert look.startswith("SEARCH") or look == "SCAN jobs USING INDEX running"


def fill_a_little(engine):
    for number in range(20):
        put(engine, f"{number}", queue=f"q{number % 3}", client="ann")
    end(engine, claim(engine))
    engine._write(lambda base: base.execute("ANALYZE").fetchall())


def test_what_has_just_ended_here_is_at_hand_until_it_is_forgotten(path):
    with opened(path) as engine, opened(path) as other:
        put(engine, "a", result_ttl=10.0)
        put(engine, "once", once=True)
        ending = Ending(JobState.DONE, result=b"r")
        claims = claim(engine)
        engine.finish({each.job.id: (1, ending) for each in claims}, now=2.0)
        for id_ in ("a", "once"):
            assert plain(engine.status(id_)) == plain(other.status(id_))
        # What is handed out once is asked for in the file, where the others look.
        assert other.take("once").result == b"r"
        assert engine.take("once").is_taken
        assert other.purge(now=12.0) == 1
        assert engine.purge(now=12.0) == 0
        assert engine.take("a") is engine.status("a") is None
        assert engine.has_expired("a")
