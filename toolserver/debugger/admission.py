"""Makes sure that a client may attach, before anything else is done with it."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from hmac import compare_digest

import gevent
from gevent import socket

from toolserver.debugger.audit import AuditTrail
from toolserver.debugger.credentials import CLIENT, SERVER, peer_of, respond
from toolserver.debugger.messages import (
    MAX_ANSWER,
    Answer,
    ClientMessage,
    Hello,
    LineReader,
    line,
)

__all__ = ["Admit", "Admitted", "NotAdmittedError", "PasswordCheck", "admit_owner"]

#: Clients that have yet to show at once that they know the password.
_MOST_STRANGERS = 4
#: Seconds after a wrong answer.
_PENALTY_S = 1.0
_NONCE = re.compile(r"[0-9a-f]{32,64}")


class NotAdmittedError(Exception):
    """The client may not attach."""


@dataclass(frozen=True)
class Admitted:
    """A client that may attach.

    Attributes:
        who: Who it is, for the audit log.
        response: What proves to it who we are, where it has asked.
    """

    who: str
    response: str = ""


#: Admits a client by its connection and what it says there, or raises
#: `NotAdmittedError`, `OSError` or `ValueError`.
Admit = Callable[[socket.socket, LineReader[ClientMessage]], Admitted]


def admit_owner(
    trail: AuditTrail, sock: socket.socket, reader: LineReader[ClientMessage]
) -> Admitted:
    """Admit the owner of this process, or root, at a Unix socket.

    Args:
        trail: Where others are written down.
        sock: The connection.
        reader: Reads what arrives on it.

    Raises:
        NotAdmittedError: It is somebody else.
        OSError: The system does not tell who it is.
    """
    peer = peer_of(sock)
    if not peer.is_owner:
        trail.note("refused", str(peer))
        raise NotAdmittedError(
            f"the server belongs to another user (uid {os.geteuid()})"
        )
    sock.sendall(line(Hello()))
    return Admitted(str(peer))


class PasswordCheck:
    """Admits who knows the password.

    Args:
        key: The key of the password.
        trail: Where others are written down.
    """

    def __init__(self, key: bytes, trail: AuditTrail) -> None:
        self._key = key
        self._trail = trail
        self._strangers = 0

    def __call__(
        self, sock: socket.socket, reader: LineReader[ClientMessage]
    ) -> Admitted:
        """Challenge a client.

        Args:
            sock: The connection.
            reader: Reads what arrives on it.

        Raises:
            NotAdmittedError: It does not know the password, or too many are asked.
            ValueError: It says something else than an answer.
            OSError: It has gone.
        """
        if self._strangers >= _MOST_STRANGERS:
            raise NotAdmittedError("too many are asked for the password just now")
        self._strangers += 1
        try:
            return self._challenge(sock, reader)
        finally:
            self._strangers -= 1

    def _challenge(
        self, sock: socket.socket, reader: LineReader[ClientMessage]
    ) -> Admitted:
        host, port, *_ = sock.getpeername()
        who = f"{host} port {port}"
        # What is told is short, and somebody waits for it.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        challenge = secrets.token_hex(32)
        sock.sendall(line(Hello(challenge)))
        answer = _read_answer(sock, reader)
        expected = respond(self._key, CLIENT, challenge, answer.nonce)
        given = answer.response.encode("utf-8", "replace")
        if not compare_digest(expected.encode(), given):
            self._trail.note("refused", who)
            gevent.sleep(_PENALTY_S)
            raise NotAdmittedError("wrong password")
        response = respond(self._key, SERVER, challenge, answer.nonce)
        return Admitted(who, response)


def _read_answer(sock: socket.socket, reader: LineReader[ClientMessage]) -> Answer:
    messages: list[ClientMessage] = []
    while not messages:
        data = sock.recv(MAX_ANSWER)
        if not data:
            raise ConnectionError("it hung up")
        messages = reader.feed(data)
    answer, *more = messages
    if more or not isinstance(answer, Answer) or not _NONCE.fullmatch(answer.nonce):
        raise ValueError("expected an answer to the challenge, and nothing else")
    return answer
