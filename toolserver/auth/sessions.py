"""Requests of sessions: who has opened one need not sign each call.

A request is judged in this order: its field, whether the session is known and the key
of its client still the one under which it was opened, whether the body opens under the
key of the session, and at last whether its number is new. What a body says is looked at
by nobody before that.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import time
from collections.abc import Callable

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from toolserver.auth.answers import changed, gather
from toolserver.auth.base import Identity
from toolserver.auth.keys import PublicKey
from toolserver.auth.profile import authority
from toolserver.auth.sessionfile import SessionFile, Spent, StoredSession
from toolserver.auth.sessionkeys import (
    SESSION_FIELD,
    UNKNOWN,
    Grant,
    Numbered,
    SessionKeys,
    number_of,
    read_session,
)
from toolserver.errors import Conflict, Unauthenticated
from toolserver.message import Request, Response
from toolserver.nativethreads import offload

__all__ = ["OpenedBody", "Sessions"]

log = logging.getLogger("toolserver.auth")

#: The prefix of the protocol whose calls may be made in a session.
_PREFIX = "PYRPC"
_FIELD = SESSION_FIELD.title()
#: Up to this size a body is opened in less time than a thread would take, bytes.
_QUICK_SIZE = 256 * 1024
#: Sessions whose keys a process keeps at hand, and what one of them is bound to.
_KEPT, _BOUND = 4096, 16
_CHALLENGE = 'Session realm="toolserver"'


class OpenedBody(bytes):
    """The content of a body that was sealed under the key of a session."""

    __slots__ = ()


class _Session:
    """What a process has at hand of a session.

    Args:
        stored: The session.
    """

    __slots__ = ("bound", "key", "keys", "stored")

    def __init__(self, stored: StoredSession) -> None:
        self.stored = stored
        self.keys = SessionKeys(stored.secret, stored.id)
        self.key: PublicKey | None = None
        self.bound: dict[tuple[str, ...], bytes] = {}

    def belongs_to(self, key: PublicKey | None) -> bool:
        """Whether a key is the one under which it was opened.

        Args:
            key: The present key of the client.
        """
        if key is None:
            return False
        if key is not self.key:
            if _fingerprint(key) != self.stored.fingerprint:
                return False
            self.key = key
        return True

    def bound_to(self, request: Request) -> bytes:
        """What a request is bound to; most are like those before.

        Args:
            request: The request.
        """
        parts = (
            request.method,
            request.scheme,
            request.host,
            request.raw_path,
            request.query_string,
            request.headers.get("content-type", ""),
        )
        found = self.bound.get(parts)
        if found is None:
            if len(self.bound) >= _BOUND:
                self.bound.clear()
            method, scheme, host, path, query, kind = parts
            found = self.bound[parts] = SessionKeys.bound_to(
                method=method,
                authority=authority(host, scheme),
                path=path,
                query=query,
                kind=kind,
                sender=self.stored.client,
            )
        return found


class Sessions:
    """Opens sessions, and judges the requests of those that are open.

    Args:
        file: Where they are.
        find_key: Tells the present key of a client.
        clock: Tells the time in seconds since the epoch.
    """

    def __init__(
        self,
        file: SessionFile,
        find_key: Callable[[str], PublicKey | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._file = file
        self._find_key = find_key
        self._clock = clock
        self._known: dict[str, _Session] = {}

    def close(self) -> None:
        """Forget the keys; the file goes on to remember."""
        self._known.clear()
        self._file.close()

    def open(self, client: str, key: PublicKey, secret: bytes) -> Grant | None:
        """Begin a session.

        Args:
            client: The name of the client.
            key: The public key by which the client has proved who it is.
            secret: What the keys are derived from.

        Returns:
            The grant; None where there are too many sessions.
        """
        found = self._file.open(client, _fingerprint(key), secret)
        if found is None:
            log.warning("%s: no session, there are too many", client)
            return None
        return Grant(found, self._file.lifetime)

    def withdraw(self, client: str, refused: Numbered) -> None:
        """Make sure that a request has not been taken, and never will be.

        Args:
            client: The client that says that it was refused.
            refused: The request.

        Raises:
            Conflict: It was taken, or nobody knows any more.
        """
        stored = self._file.find(refused.session)
        if stored is None or stored.client != client:
            return
        if self._file.spend(stored, refused.number) is Spent.USED:
            raise Conflict("the call has been made already, its answer is lost")

    def authenticate(self, request: Request) -> Identity:
        """Judge a request of a session.

        Args:
            request: The request, which has a `SESSION_FIELD`.

        Returns:
            Who is calling, with what was sealed in the body.

        Raises:
            Unauthenticated: The session is not known or not the caller's, or the
                request was changed or repeated.
        """
        # Of several, the values are joined by commas, which no session has.
        field: str = request.headers[SESSION_FIELD]
        try:
            if request.raw_path[1:].partition("/")[0] != _PREFIX:
                raise ValueError(f"expected a path below /{_PREFIX}")
            id = read_session(field)
        except ValueError as error:
            raise _refusal(f"session: {error}") from error
        session = self._find(id)
        bound_to = session.bound_to(request)
        body, keys = request.body, session.keys
        try:
            number = number_of(body)
            content = (
                keys.open_request(body, bound_to)
                if len(body) <= _QUICK_SIZE
                else offload(keys.open_request, body, bound_to)
            )
        except ValueError as error:
            raise _refusal(f"session: the body {error}") from error
        spent = self._file.spend(session.stored, number)
        if spent is Spent.GONE:
            raise self._unknown(id)
        if spent is Spent.USED:
            raise _refusal("session: the number was used before")
        seal = functools.partial(_seal, keys, number, bound_to, field)
        return Identity(
            session.stored.client, "Session", content=OpenedBody(content), seal=seal
        )

    def _find(self, id: str) -> _Session:
        """A session that can be used.

        Raises:
            Unauthenticated: It is not known, has ended, or belongs to another key.
        """
        session = self._known.get(id)
        if session is None:
            stored = self._file.find(id)
            if stored is None:
                raise self._unknown(id)
            if len(self._known) >= _KEPT:
                self._known.clear()
            session = self._known[id] = _Session(stored)
        stored = session.stored
        if stored.ends <= self._clock() or not session.belongs_to(
            self._find_key(stored.client)
        ):
            raise self._unknown(id)
        return session

    def _unknown(self, id: str) -> Unauthenticated:
        self._known.pop(id, None)
        return Unauthenticated("session: not known", challenge=UNKNOWN)


def _seal(
    keys: SessionKeys, number: int, bound_to: bytes, field: str, response: Response
) -> Response:
    """Seal an answer; waits for one that is made piece by piece."""
    body = gather(response)
    if body is None:
        # The client takes nothing that is not sealed.
        return response
    fields = response.headers
    if len(fields) == 1 and fields[0][0] == "Content-Type":
        kind = fields[0][1]
    else:
        fields = [pair for pair in fields if pair[0].lower() != SESSION_FIELD]
        kinds = [value for name, value in fields if name.lower() == "content-type"]
        kind = ", ".join(map(str.strip, kinds))
    parts = body, number, bound_to, response.status, kind
    sealed = (
        keys.seal_answer(*parts)
        if len(body) <= _QUICK_SIZE
        else offload(keys.seal_answer, *parts)
    )
    return changed(response, sealed, [*fields, (_FIELD, field)])


def _fingerprint(key: PublicKey) -> bytes:
    octets = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(octets).digest()


def _refusal(message: str) -> Unauthenticated:
    return Unauthenticated(message, challenge=_CHALLENGE)
