"""One connection, from its first byte to its end.

Theory of operation. A connection is an object with a socket, a buffer and a read
watcher in the event loop; it has no greenlet of its own. The loop calls it when bytes
have arrived, and it moves between these states:

    IDLE    nothing of a request is here
    HEAD    a part of a head is in the buffer
    BODY    the head is here, and a small body is being collected
    BUSY    a request waits for a greenlet of the pool or runs in one
    DRAIN   the answer was sent, the rest of an unread body is skipped
    LINGER  the last answer was sent; what still arrives is thrown away, because
            closing a socket with unread data resets the connection and can destroy
            that answer on its way (RFC 9112, section 9.6)
    CLOSED

The way of a request is IDLE, HEAD, BODY, BUSY, DRAIN, IDLE, where HEAD, BODY and
DRAIN are left out when there is nothing to wait for; a connection that has to end
goes to LINGER and CLOSED (`toolserver.http.closing`).

Two kinds of code run here: callbacks of the loop, which must not wait, and `serve`,
`receive`, `write` and `send_file`, which run in greenlets and may. While a request
runs, what arrives is read ahead up to a bound, and then reading stops until the
request has ended. A request with a large body is handed over with a reader, and
then reading from the socket is that reader's alone.

An answer that the client is slow to take waits below, in the `Stream`, up to a bound
without holding a greenlet.

Time limits are kept coarsely: the server calls `check_time` on each connection at an
interval and keeps one clock for all, so a request costs no timer of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from toolserver.http.bodies import StreamedBody
from toolserver.http.closing import (
    BODY,
    BUSY,
    CLOSED,
    DRAIN,
    HEAD,
    IDLE,
    LINGER,
    ClosingStream,
)
from toolserver.http.exchange import Exchange
from toolserver.http.framing import ChunkedDecoder, Decoder, LengthDecoder
from toolserver.http.pace import Pace
from toolserver.http.parser import CHUNKED, Head
from toolserver.http.refused import Refused
from toolserver.http.reply import refusal
from toolserver.http.streams import RECEIVE
from toolserver.message import Request

if TYPE_CHECKING:
    import _socket

    from toolserver.http.transport import HTTPServer

__all__ = ["Connection"]

_BUFFERED_BODY = 65536
_DRAINED_BODY = 65536
_NO_PACE = Pace(0.0)


class Connection(ClosingStream):
    """One client's connection.

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

    # --- callbacks of the loop: arriving bytes

    def _on_readable(self) -> None:
        if self.state == BUSY:
            self._on_readable_busy()
            return
        try:
            data = self._recv()
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if self.state == IDLE and data:
            head = self._server.parser.cached(data)
            if head is not None and not head.length:
                self._begin(head, b"")
                self._submit()
                return
        self._take(data)

    def _on_readable_busy(self) -> None:
        if self._reader is not None:
            self._reader.switch()
            return
        if self._exchange is not None and self._exchange.body is not None:
            self._pause()
            return
        try:
            data = self._recv()
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if not data:
            # The client may have closed its half only, and still wait for answers.
            self._at_end = True
            self._pause()
            return
        self._buffer += data
        if (
            len(self._buffer) >= RECEIVE
            or self._buffer.count(b"\r\n\r\n") >= self._server.limits.pipelined
        ):
            self._pause()

    def _take(self, data: bytes) -> None:
        """Use what has arrived while no request is running."""
        state = self.state
        if not data:
            self._at_end = True
            self._pause()
            if state == BODY:
                self.refuse(400, "body: ended early")
            else:
                self._linger()
        elif state == LINGER:
            pass
        elif state in (BODY, DRAIN):
            self._take_body(data)
        else:
            self._buffer += data
            if self._next():
                self._submit()

    def _take_body(self, data: bytes) -> None:
        decoder = self._decoder
        if decoder is None:
            return
        try:
            piece = decoder.feed(data)
        except Refused as refused:
            self.refuse(refused.status, refused.message)
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
            if head is not None:
                body, self._body = self._body, b""
                self._begin(head, body)
                self._submit()
        else:
            self._become_idle()
            if self._next():
                self._submit()

    def _stream_rest(self, decoder: Decoder) -> None:
        """Run the request whose body has begun to arrive, and has shown good will."""
        head = self._head
        if head is None:
            return
        begin, self._body = self._body, b""
        self._buffer, decoder.rest = decoder.rest, b""
        try:
            self._begin_streamed(head, decoder, begin)
        except Refused as refused:
            self.refuse(refused.status, refused.message, retry_after=1)
        else:
            self._submit()

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
                self._checked = max(0, data.rfind(b"\r\n") + 2)
                if data and self.state != HEAD:
                    self.state = HEAD
                    self._since = self._server.clock
                return False
            self._buffer = data[end:]
            return self._prepare(parser.parse(data[:end]))
        except Refused as refused:
            retry_after = 1 if refused.status == 503 else 0
            self.refuse(refused.status, refused.message, retry_after=retry_after)
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
        if len(server.uploads) >= server.most_uploads:
            raise Refused(503, "too many bodies are arriving at once")
        self._begin(head, b"")
        exchange = self._exchange
        if exchange is None:
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
            if exchange is None:
                return
            head = exchange.head
            message = "too many requests are waiting"
            if (
                exchange.body is not None
                or not head.keep_alive
                # Who does not take these answers gets no more of them.
                or len(self._unsent) > self._server.limits.buffered_answer
            ):
                self.refuse(503, message, retry_after=1)
                return
            self._exchange = None
            is_bodiless = head.method == "HEAD"
            self.post(
                refusal(503, message, keep=True, retry_after=1, is_bodiless=is_bodiless)
            )
            if self.state == CLOSED:
                return
            self._become_idle()
            if not self._next():
                return

    # --- in a greenlet of the pool

    def serve(self) -> bool:
        """Run the request; whether the next one of the connection is ready."""
        exchange = self._exchange
        if exchange is None or self.state != BUSY:
            return False
        server = self._server
        body = exchange.body
        exchange.run(server.handler, server.on_reply, server.on_failure)
        self._exchange = None
        if body is not None:
            server.uploads.discard(self)
        if self.state == CLOSED:
            return False
        is_skipped = body is None or self._skip_body(exchange, body)
        if exchange.broken or not exchange.persistent or not is_skipped:
            self._end(exchange)
            return False
        if self._decoder is not None and not self._decoder.done:
            self.state = DRAIN
            self._pace = Pace(self._server.clock)
            self._resume()
            return False
        self._decoder = None
        self._become_idle()
        if self._buffer and self._next():
            return True
        if self._at_end and self.state != LINGER:
            self._linger()
        elif not self._is_reading:
            self._resume()
        return False

    def stays_open(self, *, is_last_word: bool) -> bool:
        """Whether the connection can serve another request after this one.

        Args:
            is_last_word: Whether nobody is going to read from the request's body.
        """
        server = self._server
        if server.stopping or self.requests >= server.limits.keep_alive_requests:
            return False
        exchange = self._exchange
        if exchange is None or exchange.body is None:
            return True
        return not is_last_word or self._skip_body(exchange, exchange.body)

    def _skip_body(self, exchange: Exchange, body: StreamedBody) -> bool:
        """Skip what is here of an unread body; whether the rest is worth a wait."""
        body.detach()
        decoder = self._decoder
        if decoder is None or decoder.done:
            return True
        if body.failure is not None or self._at_end:
            return False
        if exchange.head.expects_continue and not exchange.is_continued:
            # RFC 9110, section 10.1.1: the client may send the body or leave it.
            return False
        buffer, self._buffer = self._buffer, b""
        try:
            decoder.feed(buffer)
        except Refused:
            return False
        if decoder.done:
            self._buffer = decoder.rest
            return True
        return decoder.remaining is not None and decoder.remaining <= _DRAINED_BODY

    def _become_idle(self) -> None:
        self.state = IDLE
        self._since = self._server.clock

    def receive(self) -> bytes:
        """Wait for bytes of the running request's body; never empty.

        Raises:
            Refused: They do not come in time, or the client is gone.
        """
        self._pace.restart(self._server.clock)
        if self._buffer:
            data, self._buffer = self._buffer, b""
            self._pace.note(len(data), self._server.clock)
            return data
        exchange = self._exchange
        if exchange is not None and exchange.head.expects_continue:
            if not exchange.is_continued and not exchange.started:
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            exchange.is_continued = True
        while not self._at_end and self.state != CLOSED:
            try:
                data = self._recv()
            except BlockingIOError:
                self._wait_readable()
                continue
            except OSError:
                self.close()
                break
            if data:
                self._pace.note(len(data), self._server.clock)
                return data
            self._at_end = True
            self._pause()
        raise Refused(400, "body: ended early")

    def give_back(self, data: bytes) -> None:
        """Take bytes that belong to the next request."""
        self._buffer = data + self._buffer
        # The body is here: the request is like any other now.
        self._server.uploads.discard(self)

    # --- the end

    def _end(self, exchange: Exchange) -> None:
        """Close after the last answer."""
        if exchange.must_reset:
            self.reset()
            return
        is_unread = bool(self._buffer) or (
            self._decoder is not None and not self._decoder.done
        )
        self._decoder = None
        self._buffer = b""
        self._linger(is_unread=is_unread)

    def end_when_idle(self) -> None:
        """Close if no request is here; else after the running one."""
        if self.state in (IDLE, HEAD):
            self._linger()

    def _drop_request(self) -> None:
        self._exchange = None
        self._head = None
        self._decoder = None
        self._server.uploads.discard(self)
        self._body = self._buffer = b""

    def _on_closed(self) -> None:
        # A request that is running still needs its exchange.
        exchange = self._exchange
        self._drop_request()
        self._exchange = exchange
        super()._on_closed()
        self._server.forget(self)

    # --- time

    def check_time(self, now: float, slack: float) -> None:
        """End what takes too long; called in the loop at intervals.

        Args:
            now: The server's clock.
            slack: How far the clock may be behind.
        """
        limits = self._server.limits
        if self._progress and self._takes_too_little(now - slack):
            self.reset()
            return
        state = self.state
        now -= slack
        elapsed = now - self._since
        if state == IDLE:
            if elapsed > limits.keep_alive_idle and not self._unsent:
                self.close()
        elif state == HEAD:
            if elapsed > limits.header_time:
                self.refuse(408, "head: took too long to arrive")
        elif state == LINGER:
            self._check_lingering(elapsed)
        elif state == BUSY:
            if self._reader is not None and self._pace.is_late(now, limits):
                self._reader.throw(Refused(408, "body: took too long to arrive"))
        elif self._pace.is_late(now, limits):
            if state == BODY:
                self.refuse(408, "body: took too long to arrive")
            else:
                self.close()


def _without_empty_lines(data: bytes) -> bytes:
    position = 0
    while data[position : position + 2] == b"\r\n":
        position += 2
    return data[position:]


def _decoder(head: Head, server: HTTPServer) -> Decoder:
    if head.length == CHUNKED:
        return ChunkedDecoder(server.limits)
    return LengthDecoder(head.length)
