"""How this process is just now, as its operators see it on the status page.

Nothing is noted down for it but the last errors: the rest is looked at when somebody
asks.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import gevent

__all__ = ["Problem", "RunningCall", "ServerStatus", "WorkerFacts"]

#: Errors that are remembered, and characters of each.
_ERRORS, _MESSAGE = 20, 500
#: How often, and for how many seconds, the loop is asked to be punctual.
_TRIES, _PAUSE_S = 3, 0.005


class RunningCall(Protocol):
    """What is shown of a call that runs."""

    @property
    def method(self) -> str:
        """Full name of the method, or verb and path of a request without a call."""

    @property
    def inside(self) -> str:
        """Full name of the innermost method that it calls, or empty."""

    @property
    def seconds(self) -> float | None:
        """Since when it runs; None where nobody knows."""

    @property
    def client(self) -> str | None:
        """The caller, or None for an anonymous one."""

    @property
    def protocol(self) -> str:
        """How it arrived; empty where it began inside."""

    @property
    def request_id(self) -> str:
        """The id of its request, as in the logs."""

    @property
    def at(self) -> str:
        """Where it stands: file, line and function."""


@dataclass(frozen=True)
class WorkerFacts:
    """A worker process.

    Attributes:
        pid: Its process.
        started: When it was started, seconds since 1970.
        restarts: How often one in its place has died.
    """

    pid: int
    started: float
    restarts: int


@dataclass(frozen=True)
class Problem:
    """An error of the log.

    Attributes:
        moment: When it was logged, seconds since 1970.
        message: What it says.
    """

    moment: float
    message: str


class ServerStatus:
    """Tells how this process is.

    Args:
        calls: Lists the calls that run, the longest first.
        numbers: Counts connections and the like, by what they are called.
        workers: Lists the worker processes; none where one process serves.
    """

    def __init__(
        self,
        calls: Callable[[], Sequence[RunningCall]],
        numbers: Callable[[], Mapping[str, str]],
        workers: Callable[[], Sequence[WorkerFacts]],
    ) -> None:
        self.began = time.time()
        self.calls = calls
        self.numbers = numbers
        self.workers = workers
        self._errors = _LastErrors()
        logging.getLogger("toolserver").addHandler(self._errors)

    @property
    def errors(self) -> list[Problem]:
        """The last errors of the log, the newest first."""
        return list(self._errors.kept)

    def loop_lag(self) -> float:
        """By how many seconds the event loop is late just now, the worst of a few."""
        worst = 0.0
        for _ in range(_TRIES):
            begin = time.perf_counter()
            gevent.sleep(_PAUSE_S)
            worst = max(worst, time.perf_counter() - begin - _PAUSE_S)
        return worst

    def close(self) -> None:
        """Remember no more errors."""
        logging.getLogger("toolserver").removeHandler(self._errors)


class _LastErrors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.kept: deque[Problem] = deque(maxlen=_ERRORS)

    def handle(self, record: logging.LogRecord) -> bool:
        """Keep a record, without a lock: it would bar native threads."""
        message = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            message += f": {type(error).__name__}: {error}"
        self.kept.appendleft(Problem(record.created, message[:_MESSAGE]))
        return True
