"""A load generator in plain Python, for large answers and machines without wrk.

Answers are parsed once: as each is as long as the first, the rest are counted by
their length and looked at by their first line. What follows the first piece of a
large one is left in the kernel, so that reading costs next to nothing. Started by
`load` as ``python -m benchmarks.epoll FILE SIZE PORT CONNECTIONS SECONDS``; the file
has one request, or many of one size, of which each is sent once.
"""

from __future__ import annotations

import itertools
import json
import select
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path


class Connections:
    """Connections that ask as fast as they are answered.

    Args:
        port: Port of the server.
        requests: The bytes of each request.
    """

    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self._port = port
        self._requests = requests
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._received: dict[int, int] = {}
        self._buffer = bytearray(1 << 20)
        self._size, self._status, self._closes = self._first_answer()
        self.answers = 0
        self.errors = 0

    def _first_answer(self) -> tuple[int, bytes, bool]:
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            connection.sendall(next(self._requests))
            data = b""
            while b"\r\n\r\n" not in data:
                data += connection.recv(65536)
        head = data.partition(b"\r\n\r\n")[0]
        lines = head.lower().split(b"\r\n")
        sizes = [line for line in lines if line.startswith(b"content-length:")]
        closes = lines[0].startswith(b"http/1.0") or b"connection: close" in lines
        size = len(head) + 4 + int(sizes[0].partition(b":")[2])
        return size, data[:12], closes

    def open(self) -> None:
        """Open one more connection and ask on it."""
        connection = socket.create_connection(("127.0.0.1", self._port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        number = connection.fileno()
        self._sockets[number] = connection
        self._received[number] = 0
        self._epoll.register(number, select.EPOLLIN)
        connection.send(next(self._requests))

    def _reopen(self, number: int) -> None:
        self._epoll.unregister(number)
        self._sockets.pop(number).close()
        self.open()

    def run(self, seconds: float) -> float:
        """Ask for some time; the time that it took."""
        begin = time.perf_counter()
        end = begin + seconds
        while (now := time.perf_counter()) < end:
            for number, _ in self._epoll.poll(1):
                self._read(number)
        return now - begin

    def _read(self, number: int) -> None:
        connection = self._sockets[number]
        received = self._received[number]
        if received:
            # tcp(7): with this flag the bytes are counted and thrown away.
            count = connection.recv_into(self._buffer, 0, socket.MSG_TRUNC)
        else:
            count = connection.recv_into(self._buffer, 65536)
            self.errors += not self._buffer.startswith(self._status)
        if not count:
            # Between two answers a server may close: RFC 9112, section 9.5.
            self.errors += bool(received)
            self._reopen(number)
            return
        received += count
        self._received[number] = 0 if received >= self._size else received
        if received < self._size:
            return
        self.answers += 1
        # The last answer of a connection says so, and is longer by that.
        is_last = received > self._size
        if is_last:
            self.errors += b"\r\nConnection: close" not in self._buffer
        if is_last or self._closes:
            self._reopen(number)
        else:
            connection.send(next(self._requests))


def main() -> None:
    """Run as the command line says, and print what was counted as JSON."""
    path, size, port, count, seconds = sys.argv[1:]
    content, each = Path(path).read_bytes(), int(size)
    made = [content[at : at + each] for at in range(0, len(content), each)]
    requests = iter(made) if len(made) > 1 else itertools.repeat(content)
    connections = Connections(int(port), requests)
    for _ in range(int(count)):
        connections.open()
    took = connections.run(float(seconds))
    found = {"answers": connections.answers, "errors": connections.errors}
    print(json.dumps(found | {"seconds": took}))


if __name__ == "__main__":
    main()
