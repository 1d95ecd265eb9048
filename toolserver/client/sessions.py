"""The session of a client: after one signed call the next ones need no signature."""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import dataclass, field
from typing import ClassVar

from toolserver.auth.sessionkeys import Grant, Numbered, SessionKeys

__all__ = ["ClientSession", "SessionHolder"]


@dataclass(frozen=True)
class ClientSession:
    """A session that was granted.

    Attributes:
        id: Its id.
        keys: Its keys.
        ends: Until when it is used, on the monotonic clock, seconds.
    """

    id: str
    keys: SessionKeys
    ends: float
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _pid: int = field(default_factory=lambda: os.getpid())

    @property
    def is_usable(self) -> bool:
        """Whether it has not ended, and this process is the one that has opened it."""
        # After a fork both would use the same numbers, and a nonce of GCM twice.
        return time.monotonic() < self.ends and os.getpid() == self._pid

    def number(self) -> Numbered:
        """The number of the next request; no other one gets it."""
        # One step of C: no other thread comes in between.
        return Numbered(self.id, next(self._numbers))


class SessionHolder:
    """Keeps the session of a client, for all of its threads."""

    #: Seconds between two requests that ask for a session, and by which one is given up
    #: before the server does so.
    _PAUSE: ClassVar[float] = 1.0
    _MARGIN: ClassVar[float] = 10.0

    def __init__(self) -> None:
        self._session: ClientSession | None = None
        self._asks_next = 0.0

    @property
    def session(self) -> ClientSession | None:
        """The session, or None without one that can be used."""
        found = self._session
        if found is not None and not found.is_usable:
            self.forget(found)
            return None
        return found

    def asks(self) -> bool:
        """Whether the next request should ask for one; of many at once the first."""
        now = time.monotonic()
        if now < self._asks_next:
            return False
        self._asks_next = now + self._PAUSE
        return True

    def keep(self, grant: Grant, secret: bytes) -> None:
        """Use a session from now on.

        Args:
            grant: What the server grants.
            secret: What its keys are derived from.
        """
        lifetime = max(grant.lifetime - self._MARGIN, grant.lifetime / 2)
        keys = SessionKeys(secret, grant.session)
        ends = time.monotonic() + lifetime
        self._session = ClientSession(grant.session, keys, ends)

    def forget(self, session: ClientSession) -> None:
        """Use a session no longer, and ask for another one at once.

        Args:
            session: The session; that which is used by now may be another one.
        """
        if self._session is session:
            self._session = None
            self._asks_next = 0.0
