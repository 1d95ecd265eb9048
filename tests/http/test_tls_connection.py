from __future__ import annotations

import contextlib
import os
import socket
import ssl
import time

import gevent
import pytest
import requests
import trustme

from tests.http.raw_http import GET, Client, echo, serving, wait_for
from toolserver.http.transport import HTTPServer
from toolserver.message import FileBody, Request, Response


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def server_context(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def client_context(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


class TLSClient(Client):
    """A raw connection under TLS."""

    def __init__(self, server: HTTPServer, context: ssl.SSLContext) -> None:
        super().__init__(server)
        self._file.close()
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self._file = self.socket.makefile("rb")


def test_requests_under_tls(server_context, client_context):
    seen: list[Request] = []

    def handler(request: Request) -> Response:
        seen.append(request)
        return echo(request)

    with serving(handler, tls=lambda: server_context) as server:
        assert server.url.startswith("https://")
        with TLSClient(server, client_context) as client:
            assert client.send(GET).answer().body == b"/"
            client.send(GET + GET)
            assert [client.answer().body for _ in range(2)] == [b"/", b"/"]
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert client.answer().status == 200
            # An orderly end, told from a cut one.
            assert client.is_closed()
        assert seen[0].scheme == "https"
        assert seen[0].certificate is None
        wait_for(lambda: server.connections == 0)


def test_large_bodies_under_tls(server_context, authority, tmp_path):
    body = os.urandom(3_000_000)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with serving(tls=lambda: server_context) as server:
        answer = requests.post(
            f"https://localhost:{server.address[1]}",
            data=body,
            verify=str(tmp_path / "ca.pem"),
            timeout=10,
        )
        assert answer.content == body


def test_files_and_slow_readers_under_tls(server_context, client_context, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(5_000_000))

    def handler(request: Request) -> Response:
        return Response(FileBody(os.open(path, os.O_RDONLY), 10, 4_999_990))

    with (
        serving(handler, tls=lambda: server_context) as server,
        TLSClient(server, client_context) as client,
    ):
        client.send(GET)
        gevent.sleep(0.05)
        assert client.answer().body == path.read_bytes()[10:]
        assert client.send(GET).answer().status == 200


def test_the_clients_certificate_is_told(authority, client_context):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    with_certificate = ssl.create_default_context()
    authority.configure_trust(with_certificate)
    authority.issue_cert("ann@example.org").configure_cert(with_certificate)
    seen: list[Request] = []

    def handler(request: Request) -> Response:
        seen.append(request)
        return Response("ok")

    with serving(handler, tls=lambda: context) as server:
        with TLSClient(server, with_certificate) as client:
            assert client.send(GET).answer().status == 200
        certificate = seen[0].certificate
        assert certificate is not None
        assert ("email", "ann@example.org") in certificate["subjectAltName"]
        # Under TLS 1.3 the client learns of it when it reads.
        stranger = TLSClient(server, client_context)
        with stranger, pytest.raises((OSError, AssertionError)):
            stranger.send(GET).answer()
        assert len(seen) == 1


def test_a_handshake_has_to_come_in_time(server_context):
    with serving(tls=lambda: server_context, limits={"header_time": 0.2}) as server:
        with socket.create_connection(server.address, 5) as client:
            start = time.monotonic()
            assert client.recv(100) == b""
            assert 0.19 < time.monotonic() - start < 15
        wait_for(lambda: server.connections == 0)


def test_an_idle_connection_after_its_handshake_has_the_idle_time(
    server_context, client_context
):
    limits = {"header_time": 0.2, "keep_alive_idle": 0.6}
    with (
        serving(tls=lambda: server_context, limits=limits) as server,
        TLSClient(server, client_context) as client,
    ):
        gevent.sleep(0.4)
        assert client.send(GET).answer().status == 200
        assert client.is_closed()


def test_who_asks_without_tls_is_told_so(server_context):
    with serving(tls=lambda: server_context) as server, Client(server) as client:
        answer = client.send(GET).answer()
        assert answer.status == 400
        assert b"https://" in answer.body
        assert client.is_closed()


@pytest.mark.parametrize("garbage", [GET, b"\x16\x03\x01\xff\xff" + b"x" * 100, b"x"])
def test_what_is_no_handshake_harms_nobody(server_context, client_context, garbage):
    with serving(tls=lambda: server_context) as server:
        with Client(server) as client:
            client.send(garbage).end()
            client.read()
        wait_for(lambda: server.connections == 0)
        with TLSClient(server, client_context) as good:
            assert good.send(GET).answer().status == 200


def test_a_client_that_vanishes_under_tls(server_context, client_context):
    def pieces():
        while True:
            yield b"x" * 100_000

    with serving(
        lambda request: Response(pieces()), tls=lambda: server_context
    ) as server:
        client = TLSClient(server, client_context)
        client.send(GET)
        client.read(100)
        client.close()
        wait_for(lambda: server.connections == server.busy == 0)


def test_a_request_that_comes_with_the_end_is_answered(server_context, client_context):
    engine_in, engine_out = ssl.MemoryBIO(), ssl.MemoryBIO()
    engine = client_context.wrap_bio(engine_in, engine_out, server_hostname="localhost")
    got = b""
    with (
        serving(tls=lambda: server_context) as server,
        socket.create_connection(server.address, 20) as plain,
    ):
        while not engine.version() or engine_out.pending:
            with contextlib.suppress(ssl.SSLWantReadError):
                engine.do_handshake()
            plain.sendall(engine_out.read())
            if not engine.version():
                engine_in.write(plain.recv(65536))
        # The request and the end of the session in one piece; the socket stays open.
        engine.write(GET)
        with contextlib.suppress(ssl.SSLWantReadError):
            engine.unwrap()
        plain.sendall(engine_out.read())
        while b"\r\n\r\n/" not in got:
            engine_in.write(plain.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                got += engine.read(65536)
        wait_for(lambda: server.connections == 0)
    assert got.startswith(b"HTTP/1.1 200")
