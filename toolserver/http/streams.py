"""A non-blocking socket in the event loop: who waits for it, and what is unsent.

Sending takes what the socket takes. A rest up to a bound is kept and sent by the loop
as the client takes it; a larger one holds the greenlet that writes. Reading is turned
on and off, so that what nobody wants stays with its sender.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import sys
import termios
from typing import TYPE_CHECKING, Any

from gevent import get_hub, getcurrent

from toolserver.http.exchange import ClientGone
from toolserver.message import FileBody
from toolserver.turns import Turns

if TYPE_CHECKING:
    import _socket

    from toolserver.http.transport import HTTPServer

__all__ = ["RECEIVE", "Stream"]

#: Bytes to receive at once; more gains nothing.
RECEIVE = 65536
_READ, _WRITE = 1, 2
#: "struct linger" with its switch on and no time: close sends a reset.
_RESET = struct.pack("ii", 1, 0)


class Stream:
    """One accepted socket.

    Args:
        server: The server that accepted it.
        sock: The socket, non-blocking.

    Attributes:
        is_closed: Whether it was closed.
    """

    __slots__ = (
        "_at_end",
        "_is_reading",
        "_progress",
        "_queued",
        "_read_watcher",
        "_reader",
        "_server",
        "_socket",
        "_unsent",
        "_write_watcher",
        "_writer",
        "is_closed",
    )

    def __init__(self, server: HTTPServer, sock: _socket.socket) -> None:
        self._server = server
        self._socket = sock
        self.is_closed = False
        # The client has closed its half.
        self._at_end = False
        # Greenlets that wait to receive and to send.
        self._reader: Any = None
        self._writer: Any = None
        self._unsent = b""
        # By the server's clock: when the client last took something of what waits
        # for it; 0 while nothing does.
        self._progress = 0.0
        # What the kernel held of it soon after that; -1 while nobody has asked.
        self._queued = -1
        self._write_watcher: Any = None
        self._read_watcher: Any = get_hub().loop.io(sock.fileno(), _READ)
        self._is_reading = True
        self._read_watcher.start(self._on_readable)

    # --- what a connection does on events

    def _on_readable(self) -> None:
        """Bytes have arrived; called in the loop."""
        raise NotImplementedError

    def _on_flushed(self) -> None:
        """All is sent that had to wait; called in the loop."""
        raise NotImplementedError

    def _on_closed(self) -> None:
        """The socket was closed."""
        raise NotImplementedError

    # --- receiving

    def _recv(self) -> bytes:
        return self._socket.recv(RECEIVE)

    def _pause(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._read_watcher.stop()

    def _resume(self) -> None:
        if not self._is_reading and not self.is_closed:
            self._is_reading = True
            self._read_watcher.start(self._on_readable)

    def _wait_readable(self) -> None:
        if self._reader is not None:
            raise RuntimeError("body: two greenlets read at once")
        self._reader = getcurrent()
        self._resume()
        try:
            get_hub().switch()
        finally:
            self._reader = None

    # --- sending

    def write(self, data: bytes, *, more: bool = False) -> None:
        """Send bytes; waits while more than a bound is unsent.

        Args:
            data: What to send.
            more: Whether others follow at once.

        Raises:
            ClientGone: Nobody is there to take them.
        """
        if self._unsent or self._writer is not None or self.is_closed:
            self._write_behind(data)
            return
        try:
            sent = self._socket.send(data, socket.MSG_MORE if more else 0)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.close()
            raise ClientGone(str(error)) from error
        if sent != len(data):
            self._write_rest(memoryview(data)[sent:])

    def _write_behind(self, data: bytes) -> None:
        """Send bytes after those that are still unsent."""
        bound = self._server.limits.buffered_answer
        if self._writer is not None:
            # What the other one has in hand is not in `_unsent`.
            raise RuntimeError("writer: two greenlets write at once")
        while self._unsent or self.is_closed:
            if self.is_closed:
                raise ClientGone("the connection is closed")
            if len(self._unsent) + len(data) <= bound:
                self._unsent += data
                return
            self._wait_writable()
        self._write_rest(memoryview(data))

    def _write_rest(self, view: memoryview) -> None:
        bound = self._server.limits.buffered_answer
        while len(view) > bound:
            self._wait_writable()
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                continue
            except OSError as error:
                self.close()
                raise ClientGone(str(error)) from error
        if view:
            self._unsent = bytes(view)
            self._watch_writing()

    def send_file(self, file: FileBody) -> None:
        """Send a span of a file by the kernel; waits while the client is slow.

        Raises:
            ClientGone: Nobody is there to take it.
            EOFError: The file ended before its span.
        """
        while self._unsent:
            self._wait_writable()
        offset, left = file.offset, file.length
        turns = Turns()
        while left:
            turns.offer()
            if self.is_closed:
                raise ClientGone("the connection is closed")
            try:
                sent = os.sendfile(self._socket.fileno(), file.fileno(), offset, left)
            except BlockingIOError:
                self._wait_writable()
                continue
            except OSError as error:
                self.close()
                raise ClientGone(str(error)) from error
            if not sent:
                raise EOFError(f"file: ended {left} bytes before its span")
            offset += sent
            left -= sent

    def post(self, data: bytes) -> None:
        """Send bytes without waiting: for the loop's own short answers."""
        if self.is_closed:
            return
        if not self._unsent:
            try:
                data = data[self._socket.send(data) :]
            except BlockingIOError:
                pass
            except OSError:
                self.close()
                return
        if data:
            self._unsent += data
            self._watch_writing()

    def _wait_writable(self) -> None:
        if self.is_closed:
            raise ClientGone("the connection is closed")
        if self._writer is not None:
            raise RuntimeError("writer: two greenlets write at once")
        self._writer = getcurrent()
        self._watch_writing()
        try:
            get_hub().switch()
        finally:
            self._writer = None

    def _takes_too_little(self, now: float) -> bool:
        """Whether the client is too slow to take what waits for it.

        The kernel calls a socket writable when a good part of its buffer is free,
        and to a slow client that takes minutes. So it is asked how much it holds.
        """
        if self._queued < 0:
            self._queued = self._count_queued()
        limits = self._server.limits
        if now - self._progress <= limits.write_idle:
            return False
        queued = self._count_queued()
        taken = self._queued - queued
        if taken < max(1, limits.write_rate * limits.write_idle):
            return True
        self._progress = now
        self._queued = queued
        return False

    def _count_queued(self) -> int:
        """Bytes that were sent and that the client has not acknowledged."""
        try:
            answer = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4))
        except OSError:
            # Not a socket that can tell: as if nothing had been taken.
            return 0
        return int.from_bytes(answer, sys.byteorder)

    def _watch_writing(self) -> None:
        self._note_progress()
        if self._write_watcher is None:
            watcher = get_hub().loop.io(self._socket.fileno(), _WRITE)
            self._write_watcher = watcher
            watcher.start(self._on_writable)

    def _stop_watching_writing(self) -> None:
        self._progress = 0.0
        if self._write_watcher is not None:
            self._write_watcher.stop()
            self._write_watcher.close()
            self._write_watcher = None

    def _note_progress(self) -> None:
        self._progress = self._server.clock
        self._queued = -1

    def _on_writable(self) -> None:
        self._note_progress()
        if self._unsent:
            try:
                sent = self._socket.send(self._unsent)
            except BlockingIOError:
                return
            except OSError:
                self.close()
                return
            self._unsent = self._unsent[sent:]
            if self._unsent:
                return
        if self._writer is not None:
            self._writer.switch()
            if self._writer is not None or self._unsent:
                return
        self._stop_watching_writing()
        self._on_flushed()

    # --- the end

    def _end_writing(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close so that the client knows the answer was incomplete."""
        if not self.is_closed:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.close()

    def close(self) -> None:
        """Close now; greenlets that wait here are told."""
        if self.is_closed:
            return
        self.is_closed = True
        self._pause()
        self._read_watcher.close()
        self._read_watcher = None
        self._stop_watching_writing()
        self._unsent = b""
        self._socket.close()
        self._on_closed()
        if self._reader is not None or self._writer is not None:
            # Later and in the loop: this may run in any greenlet.
            get_hub().loop.run_callback(self._wake)

    def _wake(self) -> None:
        if self._reader is not None:
            self._reader.switch()
        if self._writer is not None:
            self._writer.throw(ClientGone("the connection is closed"))
