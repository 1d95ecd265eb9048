"""The seam between keys and where they are stored, with what was answered.

All stores obey one suite of tests. A store that works on disks lets the loop go on
meanwhile. Times come from the caller.

Where a bound is passed, the oldest answers are forgotten before their time: first those
of the same caller. Keys whose calls run are never forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from toolserver.idempotency.records import Finding, KeyUse

__all__ = ["KeyStore"]


class KeyStore(Protocol):
    """Stores keys and answers."""

    def open(self) -> None:
        """Open the store.

        Raises:
            StartError: It cannot be used.
        """
        ...

    def close(self) -> None:
        """Let go of the store, after all that was accepted is stored."""
        ...

    def begin(
        self, use: KeyUse, *, runner: str, now: float, lease: float, expires: float
    ) -> Finding:
        """Look a key up, and take it where it is free; of several at once one gets it.

        A key whose first request was broken off is taken by one that may repeat it.

        Args:
            use: The key and its request.
            runner: The process that would run it.
            now: The time.
            lease: Until when it would be the runner's, unless it asks for more.
            expires: When the key would be forgotten.

        Returns:
            The state of the key as it was, ``OPEN`` where the request has it now.

        Raises:
            TooMany: The caller has too many that run.
            Overload: There are too many that run, or nothing can be stored.
        """
        ...

    def finish(
        self, name: bytes, attempt: int, answer: bytes | None, *, expires: float
    ) -> bool:
        """Keep what was answered.

        Args:
            name: The key.
            attempt: The number that `begin` has told.
            answer: The answer; None for one that cannot be kept.
            expires: When it is forgotten.

        Returns:
            Whether it was kept; not where another request has the key meanwhile.
        """
        ...

    def release(self, name: bytes, attempt: int) -> None:
        """Forget a key, as nothing was done."""
        ...

    def extend(self, keys: Iterable[tuple[bytes, int]], lease: float) -> None:
        """Say until when keys are their runner's.

        Args:
            keys: Names, each with the number that `begin` has told.
            lease: Until when; in the past, the requests count as broken off.
        """
        ...

    def abandon(self, runner: str) -> None:
        """Let all requests of a process that has died count as broken off."""
        ...

    def purge(self, now: float) -> int:
        """Forget the keys whose time is over.

        Returns:
            How many there were.
        """
        ...
