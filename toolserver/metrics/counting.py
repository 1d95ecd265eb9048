"""What one process counts, and how the whole server's counts are had."""

from __future__ import annotations

import logging
import os
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping

import gevent
import msgspec

from toolserver.errors import Overload
from toolserver.metrics.sheets import COUNTER, GAUGE, CountSheet, Series
from toolserver.metrics.totals import sum_series
from toolserver.sharing.link import Link
from toolserver.sharing.messages import Kind

__all__ = ["JOB_LATENESS", "LATENESS_BOUNDS_S", "LOOP_LAG", "Metrics"]

log = logging.getLogger("toolserver")

LOOP_LAG, JOB_LATENESS = "loop_lag_seconds", "job_lateness_seconds"
#: Upper bounds of the classes of times by which something was late, seconds.
LATENESS_BOUNDS_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 300.0)
#: Seconds between two looks at the gauges, and between two at the loop.
_GAUGES_S, _LAG_S = 1.0, 0.25
#: Seconds in which the master has to tell the sums.
_PATIENCE_S = 5.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Metrics:
    """Counts for one process, and knows the sums of all.

    Args:
        sheet: Where the process counts; by default it has a sheet of its own.
        link: The connection to the hub, where there are other processes.
        number: Its place among them.
    """

    def __init__(
        self,
        sheet: CountSheet | None = None,
        link: Link | None = None,
        number: int = 0,
    ) -> None:
        self.sheet = sheet or CountSheet()
        self._link = link
        self._number = str(number)
        self._gauges: dict[int, Callable[[], float]] = {}
        self._watcher: gevent.Greenlet[..., None] | None = None
        self._lag = self._open_lateness(LOOP_LAG)
        self._job_lateness = self._open_lateness(JOB_LATENESS)
        own = {"memory_bytes": _resident_bytes, "start_time_seconds": _now(time.time())}
        self.watch(GAUGE, own)
        self.watch(COUNTER, {"cpu_seconds": time.process_time})

    def watch(self, kind: str, sources: Mapping[str, Callable[[], float]]) -> None:
        """Ask for numbers once a second.

        Args:
            kind: `COUNTER` for what only grows, which is summed up; `GAUGE` for what
                is told of each process by itself.
            sources: What gives each number, by the names of metrics.
        """
        labels = (self._number,) if kind == GAUGE else ()
        for name, source in sources.items():
            place = self.sheet.open(kind, name, *labels)
            if place is not None:
                self._gauges[place] = source

    def start(self) -> None:
        """Begin to watch."""
        self._watcher = gevent.spawn(self._watch)

    def close(self) -> None:
        """Watch no longer."""
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher = None

    def note_job(self, late: float) -> None:
        """Count a job that begins.

        Args:
            late: How many seconds after it was due.
        """
        self._note(self._job_lateness, max(0.0, late))

    def series(self) -> list[Series]:
        """What all processes of the server have counted, also those that have ended.

        Raises:
            Overload: The master does not answer, or has gone.
        """
        self._refresh()
        if self._link is None:
            return sum_series(self.sheet.series())
        try:
            with gevent.Timeout(_PATIENCE_S):
                answer = self._link.request(Kind.SURVEY)
        except gevent.Timeout:
            raise Overload("the master process does not answer") from None
        return msgspec.convert(answer[1], list[Series])

    def _watch(self) -> None:
        looked = 0.0
        while True:
            expected = time.monotonic() + _LAG_S
            gevent.sleep(_LAG_S)
            now = time.monotonic()
            self._note(self._lag, max(0.0, now - expected))
            if now - looked >= _GAUGES_S:
                looked = now
                try:
                    self._refresh()
                except Exception:
                    log.exception("metrics: what is counted cannot be had")

    def _refresh(self) -> None:
        values = self.sheet.values
        for place, source in self._gauges.items():
            values[place] = source()

    def _open_lateness(self, name: str) -> int:
        count = len(LATENESS_BOUNDS_S) + 2
        place = self.sheet.open(COUNTER, name, count=count)
        if place is None:
            raise ValueError(f"{name}: no room in the sheet, expected a new one")
        return place

    def _note(self, place: int, seconds: float) -> None:
        values = self.sheet.values
        values[place + bisect_left(LATENESS_BOUNDS_S, seconds)] += 1.0
        values[place + len(LATENESS_BOUNDS_S) + 1] += seconds


def _now(moment: float) -> Callable[[], float]:
    return lambda: moment


def _resident_bytes() -> float:
    """Memory of this process that is not swapped out."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return float(int(file.read().split()[1]) * _PAGE)
    except OSError:  # no Linux
        return 0.0
