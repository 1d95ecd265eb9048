"""Keys of who issues tokens, fetched from where they are published.

They are fetched in the background, again and again, and at once when a token names a
key that is not known: issuers replace their keys without asking. Strangers can name
keys, too, so that is done no more than twice a minute.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from typing import Any

import gevent
import requests
from urllib3.exceptions import HTTPError

from toolserver.auth.issueraddresses import is_safe
from toolserver.auth.jwks import KeySet, parse_keys
from toolserver.errors import StartError

__all__ = ["FetchedKeys"]

log = logging.getLogger("toolserver.auth")

#: Seconds between two attempts at least, and between two of which nobody is in need.
_PAUSE, _INTERVAL = 30.0, 600.0
#: Seconds that an attempt may take, and that a request waits for it.
_LONGEST, _PATIENCE = 10.0, 5.0
_LARGEST, _PIECE = 256 * 1024, 16384


class FetchedKeys:
    """The keys at an address; those that were fetched last hold.

    Args:
        url: The address, by ``https``, or by ``http`` on this machine.
        allowed: The algorithms that may be used.
        clock: Tells the time in seconds, from whenever.

    Raises:
        StartError: The address is none, or not safe.
    """

    def __init__(
        self,
        url: str,
        allowed: Collection[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not is_safe(url):
            raise StartError(
                f"auth.jwt_keys: got {url!r}, expected a file, an address by https, "
                "or one by http on this machine"
            )
        self._url = url
        self._allowed = allowed
        self._clock = clock
        self._known = KeySet()
        # When there may be an attempt, and when there has to be one.
        self._next = self._due = clock()
        self._attempt: gevent.Greenlet[..., None] | None = None
        self._failure = ""

    @property
    def are_known(self) -> bool:
        """Whether there are any by now."""
        return bool(self._known)

    def find(self, kid: str | None, algorithm: str) -> Any:
        """Find the key of a token, and look for it anew; see `IssuerKeys`."""
        found = self._known.find(kid, algorithm)
        if found is not None:
            return found
        # All who ask in the meantime wait for the same attempt.
        attempt = self._ask()
        if attempt is None:
            return None
        attempt.join(_PATIENCE)
        return self._known.find(kid, algorithm)

    def load(self) -> None:
        """Nothing is read yet: the server does not wait for others to start."""

    def refresh(self) -> None:
        """Fetch the keys if it is time."""
        if self._clock() >= self._due:
            self._ask()

    def close(self) -> None:
        """Stop fetching."""
        if self._attempt is not None:
            self._attempt.kill()

    def _ask(self) -> gevent.Greenlet[..., None] | None:
        """The running attempt, or a new one; None where it is too early for that."""
        if self._attempt is None and self._clock() >= self._next:
            self._next = self._due = self._clock() + _PAUSE
            self._attempt = gevent.spawn(self._fetch)
        return self._attempt

    def _fetch(self) -> None:
        try:
            with gevent.Timeout(_LONGEST, TimeoutError("no answer in time")):
                found = parse_keys(_get(self._url), self._allowed)
            if not found:
                raise ValueError("no key among them that can be used")
            self._known = found
        except (OSError, HTTPError, ValueError) as error:
            # What is wrong for hours is told once.
            if str(error) != self._failure:
                log.error("keys of %s cannot be fetched: %s", self._url, error)
            self._failure = str(error)
        else:
            self._failure = ""
            self._due = self._clock() + _INTERVAL
            log.info("keys of %s: fetched %d", self._url, len(self._known))
        finally:
            self._attempt = None


def _get(url: str) -> bytes:
    with requests.Session() as session:
        # Not what .netrc has for this host: nobody has to say who we are.
        session.auth = lambda request: request
        # On this machine there is no proxy in between.
        session.trust_env = url.startswith("https:")
        answer = session.get(
            url,
            headers={"Accept": "application/jwk-set+json, application/json"},
            timeout=_LONGEST,
            allow_redirects=False,
            stream=True,
        )
        with answer:
            if answer.status_code != 200:
                raise ValueError(f"got status {answer.status_code}, expected 200")
            pieces, size = [], 0
            for piece in answer.iter_content(_PIECE):
                size += len(piece)
                if size > _LARGEST:
                    raise ValueError(f"more than {_LARGEST} bytes")
                pieces.append(piece)
            return b"".join(pieces)
