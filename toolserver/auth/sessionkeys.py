"""The keys of a session: agreed once under signatures, then used for many messages.

A signed and sealed request asks for a session, and its answer, signed and sealed,
grants it. Both sides derive a key for each direction from the key of that request. Each
later request has a number of its own, which is the nonce of GCM for it and for its
answer, so that no nonce is used twice and an answer belongs to one request. It goes in
front of the body, so that the heads of a client's requests are alike.

    ``Toolserver-Session: new``                        a signed request asks for one
    ``Toolserver-Session: new;instead="ID";n=7``       and was sent as that one before
    ``Toolserver-Session: "ID";lifetime=600``          a signed answer grants one
    ``Toolserver-Session: "ID"``                       a request, and its answer

    offset  size  meaning of the body of a request
    0       8     the number, the highest byte first
    8       ...   what is sealed, with the tag at its end; of an answer it is the whole

What it is bound to are the version, verb, authority, path,
query and content type of the request, the name of the client, the session and the
number; in an answer its status and content type besides.

Spec: RFC 9651 (structured fields), RFC 5869 (HKDF), NIST SP 800-38D (GCM).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from toolserver.auth.sealing import associated_data

__all__ = [
    "NEW",
    "SESSION_FIELD",
    "UNKNOWN",
    "Grant",
    "Numbered",
    "SessionKeys",
    "ask_instead",
    "number_of",
    "read_ask",
    "read_session",
    "write_session",
]

SESSION_FIELD = "toolserver-session"
#: What asks for a session.
NEW = "new"
#: What ``WWW-Authenticate`` tells who uses a session that is not known (any more).
UNKNOWN = 'Session realm="toolserver", error="unknown"'

_KEY_SIZE = 32
#: The nonce of GCM has 12 bytes, the number of a request 8 of them.
_FILL = bytes(4)
_NUMBER_SIZE, _TAG_SIZE = 8, 16
#: As many digits as an integer of a structured field may have.
_NUMBERED = re.compile(r'"([A-Za-z0-9_-]{24})";n=(0|[1-9][0-9]{0,14})')
_NAMED = re.compile(r'"([A-Za-z0-9_-]{24})"')
_GRANT = re.compile(r'"([A-Za-z0-9_-]{24})";lifetime=([1-9][0-9]{0,14})')


@dataclass(frozen=True, slots=True)
class Numbered:
    """One request of a session.

    Attributes:
        session: The id of the session.
        number: The number of the request.
    """

    session: str
    number: int

    def __str__(self) -> str:
        return f'"{self.session}";n={self.number}'

    @classmethod
    def read(cls, field: str) -> Numbered:
        """Read what a request says that is sent in its place.

        Args:
            field: The value of its parameter.

        Raises:
            ValueError: It is malformed.
        """
        found = _NUMBERED.fullmatch(field)
        if found is None:
            raise ValueError(f'{SESSION_FIELD}: expected "ID";n=NUMBER')
        return cls(found[1], int(found[2]))


@dataclass(frozen=True, slots=True)
class Grant:
    """A session that is granted.

    Attributes:
        session: The id of the session.
        lifetime: For how long it can be used, seconds.
    """

    session: str
    lifetime: int

    def __str__(self) -> str:
        return f'"{self.session}";lifetime={self.lifetime}'

    @classmethod
    def read(cls, field: str) -> Grant:
        """Read the field of an answer.

        Args:
            field: Its value.

        Raises:
            ValueError: It is malformed.
        """
        found = _GRANT.fullmatch(field)
        if found is None:
            raise ValueError(f'{SESSION_FIELD}: expected "ID";lifetime=SECONDS')
        return cls(found[1], int(found[2]))


def write_session(session: str) -> str:
    """The value of the field in a request of a session, and in its answer.

    Args:
        session: The id of the session.
    """
    return f'"{session}"'


def read_session(field: str) -> str:
    """Read the field of a request.

    Args:
        field: Its value.

    Returns:
        The id of the session.

    Raises:
        ValueError: It is malformed.
    """
    found = _NAMED.fullmatch(field)
    if found is None:
        raise ValueError(f'{SESSION_FIELD}: expected "ID"')
    return found[1]


def number_of(body: bytes) -> int:
    """The number of a request.

    Args:
        body: Its body.

    Raises:
        ValueError: It is too short to be one.
    """
    if len(body) < _NUMBER_SIZE + _TAG_SIZE:
        raise ValueError("cannot be opened")
    return int.from_bytes(body[:_NUMBER_SIZE], "big")


def ask_instead(refused: Numbered) -> str:
    """Ask for a session by a call that was refused in another one.

    Args:
        refused: The request that was refused. The server makes sure that it has not
            been taken after all: nobody has signed the refusal.
    """
    return f"{NEW};instead={refused}"


def read_ask(field: str) -> Numbered | None:
    """Read what a signed request says of sessions.

    Args:
        field: The value of its field, which asks for one.

    Returns:
        The request that was refused, if there was one.

    Raises:
        ValueError: It is malformed.
    """
    if field == NEW:
        return None
    head, found, rest = field.partition(";instead=")
    if head != NEW or not found:
        raise ValueError(f"{SESSION_FIELD}: expected {NEW!r}")
    return Numbered.read(rest)


class SessionKeys:
    """The two keys of a session.

    Args:
        secret: What `Sealed.session_secret` tells of the request that asked for it.
        session: The id.
    """

    __slots__ = ("_answers", "_requests")

    def __init__(self, secret: bytes, session: str) -> None:
        self._requests = _cipher(secret, session, b"requests")
        self._answers = _cipher(secret, session, b"answers")

    def seal_request(self, content: bytes, number: int, bound_to: bytes) -> bytes:
        """Seal a request.

        Args:
            content: Its body.
            number: Its number, another one each time.
            bound_to: What `bound_to` makes.
        """
        octets = number.to_bytes(_NUMBER_SIZE, "big")
        sealed = self._requests.encrypt(_FILL + octets, content, bound_to + octets)
        return octets + sealed

    def open_request(self, body: bytes, bound_to: bytes) -> bytes:
        """Open a request.

        Args:
            body: Its body, which begins with its number.
            bound_to: What `bound_to` makes.

        Raises:
            ValueError: It was not sealed by the client, or another one was.
        """
        octets, sealed = body[:_NUMBER_SIZE], body[_NUMBER_SIZE:]
        try:
            return self._requests.decrypt(_FILL + octets, sealed, bound_to + octets)
        except (InvalidTag, ValueError) as error:
            raise ValueError("cannot be opened") from error

    def seal_answer(
        self, content: bytes, number: int, bound_to: bytes, status: int, kind: str
    ) -> bytes:
        """Seal an answer.

        Args:
            content: Its body.
            number: The number of the request.
            bound_to: What the request is bound to.
            status: The status of the answer.
            kind: Its content type; empty if there is none.
        """
        octets = number.to_bytes(_NUMBER_SIZE, "big")
        associated = _answer(bound_to + octets, status, kind)
        return self._answers.encrypt(_FILL + octets, content, associated)

    def open_answer(
        self, body: bytes, number: int, bound_to: bytes, status: int, kind: str
    ) -> bytes:
        """Open an answer.

        Args:
            body: Its body.
            number: The number of the request.
            bound_to: What the request is bound to.
            status: The status of the answer.
            kind: Its content type; empty if there is none.

        Raises:
            ValueError: It is not the answer of the server to this request.
        """
        octets = number.to_bytes(_NUMBER_SIZE, "big")
        associated = _answer(bound_to + octets, status, kind)
        try:
            return self._answers.decrypt(_FILL + octets, body, associated)
        except InvalidTag as error:
            raise ValueError("cannot be opened") from error

    @staticmethod
    def bound_to(
        *, method: str, authority: str, path: str, query: str, kind: str, sender: str
    ) -> bytes:
        """What the requests of a session are bound to, besides their number.

        Args:
            method: The verb.
            authority: Whom the request is for, as signatures have it.
            path: The path as it is sent.
            query: The query as it is sent.
            kind: The content type.
            sender: The name of the client.
        """
        # The session need not be told: the keys are its own.
        return associated_data((method, authority, path, query, kind, sender))


def _cipher(secret: bytes, session: str, purpose: bytes) -> AESGCM:
    info = b"toolserver session " + purpose
    return AESGCM(
        HKDF(hashes.SHA256(), _KEY_SIZE, session.encode(), info).derive(secret)
    )


def _answer(associated: bytes, status: int, kind: str) -> bytes:
    return b"%b%d %b" % (associated, status, kind.encode("utf-8", "surrogateescape"))
