"""A request body that is still arriving, as a binary file.

Nothing is read from the socket unless the handler reads here, so a client cannot
send faster than its body is consumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from toolserver.http.framing import Decoder
from toolserver.http.refused import BodyRefused, Refused
from toolserver.turns import Turns

__all__ = ["ByteSource", "StreamedBody"]


class ByteSource(Protocol):
    """Where a body comes from: a connection."""

    def receive(self) -> bytes:
        """Wait for bytes and return them; never empty.

        Raises:
            Refused: They do not arrive in time, or the client is gone.
        """
        ...

    def give_back(self, data: bytes) -> None:
        """Take bytes that belong to the next request."""
        ...


class StreamedBody:
    """Implements `toolserver.message.BodyReader` on a connection.

    Args:
        source: Gives the bytes as they arrive.
        decoder: Finds the end of the body.
        limit: Size that the body may have.
        ask_limit: Gives the size that this very request may have; asked once, when
            the body passes `limit`.
        begin: What has been decoded of it already.
    """

    __slots__ = (
        "_ask_limit",
        "_buffer",
        "_decoder",
        "_failure",
        "_limit",
        "_received",
        "_source",
        "_turns",
    )

    def __init__(
        self,
        source: ByteSource,
        decoder: Decoder,
        limit: int,
        ask_limit: Callable[[], int] | None = None,
        begin: bytes = b"",
    ) -> None:
        self._source: ByteSource | None = source
        self._decoder = decoder
        self._limit = limit
        self._ask_limit = ask_limit
        self._buffer = begin
        self._received = len(begin)
        self._failure: BodyRefused | None = None
        self._turns = Turns()

    @property
    def failure(self) -> BodyRefused | None:
        """What ended the body before its time."""
        return self._failure

    def detach(self) -> None:
        """End reading: the request is over, what follows is the next one's."""
        self._source = None
        self._buffer = b""

    def check_length(self, length: int) -> None:
        """Refuse the body before any of it is read, by the length it declares.

        Raises:
            BodyRefused: It passes the limit.
        """
        size = max(length, self._received)
        if size > self._limit:
            self._check_limit(size)

    def _pull(self) -> bytes:
        """The next bytes of the body; empty at its end."""
        if self._source is None:
            raise ValueError("body: read after its request has ended")
        while not self._decoder.done:
            if self._failure is not None:
                raise self._failure
            self._turns.offer()
            try:
                piece = self._decoder.feed(self._source.receive())
                self._received += len(piece)
                if self._received > self._limit:
                    self._check_limit(self._received)
            except Refused as refused:
                self._failure = BodyRefused(refused.status, refused.message)
                raise self._failure from None
            if self._decoder.done:
                self._source.give_back(self._decoder.rest)
                self._decoder.rest = b""
            if piece:
                return piece
        return b""

    def _check_limit(self, size: int) -> None:
        if self._ask_limit is not None:
            self._limit = self._ask_limit()
            self._ask_limit = None
        if size > self._limit:
            self._failure = BodyRefused(413, f"body: more than {self._limit} bytes")
            raise self._failure

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes, all that remain when negative; empty at the end.

        As with any buffered binary file, fewer than `size` bytes mean the end.

        Raises:
            BodyRefused: The body passes a limit, stalls or breaks off.
        """
        if size is None or size < 0:
            pieces = [self._buffer]
            self._buffer = b""
            while piece := self._pull():
                pieces.append(piece)
            return b"".join(pieces)
        if len(self._buffer) < size:
            pieces = [self._buffer]
            missing = size - len(self._buffer)
            self._buffer = b""
            while missing > 0 and (piece := self._pull()):
                pieces.append(piece)
                missing -= len(piece)
            self._buffer = b"".join(pieces)
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def readline(self, size: int | None = -1, /) -> bytes:
        """One line with its end, cut at `size` bytes when not negative."""
        bound = -1 if size is None else size
        pieces = []
        length = 0
        while True:
            piece = self._buffer or self._pull()
            self._buffer = b""
            end = piece.find(b"\n") + 1 or len(piece)
            if 0 <= bound < length + end:
                end = bound - length
            pieces.append(piece[:end])
            length += end
            self._buffer = piece[end:]
            if not piece or length == bound or piece[:end].endswith(b"\n"):
                return b"".join(pieces)

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """The remaining lines, at least `hint` bytes of them when positive."""
        bound = -1 if hint is None else hint
        lines = []
        length = 0
        for line in self:
            lines.append(line)
            length += len(line)
            if 0 < bound <= length:
                break
        return lines

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def close(self) -> None:
        """Do nothing: the server itself disposes of what is not read."""
