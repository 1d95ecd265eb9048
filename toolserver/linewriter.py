"""Appends lines to a file without ever holding up the event loop.

A line is put into a queue; a native thread of its own, which knows nothing of
greenlets, takes what has come together and writes it. So a full disk or a slow
terminal stalls no call, and lines get out even while a tool blocks the loop. When
the thread falls behind too far, or the disk is full, lines are dropped, counted and
reported.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gevent.monkey import get_original

from toolserver.errors import StartError

__all__ = ["LineWriter", "reopen_all"]

# What the patched process hides: queue, sleep and threads of the operating system.
_SimpleQueue: Any = get_original("queue", "SimpleQueue")
_start_thread: Any = get_original("_thread", "start_new_thread")
_allocate_lock: Any = get_original("_thread", "allocate_lock")
_sleep: Any = get_original("time", "sleep")

_BATCH_S = 0.05
_RETRY_S = 1.0

_writers: weakref.WeakSet[LineWriter] = weakref.WeakSet()


def reopen_all() -> None:
    """Let every log begin a file of its name anew, after a rotation."""
    for writer in list(_writers):
        writer.reopen()


def _as_line(message: str) -> str:
    moment = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"{moment} WARNING toolserver.logs: {message}\n"


class LineWriter:
    """Appends lines to a file, from a native thread of its own.

    Args:
        path: The file; it is made if need be.
        descriptor: An open file to write to instead, such as that of standard error.
        closes: Whether that file is closed in the end.
        bound: Lines that may wait; what comes beyond them is dropped.
        report_to: Where lost lines are reported; by default here.
        as_line: Makes a line of what is reported here.

    Attributes:
        lost: Lines that were dropped so far.

    Raises:
        StartError: The file cannot be opened.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        descriptor: int = -1,
        closes: bool = False,
        bound: int = 100_000,
        report_to: LineWriter | None = None,
        as_line: Callable[[str], str] = _as_line,
    ) -> None:
        self.lost = 0
        self._path = path
        self._closes = closes or path is not None
        self._bound = bound
        self._report_to = report_to or self
        self._as_line = as_line
        self._reported = 0
        self._reopens = False
        self._is_broken = False
        self._reason = "too many at once"
        self._descriptor = self._open() if path is not None else descriptor
        self._queue = _SimpleQueue()
        self._put = self._queue.put
        self._waiting = self._queue.qsize
        self._done = _allocate_lock()
        self._done.acquire()
        self._is_closed = False
        _writers.add(self)
        _start_thread(self._run, ())

    def warn(self, message: str) -> None:
        """Have a warning of the logs themselves written.

        Args:
            message: What has happened.
        """
        self.write(self._as_line(message))

    def write(self, line: str) -> None:
        """Have a line written soon; never waits.

        Args:
            line: The line, with its end.
        """
        if self._waiting() >= self._bound:
            self.lost += 1
        else:
            self._put(line)

    def reopen(self) -> None:
        """Write what follows to a file newly opened under the name."""
        if self._path is not None:
            self._reopens = True
            self._put("")

    def close(self, timeout: float = 5.0) -> None:
        """Write what is left and end.

        Args:
            timeout: Seconds that the writing may still take.
        """
        if not self._is_closed:
            self._is_closed = True
            _writers.discard(self)
            self._put(None)
            self._done.acquire(timeout=timeout)

    def _open(self) -> int:
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            return os.open(str(self._path), flags, 0o640)
        except OSError as error:
            raise StartError(
                f"{self._path}: cannot be written: {error.strerror}"
            ) from error

    def _run(self) -> None:
        goes_on = True
        while goes_on:
            lines = [self._queue.get()]
            if lines[0] is not None:
                _sleep(_BATCH_S)
            while self._queue.qsize():
                lines.append(self._queue.get())
            goes_on = None not in lines
            if self._reopens:
                self._replace()
            self._deliver([line for line in lines if line])
        if self._closes:
            os.close(self._descriptor)
        self._done.release()

    def _replace(self) -> None:
        self._reopens = False
        try:
            descriptor = self._open()
        except StartError as error:
            # Better into the old file than nowhere.
            self._report_to.warn(f"{error}; the old file goes on")
            return
        os.close(self._descriptor)
        self._descriptor = descriptor

    def _deliver(self, lines: list[str]) -> None:
        try:
            self._write("".join(lines))
        except OSError as error:
            self.lost += len(lines)
            self._reason = error.strerror or "failure"
            # Without a pause a full disk would keep a processor busy.
            _sleep(0 if self._is_closed else _RETRY_S)
            return
        if self.lost > self._reported:
            count, self._reported = self.lost - self._reported, self.lost
            name = self._path.name if self._path is not None else "standard error"
            self._report_to.warn(f"{name}: {count} lines lost: {self._reason}")

    def _write(self, text: str) -> None:
        data = memoryview(text.encode("utf-8", "backslashreplace"))
        if self._is_broken and data:
            data = memoryview(b"\n" + data)
        while data:
            written = os.write(self._descriptor, data)
            data = data[written:]
            self._is_broken = bool(data)
