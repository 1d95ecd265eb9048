"""Challenges that prove the knowledge of a secret which is never sent.

A challenge is a time and random bytes, with a mark that only who knows the secret can
make. So none has to be kept until it is answered, and nobody can fill the memory by
asking for them; what is kept are those that were answered rightly, until they expire.

The response is the HMAC-SHA-256 (RFC 2104) of the challenge under the secret, in
hexadecimal digits.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Any

from toolserver.errors import Overload, Unauthenticated

__all__ = ["Challenges", "respond"]

_MARK = b"toolserver challenge"
#: Answered challenges that are kept; each cost its caller a right answer.
_MOST = 100_000
_SCHEME = 'CRAM realm="toolserver"'


def respond(challenge: str, secret: str) -> str:
    """Answer a challenge.

    Args:
        challenge: The challenge.
        secret: The shared secret.

    Returns:
        The response.
    """
    return hmac.new(secret.encode(), challenge.encode(), hashlib.sha256).hexdigest()


class Challenges:
    """Makes challenges and checks what is answered to them.

    Args:
        secret: The shared secret.
        scope: What the challenges are for: those of others do not hold.
        lifetime: How long a challenge can be answered, seconds.
        allows_sha1: Whether HMAC-SHA-1 will do, for callers of old.
        clock: Tells the time in seconds since the epoch.
    """

    def __init__(
        self,
        secret: str,
        scope: str,
        *,
        lifetime: float = 300.0,
        allows_sha1: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secret = secret
        self._key = hmac.digest(secret.encode(), _MARK + scope.encode(), hashlib.sha256)
        self._lifetime = lifetime
        self._allows_sha1 = allows_sha1
        self._clock = clock
        # In the order in which they were answered, which is nearly that of their ends.
        self._answered: dict[str, float] = {}

    def make(self) -> str:
        """Make a challenge.

        Returns:
            Letters, digits and dots.
        """
        content = f"{int(self._clock() * 1000):x}.{secrets.token_hex(16)}"
        return f"{content}.{self._mark(content)}"

    def check(self, token: Any) -> None:
        """Make sure that somebody knows the secret; a challenge holds once.

        Args:
            token: The challenge and the response, as they arrived.

        Raises:
            Unauthenticated: They are malformed, expired, used or wrong.
            Overload: Too many were answered within their lifetime.
        """
        if not (
            isinstance(token, (list, tuple))
            and len(token) == 2
            and all(isinstance(part, str) and len(part) <= 200 for part in token)
        ):
            raise Unauthenticated(
                "token: expected a challenge and its response", challenge=_SCHEME
            )
        challenge, response = token
        until = self._end_of(challenge)
        if until is None or not self._is_right(challenge, response):
            raise Unauthenticated("token: wrong", challenge=_SCHEME)
        now = self._clock()
        if now > until:
            raise Unauthenticated("token: expired", challenge=_SCHEME)
        if challenge in self._answered:
            raise Unauthenticated("token: used before", challenge=_SCHEME)
        if len(self._answered) >= _MOST:
            self._forget(now)
            if len(self._answered) >= _MOST:
                # To forget one that lives would let it be used again.
                raise Overload("too many challenges were answered")
        # From the look to here nothing waits: no other call comes in between.
        self._answered[challenge] = until

    def _mark(self, content: str) -> str:
        return hmac.new(self._key, content.encode(), hashlib.sha256).hexdigest()[:32]

    def _end_of(self, challenge: str) -> float | None:
        """When a challenge ends; None if it is none of ours."""
        content, _, mark = challenge.rpartition(".")
        # Compared as bytes: text has to be ASCII.
        expected = self._mark(content).encode()
        if not hmac.compare_digest(expected, mark.encode("utf-8", "replace")):
            return None
        return int(content.partition(".")[0], 16) / 1000 + self._lifetime

    def _is_right(self, challenge: str, response: str) -> bool:
        given = response.lower().encode("utf-8", "replace")
        expected = respond(challenge, self._secret).encode()
        is_right = hmac.compare_digest(expected, given)
        if self._allows_sha1:
            old = hmac.new(self._secret.encode(), challenge.encode(), hashlib.sha1)
            is_right |= hmac.compare_digest(old.hexdigest().encode(), given)
        return is_right

    def _forget(self, now: float) -> None:
        live = {each: until for each, until in self._answered.items() if until >= now}
        self._answered = live
