"""Slow, vanishing and countless clients: a healthy one goes on being answered."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.http.raw_http import GET, HOST, Client, ask, serving, wait_for
from toolserver.http.transport import HTTPServer
from toolserver.message import Request, Response

#: "struct linger" with its switch on and no time: close sends a reset.
RESET = b"\1\0\0\0\0\0\0\0"
#: Seconds in which a healthy client has its answer on the busiest of machines.
PATIENCE = 15.0


LARGE = bytes(2_000_000)


def handler(request: Request) -> Response:
    if request.path == "/large":
        return Response(LARGE)
    if request.path == "/stream":
        return Response(b"x" * 50_000 for _ in range(100))
    return Response(str(len(request.body)))


def sending(size: int, begin: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (HOST, size, begin)


CHUNKED = b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n" % HOST
#: What a slow client begins with, and what it goes on to send; nothing where it reads.
SLOW = {
    "head": (b"GET / HTTP/1.1\r\nX-Long: ", b"x"),
    "small body": (sending(60_000, b"x" * 30_000), b"x"),
    "large body": (sending(900_000, b"x" * 70_000), b"x"),
    "chunks": (CHUNKED, b"1\r\nx\r\n"),
    "reader": (b"GET /large HTTP/1.1\r\n%b\r\n" % HOST, b""),
    "reader of a stream": (b"GET /stream HTTP/1.1\r\n%b\r\n" % HOST, b""),
    "reader of many": (GET * 40, b""),
    "idler": (b"", b""),
}


def wait_until_quiet(server: HTTPServer) -> None:
    wait_for(lambda: server.connections == server.busy == len(server.uploads) == 0, 30)


@contextlib.contextmanager
def answered(server: HTTPServer) -> Iterator[list[float]]:
    """A healthy client that asks all the time, on kept and on new connections."""
    waited: list[float] = []
    failures: list[Exception] = []
    done = threading.Event()

    def go_on() -> None:
        try:
            while not done.is_set():
                with Client(server, PATIENCE) as client:
                    for request in (GET, sending(5, b"hello"), sending(80_000)):
                        begin = time.monotonic()
                        client.send(request)
                        if request.endswith(b"80000\r\n\r\n"):
                            client.send(b"x" * 80_000)
                        assert client.answer().status == 200
                        waited.append(time.monotonic() - begin)
                time.sleep(0.002)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        wait_for(lambda: waited or failures)
        yield waited
        seen = len(waited)
        wait_for(lambda: len(waited) > seen + 10 or failures, 30)
    finally:
        done.set()
        thread.join()
    assert not failures
    assert max(waited) < PATIENCE


@pytest.mark.parametrize(
    ("kinds", "count"),
    [*(([kind], 40) for kind in SLOW), (list(SLOW), 200)],
    ids=[*SLOW, "all"],
)
def test_slow_clients(kinds, count):
    with serving(handler) as server, contextlib.ExitStack() as stack:
        with answered(server) as waited:
            clients = []
            for kind in itertools.islice(itertools.cycle(kinds), count):
                client = stack.enter_context(Client(server))
                client.send(SLOW[kind][0])
                clients.append((client, SLOW[kind][1]))
            wait_for(lambda: server.connections >= count)
            for client, drop in clients:
                # Drop by drop, each after some answers of the healthy one.
                seen = len(waited)
                with contextlib.suppress(ConnectionError):
                    if drop:
                        client.send(drop)
                    else:
                        client.socket.settimeout(0.001)
                        with contextlib.suppress(TimeoutError):
                            client.socket.recv(100)
                if len(waited) == seen:
                    time.sleep(0.0005)
            assert server.connections >= count
        stack.close()
        wait_until_quiet(server)


def vanish(client: Client, *, is_reset: bool) -> None:
    if is_reset:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()


@pytest.mark.parametrize("is_reset", [True, False], ids=["reset", "closed"])
def test_clients_that_vanish(is_reset):
    with serving(handler) as server:
        with answered(server):
            for number, kind in enumerate(itertools.cycle(SLOW)):
                client = Client(server)
                client.send(SLOW[kind][0])
                if "reader" in kind and number % 2:
                    client.socket.recv(1000)
                vanish(client, is_reset=is_reset)
                if number == 240:
                    break
        wait_until_quiet(server)


def test_clients_that_close_their_half():
    with serving(handler) as server:
        with answered(server), contextlib.ExitStack() as stack:
            clients = {
                kind: [stack.enter_context(Client(server)) for _ in range(20)]
                for kind in SLOW
            }
            for kind, ended in clients.items():
                for client in ended:
                    client.send(SLOW[kind][0]).end()
            for client in clients["reader"]:
                assert client.answer().body == LARGE
            for client in clients["reader of many"]:
                assert [client.answer().body for _ in range(40)] == [b"0"] * 40
            for kind in ("small body", "large body", "chunks"):
                assert {client.answer().status for client in clients[kind]} == {400}
            for client in clients["idler"] + clients["head"]:
                client.read()
        wait_until_quiet(server)


def test_more_connections_than_there_may_be():
    limits = {"connections": 50}
    with serving(handler, limits=limits) as server, Client(server) as healthy:
        with contextlib.ExitStack() as stack:
            for _ in range(400):
                stack.enter_context(Client(server))
                assert healthy.send(GET).answer().status == 200
            # Those over the bound are told so, and beyond a hundred just closed.
            assert server.connections <= 150
        wait_for(lambda: server.connections == 1)
        assert ask(server, GET).status == 200


def test_one_address_leaves_connections_to_others():
    limits = {"connections": 60, "connections_per_address": 20}
    options = {"limits": limits, "exempt": lambda peer: False}
    with serving(handler, **options) as server, contextlib.ExitStack() as stack:
        with answered(server):
            for _ in range(300):
                flood = stack.enter_context(Client(server, source="127.0.0.2"))
                flood.send(b"GET / HTTP/1.1\r\n")
            # Some of those over the bound are told so, the others just closed.
            wait_for(lambda: server._by_address["127.0.0.2"] <= 30)
        stack.close()
        wait_until_quiet(server)
