"""SQLite files that several open at once."""

import sqlite3
import time

import gevent
import pytest

from toolserver.jobs.sqlitestore import SQLiteStore
from toolserver.sqlitelocks import execute_patiently, is_locked


def connect(path):
    return sqlite3.connect(path, timeout=0, isolation_level=None)


def test_several_may_open_a_new_file_at_once(tmp_path):
    # SQLite itself does not wait here: about each tenth round failed.
    def prepare(base):
        base.execute("BEGIN IMMEDIATE")
        base.execute("CREATE TABLE IF NOT EXISTS rows (number INTEGER)")
        base.execute("COMMIT")

    settings = ("PRAGMA synchronous = OFF", "PRAGMA journal_mode = WAL")
    for number in range(100):
        stores = [
            SQLiteStore(tmp_path / f"{number}.db", settings=settings) for _ in range(3)
        ]
        opening = [gevent.spawn(store.open, prepare) for store in stores]
        gevent.joinall(opening, raise_error=True)
        for store in stores:
            store.close()


def test_a_locked_file_is_waited_for_while_others_go_on(tmp_path):
    owner, other = connect(tmp_path / "it.db"), connect(tmp_path / "it.db")
    owner.execute("BEGIN EXCLUSIVE")
    waiting = gevent.spawn(execute_patiently, other, "BEGIN IMMEDIATE", 30)
    gevent.sleep(0.1)
    assert not waiting.ready()
    owner.execute("ROLLBACK")
    waiting.get(30)
    assert other.in_transaction
    owner.close()
    other.close()


def test_patience_has_an_end_and_is_for_locks_alone(tmp_path):
    owner, other = connect(tmp_path / "it.db"), connect(tmp_path / "it.db")
    owner.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    with pytest.raises(sqlite3.OperationalError, match="locked") as caught:
        execute_patiently(other, "BEGIN IMMEDIATE", 0.1)
    assert is_locked(caught.value)
    assert time.monotonic() - began < 10
    with pytest.raises(sqlite3.OperationalError, match="syntax") as caught:
        execute_patiently(other, "BEGIN NOTHING", 30)
    assert not is_locked(caught.value)
    owner.close()
    other.close()
