"""The end of a connection, so that the last answer arrives before it.

Closing a socket with unread data resets the connection, and the reset can destroy the
answer on its way. So the last answer is followed by the end of our half; what still
arrives is thrown away for a while, and then the socket is closed (RFC 9112, section
9.6).
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from toolserver.http.reply import refusal
from toolserver.http.streams import Stream

if TYPE_CHECKING:
    import _socket

    from toolserver.http.transport import HTTPServer

__all__ = [
    "BODY",
    "BUSY",
    "CLOSED",
    "DRAIN",
    "HEAD",
    "IDLE",
    "LINGER",
    "ClosingStream",
]

log = logging.getLogger("toolserver.http")

#: The states of a connection; see `toolserver.http.connection`.
IDLE, HEAD, BODY, BUSY, DRAIN, LINGER, CLOSED = range(7)

_LINGER_TIME = 2.0


class ClosingStream(Stream):
    """A socket that is closed with care.

    Args:
        server: The server that accepted it.
        sock: The socket, non-blocking.
        peer: Address of the client; empty over a Unix socket.

    Attributes:
        peer: The same.
        state: One of the states above.
    """

    __slots__ = ("_since", "peer", "state")

    def __init__(self, server: HTTPServer, sock: _socket.socket, peer: str) -> None:
        super().__init__(server, sock)
        self.peer = peer
        self.state = IDLE
        # By the server's clock: when the state began.
        self._since = server.clock

    def _drop_request(self) -> None:
        """Let go of what is here of requests."""
        raise NotImplementedError

    def refuse(
        self,
        status: int,
        message: str,
        *,
        retry_after: int = 0,
        is_bodiless: bool = False,
    ) -> None:
        """Answer what cannot be served, and close the connection."""
        log.info("refused %s: %d, %s", self.peer or "a local client", status, message)
        self.post(
            refusal(status, message, retry_after=retry_after, is_bodiless=is_bodiless)
        )
        self._drop_request()
        if self.state != CLOSED:
            self._linger(is_unread=True)

    def _linger(self, *, is_unread: bool = False) -> None:
        """Close when all is sent; first let the client finish what it is sending."""
        if self.state != LINGER:
            self.state = LINGER
            self._since = self._server.clock
        if self._unsent:
            if not self._is_reading and not self._at_end:
                self._resume()
            return
        if self._at_end:
            self.close()
            return
        if not is_unread:
            # What the kernel still holds would turn the close into a reset, too.
            with contextlib.suppress(OSError):
                is_unread = bool(self._recv())
        if not is_unread:
            self.close()
            return
        try:
            self._end_writing()
        except OSError:
            self.close()
            return
        self._resume()

    def _check_lingering(self, elapsed: float) -> None:
        if elapsed > _LINGER_TIME and not self._unsent:
            self.close()

    def _on_flushed(self) -> None:
        if self.state == LINGER:
            self._linger(is_unread=True)

    def _on_closed(self) -> None:
        self.state = CLOSED
