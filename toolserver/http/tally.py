"""How many connections each process has, of several that accept from one socket.

The system wakes all of them for a new connection, and as a rule it is the same one that
comes first: it would get nearly all connections, and with them the requests that follow
on them. So who has more than another one gives that one a moment to come first.
"""

from __future__ import annotations

import mmap
import os
from array import array
from tempfile import TemporaryFile
from typing import BinaryIO

__all__ = ["Tally", "make_tally"]

_SLOT = 4
_UNUSED = 2**32 - 1


def make_tally(slots: int) -> BinaryIO:
    """Make the memory that the processes share.

    Args:
        slots: How many processes there may be.

    Returns:
        An open file without a name, for them to inherit.
    """
    file = TemporaryFile()  # noqa: SIM115  # it is open as long as there are processes
    file.write(array("I", [_UNUSED] * slots).tobytes())
    file.flush()
    return file


class Tally:
    """One process's view of the numbers of connections.

    Args:
        descriptor: A descriptor of the shared memory.
        slot: The place of this process in it; None for one that only looks on.
    """

    def __init__(self, descriptor: int, slot: int | None = None) -> None:
        size = os.fstat(descriptor).st_size
        self._counts = memoryview(mmap.mmap(descriptor, size)).cast("I")
        self._slot = slot

    def tell(self, count: int) -> None:
        """Tell how many connections this process has."""
        if self._slot is not None:
            self._counts[self._slot] = count

    def leave(self) -> None:
        """Tell no more: this process accepts none, and another may have its place."""
        self._slot = None

    def clear(self, slot: int) -> None:
        """Take note that there is no process in a place."""
        self._counts[slot] = _UNUSED

    def has_fewer_elsewhere(self, count: int) -> bool:
        """Whether another process has fewer connections.

        Args:
            count: How many this one has.
        """
        return min(self._counts) < count
