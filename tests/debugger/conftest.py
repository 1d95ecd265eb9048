"""A server with tools to look into, and clients that are attached to it."""

import gc
from contextlib import ExitStack

import gevent
import pytest

import toolserver.testing
from tests.debugger.shop import Shop, Stock
from toolserver.debugger.client import attach_to_socket
from toolserver.debugger.evaluation import Evaluation
from toolserver.debugger.places import socket_of
from toolserver.debugger.session import Session


@pytest.fixture
def server(tmp_path):
    with toolserver.testing.serve(
        Shop, Stock, home=tmp_path, config={"debugger": {"enabled": True}}
    ) as server:
        yield server


class Client:
    """A client that is attached; what is printed is kept."""

    def __init__(self, home, **options):
        self.shown = []
        path = socket_of(home, 0)
        self.attachment = attach_to_socket(path, self.shown.append, **options)

    def __call__(self, source):
        """Run some code that succeeds; its value as it is shown."""
        done = self.attachment.run(source)
        assert not done.error, done.error
        return done.value

    def fails(self, source):
        """Run some code that fails; the last line of what is told."""
        done = self.attachment.run(source)
        assert done.error
        return done.error.rstrip().rpartition("\n")[2]

    @property
    def text(self):
        return "".join(self.shown)


@pytest.fixture
def attach(server):
    with ExitStack() as stack:

        def attach():
            client = Client(server.worker.home)
            stack.callback(client.attachment.close)
            return client

        yield attach


@pytest.fixture
def client(attach):
    return attach()


@pytest.fixture
def background(server):
    """Make calls over the network that the test does not wait for."""
    started = []

    def start(path):
        started.append(gevent.spawn(server.http.get, path))
        return started[-1]

    yield start
    server.tool("shop").gate.set()
    gevent.joinall(started, timeout=10)


@pytest.fixture
def audit(server):
    """The lines of the audit log, without their times."""

    def read():
        path = server.worker.home.log / "audit.log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.partition("debugger: ")[2] for line in lines]

    return read


def until(test, seconds=30):
    with gevent.Timeout(seconds):
        while not (found := test()):
            gevent.sleep(0.005)
    return found


def sessions_alive():
    """The sessions and what they evaluate with that are still held by anything."""
    gc.collect()
    kinds = (Session, Evaluation)
    return [each for each in gc.get_objects() if type(each) in kinds]
