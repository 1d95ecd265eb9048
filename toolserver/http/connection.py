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

from typing import TYPE_CHECKING

from toolserver.http.bodies import StreamedBody
from toolserver.http.closing import (
    BODY,
    BUSY,
    CLOSED,
    DRAIN,
    HEAD,
    IDLE,
    LINGER,
)
from toolserver.http.exchange import Exchange
from toolserver.http.intake import Intake, is_for_head
from toolserver.http.pace import Pace
from toolserver.http.refused import Refused
from toolserver.http.streams import RECEIVE

if TYPE_CHECKING:
    pass

__all__ = ["Connection"]

_DRAINED_BODY = 65536


class Connection(Intake):
    """One client's connection; see `Intake` for its parameters and attributes."""

    __slots__ = ()

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
        exchange = self._exchange
        if exchange is not None and exchange.body is not None and not self._has_body():
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
            if exchange is not None:  # pragma: no branch - who is busy has one
                exchange.hang_up()
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
                self.refuse_body(400, "body: ended early")
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
        if (self._at_end or server.stopping) and self.state != LINGER:
            self._linger()
        elif not self._is_reading:
            self._resume()
        return False

    def watch(self) -> bool:
        """Watch for the client's hanging up; whether it is there now."""
        if self._at_end or self.is_closed:
            return False
        if len(self._buffer) < RECEIVE and self._has_body():
            self._resume()
        return True

    def _has_body(self) -> bool:
        """Whether the running request's body is here, so that what comes is not."""
        return self._decoder is None or self._decoder.done

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
        except Refused:  # pragma: no cover - what is here was read once, for its length
            return False
        if decoder.done:
            self._buffer = decoder.rest
            return True
        return decoder.remaining is not None and decoder.remaining <= _DRAINED_BODY

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

    def _on_closed(self) -> None:
        # A request that is running still needs its exchange.
        exchange = self._exchange
        self._drop_request()
        self._exchange = exchange
        super()._on_closed()
        self._server.forget(self)
        if exchange is not None:
            exchange.hang_up()

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
                is_bodiless = is_for_head(self._buffer)
                message = "head: took too long to arrive"
                self.refuse(408, message, is_bodiless=is_bodiless)
        elif state == LINGER:
            self._check_lingering(elapsed)
        elif state == BUSY:
            if self._reader is not None and self._pace.is_late(now, limits):
                self._reader.throw(Refused(408, "body: took too long to arrive"))
        elif self._pace.is_late(now, limits):
            if state == BODY:
                self.refuse_body(408, "body: took too long to arrive")
            else:
                self.close()
