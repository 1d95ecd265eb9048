"""What really ran and when, as the calls themselves have written it down."""

from __future__ import annotations

import itertools
import sqlite3
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass, field

__all__ = ["JOBS", "Job", "Journal"]

#: A tool of which each call writes down when it begins and ends.
JOBS = '''
import os
import signal
import time

import gevent

from toolserver import StandardTool, progress, register


@register("one")
class One(StandardTool):
    def pid(self) -> int:
        return os.getpid()

    def record(self, name: str, seconds: float) -> str:
        self._write("begin", name)
        time.sleep(seconds)
        self._write("end", name)
        return name

    def hold_up(self, name: str, seconds: float) -> str:
        """Hold up the whole process."""
        self._write("begin", name)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass
        self._write("end", name)
        return name

    def wait(self, name: str) -> str:
        self._write("begin", name)
        for step in range(200):
            progress(step / 200, f"step {step}")
            gevent.sleep(0.1)
        return name

    def die(self, name: str) -> str:
        self._write("begin", name)
        os.kill(os.getpid(), signal.SIGKILL)
        gevent.sleep(10)

    def _write(self, word: str, name: str) -> None:
        line = f"{word} {self.namespace} {name} {time.monotonic()} {os.getpid()}\\n"
        with open(os.environ["JOURNAL"], "ab", buffering=0) as journal:
            journal.write(line.encode())

    def queue(
        self,
        name: str,
        priority: int = 0,
        seconds: float = 0.0,
        method: str = "record",
    ) -> str:
        args = [name, seconds] if method in ("record", "hold_up") else [name]
        return self.enqueue(priority, getattr(self, method), *args).id


@register("two")
class Two(One):
    pass
'''


@dataclass
class Call:
    """One call of a job: from when to when, and where; it may have no end."""

    queue: str
    name: str
    begin: float
    pid: int
    end: float | None = None


@dataclass
class Job:
    """A job as the store knows it; `started` is read on the monotonic clock."""

    number: int
    queue: str
    priority: int
    state: int
    attempts: int
    started: float | None


@dataclass
class Journal:
    """The calls of a server's jobs."""

    calls: list[Call] = field(default_factory=list)

    @classmethod
    def of(cls, home) -> Journal:
        """Read what was written down so far."""
        found = cls()
        running = {}
        path = home / "journal"
        for line in path.read_text().splitlines() if path.exists() else ():
            word, queue, name, when, pid = line.split()
            if word == "begin":
                call = Call(queue, name, float(when), int(pid))
                found.calls.append(call)
                running[queue, name, pid] = call
            else:
                running.pop((queue, name, pid)).end = float(when)
        found.calls.sort(key=lambda call: call.begin)
        return found

    def by_queue(self) -> dict[str, list[Call]]:
        """The calls of each queue as they began."""
        found = defaultdict(list)
        for call in self.calls:
            found[call.queue].append(call)
        return found

    def assert_one_at_a_time(self, killed: dict[int, float] | None = None) -> None:
        """No call of a queue begins before that before it has ended.

        Args:
            killed: When processes were killed: what they ran has ended by that.
        """
        for calls in self.by_queue().values():
            for before, after in itertools.pairwise(calls):
                end = before.end
                if end is None:
                    end = (killed or {})[before.pid]
                assert end <= after.begin, (before, after)


def jobs_of(home) -> dict[str, Job]:
    """All jobs of a server's store, by their ids."""
    with closing(sqlite3.connect(home / "var" / "jobs.db", timeout=20)) as base:
        (offset,) = base.execute("SELECT offset FROM clock").fetchone()
        rows = base.execute(
            "SELECT id, number, queue, priority, state, attempts, started FROM jobs"
        ).fetchall()
    return {
        id_: Job(*facts, None if started is None else started - offset)
        for id_, *facts, started in rows
    }
