"""Where one process counts: a sheet of memory that others may read at any time.

The master of several workers keeps the sheet of each, so what a worker had counted is
there even when it was killed, to the last call. Numbers are only ever added to, in
place; series are only ever appended:

====== ============ =========================================================
offset size         meaning
====== ============ =========================================================
0      8            end of the last whole series, in words of 8 bytes
8      8            when the loop of the process last turned, seconds of the
                    monotonic clock; 0 before it serves
16     -            series, one after the other
====== ============ =========================================================

====== ============ =========================================================
offset size         meaning, within a series
====== ============ =========================================================
0      4            length of its key in bytes
4      4            number of its values
8      key, padded  the key, a list of texts in MessagePack: kind, name, labels
-      8 for each   the values, as doubles in the byte order of the machine
====== ============ =========================================================
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Iterator
from tempfile import TemporaryFile
from typing import BinaryIO, NamedTuple

import msgspec

__all__ = [
    "COUNTER",
    "GAUGE",
    "CountSheet",
    "Series",
    "make_sheet",
    "read_beat",
    "read_series",
]

#: Kinds of series: what only grows and outlives its process, and what is so just now.
COUNTER, GAUGE = "c", "g"
#: Bytes of a sheet, which bounds the number of series. Pages that nobody has written
#: to take no memory.
_SIZE = 2 * 2**20
_WORD = 8
_BEAT, _FIRST = 1, 2
_HEAD = struct.Struct("=II")
_END = struct.Struct("=Q")
_MOMENT = struct.Struct("=d")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[str, ...]).decode


class Series(NamedTuple):
    """A series of a sheet.

    Attributes:
        key: Its kind, its name and the values of its labels.
        values: Its numbers.
    """

    key: tuple[str, ...]
    values: list[float]


def make_sheet() -> BinaryIO:
    """Make the memory of a sheet that two processes share.

    Returns:
        An open file without a name, for one of them to inherit.
    """
    file = TemporaryFile()  # noqa: SIM115  # it is open as long as there are processes
    file.truncate(_SIZE)
    return file


class CountSheet:
    """The sheet of this process.

    Args:
        descriptor: A descriptor of the memory; by default it has one of its own.

    Attributes:
        values: All words of the sheet as doubles; `open` tells which are whose.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        size = _SIZE if descriptor is None else os.fstat(descriptor).st_size
        self.memory = mmap.mmap(-1 if descriptor is None else descriptor, size)
        self.values = memoryview(self.memory).cast("d")
        self._words = size // _WORD
        self._end = _FIRST
        self._opened: dict[tuple[str, ...], int] = {}
        self._write_end()

    def open(self, kind: str, name: str, *labels: str, count: int = 1) -> int | None:
        """Find a series, or begin it.

        Args:
            kind: `COUNTER` or `GAUGE`.
            name: The name of the metric.
            *labels: The values of its labels.
            count: How many numbers it has.

        Returns:
            The place of its first number in `values`; None if the sheet is full.
        """
        key = (kind, name, *labels)
        found = self._opened.get(key)
        if found is not None:
            return found
        packed = _encode(key)
        first = self._end + 1 + _words(len(packed))
        if first + count > self._words:
            return None
        at = self._end * _WORD
        _HEAD.pack_into(self.memory, at, len(packed), count)
        self.memory[at + _WORD : at + _WORD + len(packed)] = packed
        self._end = first + count
        # Who reads meanwhile sees the series when it is whole.
        self._write_end()
        self._opened[key] = first
        return first

    def beat(self) -> None:
        """Tell that the loop of this process turns."""
        self.values[_BEAT] = time.monotonic()

    def series(self) -> Iterator[Series]:
        """All that was counted."""
        return read_series(self.memory)

    def _write_end(self) -> None:
        _END.pack_into(self.memory, 0, self._end)


def read_beat(memory: mmap.mmap) -> float:
    """When the loop of a process last turned, by `time.monotonic`; 0 before it serves.

    Args:
        memory: The memory of its sheet.
    """
    moment: float = _MOMENT.unpack_from(memory, _BEAT * _WORD)[0]
    return moment


def read_series(memory: mmap.mmap) -> Iterator[Series]:
    """Read a sheet, also while its process counts.

    Args:
        memory: The memory of the sheet.

    Yields:
        Each series.
    """
    values = memoryview(memory).cast("d")
    (end,) = _END.unpack_from(memory, 0)
    at = _FIRST
    while at < end:
        size, count = _HEAD.unpack_from(memory, at * _WORD)
        begin = (at + 1) * _WORD
        first = at + 1 + _words(size)
        key = _decode(memory[begin : begin + size])
        yield Series(key, [float(values[first + place]) for place in range(count)])
        at = first + count


def _words(size: int) -> int:
    return -(-size // _WORD)
