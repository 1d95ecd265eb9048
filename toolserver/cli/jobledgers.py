"""Where the command about jobs looks: a running server, or the store of a home."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from toolserver import strictjson
from toolserver.bootid import boot_id
from toolserver.cli.group import Fail
from toolserver.client import RemoteToolserver
from toolserver.configuration import load
from toolserver.home import Home
from toolserver.jobs.clock import JobClock
from toolserver.jobs.engine import Engine
from toolserver.jobs.engines import make_engine
from toolserver.jobs.payload import read_error
from toolserver.jobs.records import JobState, JobStatus
from toolserver.jobs.telling import describe_job
from toolserver.plain import to_plain

__all__ = ["Ledger", "ServerLedger", "StoreLedger", "store_ledger"]


class Ledger(Protocol):
    """Knows jobs; what it tells of one is made of what JSON has."""

    def find(
        self, state: str | None, queue: str | None, limit: int
    ) -> list[dict[str, Any]]:
        """List jobs, the newest first."""

    def show(self, id: str) -> dict[str, Any]:
        """Tell all of a job."""

    def cancel(self, id: str) -> str:
        """Cancel a job; what becomes of it."""

    def retry(self, id: str) -> str:
        """Have a job made once more; what becomes of it."""

    def purge(self) -> int:
        """Forget jobs that were kept for long enough; how many."""


class ServerLedger:
    """The jobs of a running server that the caller may see.

    Args:
        server: The server.
    """

    def __init__(self, server: RemoteToolserver) -> None:
        self._server = server

    def find(
        self, state: str | None, queue: str | None, limit: int
    ) -> list[dict[str, Any]]:
        """List jobs, the newest first."""
        found: list[dict[str, Any]] = self._server.call(
            "system.jobs.list", state, queue, limit
        )
        return found

    def show(self, id: str) -> dict[str, Any]:
        """Tell all of a job that its caller may know."""
        return self._server.job(id).describe()

    def cancel(self, id: str) -> str:
        """Cancel a job."""
        job = self._server.job(id)
        return "cancelling" if job.cancel() and job.status == "running" else job.status

    def retry(self, id: str) -> str:
        """Have a job made once more."""
        job = self._server.job(id)
        return job.status if job.retry() else "done already"

    def purge(self) -> int:
        """Refuse: a server purges its jobs by itself."""
        raise Fail("purge works on the home's own store; leave out --url and --user")


class StoreLedger:
    """The jobs of a home's store; who may read it may see all.

    Args:
        engine: The store, open.
        clock: The clock of its jobs.
    """

    def __init__(self, engine: Engine, clock: JobClock) -> None:
        self._engine = engine
        self._clock = clock

    def find(
        self, state: str | None, queue: str | None, limit: int
    ) -> list[dict[str, Any]]:
        """List jobs, the newest first."""
        found = self._engine.find(
            state=None if state is None else JobState(state), queue=queue, limit=limit
        )
        return [self._told(status) for status in found]

    def show(self, id: str) -> dict[str, Any]:
        """Tell all of a job, with the traceback of its failure."""
        status = self._find(id)
        told = self._told(status)
        if status.error is not None:
            told["traceback"] = read_error(status.error).trace
        return told

    def cancel(self, id: str) -> str:
        """Cancel a job; what becomes of it."""
        status = self._find(id)
        if status.state.is_final:
            return f"{status.state.value} already"
        state = self._engine.cancel(id, now=self._clock.now())
        # The process that runs it sees it when it looks into the store next.
        return "cancelling" if state is JobState.RUNNING else str(state)

    def retry(self, id: str) -> str:
        """Have a job made once more; what becomes of it."""
        status = self._find(id)
        if status.state is JobState.DONE:
            return "done already"
        return str(self._engine.retry(id, now=self._clock.now()))

    def purge(self) -> int:
        """Forget jobs whose results were kept for long enough; how many."""
        return self._engine.purge(now=self._clock.now())

    def _find(self, id: str) -> JobStatus:
        status = self._engine.status(id)
        if status is None:
            is_gone = self._engine.has_expired(id)
            raise Fail(f"{id}: {'ended and forgotten' if is_gone else 'no such job'}")
        return status

    def _told(self, status: JobStatus) -> dict[str, Any]:
        told: dict[str, Any] = strictjson.decode(
            strictjson.encode(to_plain(describe_job(status, self._clock)))
        )
        return told


@contextmanager
def store_ledger(given: str | None) -> Iterator[StoreLedger]:
    """Open the store of a home.

    Args:
        given: The home as it was named on the command line, or None.

    Yields:
        Its jobs.

    Raises:
        Fail: The jobs of the home are in the memory of its server alone.
        StartError: The store cannot be used.
    """
    home = Home.find(given)
    home.check()
    settings = load(home.settings_file, environment=os.environ).settings.jobs
    if settings.engine == "memory":
        raise Fail(
            'jobs.engine is "memory": the server alone knows its jobs; ask it as a '
            "member of the group admin, with --user"
        )
    engine, clock = make_engine(settings, home), JobClock()
    clock.offset = engine.open(clock.true_offset, boot_id())
    try:
        yield StoreLedger(engine, clock)
    finally:
        engine.close()
