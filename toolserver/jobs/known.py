"""Jobs of this process alone, as they are asked for by their ids.

Only those have an id whose id was asked for: most jobs are known by nobody else.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from toolserver.errors import JobExpired
from toolserver.jobs.handles import Job

__all__ = ["KnownJobs"]

#: Jobs that are kept after their ends; the oldest ones go first.
_MOST = 10_000


class KnownJobs:
    """Finds jobs by their ids, until some time after they have ended.

    Args:
        ttl: Seconds for which they are found after their ends.
        now: Tells the seconds of a clock that nobody sets.
    """

    def __init__(self, ttl: float, now: Callable[[], float] = time.monotonic) -> None:
        self._ttl = ttl
        self._now = now
        self._prefix = secrets.token_hex(8)
        self._count = 0
        self._jobs: dict[str, Job[Any]] = {}
        self._ended: deque[tuple[float, str]] = deque()

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: Job[Any]) -> str:
        """Give an id to a job.

        Args:
            job: The job, which has none.
        """
        self._count += 1
        id_ = f"{self._prefix}{self._count:016x}"
        self._jobs[id_] = job
        return id_

    def note_end(self, id: str) -> None:
        """Keep a job for a while, as it has ended.

        Args:
            id: Its id.
        """
        now = self._now()
        self._ended.append((now + self._ttl, id))
        while self._ended[0][0] <= now or len(self._ended) > _MOST:
            del self._jobs[self._ended.popleft()[1]]
            if not self._ended:
                break

    def find(self, id: str) -> Job[Any] | None:
        """Find a job.

        Args:
            id: Its id.

        Returns:
            The job; None where the id is none of this process.

        Raises:
            JobExpired: It has ended and was forgotten.
        """
        found = self._jobs.get(id)
        if found is None and id.startswith(self._prefix):
            raise JobExpired(f"job {id[:64]}: ended and forgotten")
        return found
