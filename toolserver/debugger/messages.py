"""What a prompt and the server say to each other: a line of JSON for each message.

The server greets and, where it has to know who is there, asks for an answer to a
challenge. Then the client asks for one thing at a time and is answered by `Done` or
`Words`; `Output` may come at any time. `Interrupt` ends what runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

__all__ = [
    "MAX_ANSWER",
    "MAX_LINE",
    "Answer",
    "ClientMessage",
    "Complete",
    "Done",
    "Hello",
    "Interrupt",
    "LineReader",
    "Output",
    "Refused",
    "Run",
    "ServerMessage",
    "Welcome",
    "Words",
    "client_reader",
    "line",
    "server_reader",
]

#: Size of a message at most, bytes: once it is known who speaks, and before.
MAX_LINE, MAX_ANSWER = 4 * 2**20, 4096

T = TypeVar("T")


class _Message(msgspec.Struct, frozen=True, tag=str.lower, forbid_unknown_fields=True):
    """A message; the member ``type`` tells which."""


class Hello(_Message, frozen=True):
    """The server greets.

    Attributes:
        challenge: What has to be answered; empty where the socket itself tells who is
            there.
    """

    challenge: str = ""


class Answer(_Message, frozen=True):
    """The answer to a challenge; see `toolserver.debugger.credentials.respond`.

    Attributes:
        nonce: A challenge for the server.
        response: What only who knows the password can tell.
    """

    nonce: str
    response: str


class Welcome(_Message, frozen=True):
    """The client may ask from now on.

    Attributes:
        worker: The number of the worker process.
        pid: Its process.
        version: The version of the server.
        response: The server's own answer, where there was a challenge.
    """

    worker: int
    pid: int
    version: str
    response: str = ""


class Run(_Message, frozen=True):
    """Run some code; answered by `Done`.

    Attributes:
        source: The code.
        as_json: Whether its value is told as JSON, not as text for people.
    """

    source: str
    as_json: bool = False


class Complete(_Message, frozen=True):
    """Tell how a text may go on; answered by `Words`.

    Attributes:
        text: The begin of an expression.
    """

    text: str


class Interrupt(_Message, frozen=True):
    """End what runs, as Ctrl-C does."""


class Output(_Message, frozen=True):
    """What code prints, or what somebody watches.

    Attributes:
        text: The text, with the ends of its lines.
    """

    text: str


class Done(_Message, frozen=True):
    """The code has ended.

    Attributes:
        value: The value of its last expression, if it has one; as JSON where asked.
        error: The traceback where it failed.
        is_last: Whether the session ends by it.
    """

    value: str = ""
    error: str = ""
    is_last: bool = False


class Words(_Message, frozen=True):
    """How a text may go on.

    Attributes:
        words: Each in the place of the whole text.
    """

    words: Sequence[str]


class Refused(_Message, frozen=True):
    """The client may not ask; the connection ends.

    Attributes:
        reason: Why.
    """

    reason: str


ClientMessage = Answer | Run | Complete | Interrupt
ServerMessage = Hello | Welcome | Output | Done | Words | Refused

_encoder = msgspec.json.Encoder()


def line(message: ClientMessage | ServerMessage) -> bytes:
    """Write a message, with the end of its line."""
    return _encoder.encode(message) + b"\n"


class LineReader(Generic[T]):
    """Finds the messages in what arrives of a stream.

    Args:
        decoder: Reads one.
        limit: Size of one at most, bytes; may be changed.
    """

    def __init__(self, decoder: msgspec.json.Decoder[T], limit: int) -> None:
        self.limit = limit
        self._decode = decoder.decode
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[T]:
        """Take what has arrived.

        Args:
            data: The next bytes of the stream.

        Returns:
            The messages that are complete by now.

        Raises:
            ValueError: It is no stream of messages; nothing more can be read from it.
        """
        searched = len(self._rest)
        self._rest += data
        messages = []
        start = 0
        while (end := self._rest.find(b"\n", max(start, searched))) >= 0:
            self._check(end - start)
            try:
                messages.append(self._decode(self._rest[start:end]))
            except (msgspec.DecodeError, RecursionError) as error:
                raise ValueError(f"got no message: {error}") from error
            start = end + 1
        del self._rest[:start]
        self._check(len(self._rest))
        return messages

    def _check(self, size: int) -> None:
        if size > self.limit:
            raise ValueError(
                f"got a message of more than {self.limit} bytes, expected fewer"
            )


def client_reader() -> LineReader[ServerMessage]:
    """Reads what a server says."""
    # What a value is written as, escaped, may be some times as long.
    decoder: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)
    return LineReader(decoder, 8 * MAX_LINE)


def server_reader(limit: int) -> LineReader[ClientMessage]:
    """Reads what a client says.

    Args:
        limit: Size of a message at most, bytes.
    """
    decoder: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
    return LineReader(decoder, limit)
