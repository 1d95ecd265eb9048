"""What is told of a running call to who waits for it: progress, and what it logs.

A call may tell more than its caller takes, and never waits for that: the newest
progress is kept, and of lines as many as fit.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from toolserver.subscribers import Subscriber

__all__ = ["CallNews", "LogLine", "Progress"]

#: News that are kept until they are taken.
_MOST = 100
#: Characters of a line that are told.
_LONGEST = 2000


@dataclass(frozen=True)
class Progress:
    """How much is done.

    Attributes:
        fraction: How much, from 0 to 1.
        text: What is being done.
    """

    fraction: float
    text: str


@dataclass(frozen=True)
class LogLine:
    """What a tool has logged.

    Attributes:
        level: Its level, as `logging` numbers it.
        logger: The logger.
        text: The message.
    """

    level: int
    logger: str
    text: str


class CallNews:
    """Collects the news of one call.

    Args:
        subscriber: Who waits for them; it gets this object when there are some.
    """

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._items: list[Progress | LogLine] = []
        self._latest: Progress | None = None
        self._dropped = 0
        self._is_told = False

    def tell_progress(self, fraction: float, text: str) -> None:
        """Tell of progress; never waits.

        Args:
            fraction: How much is done, from 0 to 1.
            text: What is being done.
        """
        told = Progress(fraction, text)
        if len(self._items) < _MOST:
            self._items.append(told)
        else:
            self._latest = told
        self._wake()

    def tell_line(self, level: int, logger: str, text: str) -> None:
        """Tell what was logged; never waits.

        Args:
            level: Its level, as `logging` numbers it.
            logger: The logger.
            text: The message.
        """
        if len(self._items) < _MOST:
            self._items.append(LogLine(level, logger, text[:_LONGEST]))
        else:
            self._dropped += 1
        self._wake()

    def take(self) -> list[Progress | LogLine]:
        """Take what was told since the last time, the oldest first."""
        taken, self._items = self._items, []
        if self._dropped:
            text = f"{self._dropped} further lines were left out"
            taken.append(LogLine(logging.WARNING, "toolserver", text))
        if self._latest is not None:
            taken.append(self._latest)
        self._latest, self._dropped, self._is_told = None, 0, False
        return taken

    def _wake(self) -> None:
        # One mark for all of them, so that the outcome has its place behind it.
        if not self._is_told:
            self._is_told = True
            self._subscriber.put(self)
