"""What the clients have seen, and what was done to the server meanwhile."""

from __future__ import annotations

import datetime
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Disturbance", "Failure", "Job", "Record"]

#: Wrong answers that are shown; more would tell nothing new.
_SHOWN = 100


@dataclass
class Disturbance:
    """Something that was done to the server.

    Attributes:
        kind: What it was.
        begin: When, on the monotonic clock.
        end: When the server was whole again.
    """

    kind: str
    begin: float
    end: float = float("inf")


@dataclass(frozen=True)
class Failure:
    """A request without an answer, which is excused if the server was disturbed.

    Attributes:
        client: Who asked.
        reason: What went wrong.
        since: When the connection was last known to be good.
        until: When the failure was noticed.
        text: The error in its own words.
    """

    client: str
    reason: str
    since: float
    until: float
    text: str


@dataclass
class Job:
    """A job that the server has accepted.

    Attributes:
        client: Who started it.
        name: The name that its call has to return.
        due: Not before this time of day may it begin; 0.0 for at once.
        accepted: When it was accepted, on the monotonic clock.
        is_done: Whether its result was seen.
    """

    client: str
    name: str
    due: float = 0.0
    accepted: float = field(default_factory=time.monotonic)
    is_done: bool = False


class Record:
    """Collects what all clients see.

    Attributes:
        answers: How many right answers each client has had.
        failures: Requests that were not answered.
        wrong: What was answered wrongly; there must be none.
        disturbances: What was done to the server.
        notes: Names of calls that were answered, with who made them.
        kept: Names of calls with a key that were answered.
        jobs: Jobs that were accepted, by their ids.
        attacks: What hostile clients did, and what they got.
    """

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.failures: list[Failure] = []
        self.wrong: list[str] = []
        self.disturbances: list[Disturbance] = []
        self.notes: dict[str, str] = {}
        self.kept: dict[str, str] = {}
        self.jobs: dict[str, Job] = {}
        self.attacks: Counter[tuple[str, str]] = Counter()

    def tell_wrong(self, text: str) -> None:
        """Note a wrong answer, and when it came."""
        if len(self.wrong) < _SHOWN:
            self.wrong.append(f"{datetime.datetime.now():%H:%M:%S} {text}")

    @contextmanager
    def disturbing(self, kind: str) -> Iterator[Disturbance]:
        """Note what is done to the server, until it is whole again."""
        found = Disturbance(kind, time.monotonic())
        self.disturbances.append(found)
        yield found
        found.end = time.monotonic()
