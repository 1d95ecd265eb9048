"""Challenges that prove the knowledge of a secret which is never sent.

A challenge is a time and random bytes, with a mark that only who knows the secret can
make. So none has to be kept until it is answered, and nobody can fill the memory by
asking for them; what is kept are those that were answered rightly, until they expire.
They are kept where the nonces of signatures are: what was answered in one process of a
server is known to all of them, and to those that are started later.

The response is the HMAC-SHA-256 (RFC 2104) of the challenge under the secret, in
hexadecimal digits.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from toolserver.auth.profile import AHEAD
from toolserver.errors import Overload, Unauthenticated

if TYPE_CHECKING:
    # Callers answer challenges by this module, too, and need no database for it.
    from toolserver.auth.nonces import Nonces

__all__ = ["Challenges", "respond"]

_MARK = b"toolserver challenge"
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
        memory: Opens the memory of those that were answered; gives the same one each
            time.
        lifetime: How long a challenge can be answered, seconds.
        allows_sha1: Whether HMAC-SHA-1 will do, for callers of old.
        clock: Tells the time in seconds since the epoch.
    """

    def __init__(
        self,
        secret: str,
        scope: str,
        memory: Callable[[], Nonces],
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
        self._memory = memory
        # Clients cannot take this name for their keys, whose nonces are there, too.
        self._keyid = f"challenges:{scope}"

    def make(self) -> str:
        """Make a challenge.

        Returns:
            Letters, digits and dots.
        """
        # What was made before the memory begins could have been answered before.
        self._memory()
        content = f"{int(self._clock() * 1000):x}.{secrets.token_hex(16)}"
        return f"{content}.{self._mark(content)}"

    def check(self, token: Any) -> None:
        """Make sure that somebody knows the secret; a challenge holds once.

        Args:
            token: The challenge and the response, as they arrived.

        Raises:
            Unauthenticated: They are malformed, expired, used or wrong.
            Overload: Too many were answered within their lifetime, or the memory
                cannot be written.
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
        made = self._time_of(challenge)
        if made is None or not self._is_right(challenge, response):
            raise Unauthenticated("token: wrong", challenge=_SCHEME)
        until = made + self._lifetime
        memory = self._memory()
        # Our own clock made it: it may be as old as the memory itself.
        if self._clock() > until or made < memory.since - AHEAD:
            raise Unauthenticated("token: expired", challenge=_SCHEME)
        try:
            is_new = memory.store(self._keyid, challenge, math.ceil(until))
        except Overload:
            problem = "too many challenges were answered, or none can be remembered"
            raise Overload(problem) from None
        if not is_new:
            raise Unauthenticated("token: used before", challenge=_SCHEME)

    def _mark(self, content: str) -> str:
        return hmac.new(self._key, content.encode(), hashlib.sha256).hexdigest()[:32]

    def _time_of(self, challenge: str) -> float | None:
        """When a challenge was made; None if it is none of ours."""
        content, _, mark = challenge.rpartition(".")
        # Compared as bytes: text has to be ASCII.
        expected = self._mark(content).encode()
        if not hmac.compare_digest(expected, mark.encode("utf-8", "replace")):
            return None
        return int(content.partition(".")[0], 16) / 1000

    def _is_right(self, challenge: str, response: str) -> bool:
        given = response.lower().encode("utf-8", "replace")
        expected = respond(challenge, self._secret).encode()
        is_right = hmac.compare_digest(expected, given)
        if self._allows_sha1:
            old = hmac.new(self._secret.encode(), challenge.encode(), hashlib.sha1)
            is_right |= hmac.compare_digest(old.hexdigest().encode(), given)
        return is_right
