"""Gives back the jobs of processes that have died, or show no life."""

from __future__ import annotations

import logging
import math

from toolserver.jobs.clock import JobClock
from toolserver.jobs.engine import Engine
from toolserver.jobs.records import JobState
from toolserver.jobs.runners import end_runner, is_alive
from toolserver.settings import JobSettings

__all__ = ["Recovery"]

log = logging.getLogger("toolserver.jobs")


class Recovery:
    """Looks after the runners of a store, on behalf of one of them.

    One whose process has died has left its jobs at once. One that lives but has let its
    lease end is ended before its jobs are others': it would go on where it was
    stopped, beside them. That is done only by one who was there all the time and could
    write to the store: where all were stopped, or the disk was full, nobody is to
    blame.

    Args:
        engine: The store.
        clock: The clock of jobs.
        settings: How long leases last.
        runner: On whose behalf.
    """

    def __init__(
        self, engine: Engine, clock: JobClock, settings: JobSettings, runner: str
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._settings = settings
        self._runner = runner
        self._looked = -math.inf
        self._patient_until = 0.0

    def recover(self) -> list[tuple[str, JobState]]:
        """Give back the jobs of runners that are gone.

        Returns:
            The ids, each with its new state.

        Raises:
            JobNotStored: The store cannot be written to.
        """
        now = self._clock.now()
        if now - self._looked > self._settings.lease_timeout / 2:
            self._be_patient(now)
        self._looked = now
        leases = self._engine.runners()
        own = leases.pop(self._runner, None)
        gone = {runner for runner in leases if not is_alive(runner)}
        late = {runner for runner, lease in leases.items() if lease < now} - gone
        if late and self._may_judge(now, own):
            gone |= {runner for runner in late if self._end(runner)}
        if not gone:
            return []
        return self._engine.recover(
            gone, now=now, max_attempts=self._settings.max_attempts
        )

    def _may_judge(self, now: float, own: float | None) -> bool:
        """Whether others could have kept their leases, as we could."""
        try:
            lease = now + self._settings.lease_timeout
            self._engine.beat(self._runner, {}, lease=lease)
        except Exception:
            self._be_patient(now)
            raise
        if own is None or own < now:
            self._be_patient(now)
        return now >= self._patient_until

    def _be_patient(self, now: float) -> None:
        # Leases are renewed after a third of their time.
        self._patient_until = now + self._settings.lease_timeout / 2

    def _end(self, runner: str) -> bool:
        if not end_runner(runner):
            return False
        log.error("process of %s shows no life: it was ended", runner)
        return True
