"""A place for the uploaded files of one form: in memory if small, else on disk.

Whatever the number of files, what goes to disk goes to one temporary file, as open
files are scarce: a form of small parts must not take them all.
"""

from __future__ import annotations

import io
import logging
import os
import tempfile
from typing import IO

from toolserver.errors import Overload

__all__ = ["Spool"]

log = logging.getLogger("toolserver.http")


class Spool:
    """Takes the files of a form, one after the other.

    Args:
        memory: Bytes of a file up to which it stays in memory.
    """

    __slots__ = ("_disk", "_memory", "_parts", "_size", "_start")

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._disk: _Disk | None = None
        self._parts: io.BytesIO | None = io.BytesIO()
        # Of the file that is being written.
        self._size = 0
        self._start = 0

    def write(self, data: bytes) -> None:
        """Append to the file that is being written.

        Raises:
            Overload: There is no room on disk, or no more file can be opened.
        """
        self._size += len(data)
        if self._parts is not None:
            if self._size <= self._memory:
                self._parts.write(data)
                return
            data = self._parts.getvalue() + data
            self._parts = None
        try:
            if self._disk is None:
                self._disk = _Disk()
            self._disk.append(data)
        except OSError as error:
            log.error("cannot keep an uploaded file: %s", error.strerror)
            raise Overload("form: no room for uploaded files now") from error

    def finish(self) -> IO[bytes]:
        """End the file that is being written, and begin the next one.

        Returns:
            Its content, open for reading at its start.
        """
        size, self._size = self._size, 0
        parts, self._parts = self._parts, io.BytesIO()
        if parts is not None or self._disk is None:
            content = parts if parts is not None else io.BytesIO()
            content.seek(0)
            return content
        start, self._start = self._start, self._disk.size
        return io.BufferedReader(_Span(self._disk, start, size))


class _Disk:
    """A temporary file that is closed with the last reference to it."""

    __slots__ = ("_file", "size")

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # see __del__
        self.size = 0

    def __del__(self) -> None:
        file = getattr(self, "_file", None)
        if file is not None:
            file.close()

    def append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file.fileno(), view, self.size)
            self.size += written
            view = view[written:]

    def read(self, size: int, offset: int) -> bytes:
        return os.pread(self._file.fileno(), size, offset)


class _Span(io.RawIOBase):
    """One file of several on a disk."""

    def __init__(self, disk: _Disk, start: int, size: int) -> None:
        self._disk: _Disk | None = disk
        self._start = start
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}
        position = origin[whence] + offset
        if position < 0:
            raise ValueError(f"seek: got {position}, expected 0 or more")
        self._position = position
        return position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what io passes
        if self._disk is None:
            raise ValueError("read of a closed file")
        left = max(0, self._size - self._position)
        data = self._disk.read(min(len(buffer), left), self._start + self._position)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        # The last one to go takes the temporary file along.
        self._disk = None
        super().close()
