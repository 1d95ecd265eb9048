"""Whole requests as real clients of each protocol send them, to be mutated."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import gevent
from gevent.event import Event

from soak.clients import CLIENTS
from soak.clients.base import Place
from soak.record import Record

__all__ = ["recorded"]

#: Longer ones would only make all of it slower.
_MOST = 40_000


class Relay:
    """Stands between clients and a server, and keeps what the clients send.

    Args:
        port: Where the server listens on the loopback.

    Attributes:
        port: Where the relay listens.
        requests: What was sent, one request each.
    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self._greenlets = [gevent.spawn(self._accept)]

    def close(self) -> None:
        """End it, with all connections."""
        gevent.killall(self._greenlets)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            self._greenlets.append(gevent.spawn(self._relay, client))

    def _relay(self, client: socket.socket) -> None:
        # Clients wait for the answer: what they send until it comes is one request.
        sent = bytearray()

        def back() -> None:
            while piece := server.recv(65536):
                if sent:
                    self.requests.append(bytes(sent))
                    sent.clear()
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)

        with (
            client,
            socket.create_connection(("127.0.0.1", self._target)) as server,
            suppress(OSError),
        ):
            answering = gevent.spawn(_quietly, back)
            try:
                while piece := client.recv(65536):
                    sent += piece
                    server.sendall(piece)
                server.shutdown(socket.SHUT_WR)
                answering.join()
            finally:
                answering.kill()


def _quietly(work) -> None:
    with suppress(OSError):
        work()


@contextmanager
def relaying(port: int) -> Iterator[Relay]:
    """Run a relay."""
    relay = Relay(port)
    try:
        yield relay
    finally:
        relay.close()


def recorded(port: int, place: Place, labels: Iterable[str] = ()) -> list[bytes]:
    """Have each client do all that it can do once, and keep what it sends.

    Args:
        port: Where the server listens.
        place: What else clients have to know; its record is left alone.
        labels: Which clients; all if empty.

    Returns:
        Whole requests, each in the form in which it came first.

    Raises:
        AssertionError: A client was answered wrongly.
    """
    wanted = set(labels)
    with relaying(port) as relay:
        own = Place(
            f"http://127.0.0.1:{relay.port}", place.keys, Record(), 0.0, Event()
        )
        for kind in CLIENTS:
            if wanted and kind.label not in wanted:
                continue
            client = kind(own, "seeds", "seeds")
            for action in client.actions():
                client.attempt(action, 0.0)
            client.close()
        assert not own.record.wrong, own.record.wrong
        assert not own.record.failures, own.record.failures
        there = b"127.0.0.1:%d" % relay.port
        requests = [
            each.replace(there, b"127.0.0.1:%d" % port) for each in relay.requests
        ]
    return list(dict.fromkeys(each for each in requests if len(each) < _MOST))
