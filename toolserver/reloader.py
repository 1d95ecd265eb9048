"""Watches files and tells when they have changed, by looking at them.

Looking needs nothing from the system and works on every kind of disk; it is done in
a native thread, so that a slow disk does not hold up the calls.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import gevent
from gevent.event import Event

__all__ = ["Watch"]

Snapshot = dict[str, tuple[int, int]]


class Watch:
    """Watches files, and the Python files below folders.

    Args:
        paths: Files and folders; they need not exist yet.
        interval: Seconds between two looks.
    """

    def __init__(self, paths: Iterable[Path], *, interval: float = 0.5) -> None:
        self._paths = list(paths)
        self._interval = interval
        self._seen = self._look()

    def wait(self, stopping: Event) -> list[Path]:
        """Wait for the next change, and until no more follow.

        Args:
            stopping: Ends the waiting.

        Returns:
            The files that were changed, made or removed; empty when it was ended.
        """
        before = self._seen
        while not stopping.wait(self._interval):
            now: Snapshot = gevent.get_hub().threadpool.apply(self._look)
            # An editor or a checkout that writes several files is let finish.
            if now == self._seen and now != before:
                return [
                    Path(path)
                    for path in sorted({*before, *now})
                    if before.get(path) != now.get(path)
                ]
            self._seen = now
        return []

    def _look(self) -> Snapshot:
        found: Snapshot = {}
        for file in self._files():
            try:
                status = os.stat(file)
            except OSError:
                continue
            found[file] = (status.st_mtime_ns, status.st_size)
        return found

    def _files(self) -> Iterator[str]:
        for path in self._paths:
            if not path.is_dir():
                yield str(path)
                continue
            for folder, folders, files in os.walk(path):
                folders[:] = [
                    name for name in folders if name[0] != "." and name != "__pycache__"
                ]
                for name in files:
                    if name.endswith(".py") and name[0] != ".":
                        yield os.path.join(folder, name)
