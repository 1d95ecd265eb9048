"""One request and its answer.

The handler returns a `Response`, or writes the answer by hand through the exchange,
which is the request's `writer`. Either way the exchange decides the framing: bytes
and files go with their length; what is made piece by piece goes in chunks to
HTTP/1.1 and until the connection closes to HTTP/1.0; answers to HEAD and those of
status 204 and 304 end with their head (RFC 9112, section 6).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

from gevent import get_hub

from toolserver.errors import AlreadyDone
from toolserver.http.refused import Refused
from toolserver.http.reply import (
    CLOSE,
    KEEP_ALIVE,
    PERSISTENT,
    ReplyHeads,
    date_line,
    has_no_body,
    refusal,
)
from toolserver.message import FileBody, Request, Response
from toolserver.turns import Turns

if TYPE_CHECKING:
    from toolserver.http.bodies import StreamedBody
    from toolserver.http.parser import Head

__all__ = ["ClientGone", "Exchange", "Handler", "Wire"]

Handler = Callable[[Request], Response]

log = logging.getLogger("toolserver.http")

#: Bodies up to this size are copied behind their head to leave in one segment.
_JOINED_SIZE = 65536
_NONE, _LENGTH, _CHUNKED, _UNTIL_CLOSE = range(4)


class ClientGone(ConnectionError):
    """The client has closed the connection, or took nothing for too long."""


class Wire(Protocol):
    """Where the answer goes: a connection. Each method waits for a slow client."""

    def write(self, data: bytes, *, more: bool = False) -> None:
        """Send bytes; with `more`, others follow at once.

        Raises:
            ClientGone: Nobody is there to take them.
        """
        ...

    def send_file(self, file: FileBody) -> None:
        """Send a span of a file.

        Raises:
            ClientGone: Nobody is there to take it.
            EOFError: The file ended before its span.
        """
        ...

    def stays_open(self, *, is_last_word: bool) -> bool:
        """Whether the connection can serve another request after this one.

        Args:
            is_last_word: Whether nobody is going to read from the request's body.
        """
        ...

    def watch(self) -> bool:
        """Watch for the client's hanging up; whether it is there now."""
        ...


class Exchange:
    """Runs the handler for one request and sends what it answers.

    Args:
        wire: Where the answer goes.
        head: The head of the request.
        heads: Makes the reply heads.

    Attributes:
        request: The request.
        body: Its body where that is still arriving, or None.
        started: Whether the status line has been sent.
        broken: Whether the answer ended before its time.
        persistent: Whether the connection may go on after the answer.
        is_continued: Whether the client has been told to send the body.
        status: The status that was sent.
        sent: Bytes of the answer's body.
    """

    __slots__ = (
        "_framing",
        "_heads",
        "_left",
        "_on_hangup",
        "_turns",
        "_wire",
        "body",
        "broken",
        "head",
        "is_continued",
        "persistent",
        "request",
        "sent",
        "started",
        "status",
    )

    request: Request

    def __init__(self, wire: Wire, head: Head, heads: ReplyHeads) -> None:
        self._wire: Wire | None = wire
        self._heads = heads
        self._framing = _NONE
        self._left = 0
        self._turns: Turns | None = None
        self._on_hangup: Callable[[], object] | None = None
        self.head = head
        self.body: StreamedBody | None = None
        self.started = False
        self.broken = False
        self.persistent = False
        self.is_continued = False
        self.status = 0
        self.sent = 0

    def run(
        self,
        handler: Handler,
        on_reply: Callable[[Request, int, int, float], None] | None = None,
        on_failure: Handler | None = None,
    ) -> None:
        """Run the handler and send its answer to the end.

        Whatever the handler raises stays here: the call fails, the server stands.

        Args:
            handler: Answers the request.
            on_reply: Is told of the answer, for the access log.
            on_failure: Answers where the handler failed or gave what cannot be sent.
        """
        begin = time.perf_counter() if on_reply is not None else 0.0
        try:
            self._answer(handler)
        except ClientGone:
            self.broken = True
            log.debug("%r: the client went away", self.request)
        except Refused as refused:
            self._refuse(refused)
        except KeyboardInterrupt as error:
            # The operator's, not the handler's: it ends the main greenlet.
            self.broken = True
            get_hub().handle_system_error(type(error), error)
        except BaseException:
            log.exception("%r: the handler failed", self.request)
            self._fail(on_failure)
        self._wire = None
        if on_reply is not None:
            try:
                on_reply(
                    self.request, self.status, self.sent, time.perf_counter() - begin
                )
            except Exception:
                log.exception("%r: the access log failed", self.request)
        # The request holds its writer: left alone, the circle would wait for the
        # garbage collector.
        del self.request

    def _answer(self, handler: Handler) -> None:
        if self.body is not None:
            self.body.check_length(self.head.length)
        try:
            response = handler(self.request)
        except AlreadyDone:
            if not self.started:
                raise RuntimeError("AlreadyDone: nothing was written") from None
        else:
            if not self.started:
                self._send(response)
                return
            response.close()
        self._finish()

    def _send(self, response: Response) -> None:
        body = response.body
        if isinstance(body, bytes):
            prefix = self._begin(
                response.status, response.headers, len(body), response.reason
            )
            if self._framing == _NONE:
                self._write(prefix)
            elif len(body) <= _JOINED_SIZE:
                self._write(prefix + body)
                self.sent = len(body)
            else:
                self._write(prefix, more=True)
                self._write(body)
                self.sent = len(body)
            return
        try:
            if isinstance(body, FileBody):
                self._send_file(response, body)
            else:
                self._send_pieces(response, body)
        finally:
            response.close()

    def _send_file(self, response: Response, body: FileBody) -> None:
        prefix = self._begin(
            response.status, response.headers, body.length, response.reason
        )
        if self._framing == _NONE or not body.length:
            self._write(prefix)
            return
        self._write(prefix, more=True)
        if self._wire is not None:  # pragma: no branch - `_write` has made sure of it
            self._wire.send_file(body)
            self.sent = body.length

    def _send_pieces(self, response: Response, body: Iterable[bytes]) -> None:
        if self._is_bodiless(response.status):
            self._write(
                self._begin(response.status, response.headers, None, response.reason)
            )
            return
        pieces = iter(body)
        turns = Turns()
        # The first piece is made before the head is sent, so that a failure to make
        # any can still be told by the status.
        piece = next(pieces, b"")
        prefix = self._begin(response.status, response.headers, None, response.reason)
        self._write_piece(piece, prefix)
        for piece in pieces:
            if piece:
                self._write_piece(piece)
            turns.offer()
        self._finish()

    def start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Send the status line and the header fields."""
        self._write(self._begin(status, list(headers)))

    def write(self, data: bytes) -> None:
        """Send a piece of the body; waits while the client is slow."""
        if not self.started:
            raise RuntimeError("writer: start comes before write")
        if data:
            self._write_piece(data)
            if self._turns is None:
                self._turns = Turns()
            self._turns.offer()

    def on_hangup(self, callback: Callable[[], object] | None) -> None:
        """Have a callback run in the loop when the client hangs up; None for none.

        A client that closes only its own half counts as one who has hung up: nobody
        who waits for events does so.
        """
        self._on_hangup = callback
        if callback is not None and (self._wire is None or not self._wire.watch()):
            get_hub().loop.run_callback(self.hang_up)

    def hang_up(self) -> None:
        """Take note that the client has hung up; never waits."""
        callback, self._on_hangup = self._on_hangup, None
        if callback is not None:
            callback()

    def start_with(
        self,
        status: int,
        reason: str,
        headers: list[tuple[str, str]],
        data: bytes,
    ) -> None:
        """Send the head and the first piece of the body together."""
        self._write_piece(data, self._begin(status, headers, None, reason))

    def _begin(
        self,
        status: int,
        headers: list[tuple[str, str]],
        length: int | None = None,
        reason: str = "",
    ) -> bytes:
        """Decide the framing; the bytes of the head."""
        wire = self._wire
        if wire is None:
            raise ValueError("writer: used after its request has ended")
        if self.started:
            raise RuntimeError("writer: the answer has already started")
        is_current = self.head.http_version == "1.1"
        # What is sent piece by piece may still be made from the request's body.
        is_last_word = length is not None
        if not (self.head.keep_alive and wire.stays_open(is_last_word=is_last_word)):
            connection = CLOSE
        else:
            connection = PERSISTENT if is_current else KEEP_ALIVE
        head = self._heads.get(status, headers, connection, reason)
        is_bodiless = self._is_bodiless(status)
        given = head.length
        if given is not None and given != length:
            if length and not is_bodiless:
                raise ValueError(f"content-length: got {given}, the body has {length}")
            if length is None or is_bodiless:
                length = given
            else:
                raise ValueError(f"content-length: got {given}, the body is empty")
        if length is None and not is_current and not is_bodiless:
            # HTTP/1.0 has no chunks: the end of the connection ends the body.
            head = self._heads.get(status, headers, CLOSE, reason)
        self.started = True
        self.status = status
        self.persistent = not head.closes
        date = b"" if head.dated else date_line()
        if status == 204 or (status == 304 and given is None):
            self._framing = _NONE
            return b"%b%b\r\n" % (head.block, date)
        if length is not None:
            self._framing = _NONE if is_bodiless else _LENGTH
            self._left = length
            return b"%b%bContent-Length: %d\r\n\r\n" % (head.block, date, length)
        if is_current:
            self._framing = _NONE if is_bodiless else _CHUNKED
            return b"%b%bTransfer-Encoding: chunked\r\n\r\n" % (head.block, date)
        self._framing = _NONE if is_bodiless else _UNTIL_CLOSE
        return b"%b%b\r\n" % (head.block, date)

    def _is_bodiless(self, status: int) -> bool:
        return self.head.method == "HEAD" or has_no_body(status)

    def _write(self, data: bytes, *, more: bool = False) -> None:
        if self._wire is None:
            raise ValueError("writer: used after its request has ended")
        self._wire.write(data, more=more)

    def _write_piece(self, data: bytes, prefix: bytes = b"") -> None:
        framing = self._framing
        if framing == _CHUNKED and data:
            self._write(b"%b%x\r\n%b\r\n" % (prefix, len(data), data))
        elif framing == _LENGTH:
            left = self._left
            self._write(prefix + data[:left])
            self._left = left - min(left, len(data))
            if len(data) > left:
                self.sent += left
                raise ValueError("body: longer than its content-length")
        elif framing == _NONE:
            if prefix:
                self._write(prefix)
            return
        else:
            self._write(prefix + data)
        self.sent += len(data)

    def _finish(self) -> None:
        if self._framing == _CHUNKED:
            self._write(b"0\r\n\r\n")
        elif self._framing == _LENGTH and self._left:
            raise ValueError(f"body: {self._left} bytes shorter than its length")

    @property
    def must_reset(self) -> bool:
        """Whether only a reset tells the client that the answer is incomplete."""
        return self.broken and self._framing == _UNTIL_CLOSE

    def _fail(self, on_failure: Handler | None) -> None:
        if self.started:
            self.broken = True
            return
        if on_failure is not None:
            try:
                self._send(on_failure(self.request))
            except ClientGone:
                self.broken = True
            except Exception:
                log.exception("%r: nor can the failure be told", self.request)
            if self.started:
                return
        self._send_plain(500, "internal error")

    def _refuse(self, refused: Refused) -> None:
        if self.started:
            self.broken = True
            log.info("%r: %s", self.request, refused)
        else:
            self._send_plain(refused.status, refused.message)

    def _send_plain(self, status: int, message: str) -> None:
        wire = self._wire
        if wire is None:  # pragma: no cover - it runs while the request does
            return
        keep = self.head.http_version == "1.1" and (
            self.head.keep_alive and wire.stays_open(is_last_word=True)
        )
        is_bodiless = self.head.method == "HEAD"
        data = refusal(status, message, keep=keep, is_bodiless=is_bodiless)
        self.started = True
        self.status = status
        self.persistent = keep
        try:
            self._write(data)
        except ClientGone:
            self.broken = True
