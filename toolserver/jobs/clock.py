"""The clock of jobs: it reads like the time of day and goes on evenly.

Who sets the clock of the machine shall not make leases end or pauses last for hours.
So jobs go by the machine's monotonic clock, to which all processes of a store add the
same offset. Jobs for a time of day are moved when that clock and the time of day part.
"""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["JobClock"]


class JobClock:
    """Tells the time of jobs.

    Args:
        wall: Tells the time of day, seconds since the epoch.
        monotonic: Tells the seconds of a clock that nobody sets; the same in all
            processes of the machine.

    Attributes:
        offset: What is added to the monotonic clock.
        shifted: By how many seconds the time of day is ahead of this clock, as far as
            the jobs that wait for one know.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._ahead = 0.0
        self.offset = self.true_offset
        self.shifted = 0.0

    @property
    def true_offset(self) -> float:
        """Seconds since the epoch minus those of the monotonic clock, just now."""
        return self._wall() - self._monotonic()

    def now(self) -> float:
        """The time of jobs."""
        return self._monotonic() + self._ahead + self.offset

    def wall(self) -> float:
        """The time of day: seconds since the epoch."""
        return self._wall() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let time pass, for tests.

        Args:
            seconds: How much of it.
        """
        self._ahead += seconds

    def at(self, epoch: float) -> float:
        """When a time of day will be, on this clock.

        Args:
            epoch: Seconds since the epoch, as the machine's clock shows them now.
        """
        return epoch - self.wall() + self.now()
