"""The sums over the processes of a server, those that have ended included."""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from typing import BinaryIO

from toolserver.metrics.sheets import (
    COUNTER,
    Series,
    make_sheet,
    read_beat,
    read_series,
)

__all__ = ["SheetReader", "Totals", "sum_series"]

_Sums = dict[tuple[str, ...], list[float]]


def sum_series(series: Iterable[Series]) -> list[Series]:
    """Sum up series of the same key.

    Args:
        series: The series of one process or several.

    Returns:
        One of each key.
    """
    sums: _Sums = {}
    _add(sums, series)
    return [Series(key, values) for key, values in sums.items()]


class SheetReader:
    """A sheet that another process writes.

    Attributes:
        file: The memory, for that process to inherit.
    """

    def __init__(self) -> None:
        self.file: BinaryIO = make_sheet()
        self.memory = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)

    @property
    def beat(self) -> float:
        """When its loop last turned, by `time.monotonic`; 0 before it serves."""
        return read_beat(self.memory)

    def series(self) -> Iterable[Series]:
        """What the process has counted so far."""
        return read_series(self.memory)


class Totals:
    """Sums up what the workers count."""

    def __init__(self) -> None:
        self._running: list[SheetReader] = []
        self._ended: _Sums = {}

    def open(self) -> SheetReader:
        """Make the sheet of a process that is about to be started."""
        sheet = SheetReader()
        self._running.append(sheet)
        return sheet

    def close(self, sheet: SheetReader) -> None:
        """Keep the counts of a process that has ended, and forget what it was at.

        Args:
            sheet: Its sheet.
        """
        if sheet in self._running:
            self._running.remove(sheet)
            _add(self._ended, (each for each in sheet.series() if _lasts(each)))
            sheet.file.close()

    def series(self) -> list[Series]:
        """The sums as they are now; counts never go back."""
        sums = {key: list(values) for key, values in self._ended.items()}
        for sheet in self._running:
            _add(sums, sheet.series())
        return [Series(key, values) for key, values in sums.items()]


def _lasts(series: Series) -> bool:
    return series.key[0] == COUNTER


def _add(sums: _Sums, series: Iterable[Series]) -> None:
    for key, values in series:
        known = sums.get(key)
        if known is None or len(known) != len(values):
            sums[key] = values
        else:
            for place, value in enumerate(values):
                known[place] += value
