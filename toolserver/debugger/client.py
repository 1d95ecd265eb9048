"""Attaches to a running server; needs no gevent.

A thread reads what the server says, so that what is told meanwhile, such as of calls
that are watched, is shown at once.
"""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from hmac import compare_digest
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from toolserver.debugger.credentials import CLIENT, SERVER, derive_key, respond
from toolserver.debugger.messages import (
    Answer,
    ClientMessage,
    Complete,
    Done,
    Hello,
    Interrupt,
    Output,
    Refused,
    Run,
    ServerMessage,
    Welcome,
    Words,
    client_reader,
    line,
)
from toolserver.debugger.places import short_path
from toolserver.errors import StartError

__all__ = ["Abandoned", "Attachment", "Detached", "attach_over_tcp", "attach_to_socket"]

_READ_SIZE = 65536
#: Seconds in which a server has to admit us: one whose loop is held up does not.
_ADMIT_S = 15.0

T = TypeVar("T")


class Detached(Exception):
    """The session has ended."""


class Abandoned(Exception):
    """Somebody does not wait for the end of what he has interrupted."""


class Attachment:
    """A session in a running server.

    Args:
        sock: The connection.
        show: Shows what is printed; called by another thread.
        key: The key of the password; empty where none is asked for.

    Attributes:
        welcome: What the server has told of itself.

    Raises:
        StartError: The server does not admit us.
    """

    def __init__(
        self, sock: socket.socket, show: Callable[[str], object], key: bytes = b""
    ) -> None:
        self._sock = sock
        self._show = show
        self._messages = _messages(sock)
        self._answers: SimpleQueue[Done | Words | None] = SimpleQueue()
        sock.settimeout(_ADMIT_S)
        try:
            self.welcome = self._meet(key)
        except TimeoutError:
            raise StartError(
                f"debugger: no answer in {_ADMIT_S:g} s: something holds up the "
                "server, see its error log"
            ) from None
        except (OSError, ValueError) as error:
            raise StartError(f"debugger: cannot attach: {error}") from error
        sock.settimeout(None)
        threading.Thread(target=self._read, daemon=True).start()

    def run(self, source: str, *, as_json: bool = False) -> Done:
        """Run some code in the server; Ctrl-C interrupts it there.

        Args:
            source: The code.
            as_json: Whether the value is wanted as JSON.

        Returns:
            What became of it.

        Raises:
            Detached: The session has ended.
            Abandoned: It does not end by that, and a second Ctrl-C came.
        """
        try:
            try:
                self._send(Run(source, as_json))
                return self._wait(Done)
            except KeyboardInterrupt:
                self._send(Interrupt())
                return self._wait(Done)
        except KeyboardInterrupt:
            raise Abandoned from None

    def complete(self, text: str) -> list[str]:
        """Ask how a text may go on.

        Args:
            text: The begin of an expression.
        """
        with suppress(Detached):
            self._send(Complete(text))
            return list(self._wait(Words).words)
        return []

    def close(self) -> None:
        """End the session."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _meet(self, key: bytes) -> Welcome:
        hello = self._expect(Hello)
        expected = ""
        if hello.challenge:
            if not key:
                raise ValueError("the server asks for a password")
            nonce = secrets.token_hex(32)
            response = respond(key, CLIENT, hello.challenge, nonce)
            expected = respond(key, SERVER, hello.challenge, nonce)
            self._send(Answer(nonce, response))
        elif key:
            raise ValueError("the server does not ask for the password")
        welcome = self._expect(Welcome)
        # Who only pretends to be the server must not learn what is typed.
        if not compare_digest(expected.encode(), welcome.response.encode()):
            raise ValueError("the server does not know the password itself")
        return welcome

    def _expect(self, kind: type[T]) -> T:
        message = next(self._messages, None)
        if isinstance(message, Refused):
            raise ConnectionError(message.reason)
        if not isinstance(message, kind):
            raise ValueError("this is no debugger of a server")
        return message

    def _read(self) -> None:
        with suppress(OSError, ValueError):
            for message in self._messages:
                if isinstance(message, Output):
                    self._show(message.text)
                elif isinstance(message, (Done, Words)):
                    self._answers.put(message)
        self._answers.put(None)

    def _wait(self, kind: type[T]) -> T:
        answer = self._answers.get()
        if not isinstance(answer, kind):
            # Whoever asks again is told so, too.
            self._answers.put(None)
            raise Detached
        return answer

    def _send(self, message: ClientMessage) -> None:
        try:
            self._sock.sendall(line(message))
        except (BrokenPipeError, ConnectionResetError):
            raise Detached from None


def _messages(sock: socket.socket) -> Iterator[ServerMessage]:
    """What the server says, until it hangs up."""
    reader = client_reader()
    while data := sock.recv(_READ_SIZE):
        yield from reader.feed(data)


def attach_to_socket(path: Path, show: Callable[[str], object]) -> Attachment:
    """Attach to a worker process of this machine, as its owner.

    Args:
        path: Its socket.
        show: Shows what is printed; called by another thread.

    Raises:
        StartError: It is not there, or does not admit us.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(_ADMIT_S)
        with short_path(path) as short:
            sock.connect(short)
        return Attachment(sock, show)
    except OSError as error:
        sock.close()
        raise StartError(
            f"debugger: cannot attach to {path}: {error.strerror or error}"
        ) from error
    except BaseException:
        sock.close()
        raise


def attach_over_tcp(
    address: tuple[str, int], password: bytes, show: Callable[[str], object]
) -> Attachment:
    """Attach to a server by its address on this machine.

    Args:
        address: The address and the port.
        password: The password.
        show: Shows what is printed; called by another thread.

    Raises:
        StartError: It is not there, or does not admit us.
    """
    host, port = address
    try:
        sock = socket.create_connection(address, _ADMIT_S)
    except OSError as error:
        raise StartError(
            f"debugger: cannot attach to port {port} of {host}: "
            f"{error.strerror or error}"
        ) from error
    try:
        return Attachment(sock, show, derive_key(password))
    except BaseException:
        sock.close()
        raise
