"""One client does not take the server from all others."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import gevent
from gevent.event import Event
from gevent.socket import wait_read

from tests.http.raw_http import GET, HOST, Client, ask, serving, wait_for
from toolserver.message import Request, Response

CHUNKED = b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n" % HOST
EXPECT = b"Expect: 100-continue\r\n"


@contextlib.contextmanager
def counting_turns() -> Iterator[list[int]]:
    """Count the turns that sockets get."""
    turns = [0]
    reader, writer = socket.socketpair()

    def count() -> None:
        while True:
            wait_read(reader.fileno())
            turns[0] += 1

    with reader, writer:
        writer.send(b"always readable")
        greenlet = gevent.spawn(count)
        wait_for(lambda: turns[0])
        turns[0] = 0
        try:
            yield turns
        finally:
            greenlet.kill()


def length_of(size: int, fields: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\n%bContent-Length: %d\r\n%b\r\n" % (HOST, size, fields)


def test_a_body_that_is_here_is_read_in_turns():
    go, got = Event(), []

    def handler(request: Request) -> Response:
        go.wait()
        with counting_turns() as turns:
            size = len(request.stream.read())
            got.append(turns[0])
        return Response(str(size))

    with serving(handler) as server, Client(server) as client:
        client.send(CHUNKED + b"\r\n")
        wait_for(lambda: server.busy)
        # All of it fits into the kernel, so that nothing has to be waited for.
        client.send(b"1\r\n \r\n" * 50_000 + b"0\r\n\r\n")
        go.set()
        assert client.answer().body == b"50000"
    assert got[0] > 3


def test_small_pieces_are_sent_in_turns():
    got = []

    def handler(request: Request) -> Response:
        def pieces() -> Iterator[bytes]:
            with counting_turns() as turns:
                for _ in range(20_000):
                    yield b"x" * 10
                got.append(turns[0])

        return Response(pieces())

    with serving(handler) as server, Client(server) as client:
        assert len(client.send(GET).answer().body) == 200_000
    assert got[0] > 3


def test_pieces_by_hand_are_sent_in_turns():
    got = []

    def handler(request: Request) -> Response:
        writer = request.writer
        assert writer is not None
        with counting_turns() as turns:
            writer.start(200, [])
            for _ in range(20_000):
                writer.write(b"x" * 10)
            got.append(turns[0])
        return Response("dropped: the answer is written")

    with serving(handler) as server, Client(server) as client:
        assert len(client.send(GET).answer().body) == 200_000
    assert got[0] > 3


def test_bodies_that_arrive_leave_workers_to_others():
    def handler(request: Request) -> Response:
        return Response(str(len(request.body)))

    settings = {"max_workers": 8, "max_waiting": 0}
    with serving(handler, settings=settings) as server, contextlib.ExitStack() as stack:

        def connect() -> Client:
            return stack.enter_context(Client(server))

        # Heads alone, with nothing behind them.
        heads = [length_of(100, EXPECT), CHUNKED + b"\r\n", CHUNKED + EXPECT + b"\r\n"]
        for number in range(30):
            connect().send(heads[number % 3])
        wait_for(lambda: server.connections == 30)
        wait_for(lambda: server.busy == 2)
        assert ask(server, GET).status == 200
        small = connect()
        small.send(CHUNKED + b"\r\n")
        for byte in (b"1\r\na\r\n", b"2\r\nbc\r\n", b"0\r\n\r\n"):
            small.send(byte)
            gevent.sleep(0.01)
        assert small.answer().body == b"3"
        patient = connect().send(length_of(100, EXPECT))
        assert patient.head()[0] == 100
        assert patient.send(b"x" * 100).answer().body == b"100"
        # Who has sent much of it gets a worker, up to a bound.
        first = [connect().send(length_of(100_000) + b"x" * 90_000) for _ in range(2)]
        wait_for(lambda: server.busy == 4)
        third = connect().send(length_of(100_000) + b"x" * 90_000)
        answer = third.answer()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert ask(server, GET).status == 200
        for client in first:
            assert client.send(b"x" * 10_000).answer().body == b"100000"
        wait_for(lambda: server.busy == 2)
        assert ask(server, length_of(70_000) + b"x" * 70_000).body == b"70000"


def test_one_address_leaves_places_for_uploads():
    def handler(request: Request) -> Response:
        return Response(str(len(request.body)))

    # A place of each: loopback addresses are not exempt here.
    options = {"settings": {"max_workers": 16}, "exempt": lambda peer: False}
    with serving(handler, **options) as server, contextlib.ExitStack() as stack:

        def connect(source: str) -> Client:
            return stack.enter_context(Client(server, source=source))

        size = 100_000
        first = [
            connect("127.0.0.1").send(length_of(size) + b"x" * (size - 1))
            for _ in range(4)
        ]
        wait_for(lambda: len(server.uploads) == 4)
        refused = connect("127.0.0.1").send(length_of(size) + b"x" * size).answer()
        assert refused.status == 503
        assert refused.headers["retry-after"] == "1"
        assert b"from your address" in refused.body
        for number in range(4):
            other = connect(f"127.0.0.{2 + number}")
            other.send(length_of(size) + b"x" * (size - 1))
            wait_for(lambda n=number: len(server.uploads) == 5 + n)
        refused = connect("127.0.0.9").send(length_of(size) + b"x" * size).answer()
        assert b"at once" in refused.body
        assert first.pop().send(b"x").answer().body == b"100000"
        wait_for(lambda: len(server.uploads) == 7)
        again = connect("127.0.0.1").send(length_of(size) + b"x" * size)
        assert again.answer().body == b"100000"


def test_a_body_that_was_collected_first_is_bounded_too():
    def handler(request: Request) -> Response:
        return Response(str(len(request.body)))

    settings = {"max_workers": 2}
    with (
        serving(handler, settings=settings, limits={"body": 100}) as server,
        Client(server) as holder,
        Client(server) as client,
    ):
        holder.send(CHUNKED + b"\r\n")
        wait_for(lambda: len(server.uploads) == 1)
        client.send(CHUNKED + b"\r\n")
        wait_for(lambda: server.connections == 2)
        gevent.sleep(0.01)
        holder.send(b"0\r\n\r\n")
        assert holder.answer().body == b"0"
        client.send(b"65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n")
        assert client.answer().status == 413


def test_a_slow_but_steady_reader_is_served():
    body = b"x" * 20_000_000
    with (
        serving(lambda request: Response(body), limits={"write_idle": 0.3}) as server,
        Client(server) as client,
    ):
        client.send(GET)
        got = 0
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            piece = client.socket.recv(8192)
            assert piece
            got += len(piece)
            gevent.sleep(0.02)
        assert got < 1_500_000
        assert server.connections == 1


def test_a_reader_below_the_rate_is_cut():
    body = b"x" * 20_000_000
    limits = {"write_idle": 0.3, "write_rate": 50_000_000}
    with (
        serving(lambda request: Response(body), limits=limits) as server,
        Client(server) as client,
    ):
        client.send(GET)
        while server.connections:
            with contextlib.suppress(ConnectionError):
                client.socket.recv(8192)
            gevent.sleep(0.02)
