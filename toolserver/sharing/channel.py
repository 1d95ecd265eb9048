"""Messages over a connected socket, both ways; who sends never waits."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from collections.abc import Iterator
from typing import Any

import gevent
from gevent.event import Event
from gevent.socket import wait_write

from toolserver.errors import Overload
from toolserver.events import wait_for
from toolserver.sharing.frames import FrameReader, frame
from toolserver.turns import Turns

__all__ = ["Channel"]

#: What waits to be sent at most, bytes; and from how much on nothing should be added
#: to it by who can wait.
_MOST_WAITING, _MUCH_WAITING = 64 * 2**20, 8 * 2**20
_CHUNK = 2**16


class Channel:
    """One end of a connection between two processes of a server.

    Args:
        sock: The socket, of which the channel is the owner from now on.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        # It shares the connection, but waits for nothing.
        self._out = sock.dup()
        self._out.settimeout(0)
        self._waiting: deque[memoryview] = deque()
        self._size = 0
        self._has_room = Event()
        self._has_room.set()
        self._writer: gevent.Greenlet[..., Any] | None = None
        self.is_closed = False

    def send(self, message: tuple[Any, ...]) -> None:
        """Send a message, now or soon; once the channel is closed it does nothing.

        Args:
            message: Its kind and its parts.

        Raises:
            ValueError: It is too large.
            Overload: The other end has not read for long.
        """
        data = memoryview(frame(message))
        if self.is_closed:
            return
        if self._writer is None:
            data = data[self._send_now(data) :]
            if not data:
                return
        if self._size + len(data) > _MOST_WAITING:
            raise Overload(f"{self._size} bytes wait for another process to read them")
        self._waiting.append(data)
        self._size += len(data)
        if self._size > _MUCH_WAITING:
            self._has_room.clear()
        if self._writer is None:
            self._writer = gevent.spawn(self._write)

    def wait_for_room(self, timeout: float) -> bool:
        """Wait until not too much waits to be sent.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether there is room, or the channel closed.
        """
        return wait_for(self._has_room, timeout)

    def messages(self) -> Iterator[list[Any]]:
        """What arrives, until the other end or this one is closed.

        Raises:
            ValueError: It is no stream of messages.
        """
        reader = FrameReader()
        turns = Turns()
        while not self.is_closed:
            try:
                data = self._sock.recv(_CHUNK)
            except OSError:
                return
            if not data:
                return
            yield from reader.feed(data)
            turns.offer()

    def close(self) -> None:
        """Close the connection; what was not sent is lost."""
        if self.is_closed:
            return
        self.is_closed = True
        self._waiting.clear()
        self._has_room.set()
        # Wakes who reads and who writes, here and at the other end.
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        if self._writer is None:
            # Else it is closed by who waits for it.
            self._out.close()

    def _send_now(self, data: memoryview) -> int:
        """Send what the system takes without waiting; gives its length."""
        try:
            return self._out.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            # Who reads is told of the end.
            return len(data)

    def _write(self) -> None:
        try:
            while self._waiting:
                self._write_some()
        finally:
            self._writer = None
            if self.is_closed:
                self._out.close()

    def _write_some(self) -> None:
        sent = self._send_now(self._waiting[0])
        if not sent:
            wait_write(self._out.fileno())
            return
        self._size -= sent
        if sent < len(self._waiting[0]):
            self._waiting[0] = self._waiting[0][sent:]
        else:
            self._waiting.popleft()
        if self._size <= _MUCH_WAITING:
            self._has_room.set()
