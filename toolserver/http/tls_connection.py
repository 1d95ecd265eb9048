"""A connection under TLS.

The TLS engine works on memory, not on the socket, so that an idle connection under
TLS costs no greenlet either: what arrives goes through the engine before
`Connection` sees it, what is sent goes through it before the socket does.
"""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gevent import get_hub

from toolserver.http.closing import HEAD, IDLE
from toolserver.http.connection import Connection
from toolserver.message import FileBody
from toolserver.turns import Turns

if TYPE_CHECKING:
    import _socket

    from toolserver.http.transport import HTTPServer

__all__ = ["TLSConnection"]

_PIECE = 65536
_TEXT = b"this port speaks HTTP under TLS: ask for https://\n"
#: For who asks without TLS.
_PLAIN_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(_TEXT), _TEXT)
)


class TLSConnection(Connection):
    """One client's connection under TLS.

    Args:
        server: The server that accepted it.
        sock: Its socket, non-blocking.
        peer: Address of the client.
        peer_port: Port of the client.
        context: Certificate, key and what is asked of the client.
    """

    __slots__ = (
        "_asks_certificate",
        "_certificate",
        "_has_ended",
        "_incoming",
        "_is_secure",
        "_outgoing",
        "_tls",
    )

    scheme = "https"

    def __init__(
        self,
        server: HTTPServer,
        sock: _socket.socket,
        peer: str,
        peer_port: int,
        context: ssl.SSLContext,
    ) -> None:
        super().__init__(server, sock, peer, peer_port)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._asks_certificate = context.verify_mode != ssl.CERT_NONE
        self._certificate: Mapping[str, Any] | None = None
        self._is_secure = False
        self._has_ended = False
        # The handshake has the time of a head.
        self.state = HEAD

    @property
    def certificate(self) -> Mapping[str, Any] | None:
        """The client's certificate, if it was asked for and given."""
        if self._asks_certificate and self._certificate is None:
            self._certificate = self._tls.getpeercert()
        return self._certificate

    def _recv(self) -> bytes:
        if self._has_ended:
            return b""
        arrived = super()._recv()
        if not arrived:
            self._has_ended = True
            return b""
        self._incoming.write(arrived)
        try:
            if not self._is_secure:
                self._tls.do_handshake()
                self._is_secure = True
                if self.state == HEAD:
                    self.state = IDLE
            data = self._open()
        except ssl.SSLWantReadError:
            data = b""
        except ssl.SSLError as error:
            if not self._is_secure:
                self._server.note_refused_handshake(self.peer, error)
            # Who speaks no TLS could not read an alert, which tells others why.
            speaks_http = not self._is_secure and error.reason == "HTTP_REQUEST"
            super().post(_PLAIN_HTTP if speaks_http else self._outgoing.read())
            raise
        if self._writer is None:
            # Else it would land amid a record; the next one takes it along.
            super().post(self._outgoing.read())
        if not data and not self._has_ended:
            raise BlockingIOError
        return data

    def _open(self) -> bytes:
        """All that the engine can decrypt now."""
        pieces = []
        try:
            while piece := self._tls.read(_PIECE):
                pieces.append(piece)
            self._has_ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._has_ended = True
        if self._has_ended and pieces:
            # The socket may stay silent now, so the end has to be told from here.
            get_hub().loop.run_callback(self._tell_end)
        return b"".join(pieces)

    def _tell_end(self) -> None:
        if not self.is_closed and self._is_reading:
            self._on_readable()

    def _seal(self, data: bytes | memoryview) -> bytes:
        if not self._is_secure:
            return b""
        self._tls.write(data)
        return self._outgoing.read()

    def write(self, data: bytes, *, more: bool = False) -> None:
        """Send bytes; waits while more than a bound is unsent."""
        if len(data) <= _PIECE:
            super().write(self._seal(data), more=more)
            return
        view = memoryview(data)
        turns = Turns()
        for start in range(0, len(view), _PIECE):
            super().write(self._seal(view[start : start + _PIECE]))
            turns.offer()

    def post(self, data: bytes) -> None:
        """Send bytes without waiting."""
        super().post(self._seal(data))

    def send_file(self, file: FileBody) -> None:
        """Send a span of a file by reading it."""
        offset, left = file.offset, file.length
        turns = Turns()
        while left:
            data = os.pread(file.fileno(), min(left, _PIECE), offset)
            if not data:
                raise EOFError(f"file: ended {left} bytes before its span")
            self.write(data)
            offset += len(data)
            left -= len(data)
            turns.offer()

    def _end_writing(self) -> None:
        super().post(self._farewell())
        super()._end_writing()

    def close(self) -> None:
        """Close now, with the alert that tells a whole answer from a cut one."""
        if not self.is_closed and not self._unsent and not self._has_ended:
            with contextlib.suppress(OSError):
                self._socket.send(self._farewell())
        super().close()

    def _farewell(self) -> bytes:
        """The alert that nothing more will be sent; empty where it was sent before."""
        if not self._is_secure:
            return b""
        self._is_secure = False
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        return self._outgoing.read()
