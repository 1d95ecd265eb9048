"""From bytes to requests: heads, bodies, and who gets a worker for them.

Small bodies are collected in the loop, before a request takes a greenlet. Others are
handed over as they arrive; workers are kept from those that only begin to send
(`HTTPServer.uploads`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from toolserver.http.bodies import StreamedBody
from toolserver.http.closing import BODY, BUSY, CLOSED, HEAD, IDLE, ClosingStream
from toolserver.http.exchange import Exchange
from toolserver.http.framing import ChunkedDecoder, Decoder, LengthDecoder
from toolserver.http.pace import Pace
from toolserver.http.parser import CHUNKED, Head
from toolserver.http.refused import Refused
from toolserver.http.reply import refusal
from toolserver.message import Request

if TYPE_CHECKING:
    import _socket

    from toolserver.http.transport import HTTPServer

__all__ = ["Intake", "is_for_head"]

_BUFFERED_BODY = 65536
_NO_PACE = Pace(0.0)


class Intake(ClosingStream):
    """Makes requests of what a client sends.

    Args:
        server: The server that accepted it.
        sock: Its socket, non-blocking.
        peer: Address of the client; empty over a Unix socket.
        peer_port: Port of the client.

    Attributes:
        requests: How many requests have arrived.
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_checked",
        "_decoder",
        "_exchange",
        "_head",
        "_pace",
        "peer_port",
        "requests",
    )

    scheme = "http"

    def __init__(
        self, server: HTTPServer, sock: _socket.socket, peer: str, peer_port: int
    ) -> None:
        super().__init__(server, sock, peer)
        self.peer_port = peer_port
        self.requests = 0
        self._buffer = b""
        # Where the last line of a head began that is here in part.
        self._checked = 0
        self._decoder: Decoder | None = None
        # While a small body is collected: the head that it belongs to.
        self._head: Head | None = None
        self._body = b""
        self._exchange: Exchange | None = None
        # How fast the body comes that is being collected, streamed or skipped.
        self._pace = _NO_PACE

    # --- what a connection does with them

    def serve(self) -> bool:
        """Run the request; whether the next one of the connection is ready."""
        raise NotImplementedError

    def stays_open(self, *, is_last_word: bool) -> bool:
        """Whether the connection can serve another request after this one."""
        raise NotImplementedError

    def watch(self) -> bool:
        """Watch for the client's hanging up; whether it is there now."""
        raise NotImplementedError

    def receive(self) -> bytes:
        """Wait for bytes of the running request's body; never empty."""
        raise NotImplementedError

    def give_back(self, data: bytes) -> None:
        """Take bytes that belong to the next request."""
        raise NotImplementedError

    # --- from the buffer to a request: in the loop or at the end of `serve`

    def _next(self) -> bool:
        """Make the next request out of the buffer; whether it is ready to run."""
        parser = self._server.parser
        data = self._buffer
        try:
            # RFC 9112, section 2.2: empty lines before a request are ignored.
            if data[:2] == b"\r\n":
                data = _without_empty_lines(data)
            checked = self._checked if self.state == HEAD else 0
            end = parser.find(data, checked) if data else -1
            if end < 0:
                self._buffer = data
                line_end = data.rfind(b"\r\n")
                self._checked = 0 if line_end < 0 else line_end + 2
                if data and self.state != HEAD:
                    self.state = HEAD
                    self._since = self._server.clock
                return False
            self._buffer = data[end:]
            return self._prepare(parser.parse(data[:end]))
        except Refused as refused:
            self.refuse(
                refused.status,
                refused.message,
                retry_after=1 if refused.status == 503 else 0,
                is_bodiless=is_for_head(data),
            )
            return False

    def _prepare(self, head: Head) -> bool:
        """Decide how the handler gets the body; whether it can run now."""
        length = head.length
        buffer = self._buffer
        limits = self._server.limits
        if length == 0:
            self._begin(head, b"")
            return True
        if length > limits.body and self._server.body_limit is None:
            raise Refused(413, f"body: more than {limits.body} bytes")
        decoder = _decoder(head, self._server)
        piece = decoder.feed(buffer)
        if decoder.done and len(piece) <= min(limits.body, _BUFFERED_BODY):
            self._buffer = decoder.rest
            self._begin(head, piece)
            return True
        is_small = 0 < length <= min(limits.body, _BUFFERED_BODY)
        if (is_small and not head.expects_continue) or (
            # Workers are scarce: who wants one has to send something first.
            length <= limits.body
            and not decoder.done
            and len(piece) <= _BUFFERED_BODY
            and self._server.uploads_are_many
        ):
            self._collect(head, decoder, piece)
            return False
        self._begin_streamed(head, _decoder(head, self._server))
        return True

    def _collect(self, head: Head, decoder: Decoder, piece: bytes) -> None:
        """Wait for the body, or for much of it, without a greenlet."""
        self._decoder = decoder
        self._body = piece
        self._buffer = b""
        self._head = head
        self._pace = Pace(self._server.clock, len(piece))
        self.state = BODY
        if head.expects_continue and not piece:
            self.post(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _begin(self, head: Head, content: bytes) -> None:
        """Make the request of a head with its whole body."""
        server = self._server
        self.requests += 1
        server.requests += 1
        exchange = Exchange(self, head, server.heads)
        exchange.request = Request(
            method=head.method,
            path=head.path,
            raw_path=head.raw_path,
            query_string=head.query_string,
            host=head.host,
            headers=head.headers,
            scheme=self.scheme,
            http_version=head.http_version,
            peer=self.peer,
            peer_port=self.peer_port,
            local=server.local,
            certificate=self.certificate,
            content=content,
            writer=exchange,
            limits=server.limits,
            notes={"head": head},
        )
        self._exchange = exchange
        self._head = None
        self.state = BUSY

    def _begin_streamed(self, head: Head, decoder: Decoder, begin: bytes = b"") -> None:
        """Make the request of a head whose body the handler reads as it comes."""
        server = self._server
        server.check_uploads(self.peer)
        self._begin(head, b"")
        exchange = self._exchange
        if exchange is None:  # pragma: no cover - it has just been made
            return
        server.uploads.add(self)
        ask_limit = None
        if server.body_limit is not None:
            ask = server.body_limit
            without_body = exchange.request

            def ask_limit() -> int:
                return ask(without_body)

        body = StreamedBody(self, decoder, server.limits.body, ask_limit, begin)
        exchange.body = body
        exchange.request = exchange.request.replace(content=body)
        self._decoder = decoder
        # What was collected has been on time.
        self._pace = Pace(server.clock)
        exchange.is_continued = bool(begin)

    @property
    def certificate(self) -> Mapping[str, Any] | None:
        """The client's certificate; only TLS has one."""
        return None

    def _submit(self) -> None:
        """Hand the request to the pool, or refuse it; called in the loop."""
        while not self._server.pool.submit(self):
            exchange = self._exchange
            if exchange is None:  # pragma: no cover - there is one to submit
                return
            head = exchange.head
            message = "too many requests are waiting"
            is_bodiless = head.method == "HEAD"
            if (
                exchange.body is not None
                or not head.keep_alive
                # Who does not take these answers gets no more of them.
                or len(self._unsent) > self._server.limits.buffered_answer
            ):
                self.refuse(503, message, retry_after=1, is_bodiless=is_bodiless)
                return
            self._exchange = None
            self.post(
                refusal(503, message, keep=True, retry_after=1, is_bodiless=is_bodiless)
            )
            if self.state == CLOSED:
                return
            self._become_idle()
            if not self._next():
                return

    # --- bodies that are collected or skipped: in the loop

    def _take_body(self, data: bytes) -> None:
        decoder = self._decoder
        if decoder is None:  # pragma: no cover - these states have one
            return
        try:
            piece = decoder.feed(data)
        except Refused as refused:
            self.refuse_body(refused.status, refused.message)
            return
        self._pace.note(len(piece), self._server.clock)
        if self.state == BODY:
            self._body += piece
        if len(self._body) > min(self._server.limits.body, _BUFFERED_BODY):
            self._stream_rest(decoder)
            return
        if not decoder.done:
            return
        self._decoder = None
        self._buffer = decoder.rest
        if self.state == BODY:
            head = self._head
            if head is not None:  # pragma: no branch - this state has one
                body, self._body = self._body, b""
                self._begin(head, body)
                self._submit()
        else:
            self._become_idle()
            if self._next():
                self._submit()

    def refuse_body(self, status: int, message: str, *, retry_after: int = 0) -> None:
        """Answer a request whose body cannot be taken, and close the connection."""
        head = self._head
        is_bodiless = head is not None and head.method == "HEAD"
        self.refuse(status, message, retry_after=retry_after, is_bodiless=is_bodiless)

    def _stream_rest(self, decoder: Decoder) -> None:
        """Run the request whose body has begun to arrive, and has shown good will."""
        head = self._head
        if head is None:  # pragma: no cover - this state has one
            return
        begin, self._body = self._body, b""
        self._buffer, decoder.rest = decoder.rest, b""
        try:
            self._begin_streamed(head, decoder, begin)
        except Refused as refused:
            self.refuse_body(refused.status, refused.message, retry_after=1)
        else:
            self._submit()

    def _become_idle(self) -> None:
        self.state = IDLE
        self._since = self._server.clock

    def _drop_request(self) -> None:
        self._exchange = None
        self._head = None
        self._decoder = None
        self._server.uploads.discard(self)
        self._body = self._buffer = b""


def is_for_head(data: bytes) -> bool:
    """Whether a request, of which a part is here, is for HEAD.

    RFC 9110, section 9.3.2: its answer has no body, also where it is refused before it
    was read.

    Args:
        data: The request from its first line on.
    """
    return data.startswith(b"HEAD ")


def _without_empty_lines(data: bytes) -> bytes:
    position = 0
    while data[position : position + 2] == b"\r\n":
        position += 2
    return data[position:]


def _decoder(head: Head, server: HTTPServer) -> Decoder:
    if head.length == CHUNKED:
        return ChunkedDecoder(server.limits)
    return LengthDecoder(head.length)
