"""Two hundred clients that send and read drop by drop, in a process of their own.

``python -m benchmarks.slow PORT COUNT`` says ``ready`` when all of them are at it, and
goes on until its standard input ends. Those that the server has cut come again.
"""

from __future__ import annotations

import itertools
import random
import select
import socket
import sys
from contextlib import suppress

#: Seconds between two drops of a client.
PAUSE = 0.1
HEAD = b"GET /bench/hello HTTP/1.1\r\nHost: localhost\r\nX: "
BODY = (
    b"POST /JSONRPC HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 1000000\r\n\r\n" + b" " * 80_000
)
READ = b"GET /1m.bin HTTP/1.1\r\nHost: localhost\r\n\r\n"


class SlowClient:
    """One of them.

    Args:
        port: Port of the server.
        begin: What it sends at once; then it sends on, but reads after `READ`.
    """

    def __init__(self, port: int, begin: bytes) -> None:
        self._port = port
        self._begin = begin
        self._socket = socket.socket()
        self.connect()

    def connect(self) -> None:
        """Begin, or begin again."""
        self._socket.close()
        self._socket = socket.socket()
        # So that the kernel does not read an answer in its place.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        self._socket.connect(("127.0.0.1", self._port))
        self._socket.settimeout(1)
        self._socket.sendall(self._begin)

    def drop(self) -> None:
        """Send or read a little."""
        try:
            if self._begin is READ:
                is_cut = not self._socket.recv(200)
            else:
                self._socket.sendall(b"x")
                is_cut = bool(select.select([self._socket], [], [], 0)[0])
        except OSError:
            is_cut = True
        if is_cut:
            with suppress(OSError):
                self.connect()


def main() -> None:
    """Keep a server busy with nothing."""
    port, count = map(int, sys.argv[1:])
    kinds = itertools.cycle((HEAD, BODY, READ))
    clients = [SlowClient(port, next(kinds)) for _ in range(count)]
    random.shuffle(clients)
    print("ready", flush=True)
    for client in itertools.cycle(clients):
        if select.select([sys.stdin], [], [], PAUSE / count)[0]:
            return
        client.drop()


if __name__ == "__main__":
    main()
