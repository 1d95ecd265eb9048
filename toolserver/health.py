"""Whether a server process is well, for those who send it requests or start it anew."""

from __future__ import annotations

import logging
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gevent
from gevent.lock import RLock

from toolserver.jobs.scheduler import Scheduler

__all__ = ["Health"]

log = logging.getLogger("toolserver")

#: Seconds for which what was found of the store holds, however often somebody asks.
_HOLDS_S = 1.0
#: Seconds in which the store has to answer.
_PATIENCE_S = 2.0
_PROBE = b"written to see whether it can be\n" * 32


class Health:
    """Knows whether this process can take requests.

    Args:
        folder: Where the server keeps its state.
        jobs: Where jobs are stored.

    Attributes:
        since: When it began to serve; empty before.
        is_leaving: Whether it is about to end, so that requests should go elsewhere.
    """

    def __init__(self, folder: Path, jobs: Scheduler) -> None:
        self.since = ""
        self.is_leaving = False
        self._file = folder / f".health-{os.getpid()}"
        self._jobs = jobs
        self._lock = RLock()
        self._looked = 0.0
        self._found = ""
        self._writing: Any = None

    def begin(self) -> None:
        """Take note that it serves."""
        self.since = datetime.now(UTC).isoformat(timespec="seconds")

    @property
    def start_problem(self) -> str:
        """What is to be waited for before it serves; empty if nothing."""
        return "" if self.since else "it has not started yet"

    def store_problem(self) -> str:
        """What keeps the server from writing down what it has to; empty if nothing."""
        # Whoever asks meanwhile gets the same answer.
        with self._lock:
            if not self._looked or time.monotonic() - self._looked > _HOLDS_S:
                found = self._look()
                if found and found != self._found:
                    log.error("the server is not ready: %s", found)
                self._found, self._looked = found, time.monotonic()
            return self._found

    def _look(self) -> str:
        try:
            with gevent.Timeout(_PATIENCE_S):
                self._write_file()
                self._jobs.engine.purge(now=self._jobs.clock.now())
        except gevent.Timeout:
            return f"the store has not answered for {_PATIENCE_S:g} s"
        except Exception as error:
            return f"the store cannot be written: {error}"
        return ""

    def _write_file(self) -> None:
        if self._writing is not None and not self._writing.ready():
            # One thread that waits for a disk is enough.
            raise OSError("the disk has not answered")
        self._writing = gevent.get_hub().threadpool.spawn(_write, self._file)
        self._writing.get()


def _write(file: Path) -> None:
    """In a native thread: write a file and delete it."""
    try:
        file.write_bytes(_PROBE)
    finally:
        file.unlink(missing_ok=True)
