"""Which runners are given up, and which are given time."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.http.raw_http import wait_for
from toolserver.errors import JobNotStored
from toolserver.jobs.clock import JobClock
from toolserver.jobs.records import JobRecord, JobState
from toolserver.jobs.recovery import Recovery
from toolserver.jobs.runners import end_runner, is_alive, name_runner
from toolserver.jobs.sqlite import SQLiteEngine
from toolserver.settings import JobSettings

SETTINGS = JobSettings(lease_timeout=10.0)


class Process:
    """Another process, which claims a job by our hand."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1)
        self.runner = name_runner(self.process.pid)

    def claim(self, store, id_):
        now = store.clock.now()
        store.put([JobRecord(id=id_, method="x.y", created=now, due=now)])
        (claim,), _ = store.engine.claim(self.runner, 1, now=now, lease=now + 10.0)
        return claim

    @property
    def is_alive(self):
        return self.process.poll() is None

    def close(self):
        self.process.kill()
        self.process.communicate()


class Store:
    def __init__(self, path):
        # It stands still but for what a test lets pass: the disk may take its time.
        self.clock = JobClock(wall=lambda: 1.8e9, monotonic=lambda: 1000.0)
        self.engine = SQLiteEngine(path)
        self.engine.open(self.clock.offset, "boot")
        self.put = self.engine.put
        self.runner = name_runner()
        self.recovery = Recovery(self.engine, self.clock, SETTINGS, self.runner)

    def pass_time(self, seconds):
        """Let time pass while we look after others all the time."""
        found = []
        for _ in range(seconds):
            self.clock.advance(1.0)
            self.engine.beat(self.runner, {}, lease=self.clock.now() + 10.0)
            found += self.recovery.recover()
        return found

    def state(self, id_):
        return self.engine.status(id_).state


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "jobs.db")
    yield made
    made.engine.close()


@pytest.fixture
def other():
    made = Process()
    yield made
    made.close()


def test_the_jobs_of_the_dead_are_given_back_at_once(store, other):
    other.claim(store, "a")
    assert store.recovery.recover() == []
    # Nobody waits for it so far: a zombie is dead.
    other.process.kill()
    wait_for(lambda: not is_alive(other.runner))
    assert store.recovery.recover() == [("a", JobState.WAITING)]


def test_who_shows_no_life_is_ended_first(store, other):
    other.claim(store, "a")
    assert store.pass_time(6) == []
    assert other.is_alive
    os.kill(other.process.pid, signal.SIGSTOP)
    assert store.pass_time(5) == [("a", JobState.WAITING)]
    assert not other.is_alive


def test_who_was_stopped_with_others_gives_them_time(store, other):
    other.claim(store, "a")
    store.pass_time(1)
    # Nobody looked meanwhile.
    store.clock.advance(60.0)
    assert store.recovery.recover() == []
    store.engine.beat(other.runner, {}, lease=store.clock.now() + 10.0)
    assert store.pass_time(6) == []
    assert other.is_alive
    assert store.pass_time(6) == [("a", JobState.WAITING)]


def test_nobody_is_ended_while_leases_cannot_be_stored(store, other):
    other.claim(store, "a")
    store.pass_time(6)

    def forbid(base):
        base.set_authorizer(
            lambda action, *_: (
                sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_INSERT else 0
            )
        )

    def allow(base):
        base.set_authorizer(None)

    store.engine._write(forbid)
    for _ in range(30):
        store.clock.advance(1.0)
        with suppress(JobNotStored):
            assert store.recovery.recover() == []
    assert other.is_alive
    store.engine._write(allow)
    # As soon as they can be, others need a while to renew theirs.
    assert store.pass_time(4) == []
    assert other.is_alive
    assert store.pass_time(4) == [("a", JobState.WAITING)]


def test_a_process_that_executed_itself_anew_does_not_end_itself(store):
    before = name_runner()
    now = store.clock.now()
    store.put([JobRecord(id="a", method="x.y", created=now, due=now)])
    store.engine.claim(before, 1, now=now, lease=now + 10.0)
    assert store.pass_time(6) == []
    assert store.pass_time(6) == [("a", JobState.WAITING)]
    assert store.state("a") is JobState.WAITING


def test_a_pid_of_another_process_is_left_alone(other):
    pid, _, rest = other.runner.partition("-")
    stranger = f"{pid}-1{rest}"
    assert not is_alive(stranger)
    assert end_runner(stranger)
    assert other.is_alive


def refuse(error):
    def refused(*args, **options):
        raise error

    return refused


@pytest.mark.parametrize(
    ("module", "name", "error"),
    [
        (os, "pidfd_open", OSError(errno.EMFILE, "too many open files")),
        (signal, "pidfd_send_signal", PermissionError(errno.EPERM, "not yours")),
    ],
)
def test_who_cannot_be_ended_keeps_its_jobs(
    store, other, monkeypatch, module, name, error
):
    other.claim(store, "a")
    with monkeypatch.context() as patched:
        patched.setattr(module, name, refuse(error))
        assert store.pass_time(12) == []
    assert other.is_alive
    assert store.state("a") is JobState.RUNNING
    assert store.pass_time(1) == [("a", JobState.WAITING)]
    assert not other.is_alive


def test_without_handles_of_processes_nobody_is_ended(other, monkeypatch):
    monkeypatch.delattr(os, "pidfd_open")
    assert not end_runner(other.runner)
    assert other.is_alive


@pytest.mark.parametrize(
    ("module", "name"), [(os, "pidfd_open"), (signal, "pidfd_send_signal")]
)
def test_who_ends_just_then_has_ended(other, monkeypatch, module, name):
    monkeypatch.setattr(module, name, refuse(ProcessLookupError(errno.ESRCH, "gone")))
    assert end_runner(other.runner)


def test_without_a_proc_file_system_a_process_is_asked(other, monkeypatch):
    runner = f"{other.process.pid}--abcd"
    monkeypatch.setattr(Path, "read_text", refuse(FileNotFoundError("/proc")))
    monkeypatch.setattr(os.path, "isdir", lambda path: False)
    assert name_runner(other.process.pid).startswith(f"{other.process.pid}--")
    assert is_alive(runner)
    with monkeypatch.context() as patched:
        # It is another user's.
        patched.setattr(os, "kill", refuse(PermissionError(errno.EPERM, "not yours")))
        assert is_alive(runner)
    other.close()
    assert not is_alive(runner)
