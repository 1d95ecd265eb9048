"""What the bound of open files means for connections; each in a process of its own."""

import contextlib
import socket
import subprocess
import sys

import pytest

from tests.http.raw_http import GET

_BEGIN = """
from gevent import monkey
monkey.patch_all()
import logging, resource
from gevent.os import tp_read
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from tests.http.raw_http import serving
from toolserver.http.descriptors import most_connections, raise_bound
logging.basicConfig(level="WARNING")
"""
_SERVE = """
with serving(limits={"connections": 1000}) as server:
    print(server.address[1], flush=True)
    tp_read(0, 1)
"""


def run(soft, hard, script):
    done = subprocess.run(
        [sys.executable, "-c", _BEGIN.format(soft=soft, hard=hard) + script],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "bound", "most"),
    [
        (100, 1000, 300, 401, 300),
        (100, 1000, 10, 100, 10),
        (100, 200, 1000, 200, 136),
        (1000, 1000, 10, 1000, 10),
    ],
)
def test_the_bound_is_raised_as_far_as_is_needed(soft, hard, connections, bound, most):
    out = run(
        soft,
        hard,
        f"raise_bound({connections})\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
        f"print(most_connections({connections}))",
    )
    assert out == [str(bound), str(most)]


def test_connections_that_find_no_descriptor_are_refused_in_time():
    script = _BEGIN.format(soft=128, hard=128) + _SERVE
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        address = "127.0.0.1", int(process.stdout.readline())
        with contextlib.ExitStack() as stack:
            connections = [
                stack.enter_context(socket.create_connection(address, 5))
                for _ in range(65)
            ]
            assert connections.pop().recv(12) == b"HTTP/1.1 503"
            for connection in connections:
                connection.sendall(GET)
            assert {c.recv(12) for c in connections} == {b"HTTP/1.1 200"}
        _, log = process.communicate("end\n", timeout=20)
    assert "limits.connections: got 1000" in log
    assert "leaves room for 64" in log
