"""The memory of numbers that were used once."""

import contextlib
import sqlite3
import stat
import subprocess
import sys

import pytest

from toolserver import bootid
from toolserver.auth import nonces
from toolserver.auth.nonces import Nonces
from toolserver.errors import Overload, StartError


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def memory(tmp_path, clock):
    """Opens the memory, as often as needed."""
    opened = []

    def memory(most=1000, since=30, name="nonces.db"):
        opened.append(Nonces(tmp_path / name, most=most, since=since, clock=clock))
        return opened[-1]

    yield memory
    for each in opened:
        each.close()


def test_a_nonce_is_new_once_for_each_key(memory):
    found = memory()
    assert not found.knows("ann", "a")
    assert found.store("ann", "a", 2000)
    assert found.knows("ann", "a")
    assert not found.store("ann", "a", 2000)
    assert found.store("bob", "a", 2000)
    assert found.store("ann", "A", 2000)


def test_the_memory_outlives_its_process(memory, tmp_path):
    first = memory(since=30)
    assert first.since == 30
    assert first.store("ann", "a", 2000)
    # Another process of the same server sees the same.
    second = memory(since=5000)
    assert second.since == 30
    assert not second.store("ann", "a", 2000)
    first.close()
    second.close()
    third = memory(since=9000)
    assert third.since == 30
    assert not third.store("ann", "a", 2000)
    assert stat.S_IMODE((tmp_path / "nonces.db").stat().st_mode) == 0o600


def test_a_process_that_is_killed_loses_nothing(memory, tmp_path):
    code = (
        "import os, sys, pathlib\n"
        "from toolserver.auth.nonces import Nonces\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "assert Nonces(path, most=9, since=7).store('ann', 'a', 2000)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "nonces.db"
    done = subprocess.run([sys.executable, "-c", code, path], timeout=30)
    assert done.returncode == -9
    found = memory(since=5000)
    assert found.since == 7
    assert not found.store("ann", "a", 2000)


def test_a_memory_from_before_the_machine_was_started_is_in_doubt(
    memory, tmp_path, monkeypatch
):
    memory(since=30).close()
    boot = tmp_path / "boot_id"
    boot.write_text("another\n")
    monkeypatch.setattr(bootid, "_BOOT", boot)
    assert memory(since=5000).since == 5000
    assert memory(since=9000).since == 5000
    # Where the system does not tell, it is always in doubt.
    boot.unlink()
    assert memory(since=9000).since == 9000
    assert memory(since=9500).since == 9500


def test_a_broken_memory_is_made_anew(memory, tmp_path, caplog):
    memory().close()
    (tmp_path / "nonces.db").write_bytes(b"no database at all" * 100)
    found = memory(since=5000)
    assert found.since == 5000
    assert found.store("ann", "a", 2000)
    assert "it is made anew" in caplog.text


def test_a_memory_that_another_process_does_not_let_go_of_takes_nothing(
    memory, tmp_path, monkeypatch
):
    monkeypatch.setattr(nonces, "_PATIENCE", 0.05)
    found = memory()
    with contextlib.closing(sqlite3.connect(tmp_path / "nonces.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Overload, match="cannot be remembered now"):
            found.store("ann", "a", 2000)
    assert found.store("ann", "a", 2000)


def test_a_memory_that_cannot_be_made_is_told(tmp_path):
    with pytest.raises(StartError, match=r"nonces\.db: cannot be used"):
        Nonces(tmp_path / "none" / "nonces.db", most=1, since=0)


def test_a_full_memory_refuses_and_drops_nothing(memory, clock):
    found = memory(most=3)
    for nonce in "abc":
        assert found.store("ann", nonce, 1100)
    for nonce in "dea":
        with pytest.raises(Overload, match="ann: too many signed requests"):
            found.store("ann", nonce, 1100)
    assert all(found.knows("ann", nonce) for nonce in "abc")
    # Others are not concerned.
    assert found.store("bob", "a", 1100)
    clock.now = 1102.0
    assert found.store("ann", "d", 1300)
    assert not found.store("ann", "d", 1300)


def test_a_clock_that_was_set_back_does_not_keep_a_memory_full(memory, clock, tmp_path):
    found = memory(most=1)
    assert found.store("ann", "a", 1100)
    with pytest.raises(Overload):
        found.store("ann", "b", 1100)
    clock.now -= 3600
    with sqlite3.connect(tmp_path / "nonces.db") as base:
        base.execute("DELETE FROM nonces")
    base.close()
    assert found.store("ann", "b", 1100)


def test_what_another_process_forgot_makes_room(memory, clock, tmp_path):
    found = memory(most=2)
    assert found.store("ann", "a", 1100)
    assert found.store("ann", "b", 1100)
    clock.now = 1102.0
    with sqlite3.connect(tmp_path / "nonces.db") as base:
        base.execute("DELETE FROM nonces")
    base.close()
    assert found.store("ann", "c", 1300)
    assert found.store("ann", "d", 1300)


def test_what_has_ended_is_forgotten_by_and_by(memory, clock, tmp_path):
    found = memory(most=10_000)
    for number in range(500):
        found.store("ann", f"{number}", 1100)
    clock.now = 1200.0
    for number in range(500, 1000):
        found.store("ann", f"{number}", 1500)
    with sqlite3.connect(tmp_path / "nonces.db") as base:
        rows = base.execute("SELECT count(*), min(until) FROM nonces").fetchone()
    base.close()
    assert rows == (500, 1500)


def test_a_process_may_open_it_twice_and_others_leave_it_alone(memory, tmp_path):
    first, second = memory(), memory()
    assert first.store("ann", "a", 2000)
    # Whoever believes to be the last one to close it removes what is beside the file.
    others = "import sqlite3, sys; base = sqlite3.connect(sys.argv[1]); "
    others += "base.execute('SELECT * FROM memory').fetchall(); base.close()"
    path = tmp_path / "nonces.db"
    subprocess.run([sys.executable, "-c", others, str(path)], check=True, timeout=50)
    assert path.with_name("nonces.db-wal").exists()
    assert second.store("ann", "b", 2000)
    assert memory().knows("ann", "b")
    assert first.knows("ann", "b")
