import logging
import socket
import ssl
import struct

import gevent
import pytest
import trustme

from tests.http.raw_http import GET, Client, serving, wait_for
from tests.http.test_proxyheader import FOUR, TLVS, block
from toolserver.message import Request, Response

ONE = b"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"
TWO = block(body=FOUR + TLVS)
CLIENT = b"192.0.2.7:56324"


def who(request: Request) -> Response:
    """Tells from where a request has come."""
    return Response(f"{request.peer}:{request.peer_port}", content_type="text/plain")


def everybody(peer: str) -> bool:
    return True


@pytest.fixture(scope="module")
def server():
    with serving(who, proxies=everybody) as running:
        yield running


def connect(server):
    return Client(server, timeout=20)


@pytest.mark.parametrize("header", [ONE, TWO])
def test_requests_come_from_the_client_that_the_header_names(server, header):
    with connect(server) as client:
        client.send(header + GET + GET)
        assert [client.answer().body for _ in range(2)] == [CLIENT, CLIENT]
        assert client.send(GET).answer().body == CLIENT


@pytest.mark.parametrize("header", [ONE, TWO])
def test_the_header_may_come_byte_by_byte(server, header):
    with connect(server) as client:
        for byte in header + GET:
            client.send(bytes([byte]))
        assert client.answer().body == CLIENT


@pytest.mark.parametrize("header", [ONE, TWO])
@pytest.mark.parametrize("place", [1, 12, 13, 16, 20, 28, -1])
def test_the_header_may_come_in_two_pieces(server, header, place):
    wait_for(lambda: server.connections == 0)
    with connect(server) as client:
        wait_for(lambda: server.connections == 1)
        client.send(header[:place])
        # The loop reads it now; else it comes in one piece, which is right, too.
        gevent.sleep(0.005)
        assert client.send(header[place:], GET).answer().body == CLIENT


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", block(command=0)])
def test_connections_of_the_proxy_itself_are_its_own(server, header):
    with connect(server) as client:
        host, port = client.socket.getsockname()
        assert client.send(header + GET).answer().body == f"{host}:{port}".encode()


def test_a_header_comes_once(server):
    with connect(server) as client:
        assert client.send(ONE + ONE + GET).answer().status == 400


@pytest.mark.parametrize(
    "data", [GET, b"PROXY TCP4 a b 1 2\r\n" + GET, block(version=3) + GET, bytes(20000)]
)
def test_what_begins_with_no_header_is_closed_and_told(data, caplog):
    with serving(who, proxies=everybody) as server:
        with connect(server) as client:
            client.send(data)
            assert client.is_closed()
        wait_for(lambda: server.connections == 0)
        assert server.requests == 0
    (line,) = caplog.messages
    assert line.startswith("PROXY protocol: no connection for 127.0.0.1: ")
    assert "got" in line or "expected" in line
    assert "\n" not in line


def test_others_than_proxies_get_no_connection(caplog):
    with serving(who, proxies=lambda peer: peer == "192.0.2.1") as server:
        for _ in range(3):
            with connect(server) as client:
                assert client.is_closed()
        assert server.connections == 0
    # Strangers do not fill the log.
    assert caplog.messages == [
        "PROXY protocol: no connection for 127.0.0.1: its address is not in "
        "server.trusted_proxies"
    ]


def test_a_header_that_does_not_come_in_time_is_not_waited_for(caplog):
    limits = {"header_time": 0.2}
    with serving(who, proxies=everybody, limits=limits) as server:
        with connect(server) as client:
            client.send(ONE[:-1])
            assert client.is_closed()
        wait_for(lambda: server.connections == 0)
    assert "took too long" in caplog.text


def test_clients_are_counted_by_their_own_addresses():
    limits = {"connections_per_address": 1}
    with serving(
        who, proxies=everybody, limits=limits, exempt=lambda peer: peer == "127.0.0.1"
    ) as server:
        other = ONE.replace(b"192.0.2.7", b"192.0.2.8")
        with connect(server) as first, connect(server) as second:
            assert first.send(ONE + GET).answer().status == 200
            assert second.send(other + GET).answer().status == 200
            with connect(server) as third:
                assert third.send(ONE + GET).answer().status == 503
        wait_for(lambda: server.connections == 0)
        with connect(server) as again:
            assert again.send(ONE + GET).answer().status == 200


def test_connections_without_a_header_are_bounded():
    with (
        serving(who, proxies=everybody, limits={"connections": 2}) as server,
        connect(server) as one,
        connect(server) as two,
    ):
        one.send(ONE[:9])
        assert two.send(ONE + GET).answer().status == 200
        with connect(server) as third:
            # The first one is a connection, too.
            assert third.send(ONE + GET).answer().status == 503
        wait_for(lambda: server.connections == 2)
        assert one.send(ONE[9:] + GET).answer().status == 200


def test_a_proxy_may_come_by_a_unix_socket(tmp_path):
    settings = {"unix_socket": str(tmp_path / "socket")}
    with serving(who, proxies=lambda peer: not peer, settings=settings) as server:
        with connect(server) as client:
            assert client.send(TWO + GET).answer().body == CLIENT
        with connect(server) as client:
            assert client.send(b"PROXY UNKNOWN\r\n" + GET).answer().body == b":0"


def test_the_header_comes_before_tls():
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with serving(who, proxies=everybody, tls=lambda: context) as server:
        for header in (ONE, TWO):
            with connect(server) as client:
                client.send(header)
                client.socket = trusting.wrap_socket(
                    client.socket, server_hostname="localhost"
                )
                client._file = client.socket.makefile("rb")
                assert client.send(GET).answer().body == CLIENT
        # Either there is no answer or a reset.
        with connect(server) as client, pytest.raises((ssl.SSLError, ConnectionError)):
            trusting.wrap_socket(client.socket, server_hostname="localhost")


def test_a_server_that_stops_waits_for_no_header(caplog):
    caplog.set_level(logging.WARNING)
    with serving(who, proxies=everybody, stop_timeout=10) as server:
        client = connect(server)
        client.send(ONE[:9])
        wait_for(lambda: server.connections == 1)
    assert client.is_closed()
    client.close()
    assert "cut" not in caplog.text


def test_a_client_that_is_gone_is_forgotten(server):
    before = server.connections
    with connect(server) as client:
        client.send(ONE[:9])
        wait_for(lambda: server.connections == before + 1)
    wait_for(lambda: server.connections == before)


def test_a_client_that_resets_is_forgotten(server):
    before = server.connections
    with connect(server) as client:
        client.send(ONE[:9])
        wait_for(lambda: server.connections == before + 1)
        client.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
    wait_for(lambda: server.connections == before)
