"""Who of several processes takes a new connection."""

import socket
import time
from contextlib import closing

import gevent
import pytest

from toolserver.http.tally import Tally, make_tally
from toolserver.http.transport import HTTPServer
from toolserver.settings import Limits, ServerSettings


@pytest.fixture
def tally_file():
    with closing(make_tally(3)) as file:
        yield file


def test_numbers_are_known_to_all(tally_file):
    first, second, looks_on = (
        Tally(tally_file.fileno(), slot) for slot in (0, 1, None)
    )
    assert not first.has_fewer_elsewhere(1000)
    second.tell(5)
    assert first.has_fewer_elsewhere(6)
    assert not first.has_fewer_elsewhere(5)
    looks_on.tell(0)
    assert not first.has_fewer_elsewhere(5)
    second.leave()
    second.tell(0)
    assert not first.has_fewer_elsewhere(5)
    looks_on.clear(1)
    assert not first.has_fewer_elsewhere(2**31)


def test_servers_at_one_socket_have_equal_parts_of_the_connections(tally_file):
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    servers = []
    for slot in (0, 1):
        server = HTTPServer(lambda request: None, settings=_SETTINGS, limits=Limits())
        mine = socket.socket(fileno=socket.dup(listener.fileno()))
        server.listen(mine, tally=Tally(tally_file.fileno(), slot))
        server.start()
        servers.append(server)
    first, second = servers
    connections = []
    try:
        for count in range(1, 21):
            connections.append(socket.create_connection(address))
            _wait_for(
                lambda count=count: first.connections + second.connections == count
            )
        assert (first.connections, second.connections) == (10, 10)
        # One that accepts nothing, as it is busy, keeps nobody waiting.
        second._accept_watcher.stop()
        for count in range(21, 31):
            connections.append(socket.create_connection(address))
            _wait_for(
                lambda count=count: first.connections + second.connections == count
            )
        assert (first.connections, second.connections) == (20, 10)
    finally:
        for connection in connections:
            connection.close()
        for server in servers:
            server.stop(0)
        listener.close()


_SETTINGS = ServerSettings()


def _wait_for(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        gevent.sleep(0.001)
