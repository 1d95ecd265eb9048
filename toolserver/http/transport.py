"""The HTTP server: listens, accepts, keeps time, starts and stops.

What happens on one connection is told in `toolserver.http.connection`, who runs the
requests in `toolserver.pools`.
"""

from __future__ import annotations

import _socket
import errno
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent import get_hub
from gevent.event import Event

from toolserver.http.closing import BUSY
from toolserver.http.connection import Connection
from toolserver.http.descriptors import most_connections
from toolserver.http.exchange import Handler
from toolserver.http.intake import Intake
from toolserver.http.listeners import open_listener, remove_unix_socket
from toolserver.http.parser import HeadParser
from toolserver.http.proxied import Proxied, ProxiedStream
from toolserver.http.refused import Refused
from toolserver.http.reply import ReplyHeads
from toolserver.http.tally import Tally
from toolserver.http.tls_connection import TLSConnection
from toolserver.message import Request
from toolserver.pools import Pool
from toolserver.settings import Limits, ServerSettings

__all__ = ["HTTPServer", "Handler", "is_local"]

log = logging.getLogger("toolserver.http")

#: Connections taken per turn of the loop. From a socket that other processes share
#: one at a time, so that each process gets its part.
_ACCEPTS, _ACCEPTS_SHARED = 64, 1
#: Seconds for which a process that has more connections leaves a new one to others.
_GIVES_WAY = 0.001
#: Connections over the bound that are told so at a time; others are just closed.
_REFUSED = 100
#: The same for connections over the bound of one address.
_REFUSED_PER_ADDRESS = 10
_NO_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_ACCEPT_PAUSE = 0.2
#: Seconds between two lines of the log about refused handshakes.
_HANDSHAKES_TOLD = 10.0
#: Seconds between two looks at whether old requests have ended.
_DRAIN_STEP = 0.02
_READ = 1


def is_local(address: str) -> bool:
    """Whether a peer is on this machine: loopback or a Unix socket."""
    address = address.removeprefix("::ffff:")
    return not address or address == "::1" or address.startswith("127.")


class HTTPServer:
    """Serves HTTP/1.1 and 1.0.

    Args:
        handler: Answers a request; runs in a greenlet and may block.
        settings: Where to listen, and how much to do at once.
        limits: What a client may ask at most.
        body_limit: Asked when a request's body passes ``limits.body``: how many
            bytes the body of this request may have.
        on_reply: Told after each answer: request, status, bytes of the body, seconds.
        on_failure: Answers, with bytes, where the handler failed or gave an answer
            that cannot be sent; by default a sentence does.
        tls: Gives the TLS context for a new connection; turns TLS on.
        exempt: Which peer addresses may open any number of connections, and send any
            number of bodies.
        proxies: Which peer addresses are proxies that begin each connection with a
            header of the PROXY protocol; others get no connection then.

    Attributes:
        requests: Requests that have arrived.
        uploads: Connections whose request runs while its body is still arriving.
        most_uploads: How many of them there may be, so that workers remain for others.
        stopping: Whether `stop` has been called.
        local: Address and port that the server listens on; the path of a Unix
            socket and 0.
        clock: Time by `time.monotonic`, some moments old.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        settings: ServerSettings,
        limits: Limits,
        body_limit: Callable[[Request], int] | None = None,
        on_reply: Callable[[Request, int, int, float], None] | None = None,
        on_failure: Handler | None = None,
        tls: Callable[[], ssl.SSLContext] | None = None,
        exempt: Callable[[str], bool] = is_local,
        proxies: Callable[[str], bool] | None = None,
    ) -> None:
        self.handler = handler
        self.settings = settings
        self.limits = limits
        self.body_limit = body_limit
        self.on_reply = on_reply
        self.on_failure = on_failure
        self.parser = HeadParser(limits)
        self.heads = ReplyHeads()
        self.pool = Pool(settings.max_workers, settings.max_waiting, limits.pipelined)
        self.requests = 0
        self.uploads: set[Intake] = set()
        self.most_uploads = min(limits.uploads, max(1, settings.max_workers // 2))
        self._uploads_per_address = min(
            limits.uploads_per_address, max(1, self.most_uploads // 2)
        )
        self.stopping = False
        self.local: tuple[str, int] = ("", 0)
        self.clock = time.monotonic()
        self._tls = tls
        self._refused_handshakes = 0
        self._handshakes_told_at = 0.0
        self._exempt = exempt
        self._proxied = None if proxies is None else Proxied(proxies)
        self._listener: _socket.socket | None = None
        self._is_unix = False
        self._unix_inode = 0
        self._accepts = _ACCEPTS
        self._tally: Tally | None = None
        self._accept_watcher: Any = None
        self._is_short_of_files = False
        self._timer: Any = None
        self._interval = 1.0
        self._connections: set[Connection | ProxiedStream] = set()
        self._most_connections = limits.connections
        self._by_address: dict[str, int] = {}
        self._is_empty = Event()

    # --- what it is doing

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._connections)

    @property
    def busy(self) -> int:
        """Requests that are running."""
        return self.pool.busy

    @property
    def uploads_are_many(self) -> bool:
        """Whether half of the uploads that there may be are running."""
        return 2 * len(self.uploads) >= self.most_uploads

    def check_uploads(self, peer: str) -> None:
        """Make sure that one more request may run while its body still arrives.

        Args:
            peer: Address of its client.

        Raises:
            Refused: There are as many as may be, of all clients or of this one.
        """
        count = len(self.uploads)
        if count >= self.most_uploads:
            raise Refused(503, "too many bodies are arriving at once")
        most = self._uploads_per_address
        if (
            count >= most
            and not self._exempt(peer)
            and sum(upload.peer == peer for upload in self.uploads) >= most
        ):
            raise Refused(503, "too many bodies are arriving from your address")

    @property
    def free(self) -> int:
        """Requests that could start at once."""
        return self.pool.size - self.pool.busy

    @property
    def waiting(self) -> int:
        """Requests that wait for others to end."""
        return len(self.pool.queue)

    @property
    def address(self) -> tuple[str, int] | str:
        """Host and port, or the path of the Unix socket."""
        return self.local[0] if self._is_unix else self.local

    @property
    def url(self) -> str:
        """Where clients find the server, without a slash at the end."""
        scheme = "https" if self._tls is not None else "http"
        host, port = self.local
        if self._is_unix:
            return f"{scheme}+unix://{host}"
        if host in ("0.0.0.0", "::"):  # noqa: S104  # compared, not bound
            host = "localhost"
        if ":" in host:
            host = f"[{host}]"
        return f"{scheme}://{host}:{port}"

    # --- start

    def listen(
        self, listener: socket.socket | None = None, *, tally: Tally | None = None
    ) -> None:
        """Take the port; connections wait in the kernel until `start`.

        Args:
            listener: A listening socket that somebody else has opened, and whose path
                he removes; by default one is opened as the settings say.
            tally: Where other processes accept from it, too: what each of them has.

        Raises:
            StartError: The port cannot be had.
        """
        is_own = listener is None
        if listener is None:
            listener = open_listener(self.settings)
        if tally is not None:
            self._tally = tally
            self._accepts = _ACCEPTS_SHARED
        family, kind, protocol = listener.family, listener.type, listener.proto
        # The plain socket of the interpreter: gevent's would add a greenlet switch
        # to each operation.
        plain = _socket.socket(family, kind, protocol, fileno=listener.detach())
        plain.setblocking(False)
        name = plain.getsockname()
        if family == socket.AF_UNIX:
            self._is_unix = True
            self.local = (os.fsdecode(name), 0)
            if is_own:
                self._unix_inode = os.stat(name).st_ino
        else:
            self.local = (name[0], name[1])
        self._listener = plain

    def start(self) -> None:
        """Accept connections.

        Raises:
            RuntimeError: `listen` has not been called.
        """
        if self._listener is None:
            raise RuntimeError("start: listen comes first")
        loop = get_hub().loop
        limits = self.limits
        self._most_connections = most_connections(limits.connections)
        if self._most_connections < limits.connections:
            log.warning(
                "limits.connections: got %d, but the bound of open files (ulimit -n) "
                "leaves room for %d",
                limits.connections,
                self._most_connections,
            )
        smallest = min(
            limits.header_time,
            limits.body_idle,
            limits.write_idle,
            limits.keep_alive_idle,
        )
        self._interval = min(1.0, smallest / 8)
        self._timer = loop.timer(self._interval, self._interval)
        self._timer.start(self._keep_time)
        self._accept_watcher = loop.io(self._listener.fileno(), _READ)
        if self._tally is None:
            self._accept_watcher.start(self._accept)
        else:
            self._tally.tell(0)
            self._accept_watcher.start(self._accept_shared)

    # --- callbacks of the loop

    def _accept_shared(self) -> None:
        assert self._tally is not None  # noqa: S101  # else nothing is shared
        if self._tally.has_fewer_elsewhere(len(self._connections)):
            self._accept_watcher.stop()
            timer = get_hub().loop.timer(_GIVES_WAY)
            timer.start(self._accept_after_others, timer)
        else:
            self._accept()

    def _accept_after_others(self, timer: Any) -> None:
        # The others may be busy: what nobody has taken by now is ours.
        self._accept()
        self._resume_accepting(timer)

    def _accept(self) -> None:
        listener = self._listener
        if listener is None:
            return
        accept: Callable[[], tuple[int, Any]] = listener._accept  # type: ignore[attr-defined]  # typeshed knows accept only
        for _ in range(self._accepts):
            try:
                descriptor, address = accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_RESOURCES:
                    self._pause_accepting(error)
                    return
                # The client was gone before it was accepted.
                continue
            self._is_short_of_files = False
            sock = _socket.socket(
                listener.family, listener.type, listener.proto, fileno=descriptor
            )
            sock.setblocking(False)
            self._open(sock, address)

    def _pause_accepting(self, error: OSError) -> None:
        if not self._is_short_of_files:
            self._is_short_of_files = True
            log.error("cannot accept connections for now: %s", error.strerror)
        self._accept_watcher.stop()
        # Waiting connections keep the listener readable: without a pause the loop
        # would spin.
        timer = get_hub().loop.timer(_ACCEPT_PAUSE)
        timer.start(self._resume_accepting, timer)

    def _resume_accepting(self, timer: Any) -> None:
        timer.close()
        if self._accept_watcher is not None:
            accept = self._accept if self._tally is None else self._accept_shared
            self._accept_watcher.start(accept)

    def _open(self, sock: _socket.socket, address: Any) -> None:
        peer, port = "", 0
        if not self._is_unix:
            peer, port = address[0], address[1]
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError:
                sock.close()
                return
        if len(self._connections) - self._most_connections >= _REFUSED:
            sock.close()
            return
        proxied = self._proxied
        if proxied is None:
            self._admit(sock, peer, port)
        elif proxied.is_proxy(peer):
            self._enter(ProxiedStream(self, sock, peer, port, proxied))
        else:
            proxied.refuse(sock, peer)

    def _admit(self, sock: _socket.socket, peer: str, port: int) -> None:
        excess = len(self._connections) - self._most_connections
        over = self._by_address.get(peer, 0) - self.limits.connections_per_address
        is_over = over >= 0 and not self._exempt(peer)
        if is_over and over >= _REFUSED_PER_ADDRESS:
            # Who is told has a connection for some time, too: one address could take
            # all that others may have.
            sock.close()
            return
        if self._tls is None:
            connection = Connection(self, sock, peer, port)
        else:
            connection = TLSConnection(self, sock, peer, port, self._tls())
        self._enter(connection)
        if excess >= 0:
            connection.refuse(503, "too many connections", retry_after=1)
        elif is_over:
            message = "too many connections from your address"
            connection.refuse(503, message, retry_after=1)

    def _enter(self, connection: Connection | ProxiedStream) -> None:
        """Count a connection."""
        by_address = self._by_address
        by_address[connection.peer] = by_address.get(connection.peer, 0) + 1
        self._connections.add(connection)
        if self._tally is not None:
            self._tally.tell(len(self._connections))

    def take_over(
        self, stream: ProxiedStream, sock: _socket.socket, peer: str, port: int
    ) -> None:
        """Serve the client whose connection a proxy hands on.

        Args:
            stream: The connection as it was the proxy's.
            sock: Its socket, from which the header has been read.
            peer: Address of the client.
            port: Port of the client.
        """
        self._leave(stream)
        self._admit(sock, peer, port)

    def note_refused_handshake(self, peer: str, error: ssl.SSLError) -> None:
        """Tell the log why a client got no connection under TLS, now and then.

        Args:
            peer: Address of the client.
            error: Why.
        """
        self._refused_handshakes += 1
        if self.clock < self._handshakes_told_at + _HANDSHAKES_TOLD:
            return
        self._handshakes_told_at = self.clock
        others = self._refused_handshakes - 1
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        log.warning(
            "TLS: no connection for %s: %s%s",
            peer or "unix",
            reason,
            f", and for {others} others before" if others else "",
        )
        self._refused_handshakes = 0

    def forget(self, connection: Connection | ProxiedStream) -> None:
        """Take note that a connection has been closed."""
        self._leave(connection)
        if self._tally is not None:
            self._tally.tell(len(self._connections))
        if not self._connections:
            self._is_empty.set()

    def _leave(self, connection: Connection | ProxiedStream) -> None:
        self._connections.discard(connection)
        count = self._by_address[connection.peer] - 1
        if count:
            self._by_address[connection.peer] = count
        else:
            del self._by_address[connection.peer]

    def _keep_time(self) -> None:
        now = self.clock = time.monotonic()
        for connection in list(self._connections):
            connection.check_time(now, self._interval)

    # --- stop

    def wait_for_running(self, timeout: float) -> None:
        """Wait until the requests that are running now have ended.

        Args:
            timeout: Seconds to wait at most.
        """
        running = [(c, c.requests) for c in self._connections if c.state == BUSY]
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and any(
            connection.state == BUSY and connection.requests == number
            for connection, number in running
        ):
            gevent.sleep(_DRAIN_STEP)

    def retire(self, patience: float) -> None:
        """Accept no more, as another process does, and have clients go to it.

        Each answer is the last one of its connection. Who has just connected, or uses
        a connection all the time, may be sending at this moment, and is answered, too.

        Args:
            patience: Seconds that they get.
        """
        self.stopping = True
        self._close_listener()
        self._is_empty.clear()
        if self._connections:
            self._is_empty.wait(patience)

    def stop(self, timeout: float) -> None:
        """Close the port, let running requests end, then cut what remains.

        Args:
            timeout: Seconds that running requests get.
        """
        self.stopping = True
        self._close_listener()
        for connection in list(self._connections):
            connection.end_when_idle()
        self._is_empty.clear()
        if self._connections:
            self._is_empty.wait(timeout)
        if self._connections:
            log.warning("stop: %d connections were cut", len(self._connections))
        for connection in list(self._connections):
            connection.reset()
        self.pool.kill()
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def _close_listener(self) -> None:
        if self._accept_watcher is not None:
            self._accept_watcher.stop()
            self._accept_watcher.close()
            self._accept_watcher = None
        if self._tally is not None:
            self._tally.leave()
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            if self._unix_inode:
                remove_unix_socket(self.local[0], self._unix_inode)
