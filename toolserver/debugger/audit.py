"""Writes down who attaches, and each line that is typed, before it runs.

What is typed can change anything in the process: `logging` can be switched off, and all
descriptors can be closed. So nothing of this is kept: for each record the audit log is
opened anew, by functions that were taken from the system when this module was imported,
and what cannot be written down is not run. That holds against mistakes. Code that sets
out to forge the log can, as whatever the user of the server may do it may do, too.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from toolserver.logs import AUDIT

__all__ = ["AuditTrail"]

log = logging.getLogger("toolserver.debugger")

_open, _write, _close = os.open, os.write, os.close
_time, _localtime, _strftime = time.time, time.localtime, time.strftime


class AuditTrail:
    """Appends records to the audit log.

    Args:
        path: The file.
    """

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = os.path.abspath(path)

    def note(self, who: str, text: str) -> None:
        """Write a record of what cannot be prevented; the error log has it otherwise.

        Args:
            who: See `record`.
            text: See `record`.
        """
        try:
            self.record(who, text)
        except OSError as error:
            log.error("debugger: %s: %s; not in the audit log: %s", who, text, error)

    def record(self, who: str, text: str) -> None:
        r"""Write a record; it is in the file when this returns.

        Args:
            who: The session, or who would have one.
            text: What happens; each of its lines becomes one of the log. What is not
                printable ASCII is written as in Python's own texts, such as ``\xfc``.

        Raises:
            OSError: It cannot be written.
        """
        now = _time()
        moment = _strftime("%Y-%m-%d %H:%M:%S", _localtime(now))
        head = f"{moment},{int(now % 1 * 1000):03d} INFO {AUDIT}: debugger: {who}: "
        rows = [row.encode("unicode_escape").decode() for row in text.split("\n")]
        data = memoryview("".join(f"{head}{row}\n" for row in rows).encode())
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = _open(self._path, flags, 0o640)
        try:
            while data:
                data = data[_write(descriptor, data) :]
        finally:
            _close(descriptor)
