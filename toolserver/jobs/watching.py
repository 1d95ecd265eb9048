"""Who waits for the end of jobs, or wants to be told of their changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from toolserver.bus import Bus

__all__ = ["CHANGED", "JobWatch"]

#: Changes of jobs are told under it: id, state, fraction and text.
CHANGED = "jobs.changed"


class Told(Protocol):
    """Who is told of changes; never waits."""

    def put(self, item: Any) -> None:
        """Tell that a job has changed."""


class JobWatch:
    """Tells of the changes of single jobs, whoever asks for them.

    However many ask, the bus is listened to once, and each change is looked up once.
    """

    def __init__(self) -> None:
        self._told: dict[str, list[Told]] = {}
        self._unsubscribe: Callable[[], None] | None = None

    @contextmanager
    def watching(self, bus: Bus, id: str, told: Told) -> Iterator[None]:
        """Have somebody told of each change of a job.

        What is told is that there was one, several at once perhaps only once: the facts
        are in the store.

        Args:
            bus: The bus of the server.
            id: The job.
            told: Who is told, while the context lasts.
        """
        if self._unsubscribe is None:
            self._unsubscribe = bus.subscribe(CHANGED, self._tell)
        self._told.setdefault(id, []).append(told)
        try:
            yield
        finally:
            listening = self._told[id]
            listening.remove(told)
            if not listening:
                del self._told[id]
            if not self._told and self._unsubscribe is not None:
                self._unsubscribe()
                self._unsubscribe = None

    def _tell(self, change: Any) -> None:
        for told in list(self._told.get(change[0], ())):
            told.put(change)
