"""What the server does where the system, or a handler, does what they seldom do."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
import ssl
from pathlib import Path

import gevent
import pytest
import trustme
from gevent.event import Event

from tests.http.raw_http import GET, HOST, Client, echo, serving, wait_for
from tests.http.test_tls_connection import TLSClient
from toolserver.errors import StartError
from toolserver.http import closing, listeners, wsgi_server
from toolserver.http.certificates import Certificates
from toolserver.http.closing import BODY, LINGER
from toolserver.http.descriptors import most_connections, raise_bound
from toolserver.http.exchange import ClientGone
from toolserver.http.parser import HeadParser
from toolserver.http.refused import BodyRefused, Refused
from toolserver.http.reply import PERSISTENT, ReplyHeads
from toolserver.http.wsgi_server import WSGIHandler
from toolserver.message import FileBody, Request, Response
from toolserver.settings import Limits, ServerSettings

RESET = ConnectionResetError(errno.ECONNRESET, "reset")
FULL = BlockingIOError()


class Faulty:
    """The socket of a connection, which takes what is sent in an odd way.

    Args:
        connection: The connection.
        sends: What comes of the next times that something is sent: an error, or how
            many bytes are taken.
        others: What comes of other operations: errors.

    Attributes:
        is_full: Whether nothing at all is taken for now.
    """

    is_full = False

    def __init__(self, connection, *sends, **others):
        self._own = connection._socket
        self._sends = list(sends)
        self._others = others
        connection._socket = self

    def send(self, data, *flags):
        if self.is_full:
            raise FULL
        if not self._sends:
            return self._own.send(data, *flags)
        fault = self._sends.pop(0)
        if isinstance(fault, Exception):
            raise fault
        return self._own.send(data[:fault], *flags)

    def __getattr__(self, name):
        if name not in self._others:
            return getattr(self._own, name)

        def fail(*args):
            raise self._others[name]

        return fail


@contextlib.contextmanager
def connected(handler=echo, *, context=None, **options):
    """A server, its only client, and the connection as the server has it."""
    with serving(handler, **options) as server:
        client = Client(server) if context is None else TLSClient(server, context)
        with client:
            wait_for(lambda: server._connections)
            (connection,) = server._connections
            yield client, connection


def post(body, *fields):
    head = b"".join(field + b"\r\n" for field in fields)
    return b"POST / HTTP/1.1\r\n%b%bContent-Length: %d\r\n\r\n%b" % (
        *(HOST, head),
        *(len(body), body),
    )


# --- sending


@pytest.mark.parametrize("bound", [1, 1 << 20])
@pytest.mark.parametrize("way", ["whole", "pieces"])
def test_an_answer_of_which_the_system_takes_little(bound, way):
    pieces = [b"%d;" % number * 50 for number in range(20)]

    def handler(request):
        return Response(b"".join(pieces) if way == "whole" else iter(pieces))

    with connected(handler, limits={"buffered_answer": bound}) as (client, connection):
        Faulty(connection, 3, FULL, 1, FULL, FULL, 5, 0, FULL, 4)
        answer = client.send(GET + GET).answer()
        assert answer.body == b"".join(pieces)
        assert client.answer().body == answer.body


@pytest.mark.parametrize("before", [0, 1, 2, 3])
@pytest.mark.parametrize("bound", [1, 1 << 20])
@pytest.mark.parametrize("way", ["whole", "pieces"])
def test_a_connection_that_breaks_while_it_is_sent_to(way, before, bound):
    body = b"x" * 1000

    def handler(request):
        return Response(body if way == "whole" else iter([body] * 5))

    with connected(handler, limits={"buffered_answer": bound}) as (client, connection):
        Faulty(connection, *[FULL] * before, *[RESET] * 20)
        client.send(GET)
        wait_for(lambda: connection.is_closed)
        # Once more does no harm.
        connection.reset()
        connection.close()
        connection.post(b"nobody reads it")
        with pytest.raises(ClientGone):
            connection.write(b"nor this")
        with pytest.raises(ClientGone):
            connection._wait_writable()


def test_two_greenlets_do_not_write_at_once():
    with connected(limits={"buffered_answer": 1}) as (_, connection):
        Faulty(connection).is_full = True
        writing = gevent.spawn(connection.write, b"x" * 100)
        wait_for(lambda: connection._writer)
        with pytest.raises(RuntimeError, match="two greenlets write at once"):
            connection.write(b"y")
        with pytest.raises(RuntimeError, match="two greenlets write at once"):
            connection._wait_writable()
        connection.close()
        with pytest.raises(ClientGone):
            writing.get()


@pytest.mark.parametrize("sends", [[FULL, 5], [FULL, FULL, 1]])
def test_a_refusal_of_which_the_system_takes_little(sends):
    with connected() as (client, connection):
        Faulty(connection, *sends)
        assert client.send(b"nonsense\r\n\r\n").answer().status == 400
        assert client.is_closed()


@pytest.mark.parametrize("sends", [[RESET], [FULL, RESET]])
def test_a_refusal_that_cannot_be_sent(sends):
    with connected() as (client, connection):
        Faulty(connection, *sends)
        client.send(b"nonsense\r\n\r\n")
        wait_for(lambda: connection.is_closed)


@pytest.mark.parametrize("fault", [None, FULL, RESET])
def test_a_file_of_which_the_system_takes_little(fault, tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    own, faults = os.sendfile, [] if fault is None else [fault]

    def sendfile(to, what, offset, count):
        if faults:
            raise faults.pop()
        return own(to, what, offset, min(count, 3))

    monkeypatch.setattr(os, "sendfile", sendfile)

    def handler(request):
        return Response(FileBody(os.open(path, os.O_RDONLY), 0, 10))

    with connected(handler) as (client, connection):
        Faulty(connection, FULL)
        client.send(GET)
        if fault is RESET:
            wait_for(lambda: connection.is_closed)
        else:
            assert client.answer().body == b"0123456789"
    assert not faults


def test_a_connection_that_is_closed_while_a_file_is_sent(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    sent = []

    def handler(request):
        return Response(FileBody(os.open(path, os.O_RDONLY), 0, 10))

    with connected(handler) as (client, connection):

        def sendfile(to, what, offset, count):
            sent.append(count)
            connection.close()
            return 3

        monkeypatch.setattr(os, "sendfile", sendfile)
        client.send(GET)
        wait_for(lambda: connection.is_closed and not connection._exchange)
    assert sent == [10]


def test_a_refusal_for_want_of_greenlets_that_cannot_be_sent():
    release = Event()

    def handler(request):
        release.wait(15)
        return echo(request)

    settings = {"max_workers": 1, "max_waiting": 0}
    with serving(handler, settings=settings) as server, Client(server) as first:
        first.send(GET)
        wait_for(lambda: server.busy)
        (busy,) = server._connections
        with Client(server) as second:
            wait_for(lambda: len(server._connections) == 2)
            (other,) = server._connections - {busy}
            Faulty(other, RESET)
            second.send(GET)
            wait_for(lambda: other.is_closed)
        release.set()
        assert first.answer().status == 200


def test_a_proxy_that_says_nothing_yet():
    with connected(proxies=lambda peer: True) as (client, connection):
        connection._on_readable()
        client.send(b"PROXY TCP4 127.0.0.2 127.0.0.1 1 2\r\n" + GET)
        assert client.answer().status == 200


def test_a_connection_that_cannot_be_ended_in_order():
    with connected() as (client, connection):
        Faulty(connection, shutdown=RESET)
        client.send(b"nonsense\r\n\r\n")
        wait_for(lambda: connection.is_closed)


def test_a_refusal_while_nothing_is_read_is_sent_all_the_same():
    with connected() as (client, connection):
        Faulty(connection, FULL, 3, 3)
        connection._pause()
        connection.refuse(503, "too much")
        assert connection.state == LINGER
        assert client.answer().status == 503
        assert client.is_closed()


def test_a_client_that_does_not_take_its_leave(monkeypatch):
    monkeypatch.setattr(closing, "_LINGER_TIME", 0.05)
    with connected(limits={"header_time": 0.5}) as (client, connection):
        assert client.send(b"nonsense\r\n\r\n").answer().status == 400
        wait_for(lambda: connection.is_closed)


def test_what_a_socket_holds_that_does_not_tell():
    with connected() as (_, connection):
        assert connection._count_queued() == 0
        reading, writing = os.pipe()
        with open(reading, "rb"), open(writing, "wb"):
            Faulty(connection).fileno = lambda: reading
            assert connection._count_queued() == 0


def test_who_waits_for_a_body_is_told_of_the_end_of_the_connection():
    failures = []

    def handler(request):
        for _ in range(2):
            try:
                request.stream.read()
            except BodyRefused as error:
                failures.append(str(error))
        return Response("too late")

    with connected(handler) as (client, connection):
        client.send(post(b"x" * 100_000)[:80_000])
        wait_for(lambda: connection._reader)
        connection.close()
        wait_for(lambda: len(failures) == 2)
    assert set(failures) == {"body: ended early"}


# --- bodies


def test_a_body_that_nobody_reads_and_that_is_here():
    """Another bound than the server's own is asked for, so the body is streamed."""
    with connected(
        lambda request: Response("no"),
        limits={"body": 10},
        body_limit=lambda request: 1000,
    ) as (client, _):
        client.send(post(b"x" * 100) + GET)
        assert [client.answer().body for _ in range(2)] == [b"no", b"no"]


def test_a_body_that_begins_to_come_after_the_answer_has_begun():
    def handler(request):
        def pieces():
            yield b"begins, "
            yield b"%d" % len(request.stream.read())

        return Response(pieces())

    with connected(handler) as (client, _):
        client.send(post(b"x" * 1000, b"Expect: 100-continue")[:-1000])
        status, _headers = client.head()
        assert status == 200
        client.send(b"x" * 1000)
        assert b"".join(client.chunks()) == b"begins, 1000"


@pytest.mark.parametrize("chunk", [b"zz\r\n", b"5\r\nabcdefgh\r\n"])
def test_a_wrong_chunk_in_a_body_that_is_collected(chunk, monkeypatch):
    with connected() as (client, connection):
        monkeypatch.setattr(
            type(connection._server), "uploads_are_many", property(lambda self: True)
        )
        head = b"POST / HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n" % HOST
        client.send(head + b"3\r\nabc\r\n")
        wait_for(lambda: connection.state == BODY)
        client.send(chunk)
        assert client.answer().status == 400
        assert client.is_closed()


# --- handlers


def test_a_writer_that_is_kept_beyond_its_request():
    kept = []

    def handler(request):
        kept.append(request.writer)
        return Response("done")

    with connected(handler) as (client, _):
        assert client.send(GET).answer().body == b"done"
        wait_for(lambda: kept[0]._wire is None)
        with pytest.raises(ValueError, match="used after its request has ended"):
            kept[0]._write(b"more")


def test_what_tells_of_failures_may_lose_its_client():
    asked = []

    def handler(request):
        raise ValueError("it fails")

    def on_failure(request):
        asked.append(request)
        raise ClientGone("while it is told")

    with connected(handler, on_failure=on_failure) as (client, _):
        client.send(GET)
        assert client.is_closed() or asked
        wait_for(lambda: asked)


# --- heads


def test_heads_of_replies_are_kept_within_bounds(monkeypatch):
    heads = ReplyHeads()
    for number in range(1030):
        heads.get(200, [("X-Number", str(number))], PERSISTENT)
    assert len(heads._heads) == 1030 - 1024
    heads.get(200, [("X-Long", "x" * 5000)], PERSISTENT)
    assert len(heads._heads) == 1030 - 1024


@pytest.mark.parametrize("name", ["Transfer-Encoding", "Keep-Alive"])
def test_fields_that_are_the_servers_own_to_decide(name):
    head = ReplyHeads().get(200, [(name, "chunked"), ("X-A", "b")], PERSISTENT)
    assert head.block == b"HTTP/1.1 200 OK\r\nX-A: b\r\n"


def test_a_head_too_large_of_which_a_part_is_here():
    parser = HeadParser(Limits(headers_size=300))
    begin = b"GET / HTTP/1.1\r\n"
    with pytest.raises(Refused) as caught:
        parser.find(begin + b"A: b\r\n" * 60)
    assert caught.value.status == 431
    # Nor does a line end it that never ends.
    assert parser.find(begin + b"A: ") == -1
    with pytest.raises(Refused) as caught:
        parser.find(begin + b"A: " + b"b" * 310, len(begin))
    assert caught.value.status == 431


# --- listening


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (errno.EACCES, "is forbidden: ports below 1024 need a privilege"),
        (errno.ENOBUFS, "cannot listen on port 80 of localhost: No buffer space"),
    ],
)
def test_a_port_that_cannot_be_had(error, told):
    failure = OSError(error, os.strerror(error))
    assert told in listeners._explain(failure, "localhost", 80)


def test_clients_that_go_before_they_are_accepted(monkeypatch):
    """And those whose socket fails as soon as it is."""
    with serving() as server, Client(server) as first:
        assert first.send(GET).answer().status == 200
        own, faults = server._listener, [ConnectionAbortedError(), RESET]

        class Listener:
            def _accept(self):
                if faults:
                    raise faults.pop()
                return own._accept()

            def __getattr__(self, name):
                return getattr(own, name)

        server._listener = Listener()
        with Client(server) as second:
            assert second.send(GET).answer().status == 200
        assert not faults
        server._listener = own
        ours, theirs = socket.socketpair()
        with ours:
            # No option of TCP can be set of this one.
            before = server.connections
            server._open(theirs, ("127.0.0.1", 1))
            assert theirs.fileno() == -1
            assert server.connections == before


def test_what_comes_to_accept_after_the_end():
    with serving() as server:
        pass
    server._accept()
    server._resume_accepting(gevent.get_hub().loop.timer(0))
    assert server.connections == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_the_address_of_a_server_for_all_is_one_that_can_be_opened(host):
    with serving() as server:
        server.local = (host, 80)
        assert server.url == "http://localhost:80"


def test_a_client_that_stops_in_a_body_that_nobody_reads():
    with connected(lambda request: Response("no"), limits={"body_idle": 0.2}) as (
        client,
        connection,
    ):
        client.send(post(b"x" * 70_000)[:20_000])
        assert client.answer().body == b"no"
        wait_for(lambda: connection.is_closed)


def test_descriptors_without_a_bound(monkeypatch):
    raised = []
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: unlimited)
    monkeypatch.setattr(resource, "setrlimit", lambda kind, to: raised.append(to))
    raise_bound(10)
    assert not raised
    assert most_connections(10**6) == 10**6
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1, unlimited[1]))
    raise_bound(10)
    assert raised[0][0] > 10


# --- TLS


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def contexts(authority):
    of_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(of_server)
    of_client = ssl.create_default_context()
    authority.configure_trust(of_client)
    return of_server, of_client


def test_both_take_their_leave(contexts):
    of_server, of_client = contexts
    with connected(context=of_client, tls=lambda: of_server) as (client, connection):
        client.send(b"GET / HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        assert client.answer().status == 200
        client.socket.unwrap()
        wait_for(lambda: connection.is_closed)
        connection._tell_end()


def test_who_is_refused_takes_leave(contexts):
    of_server, of_client = contexts
    with connected(context=of_client, tls=lambda: of_server) as (client, connection):
        client.send(b"nonsense\r\n\r\n")
        assert client.answer().status == 400
        assert connection.state == LINGER
        client.socket.unwrap()
        wait_for(lambda: connection.is_closed)


def test_what_is_no_record_of_tls_amid_a_connection(contexts):
    of_server, of_client = contexts
    with connected(context=of_client, tls=lambda: of_server) as (client, connection):
        assert client.send(GET).answer().status == 200
        os.write(client.socket.fileno(), b"GET / HTTP/1.1\r\n\r\n")
        wait_for(lambda: connection.is_closed)


def test_a_file_that_becomes_shorter_under_tls(contexts, tmp_path):
    of_server, of_client = contexts
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)

    def handler(request):
        return Response(FileBody(os.open(path, os.O_RDONLY), 0, 20))

    with connected(handler, context=of_client, tls=lambda: of_server) as (client, _):
        client.send(GET)
        status, headers = client.head()
        assert (status, headers["content-length"]) == (200, "20")
        assert client._file.read() == b"x" * 10


def test_who_sends_while_the_answer_waits_under_tls(contexts):
    of_server, of_client = contexts
    body = b"x" * 500_000
    with connected(
        lambda request: Response(body),
        context=of_client,
        tls=lambda: of_server,
        limits={"buffered_answer": 1},
    ) as (client, connection):
        faulty = Faulty(connection)
        faulty.is_full = True
        client.send(GET)
        wait_for(lambda: connection._writer)
        client.send(GET + GET)
        wait_for(lambda: connection._buffer)
        faulty.is_full = False
        assert [client.answer().body for _ in range(3)] == [body] * 3


def test_certificates_that_were_not_loaded():
    settings = ServerSettings(tls_certificate="a.pem", tls_key="b.pem")
    certificates = Certificates(settings, Path(os.curdir))
    with pytest.raises(RuntimeError, match="the certificates were not loaded"):
        certificates.context  # noqa: B018 - that it is asked for is enough


def test_a_certificate_of_which_nothing_is_at_the_begin_of_its_file(
    authority, tmp_path
):
    """OpenSSL reads as far as it takes, but its end has to be found, too."""
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    chain = tmp_path / "chain.pem"
    chain.write_bytes(b"# nothing\n" * 110_000 + issued.cert_chain_pems[0].bytes())
    settings = ServerSettings(tls_certificate="chain.pem", tls_key="key.pem")
    with pytest.raises(StartError, match=r"chain\.pem: cannot be read"):
        Certificates(settings, tmp_path).load()


# --- WSGI


def test_nothing_can_be_written_without_a_connection():
    """Requests that were made by hand have none."""

    def app(environ, start_response):
        start_response("200 OK", [])(b"written")
        return []

    request = Request(method="GET", path="/", raw_path="/", host="localhost")
    with pytest.raises(TypeError, match="this request has no writer"):
        WSGIHandler(app)(request)


def test_the_ways_in_which_answers_start_are_kept_within_bounds(monkeypatch):
    monkeypatch.setattr(wsgi_server, "_KNOWN_STARTS", 3)

    def app(environ, start_response):
        start_response("200 OK", [("X-Path", environ["PATH_INFO"])])
        return [b"hello"]

    handler = WSGIHandler(app)
    with connected(handler) as (client, _):
        for number in range(5):
            request = b"GET /%d HTTP/1.1\r\n%b\r\n" % (number, HOST)
            answer = client.send(request).answer()
            assert answer.headers["x-path"] == f"/{number}"
    assert len(handler._starts._known) == 2


def test_an_application_that_writes_and_gives_nothing_after_it():
    def app(environ, start_response):
        def late():
            start_response("200 OK", [])(b"written, ")
            yield b""

        return late()

    with connected(WSGIHandler(app)) as (client, _):
        assert client.send(GET).answer().body == b"written, "


def test_a_file_of_which_other_fields_are_told(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"the file")

    def app(environ, start_response):
        fields = [("Content-Type", "text/plain"), ("Content-Length", "3")]
        start_response("200 OK", fields)
        return environ["wsgi.file_wrapper"](path.open("rb"))

    with connected(WSGIHandler(app)) as (client, _):
        assert client.send(GET).answer().body == b"the"
