"""Connections of proxies that tell first whose they are, by the PROXY protocol.

Such a connection is read here until its header has ended, and not a byte farther.
Then its socket becomes a connection of the client that the header names, with TLS or
without; what the proxy has sent so far is forgotten. So connections have no part in
this, and those of a server without proxies cost nothing more.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from toolserver.http.closing import HEAD
from toolserver.http.proxyheader import MOST_BYTES, ProxyHeader
from toolserver.http.streams import Stream

if TYPE_CHECKING:
    import _socket

    from toolserver.http.transport import HTTPServer

__all__ = ["Proxied", "ProxiedStream"]

log = logging.getLogger("toolserver.http")

#: Seconds between two lines of the log about refused connections.
_TOLD = 10.0


class Proxied:
    """Who may put a header before a connection, and who was refused.

    Args:
        is_proxy: Whether an address is that of a trusted proxy.
    """

    def __init__(self, is_proxy: Callable[[str], bool]) -> None:
        self.is_proxy = is_proxy
        self._refused = 0
        self._told_at = -_TOLD

    def refuse(self, sock: _socket.socket, peer: str) -> None:
        """Close a connection that comes from no trusted proxy.

        Args:
            sock: Its socket.
            peer: Address of the client.
        """
        sock.close()
        self.tell(peer, "its address is not in server.trusted_proxies")

    def tell(self, peer: str, why: str) -> None:
        """Tell the log why a connection was closed, now and then.

        Args:
            peer: Who has opened it.
            why: The reason.
        """
        self._refused += 1
        now = time.monotonic()
        if now < self._told_at + _TOLD:
            return
        self._told_at = now
        others = self._refused - 1
        self._refused = 0
        log.warning(
            "PROXY protocol: no connection for %s: %s%s",
            peer or "unix",
            why,
            f", and for {others} others before" if others else "",
        )


class ProxiedStream(Stream):
    """A proxy's connection, until it has told whose it is.

    It counts as a connection of the server, and ends as one.

    Args:
        server: The server that accepted it.
        sock: The socket, non-blocking.
        peer: Address of the proxy; empty over a Unix socket.
        peer_port: Port of the proxy.
        proxied: Told where no header comes.

    Attributes:
        peer: The address.
        state: That of a connection whose head is arriving.
        requests: None have.
    """

    __slots__ = ("_header", "_peer_port", "_proxied", "_since", "peer")

    state = HEAD
    requests = 0

    def __init__(
        self,
        server: HTTPServer,
        sock: _socket.socket,
        peer: str,
        peer_port: int,
        proxied: Proxied,
    ) -> None:
        super().__init__(server, sock)
        self.peer = peer
        self._peer_port = peer_port
        self._proxied = proxied
        self._header = ProxyHeader()
        self._since = server.clock

    def _on_readable(self) -> None:
        header = self._header
        try:
            # What follows the header stays in the socket for who serves the client.
            data = self._socket.recv(MOST_BYTES, socket.MSG_PEEK)
            if not data:
                self.close()
                return
            self._socket.recv(header.feed(data))
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        except ValueError as error:
            self._proxied.tell(self.peer, str(error))
            self.reset()
            return
        if header.is_complete:
            peer, port = header.source or (self.peer, self._peer_port)
            self._server.take_over(self, self._release(), peer, port)

    def _release(self) -> _socket.socket:
        """Let go of the socket, which stays open."""
        self.is_closed = True
        self._pause()
        self._read_watcher.close()
        self._read_watcher = None
        return self._socket

    def _on_flushed(self) -> None:
        """Nothing is sent here."""

    def _on_closed(self) -> None:
        self._server.forget(self)

    def end_when_idle(self) -> None:
        """Close: there is no request yet."""
        self.close()

    def check_time(self, now: float, slack: float) -> None:
        """Close if the header takes too long; called in the loop at intervals.

        Args:
            now: The server's clock.
            slack: How far the clock may be behind.
        """
        if now - slack - self._since > self._server.limits.header_time:
            self._proxied.tell(self.peer, "its header took too long to arrive")
            self.close()
