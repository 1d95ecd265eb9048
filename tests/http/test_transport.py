"""The server as its clients see it: real sockets, real requests."""

from __future__ import annotations

import contextlib
import contextvars
import errno
import gc
import http.client
import io
import itertools
import logging
import os
import socket
import threading
import time

import gevent
import pytest
import requests
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st

from tests.http.raw_http import GET, HOST, Client, ask, echo, serving, wait_for
from toolserver.errors import AlreadyDone, StartError
from toolserver.http.refused import BodyRefused
from toolserver.http.transport import HTTPServer
from toolserver.message import FileBody, Request, Response
from toolserver.settings import Limits, ServerSettings


def post(body: bytes, *, fields: bytes = b"", path: bytes = b"/") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST %b HTTP/1.1\r\n%b%b%b\r\n%b" % (path, HOST, length, fields, body)


def chunked(*pieces: bytes, fields: bytes = b"") -> bytes:
    head = b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n%b\r\n" % (HOST, fields)
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return head + chunks + b"0\r\n\r\n"


# --- requests and answers


def test_one_connection_serves_several_requests():
    with serving() as server:
        client = http.client.HTTPConnection(*server.address, timeout=5)
        for body in (b"one", b"two", b""):
            client.request("POST", "/", body)
            answer = client.getresponse()
            assert answer.status == 200
            assert answer.read() == (body or b"/")
        assert server.connections == 1
        assert server.requests == 3
        client.close()
        wait_for(lambda: server.connections == 0)


def test_requests_is_served():
    with serving() as server, requests.Session() as session:
        assert session.get(server.url + "/a?b=c").text == "/a?b=c"
        big = os.urandom(1_000_000)
        assert session.post(server.url, data=big).content == big
        assert session.post(server.url, data=iter([b"a", b"b" * 99])).text == (
            "a" + "b" * 99
        )


def test_what_a_request_says():
    seen: list[Request] = []

    def handler(request: Request) -> Response:
        seen.append(request)
        return Response("ok")

    with serving(handler) as server, Client(server) as client:
        client.send(b"GET /a%20b?c HTTP/1.1\r\nHost: A.org\r\nX-y: z\r\n\r\n").answer()
        request = seen[0]
        assert (request.method, request.path, request.query_string) == (
            "GET",
            "/a b",
            "c",
        )
        assert (request.host, request.scheme) == ("a.org", "http")
        assert request.headers["x-y"] == "z"
        assert (request.peer, request.peer_port) == client.socket.getsockname()
        assert request.local == server.address
        assert request.certificate is None
        assert request.content == b""


def test_pipelined_requests_are_answered_in_order():
    def handler(request: Request) -> Response:
        gevent.sleep(0.02 if request.path == "/0" else 0)
        return Response(request.path)

    with serving(handler) as server, Client(server) as client:
        lines = [b"GET /%d HTTP/1.1\r\n%b\r\n" % (n, HOST) for n in range(50)]
        client.send(b"".join(lines))
        got = [client.answer().body for _ in lines]
        assert got == [b"/%d" % n for n in range(50)]


def test_pipelined_requests_with_bodies():
    with serving() as server, Client(server) as client:
        client.send(post(b"one") + chunked(b"t", b"wo") + post(b"x" * 70000) + GET)
        assert [client.answer().body for _ in range(4)] == [
            b"one",
            b"two",
            b"x" * 70000,
            b"/",
        ]


STREAM = post(b"one", fields=b"X: y\r\n") + chunked(b"two", b"!") + GET


def test_requests_byte_by_byte():
    with serving() as server, Client(server) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for position in range(len(STREAM)):
            client.send(STREAM[position : position + 1])
            gevent.sleep(0)
        assert [client.answer().body for _ in range(3)] == [b"one", b"two!", b"/"]


@given(st.sets(st.integers(1, len(STREAM) - 1), max_size=6))
def test_requests_in_random_pieces(cuts):
    edges = [0, *sorted(cuts), len(STREAM)]
    with serving() as server, Client(server) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, end in itertools.pairwise(edges):
            client.send(STREAM[start:end])
            gevent.sleep(0)
        assert [client.answer().body for _ in range(3)] == [b"one", b"two!", b"/"]


def test_empty_lines_before_a_request_are_ignored():
    with serving() as server, Client(server) as client:
        assert client.send(b"\r\n\r\n" + GET).answer().body == b"/"
        assert client.send(b"\r", b"\n" + GET).answer().body == b"/"


def test_head_has_the_length_but_no_body():
    def handler(request: Request) -> Response:
        if request.path == "/stream":
            return Response(iter([b"abc"]))
        return Response(b"abc", content_type="text/plain")

    with serving(handler) as server, Client(server) as client:
        client.send(b"HEAD / HTTP/1.1\r\n%b\r\n" % HOST)
        client.send(b"HEAD /stream HTTP/1.1\r\n%b\r\n" % HOST + GET)
        assert client.answer("HEAD").headers["content-length"] == "3"
        assert client.answer("HEAD").headers["transfer-encoding"] == "chunked"
        assert client.answer().body == b"abc"


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        (b"X: " + b"x" * 9000 + b"\r\n\r\n", 431),
        (b"Bad Name: x\r\n\r\n", 400),
        (b"Content-Length: 99999999\r\n\r\n", 413),
        (b"Transfer-Encoding: chunked\r\n\r\nno size\r\n", 400),
        (b"Content-Length: 9\r\n\r\nshort", 400),
        (b"X: ", 408),
    ],
)
def test_head_has_no_body_where_it_is_refused(rest, status):
    limits = {"header_time": 0.2}
    with serving(limits=limits) as server, Client(server, 20) as client:
        client.send(b"HEAD / HTTP/1.1\r\n%b" % HOST + rest)
        if status != 408:
            client.end()
        answer = client.answer("HEAD")
        assert answer.status == status
        assert int(answer.headers["content-length"]) > 0
        assert client.is_closed()


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_body(status):
    answers = iter(
        [Response(b"dropped", status=status), Response(iter(["x"]), status=status)]
    )
    with serving(lambda request: next(answers)) as server, Client(server) as client:
        for _ in range(2):
            answer = client.send(GET).answer()
            assert answer.status == status
            assert "content-length" not in answer.headers
            assert "transfer-encoding" not in answer.headers


def test_http_1_0_closes_unless_asked():
    with serving() as server:
        with Client(server) as client:
            answer = client.send(b"GET /a HTTP/1.0\r\n\r\n").answer()
            assert answer.headers["connection"] == "close"
            assert client.is_closed()
        with Client(server) as client:
            request = b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
            for _ in range(2):
                answer = client.send(request).answer()
                assert answer.headers["connection"] == "keep-alive"


def test_connection_close_is_kept_and_told():
    with serving() as server, Client(server) as client:
        client.send(b"GET / HTTP/1.1\r\n%bConnection: close\r\n\r\n" % HOST + GET)
        assert client.answer().headers["connection"] == "close"
        assert client.is_closed()


def test_a_handler_may_close_the_connection():
    answer = Response("bye", headers={"Connection": "close"})
    with serving(lambda request: answer) as server, Client(server) as client:
        assert client.send(GET).answer().headers["connection"] == "close"
        assert client.is_closed()


def test_iterables_go_in_chunks():
    closed: list[int] = []

    class Pieces:
        def __iter__(self):
            yield from (b"a", b"", "ü", b"c" * 70000)

        def close(self) -> None:
            closed.append(1)

    with serving(lambda request: Response(Pieces())) as server:
        with Client(server) as client:
            client.send(GET)
            _status, headers = client.head()
            assert headers["transfer-encoding"] == "chunked"
            assert list(client.chunks()) == [b"a", "ü".encode(), b"c" * 70000]
            assert client.send(GET).answer().status == 200
        assert closed == [1, 1]
        with Client(server) as client:
            # HTTP/1.0 has no chunks.
            client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            answer = client.answer()
            assert "transfer-encoding" not in answer.headers
            assert answer.headers["connection"] == "close"
            assert len(answer.body) == 70003


def test_an_iterable_with_a_declared_length():
    def handler(request: Request) -> Response:
        length = request.query_string
        return Response(iter(["ab", "cd"]), headers={"Content-Length": length})

    with serving(handler) as server:
        with Client(server) as client:
            for _ in range(2):
                client.send(b"GET /?4 HTTP/1.1\r\n%b\r\n" % HOST)
                answer = client.answer()
                assert answer.body == b"abcd"
                assert "transfer-encoding" not in answer.headers
        with Client(server) as client:
            client.send(b"GET /?3 HTTP/1.1\r\n%b\r\n" % HOST)
            assert client.answer().body == b"abc"
            assert client.is_closed()
        with Client(server) as client:
            client.send(b"GET /?5 HTTP/1.1\r\n%b\r\n" % HOST)
            assert client.head()[1]["content-length"] == "5"
            assert client.read() == b"abcd"


def test_a_declared_length_that_bytes_contradict_is_a_failure(caplog):
    for data in (b"abc", b""):
        answer = Response(data, headers={"Content-Length": "5"})
        with serving(lambda request, answer=answer: answer) as server:
            assert ask(server, GET).status == 500
    assert "content-length" in caplog.text


@pytest.mark.parametrize("size", [0, 10, 1_000_000])
def test_files_are_sent(tmp_path, size):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size + 100))
    opened: list[FileBody] = []

    def handler(request: Request) -> Response:
        opened.append(FileBody(os.open(path, os.O_RDONLY), 50, size))
        return Response(opened[-1])

    with serving(handler) as server, Client(server) as client:
        client.send(GET)
        assert client.answer().body == path.read_bytes()[50 : 50 + size]
        client.send(b"HEAD / HTTP/1.1\r\n%b\r\n" % HOST)
        assert client.answer("HEAD").headers["content-length"] == str(size)
        wait_for(lambda: server.busy == 0)
    for file in opened:
        with pytest.raises(ValueError, match="closed"):
            file.fileno()


def test_a_file_that_became_shorter_cuts_the_connection(tmp_path, caplog):
    path = tmp_path / "file"
    path.write_bytes(b"abc")

    def handler(request: Request) -> Response:
        return Response(FileBody(os.open(path, os.O_RDONLY), 0, 10))

    with serving(handler) as server, Client(server) as client:
        assert client.send(GET).head()[1]["content-length"] == "10"
        assert client.read() == b"abc"
    assert "ended 7 bytes before" in caplog.text


def test_dates_are_current():
    with serving() as server:
        date = ask(server, GET).headers["date"]
    sent = time.mktime(time.strptime(date, "%a, %d %b %Y %H:%M:%S GMT"))
    assert abs(sent - time.mktime(time.gmtime())) < 5


def test_a_date_of_the_handler_is_kept():
    answer = Response("x", headers={"date": "Thu, 01 Jan 1970 00:00:00 GMT"})
    with serving(lambda request: answer) as server:
        assert ask(server, GET).headers["date"].endswith("1970 00:00:00 GMT")


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "b\r\nX-C: d"},
        {"X-A": "b\nX-C: d"},
        {"X-A": "b\0"},
        {"X-A\r\nX-C": "d"},
        {"X A": "b"},
        {"": "b"},
        {"X-A": "\u20ac"},
        {"Content-Length": "-1"},
        {"Content-Length": "1\r\nX: y"},
    ],
)
def test_headers_that_could_split_the_answer_are_a_failure(headers, caplog):
    answer = Response("x", headers=headers)
    with serving(lambda request: answer) as server, Client(server) as client:
        got = client.send(GET).answer()
        assert got.status == 500
        assert "x-c" not in got.headers
        assert client.send(GET).answer().status == 500
    assert "handler failed" in caplog.text


def test_a_status_that_is_none_is_a_failure():
    for status in (100, 199, 600, 1000):
        answer = Response("x", status=status)
        with serving(lambda request, answer=answer: answer) as server:
            assert ask(server, GET).status == 500


# --- failures of handlers


def test_a_handler_that_raises_fails_alone(caplog):
    def handler(request: Request) -> Response:
        if request.path == "/":
            return echo(request)
        raise {"/exit": SystemExit, "/kill": gevent.GreenletExit}.get(
            request.path, ValueError
        )("secret words")

    with serving(handler) as server, Client(server) as client:
        for path in (b"/error", b"/exit", b"/kill"):
            client.send(b"GET %b HTTP/1.1\r\n%b\r\n" % (path, HOST))
            answer = client.answer()
            assert answer.status == 500
            assert b"secret" not in answer.body
        # The connection is still good.
        assert client.send(GET).answer().body == b"/"
    assert "ValueError: secret words" in caplog.text


def test_a_handler_that_kills_its_greenlet_fails_alone():
    def handler(request: Request) -> Response:
        gevent.kill(gevent.getcurrent())
        gevent.sleep(1)
        return echo(request)

    with serving(handler) as server:
        for _ in range(3):
            assert ask(server, GET).status == 500


def test_no_answer_is_a_failure():
    with serving(lambda request: None) as server:  # type: ignore[arg-type, return-value]
        assert ask(server, GET).status == 500


def test_a_failure_before_the_first_piece_is_a_500():
    def pieces():
        raise ValueError("too early")
        yield b""

    with serving(lambda request: Response(pieces())) as server:
        assert ask(server, GET).status == 500


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_a_failure_amid_the_answer_cuts_the_connection(version, caplog):
    closed: list[int] = []

    class Pieces:
        def __iter__(self):
            yield b"some"
            raise ValueError("amid")

        def close(self) -> None:
            closed.append(1)

    with serving(lambda request: Response(Pieces())) as server:
        with Client(server) as client:
            client.send(b"GET / HTTP/%b\r\n%b\r\n" % (version, HOST))
            with pytest.raises((AssertionError, ConnectionResetError, ValueError)):
                # Neither a last chunk nor an orderly end may follow.
                client.answer()
        assert closed == [1]
    assert "ValueError: amid" in caplog.text


def test_a_log_of_replies():
    seen: list[tuple[str, int, int, float]] = []

    def handler(request: Request) -> Response:
        if request.path == "/error":
            raise ValueError
        return Response(iter(["abc", "de"])) if request.path == "/it" else echo(request)

    def on_reply(request: Request, status: int, size: int, seconds: float) -> None:
        seen.append((request.path, status, size, seconds))

    with serving(handler, on_reply=on_reply) as server, Client(server) as client:
        for path in (b"/", b"/it", b"/error"):
            client.send(b"GET %b HTTP/1.1\r\n%b\r\n" % (path, HOST)).answer()
        wait_for(lambda: len(seen) == 3)
    assert [entry[:3] for entry in seen[:2]] == [("/", 200, 1), ("/it", 200, 5)]
    assert seen[2][:2] == ("/error", 500)
    assert all(0 <= entry[3] < 5 for entry in seen)


def test_a_log_of_replies_that_fails_harms_nobody(caplog):
    def on_reply(request: Request, status: int, size: int, seconds: float) -> None:
        raise ValueError("the log is full")

    with serving(on_reply=on_reply) as server, Client(server) as client:
        for _ in range(2):
            assert client.send(GET).answer().body == b"/"
    wait_for(lambda: caplog.text.count("ValueError: the log is full") == 2)


def test_a_failure_that_cannot_be_told_in_full_is_told_plainly(caplog):
    def failing(request: Request) -> Response:
        raise ValueError(request.path)

    with serving(failing, on_failure=failing) as server, Client(server) as client:
        for _ in range(2):
            answer = client.send(GET).answer()
            assert (answer.status, answer.body) == (500, b"internal error\n")
    assert "nor can the failure be told" in caplog.text


@pytest.mark.parametrize("reason", ["a\r\nX-A: b", "\x00"])
def test_a_reason_that_could_split_the_answer_is_a_failure(reason, caplog):
    kind = type("Odd", (Response,), {"reason": reason})
    with serving(lambda request: kind("x")) as server:
        assert ask(server, GET).status == 500
    assert "reason: contains a control character" in caplog.text


# --- request bodies


def test_a_small_body_is_bytes_and_a_large_one_a_reader():
    kinds: list[type] = []

    def handler(request: Request) -> Response:
        kinds.append(type(request.content))
        return Response(str(len(request.body)))

    with serving(handler) as server, Client(server) as client:
        for size in (0, 1, 65536, 65537, 1_000_000):
            assert client.send(post(b"x" * size)).answer().body == b"%d" % size
        client.send(chunked(b"abc"))
        assert client.answer().body == b"3"
    assert [kind is bytes for kind in kinds] == [True, True, True, False, False, True]


def test_a_small_body_takes_no_worker_until_it_is_here():
    with serving() as server, Client(server) as client:
        client.send(post(b"abcdef")[:-3])
        wait_for(lambda: server.connections == 1)
        gevent.sleep(0.02)
        assert server.busy == server.requests == 0
        assert client.send(b"def").answer().body == b"abcdef"


def test_chunks_are_read_as_they_come():
    def handler(request: Request) -> Response:
        def pieces():
            while piece := request.stream.read(3):
                yield piece.upper()

        return Response(pieces())

    with serving(handler) as server, Client(server) as client:
        client.send(b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n" % HOST)
        client.send(b"3\r\nabc\r\n")
        client.head()
        chunks = client.chunks()
        assert next(chunks) == b"ABC"
        client.send(b"3\r\ndef\r\n")
        assert next(chunks) == b"DEF"
        client.send(b"0\r\n\r\n")
        assert list(chunks) == []
        assert client.send(GET).answer().status == 200


@given(
    st.binary(max_size=60).map(lambda data: data.replace(b"a", b"\n")),
    st.lists(
        st.tuples(
            st.sampled_from(["read", "readline", "readlines"]), st.integers(-1, 12)
        ),
        max_size=8,
    ),
)
def test_a_reader_reads_like_any_file(data, calls):
    got: list[object] = []

    def handler(request: Request) -> Response:
        got.extend(getattr(request.stream, name)(size) for name, size in calls)
        got.append(list(request.stream))
        return Response("ok")

    with serving(handler) as server, Client(server) as client:
        head, _, rest = chunked(*(bytes([byte]) for byte in data)).partition(
            b"\r\n\r\n"
        )
        # Kept from arriving at once, so that there is a reader and not a BytesIO.
        client.send(head + b"\r\n\r\n")
        wait_for(lambda: server.busy)
        assert client.send(rest).answer().status == 200
    file = io.BytesIO(data)
    expected = [getattr(file, name)(size) for name, size in calls]
    assert got == [*expected, list(file)]


def test_a_body_is_not_read_while_nobody_reads():
    go = Event()

    def handler(request: Request) -> Response:
        assert request.stream.read(10) == b"x" * 10
        go.wait()
        return Response(str(len(request.stream.read())))

    large = {"body": 50_000_000}
    with serving(handler, limits=large) as server, Client(server) as client:
        size = 40_000_000
        client.send(b"POST / HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n" % (HOST, size))
        client.socket.settimeout(0.2)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < size:
                sent += client.socket.send(b"x" * min(100_000, size - sent))
        # What got through is what the kernel holds.
        assert sent < 20_000_000
        go.set()
        client.socket.settimeout(5)
        client.socket.sendall(b"x" * (size - sent))
        assert client.answer().body == b"%d" % (size - 10)


def test_an_unread_body_of_moderate_size_is_skipped():
    with serving(lambda request: Response("no")) as server, Client(server) as client:
        request = post(b"x" * 70_000)
        client.send(request[:20_000])
        assert client.answer().body == b"no"
        client.send(request[20_000:] + GET)
        assert client.answer().body == b"no"


def test_an_unread_large_body_closes_the_connection():
    with serving(lambda request: Response("no")) as server, Client(server) as client:
        request = post(b"x" * 1_000_000)
        client.send(request[:200])
        answer = client.answer()
        assert answer.headers["connection"] == "close"
        # The client may go on sending for a while and still read the answer.
        client.send(request[200:200_000])
        assert client.is_closed()


def test_a_chunked_body_that_is_not_read():
    with serving(lambda request: Response("no")) as server:
        with Client(server) as client:
            client.send(chunked(b"x" * 100_000) + GET)
            statuses = [client.answer().status]
            assert statuses == [200]
        with Client(server) as client:
            client.send(chunked(b"abc")[:-4])
            assert client.answer().headers["connection"] == "close"
            assert client.is_closed()


def test_continue_is_sent_when_the_body_is_read():
    order: list[str] = []

    def handler(request: Request) -> Response:
        order.append("handler")
        return Response(request.body)

    with serving(handler) as server, Client(server) as client:
        client.send(post(b"abc", fields=b"Expect: 100-continue\r\n")[:-3])
        assert client.answer().status == 100
        assert client.send(b"abc").answer().body == b"abc"
        assert client.send(GET).answer().status == 200


def test_continue_is_not_sent_when_the_body_is_not_wanted():
    with (
        serving(lambda request: Response("no", status=403)) as server,
        Client(server) as client,
    ):
        client.send(post(b"abc", fields=b"Expect: 100-continue\r\n")[:-3])
        answer = client.answer()
        assert answer.status == 403
        # Nobody knows whether the body will follow.
        assert answer.headers["connection"] == "close"


def test_continue_is_not_sent_when_the_body_came_along():
    with serving() as server, Client(server) as client:
        client.send(post(b"abc", fields=b"Expect: 100-continue\r\n"))
        assert client.answer().body == b"abc"


def test_a_body_over_the_limit_is_refused_before_it_is_sent():
    with serving(limits={"body": 10}) as server:
        assert ask(server, post(b"x" * 10)).status == 200
        for fields in (b"", b"Expect: 100-continue\r\n"):
            with Client(server) as client:
                client.send(post(b"x" * 11, fields=fields)[:-11])
                answer = client.answer()
                assert answer.status == 413
                assert answer.headers["connection"] == "close"
        assert server.requests == 1
        assert ask(server, chunked(b"x" * 5, b"y" * 5)).status == 200
        assert ask(server, chunked(b"x" * 5, b"y" * 6)).status == 413


def test_a_request_may_be_allowed_a_larger_body():
    asked: list[str] = []

    def body_limit(request: Request) -> int:
        asked.append(request.path)
        return 200_000 if request.path == "/big" else 10

    with serving(limits={"body": 10}, body_limit=body_limit) as server:
        assert ask(server, post(b"x" * 10)).status == 200
        assert asked == []
        assert ask(server, post(b"x" * 200_000, path=b"/big")).status == 200
        assert asked == ["/big"]
        assert ask(server, post(b"x" * 11)).status == 413
        big = post(b"x" * 200_001, path=b"/big", fields=b"Expect: 100-continue\r\n")
        assert ask(server, big[:300]).status == 413
        assert ask(server, chunked(b"x" * 11)).status == 413


def test_a_body_that_breaks_off_is_refused():
    caught: list[BaseException] = []

    def handler(request: Request) -> Response:
        try:
            return echo(request)
        except BodyRefused as error:
            caught.append(error)
            raise

    with serving(handler) as server:
        for request in (post(b"abc"), post(b"x" * 100_000), chunked(b"abc")):
            with Client(server) as client:
                client.send(request[:-1]).end()
                assert client.answer().status == 400
                assert client.is_closed()
    # The first one never reached the handler.
    assert len(caught) == 2
    assert all(isinstance(error, OSError) for error in caught)


def test_malformed_chunks_amid_a_body_are_refused():
    with serving() as server, Client(server) as client:
        client.send(chunked(b"abc")[:-5])
        wait_for(lambda: server.busy)
        client.send(b"zz\r\n")
        assert client.answer().status == 400
        assert client.is_closed()


def test_a_body_that_turns_out_malformed_amid_the_answer_cuts_it():
    def handler(request: Request) -> Response:
        assert request.writer is not None
        request.writer.start(200, [])
        request.writer.write(request.stream.read(3))
        return Response(request.stream.read())

    with serving(handler) as server, Client(server) as client:
        client.send(chunked(b"abc")[:-5])
        assert client.head()[0] == 200
        chunks = client.chunks()
        assert next(chunks) == b"abc"
        client.send(b"zz\r\n")
        with pytest.raises((AssertionError, ConnectionResetError, ValueError)):
            # No last chunk may follow.
            next(chunks)


def test_two_greenlets_do_not_read_a_body_at_once():
    caught: list[BaseException | None] = []

    def handler(request: Request) -> Response:
        first = gevent.spawn(request.stream.read)
        gevent.sleep(0)
        second = gevent.spawn(request.stream.read)
        second.join()
        caught.append(second.exception)
        return Response(first.get())

    with serving(handler) as server, Client(server) as client:
        client.send(chunked(b"abc")[:-5])
        wait_for(lambda: caught)
        assert client.send(b"0\r\n\r\n").answer().body == b"abc"
    assert "two greenlets" in str(caught[0])


def test_reading_after_the_request_is_an_error_and_steals_nothing():
    kept: list[Request] = []

    def handler(request: Request) -> Response:
        kept.append(request)
        return Response("ok")

    with serving(handler) as server, Client(server) as client:
        client.send(post(b"x" * 70_000) + GET)
        assert [client.answer().status for _ in range(2)] == [200, 200]
        with pytest.raises(ValueError, match="ended"):
            kept[0].stream.read()


# --- the writer


def test_an_answer_written_by_hand():
    def handler(request: Request) -> Response:
        writer = request.writer
        assert writer is not None
        assert not writer.started
        writer.start(201, [("Content-Type", "text/plain")])
        assert writer.started
        writer.write(b"ab")
        writer.write(b"")
        writer.write(b"cd")
        if request.path == "/raise":
            raise AlreadyDone
        return Response("this is not sent")

    with serving(handler) as server, Client(server) as client:
        for path in (b"/raise", b"/return"):
            answer = client.send(b"GET %b HTTP/1.1\r\n%b\r\n" % (path, HOST)).answer()
            assert answer.status == 201
            assert answer.body == b"abcd"


def test_two_greenlets_do_not_write_amid_each_other(caplog):
    def handler(request: Request) -> Response:
        writer = request.writer
        assert writer is not None
        writer.start(200, [("Content-Length", "20000001")])
        other = gevent.spawn(writer.write, b"x" * 20_000_000)
        gevent.sleep(0.05)
        with pytest.raises(RuntimeError, match="two greenlets"):
            writer.write(b"y")
        other.join()
        writer.write(b"z")
        raise AlreadyDone

    with serving(handler) as server, Client(server) as client:
        client.send(GET)
        gevent.sleep(0.1)
        assert client.answer().body == b"x" * 20_000_000 + b"z"


def test_the_head_by_hand_is_sent_at_once():
    go = Event()

    def handler(request: Request) -> Response:
        assert request.writer is not None
        request.writer.start(200, [])
        go.wait()
        raise AlreadyDone

    with serving(handler) as server, Client(server) as client:
        assert client.send(GET).head()[0] == 200
        go.set()
        assert list(client.chunks()) == []


def test_the_parts_of_an_answer_come_in_order():
    def handler(request: Request) -> Response:
        writer = request.writer
        assert writer is not None
        with pytest.raises(RuntimeError, match="start comes before write"):
            writer.write(b"x")
        writer.start(200, [("Content-Length", "1")])
        with pytest.raises(RuntimeError, match="already started"):
            writer.start(200, [])
        writer.write(b"y")
        raise AlreadyDone

    with serving(handler) as server:
        assert ask(server, GET).body == b"y"


def test_who_asks_late_learns_of_the_hanging_up_too():
    told: list[str] = []
    ended = Event()

    def handler(request: Request) -> Response:
        writer = request.writer
        assert writer is not None
        gone = Event()
        writer.on_hangup(gone.set)
        assert gone.wait(20)
        told.append("first")
        gone.clear()
        writer.on_hangup(gone.set)
        assert gone.wait(20)
        told.append("second")
        ended.set()
        return Response("nobody reads this")

    with serving(handler) as server:
        with Client(server) as client:
            client.send(GET)
            wait_for(lambda: server.busy)
        assert ended.wait(20)
    assert told == ["first", "second"]


def test_already_done_without_an_answer_is_a_failure():
    def handler(request: Request) -> Response:
        raise AlreadyDone

    with serving(handler) as server:
        assert ask(server, GET).status == 500


def test_a_writer_ends_with_its_request():
    kept: list[Request] = []

    def handler(request: Request) -> Response:
        kept.append(request)
        return Response("ok")

    with serving(handler) as server, Client(server) as client:
        client.send(GET).answer()
        writer = kept[0].writer
        assert writer is not None
        with pytest.raises(ValueError, match="ended"):
            writer.start(200, [])
        assert client.send(GET).answer().body == b"ok"


# --- slow and vanishing clients


def test_an_endless_answer_waits_for_its_reader():
    made = [0]
    closed = Event()

    def pieces():
        try:
            while True:
                made[0] += 1
                yield b"x" * 10_000
        finally:
            closed.set()

    with serving(lambda request: Response(pieces())) as server:
        with Client(server) as client:
            client.send(GET)
            before = -1
            while before != made[0]:
                before = made[0]
                gevent.sleep(0.1)
            # Bounded by the kernel's buffers, not by our memory.
            assert made[0] * 10_000 < 20_000_000
            client.read(1_000_000)
            wait_for(lambda: made[0] > before)
        assert closed.wait(5)
        wait_for(lambda: server.connections == server.busy == 0)


def test_a_large_answer_to_a_slow_reader_arrives_whole():
    body = os.urandom(8_000_000)
    with serving(lambda request: Response(body)) as server, Client(server) as client:
        client.send(GET + GET)
        gevent.sleep(0.05)
        assert client.answer().body == body
        assert client.answer().body == body


def test_small_answers_to_a_slow_reader_hold_no_worker():
    body = b"x" * 30_000

    with serving(lambda request: Response(body)) as server, Client(server) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(GET)
        wait_for(lambda: server.requests == 1 and server.busy == 0)
        assert client.answer().body == body


def test_a_client_that_closes_its_half_is_still_answered():
    def handler(request: Request) -> Response:
        gevent.sleep(0.02)
        return Response(b"x" * 1_000_000)

    with serving(handler) as server, Client(server) as client:
        client.send(GET + GET).end()
        for _ in range(2):
            assert len(client.answer().body) == 1_000_000
        assert client.is_closed()
        wait_for(lambda: server.connections == 0)


def test_a_client_that_vanishes_amid_its_answer_harms_nobody():
    gone = Event()

    def pieces():
        try:
            while True:
                yield b"x" * 100_000
        finally:
            gone.set()

    def handler(request: Request) -> Response:
        return Response(pieces()) if request.path == "/endless" else echo(request)

    with serving(handler) as server:
        client = Client(server)
        client.send(b"GET /endless HTTP/1.1\r\n%b\r\n" % HOST)
        client.read(100)
        client.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
        )
        client.close()
        assert gone.wait(5)
        assert ask(server, GET).status == 200
        wait_for(lambda: server.connections == 0)


def test_a_client_that_vanishes_while_it_waits_harms_nobody():
    go = Event()
    done: list[int] = []

    def handler(request: Request) -> Response:
        go.wait()
        done.append(1)
        return Response("late")

    with serving(handler) as server:
        client = Client(server)
        client.send(GET)
        wait_for(lambda: server.busy == 1)
        client.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
        )
        client.close()
        wait_for(lambda: server.connections == 0)
        go.set()
        wait_for(lambda: done)
        wait_for(lambda: server.busy == 0)


def test_healthy_clients_do_not_notice_stalled_ones():
    def handler(request: Request) -> Response:
        return Response(b"x" * 3_000_000) if request.path == "/big" else echo(request)

    with serving(handler) as server:
        stalled = [Client(server) for _ in range(60)]
        for number, client in enumerate(stalled):
            client.send(
                (
                    b"GET /half HTTP/1.1\r\nHo",
                    post(b"x" * 100)[:-1],
                    b"GET /big HTTP/1.1\r\n%b\r\n" % HOST,
                )[number % 3]
            )
        wait_for(lambda: server.connections == 60)
        start = time.monotonic()
        with Client(server) as client:
            for _ in range(200):
                assert client.send(GET).answer().body == b"/"
        assert time.monotonic() - start < 5
        for client in stalled:
            client.close()


# --- the pool


def test_requests_wait_in_order_and_then_are_refused():
    go = Event()
    order: list[str] = []

    def handler(request: Request) -> Response:
        go.wait()
        order.append(request.path)
        return Response(request.path)

    with serving(handler, settings={"max_workers": 2, "max_waiting": 2}) as server:
        clients = []
        for number in range(4):
            client = Client(server)
            client.send(b"GET /%d HTTP/1.1\r\n%b\r\n" % (number, HOST))
            clients.append(client)
            wait_for(lambda n=number: server.busy + server.waiting == n + 1)
        assert (server.busy, server.free, server.waiting) == (2, 0, 2)
        with Client(server) as late:
            for _ in range(2):
                # The connection stays good; also with what comes behind.
                late.send(GET + GET)
                for _ in range(2):
                    answer = late.answer()
                    assert answer.status == 503
                    assert int(answer.headers["retry-after"]) >= 1
                    assert "connection" not in answer.headers
            late.send(post(b"x" * 100_000)[:300])
            answer = late.answer()
            assert answer.status == 503
            assert answer.headers["connection"] == "close"
        go.set()
        for number, client in enumerate(clients):
            assert client.answer().body == b"/%d" % number
            client.close()
        wait_for(lambda: server.busy == 0)
        assert (server.free, server.waiting) == (2, 0)
        assert order == ["/0", "/1", "/2", "/3"]


def test_refusing_for_want_of_workers_respects_head_and_bounds(caplog):
    go = Event()

    def handler(request: Request) -> Response:
        go.wait()
        return Response("ok")

    settings = {"max_workers": 1, "max_waiting": 0}
    with serving(handler, settings=settings) as server, Client(server) as first:
        first.send(GET)
        wait_for(lambda: server.busy)
        with Client(server) as client:
            client.send(b"HEAD / HTTP/1.1\r\n%b\r\n" % HOST + GET)
            assert client.answer("HEAD").status == 503
            assert client.answer().status == 503
        with Client(server) as greedy:
            # Answers are not hoarded for who takes none.
            port = greedy.socket.getsockname()[1]
            found = wait_for(
                lambda: [c for c in server._connections if c.peer_port == port]
            )
            with contextlib.suppress(OSError):
                greedy.send(GET * 400_000)
            wait_for(lambda: "refused" in caplog.text)
            assert len(found[0]._unsent) < 200_000
        go.set()
        assert first.answer().status == 200


def test_a_waiting_client_that_vanishes_is_skipped():
    go = Event()
    seen: list[str] = []

    def handler(request: Request) -> Response:
        seen.append(request.path)
        go.wait()
        return Response("ok")

    with serving(handler, settings={"max_workers": 1}) as server:
        with Client(server) as first, Client(server) as last:
            first.send(GET)
            wait_for(lambda: server.busy == 1)
            gone = Client(server)
            gone.send(b"GET /gone HTTP/1.1\r\n%b\r\n" % HOST)
            wait_for(lambda: server.waiting == 1)
            last.send(b"GET /last HTTP/1.1\r\n%b\r\n" % HOST)
            wait_for(lambda: server.waiting == 2)
            gone.socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
            )
            gone.close()
            wait_for(lambda: server.connections == 2)
            go.set()
            assert first.answer().status == last.answer().status == 200
        assert seen == ["/", "/last"]


def test_a_pipelining_client_does_not_keep_others_from_a_worker():
    def handler(request: Request) -> Response:
        gevent.sleep(0.001)
        return Response(request.path)

    with (
        serving(handler, settings={"max_workers": 1}) as server,
        Client(server) as greedy,
        Client(server) as modest,
    ):
        greedy.send(GET * 400)
        wait_for(lambda: server.requests > 2)
        modest.send(GET)
        assert modest.answer().status == 200
        assert server.requests < 300


VARIABLE: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)


def test_a_request_leaves_nothing_behind_in_its_greenlet():
    local = threading.local()
    found: list[tuple[int, bool]] = []
    greenlets: set[int] = set()

    def handler(request: Request) -> Response:
        greenlets.add(id(gevent.getcurrent()))
        found.append((VARIABLE.get(), hasattr(local, "value")))
        VARIABLE.set(1)
        local.value = 1
        return Response("ok")

    with serving(handler) as server, Client(server) as client:
        for _ in range(5):
            client.send(GET).answer()
        client.send(GET * 5)
        for _ in range(5):
            client.answer()
    assert found == [(0, False)] * 10
    assert len(greenlets) == 1


def test_requests_leave_no_circles_for_the_garbage_collector():
    with serving() as server, Client(server) as client:
        client.send(GET).answer()
        gc.collect()
        gc.disable()
        try:
            for _ in range(200):
                client.send(GET).answer()
            assert gc.collect() < 100
        finally:
            gc.enable()


# --- limits


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /%b HTTP/1.1\r\n%b\r\n" % (b"a" * 9000, HOST), 414),
        (b"GET / HTTP/1.1\r\n%bX: %b\r\n\r\n" % (HOST, b"a" * 9000), 431),
        (b"GET / HTTP/1.1\r\n%b%b\r\n" % (HOST, b"X: y\r\n" * 100), 431),
        (
            b"GET / HTTP/1.1\r\n%b%b\r\n" % (HOST, (b"X: %b\r\n" % (b"a" * 8000)) * 5),
            431,
        ),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\n%b\r\n" % HOST, 505),
        (b"BREW / HTTP/1.1\r\n%b\r\n" % HOST, 501),
        (b"PUT / HTTP/1.1\r\n%bExpect: tea\r\n\r\n" % HOST, 417),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"<script>alert(1)</script>", 400),
    ],
)
def test_what_is_refused_is_explained_and_closed(request_, status):
    with serving() as server, Client(server) as client:
        answer = client.send(request_).answer()
        assert answer.status == status
        assert answer.headers["connection"] == "close"
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.body.endswith(b"\n")
        assert b"script" not in answer.body
        client.end()
        assert client.is_closed()
        assert server.requests == 0


def test_a_refusal_comes_behind_the_answers_that_are_due():
    with serving() as server, Client(server) as client:
        client.send(GET + b"GET / HTTP/1.1\r\n\r\n" + GET)
        assert [client.answer().status for _ in range(2)] == [200, 400]
        assert client.end().is_closed()


def trickle(client: Client, byte: bytes) -> float:
    """Send byte after byte until there is an answer; how long that took."""
    start = time.monotonic()
    while time.monotonic() - start < 5:
        with contextlib.suppress(ConnectionError):
            client.send(byte)
        gevent.sleep(0.02)
        with contextlib.suppress(BlockingIOError):
            client.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            break
    return time.monotonic() - start


def test_a_head_has_to_arrive_in_time():
    with serving(limits={"header_time": 0.2}) as server, Client(server) as client:
        client.send(GET).answer()
        # Bytes that trickle in do not buy time.
        client.send(b"GET / HTTP/1.1\r\n")
        assert 0.19 < trickle(client, b"X") < 2
        assert client.answer().status == 408


def test_a_late_head_is_told_so():
    with serving(limits={"header_time": 0.2}) as server, Client(server) as client:
        assert client.send(b"GET / HT").answer().status == 408


def test_an_idle_connection_is_closed_in_time():
    with serving(limits={"keep_alive_idle": 0.2}) as server, Client(server) as client:
        client.send(GET).answer()
        start = time.monotonic()
        assert client.is_closed()
        assert 0.19 < time.monotonic() - start < 15
        wait_for(lambda: server.connections == 0)


def test_an_idle_limit_does_not_end_a_long_request():
    def handler(request: Request) -> Response:
        gevent.sleep(0.5)
        return Response("ok")

    limits = {"keep_alive_idle": 0.1, "header_time": 0.1, "body_idle": 0.1}
    with serving(handler, limits={**limits, "write_idle": 0.1}) as server:
        assert ask(server, GET).body == b"ok"


@pytest.mark.parametrize("body", [b"x" * 100, b"x" * 100_000])
def test_a_body_that_stalls_is_refused(body):
    with serving(limits={"body_idle": 0.2}) as server, Client(server) as client:
        start = time.monotonic()
        answer = client.send(post(body)[:-50]).answer()
        assert answer.status == 408
        assert 0.19 < time.monotonic() - start < 15


@pytest.mark.parametrize("size", [1000, 100_000])
def test_a_body_that_trickles_is_refused(size):
    with (
        serving(limits={"body_idle": 0.3, "body_rate": 5000}) as server,
        Client(server) as client,
    ):
        client.send(post(b"x" * size)[: -size + 1])
        assert 0.29 < trickle(client, b"x") < 2
        assert client.answer().status == 408


def test_a_slow_handler_is_not_the_clients_fault():
    def handler(request: Request) -> Response:
        first = request.stream.read(10)
        gevent.sleep(0.5)
        return Response(str(len(first + request.stream.read())))

    with serving(handler, limits={"body_idle": 0.2, "body_rate": 100_000}) as server:
        assert ask(server, post(b"x" * 100_000)).body == b"100000"


def test_a_client_that_takes_nothing_is_cut():
    ended = Event()

    def pieces():
        try:
            while True:
                yield b"x" * 100_000
        finally:
            ended.set()

    with (
        serving(
            lambda request: Response(pieces()), limits={"write_idle": 0.3}
        ) as server,
        Client(server) as client,
    ):
        client.send(GET)
        assert ended.wait(5)
        wait_for(lambda: server.connections == server.busy == 0)


def test_a_client_that_takes_nothing_of_a_stored_answer_is_cut():
    with (
        serving(
            lambda request: Response(b"x" * 60_000), limits={"write_idle": 0.3}
        ) as server,
        Client(server) as client,
    ):
        client.send(GET * 100)
        wait_for(lambda: server.connections == 0)


def test_requests_per_connection_are_bounded():
    with serving(limits={"keep_alive_requests": 3}) as server, Client(server) as client:
        for number in range(3):
            answer = client.send(GET).answer()
            assert ("connection" in answer.headers) == (number == 2)
        assert client.is_closed()


def test_connections_are_bounded():
    with serving(limits={"connections": 3}) as server:
        clients = [Client(server) for _ in range(3)]
        for client in clients:
            assert client.send(GET).answer().status == 200
        with Client(server) as late:
            answer = late.answer()
            assert answer.status == 503
            assert answer.headers["connection"] == "close"
        clients.pop().close()
        wait_for(lambda: server.connections == 2)
        assert ask(server, GET).status == 200
        for client in clients:
            client.close()


def test_connections_per_address_are_bounded():
    limits = {"connections_per_address": 2}
    with serving(limits=limits, exempt=lambda address: False) as server:
        clients = [Client(server) for _ in range(2)]
        for client in clients:
            assert client.send(GET).answer().status == 200
        with Client(server) as late:
            assert late.answer().status == 503
        clients.pop().close()
        wait_for(lambda: server.connections == 1)
        assert ask(server, GET).status == 200
        clients.pop().close()
    with serving(limits=limits) as server:
        # Loopback is exempt.
        clients = [Client(server) for _ in range(4)]
        for client in clients:
            assert client.send(GET).answer().status == 200
            client.close()


def test_reading_ahead_is_bounded():
    go = Event()

    def handler(request: Request) -> Response:
        go.wait()
        return Response("ok")

    with serving(handler, limits={"pipelined": 4}) as server, Client(server) as client:
        client.send(GET)
        wait_for(lambda: server.busy)
        (connection,) = server._connections
        for number in range(1, 5):
            assert connection._is_reading
            client.send(GET)
            wait_for(lambda n=number: connection._buffer.count(b"\r\n\r\n") == n)
        assert not connection._is_reading
        client.send(GET * 5)
        gevent.sleep(0.02)
        assert connection._buffer == GET * 4
        go.set()
        assert [client.answer().status for _ in range(10)] == [200] * 10


def test_no_more_files_pauses_accepting(monkeypatch, caplog):
    with serving() as server, Client(server) as client:
        client.send(GET).answer()

        class Exhausted:
            family = socket.AF_INET

            def _accept(self):
                raise OSError(errno.EMFILE, "too many open files")

        listener = server._listener
        server._listener = Exhausted()  # type: ignore[assignment]
        with Client(server) as late:
            late.send(GET)
            wait_for(lambda: "cannot accept" in caplog.text)
            # Those who are in are served.
            assert client.send(GET).answer().status == 200
            gevent.sleep(0.5)
            assert caplog.text.count("cannot accept") == 1
            server._listener = listener
            assert late.answer().status == 200


# --- start and stop


def test_stop_lets_requests_end_and_closes_the_rest():
    go = Event()

    def handler(request: Request) -> Response:
        if request.path == "/slow":
            go.wait()
        return Response("ok")

    with serving(handler) as server:
        address = server.address
        with Client(server) as idle, Client(server) as slow:
            idle.send(GET).answer()
            slow.send(b"GET /slow HTTP/1.1\r\n%b\r\n" % HOST)
            wait_for(lambda: server.busy == 1)
            stopping = gevent.spawn(server.stop, 5)
            assert idle.is_closed()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address, 1)  # type: ignore[arg-type]
            assert not stopping.ready()
            go.set()
            answer = slow.answer()
            assert answer.body == b"ok"
            assert answer.headers["connection"] == "close"
            assert slow.is_closed()
            stopping.get(timeout=5)
            assert server.connections == server.busy == 0


def test_stop_cuts_what_takes_too_long(caplog):
    ended: list[BaseException] = []

    def handler(request: Request) -> Response:
        try:
            gevent.sleep(60)
        except BaseException as error:
            ended.append(error)
            raise
        return Response("ok")

    with serving(handler) as server, Client(server) as client:
        client.send(GET)
        wait_for(lambda: server.busy == 1)
        start = time.monotonic()
        server.stop(0.1)
        assert time.monotonic() - start < 15
        assert client.is_closed()
        assert len(ended) == 1
        wait_for(lambda: server.busy == 0)


def test_stop_without_connections_is_quick():
    with serving() as server:
        start = time.monotonic()
        server.stop(30)
        assert time.monotonic() - start < 15


def test_start_before_listen_is_an_error():
    server = HTTPServer(echo, settings=ServerSettings(port=0), limits=Limits())
    with pytest.raises(RuntimeError, match="listen"):
        server.start()


def test_an_inherited_listener_is_taken():
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = HTTPServer(echo, settings=ServerSettings(), limits=Limits())
    server.listen(listener)
    server.start()
    try:
        assert server.address == ("127.0.0.1", port)
        clients = [Client(server) for _ in range(5)]
        for client in clients:
            assert client.send(GET).answer().status == 200
            client.close()
    finally:
        server.stop(0.2)


def test_connections_wait_between_listen_and_start():
    server = HTTPServer(echo, settings=ServerSettings(port=0), limits=Limits())
    server.listen()
    with Client(server) as client:
        client.send(GET)
        server.start()
        try:
            assert client.answer().status == 200
        finally:
            server.stop(0.2)


def test_ipv6():
    with serving(settings={"host": "::1"}) as server:
        assert server.url == f"http://[::1]:{server.address[1]}"
        assert requests.get(server.url + "/x", timeout=5).text == "/x"


def test_a_unix_socket(tmp_path):
    path = str(tmp_path / "socket")
    with serving(settings={"unix_socket": path}) as server:
        assert server.address == path
        assert server.url == f"http+unix://{path}"
        seen = ask(server, GET)
        assert seen.body == b"/"
        with pytest.raises(StartError, match="taken"):
            HTTPServer(
                echo, settings=ServerSettings(unix_socket=path), limits=Limits()
            ).listen()
    assert not os.path.exists(path)


def test_a_stale_unix_socket_is_replaced(tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    with serving(settings={"unix_socket": path}) as server:
        assert ask(server, GET).status == 200


def test_a_unix_socket_does_not_replace_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("precious")
    settings = ServerSettings(unix_socket=str(path))
    with pytest.raises(StartError, match="no socket"):
        HTTPServer(echo, settings=settings, limits=Limits()).listen()
    assert path.read_text() == "precious"


def test_a_unix_socket_of_another_kind_is_left_alone(tmp_path):
    path = str(tmp_path / "socket")
    settings = ServerSettings(unix_socket=path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(path)
        with pytest.raises(StartError, match="cannot use"):
            HTTPServer(echo, settings=settings, limits=Limits()).listen()
    assert os.path.exists(path)


def test_a_unix_socket_that_was_replaced_or_removed_is_not_ours(tmp_path):
    path = tmp_path / "socket"
    with serving(settings={"unix_socket": str(path)}):
        # An inode that is free could be taken again at once.
        path.rename(tmp_path / "ours")
        path.write_text("another's")
    assert path.read_text() == "another's"
    path.unlink()
    with serving(settings={"unix_socket": str(path)}):
        path.unlink()
    assert not path.exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"host": "no such host"}, "not an address"),
        ({"host": "192.0.2.1"}, "not an address of this machine"),
        ({"unix_socket": "/no/such/folder/socket"}, "No such file"),
        ({"unix_socket": "/tmp/" + "x" * 200}, "too long"),
    ],
)
def test_a_bad_address_is_explained(settings, words):
    server = HTTPServer(
        echo, settings=ServerSettings(**{"port": 0, **settings}), limits=Limits()
    )
    with pytest.raises(StartError, match=words):
        server.listen()


def test_a_taken_port_is_explained():
    with serving() as server:
        taken = ServerSettings(port=server.address[1])
        other = HTTPServer(echo, settings=taken, limits=Limits())
        with pytest.raises(StartError, match="is taken"):
            other.listen()


@pytest.fixture(autouse=True)
def _log_level(caplog):
    caplog.set_level(logging.INFO, "toolserver.http")


def test_a_long_request_line_in_pieces_is_judged_as_one():
    line = b"GET /" + b"x" * 12_000 + b" HTTP/1.1\r\n"
    limits = {"request_line": 16_000}
    with serving(limits=limits) as server, Client(server) as client:
        for begin in range(0, len(line), 5000):
            client.send(line[begin : begin + 5000])
            wait_for(lambda end=begin + 5000: received(server) >= min(end, len(line)))
        client.send(HOST + b"\r\n")
        assert client.answer().status == 200
    with serving() as server, Client(server) as client:
        client.send(b"GET /" + b"x" * 8000)
        wait_for(lambda: received(server) == 8005)
        client.send(b"x" * 1000)
        assert client.answer().status == 414


def received(server):
    """How much of a head has arrived on the only connection."""
    return sum(len(each._buffer) for each in server._connections)
