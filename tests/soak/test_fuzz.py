"""Mutants of what real clients send, and answers that are none."""

from __future__ import annotations

import random
import tomllib

import gevent
import pytest
from gevent.event import Event

import toolserver.testing
from soak.clients import CLIENTS
from soak.clients.base import Place
from soak.fuzz import Fuzzer, fault_of
from soak.fuzzing import keep_asking
from soak.mutation import Mutator, parse
from soak.record import Record
from soak.seeds import recorded
from soak.server import CONFIG, SECRET, Server
from soak.tools import soaked
from soak.wire import Malformed, read_answers
from toolserver import Tool

#: Those that wait for each other would hold up all others.
LABELS = {kind.label for kind in CLIENTS} - {"universe and notify"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A server with the tools of the soak, and what its clients have to know."""
    made = Server(tmp_path_factory.mktemp("fuzz") / "home", 1)
    made.make()
    tools = [
        found
        for found in vars(soaked).values()
        if isinstance(found, type)
        and issubclass(found, Tool)
        and found.__module__ == soaked.__name__
        and found is not soaked.Shelf
    ]
    config = tomllib.loads(CONFIG.format(secret=SECRET))
    config["wsgi"] = {"applications": ["plain=soak.wsgi.plain:application"]}
    with toolserver.testing.serve(
        *tools, home=made.home, config=config, contracts=False
    ) as server:
        yield Place(server.worker.url.rstrip("/"), made.keys, Record(), 0.0, Event())


@pytest.fixture(scope="module")
def port(place):
    return int(place.url.rpartition(":")[2])


@pytest.fixture(scope="module")
def seeds(place, port):
    return recorded(port, place, LABELS)


def test_requests_of_all_clients_are_recorded(seeds):
    targets = {parse(seed).target for seed in seeds}
    assert len(seeds) > 60
    assert {b"/RPC2", b"/SOAP", b"/JSONRPC", b"/mcp", b"/PYRPC"} <= targets
    assert all(parse(seed).encode() for seed in seeds)


def test_mutants_are_answered_or_refused(port, seeds, caplog):
    fuzzer = Fuzzer(port, seeds, seed=1)
    stopping = Event()
    beside = gevent.spawn(keep_asking, port, stopping)
    fuzzer.run(300)
    stopping.set()
    assert beside.get(timeout=30) > 0
    assert fuzzer.faults == []
    assert "Traceback" not in caplog.text
    # Some have gone all the way, and some have not.
    assert fuzzer.statuses[200] > 20
    assert fuzzer.statuses[400] > 20


def test_the_same_seed_makes_the_same_mutants(seeds):
    first, again = (Mutator(seeds, random.Random(5)) for _ in range(2))
    made = [first.mutant() for _ in range(50)]
    assert made == [again.mutant() for _ in range(50)]
    assert not set(made) <= set(seeds)


FINE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "received",
    [
        *(b"HTTP/1.1 20 OK\r\n\r\n", b"nonsense", b"HTTP/1.1 200 OK\r\nbad\r\n\r\n"),
        FINE + b"x",
        FINE.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n"),
        CHUNKED + b"zz\r\n",
        CHUNKED + b"1\r\nxyz",
        CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\n"),
    ],
)
def test_what_is_no_answer_is_found(received):
    with pytest.raises(Malformed):
        read_answers(received)
    assert fault_of(b"GET / HTTP/1.1\r\n\r\n", received)[0].startswith("malformed")


def test_answers_are_read_by_their_framing():
    whole = CHUNKED + b"2\r\nok\r\n0\r\n\r\n"
    found = read_answers(b"HTTP/1.1 100 Continue\r\n\r\n" + FINE + whole + FINE[:-1])
    assert [answer.status for answer in found] == [100, 200, 200, 200]
    assert [answer.body for answer in found] == [b"", b"ok", b"ok", b"o"]
    assert [answer.is_whole for answer in found] == [True, True, True, False]
    (answer,) = read_answers(FINE[:-2], is_head=True)
    assert answer.is_whole
    for size in (5, 20, 30):
        (answer,) = read_answers(FINE[:size])
        assert (answer.status, answer.is_whole) == (0, False)


@pytest.mark.parametrize(
    ("answer", "is_fault"),
    [
        (b"500 No\r\nContent-Length: 0\r\n\r\n", True),
        (b"502 No\r\nContent-Length: 0\r\n\r\n", True),
        (b"503 No\r\nContent-Length: 0\r\n\r\n", False),
        (b"500 No\r\nContent-Length: 12\r\n\r\n<s:Fault>...", False),
        (b"500 No\r\nContent-Length: 22\r\n\r\n<s:Fault>InternalError", True),
    ],
)
def test_failures_of_the_server_are_told_from_faults(answer, is_fault):
    assert bool(fault_of(b"", b"HTTP/1.1 " + answer)[0]) == is_fault
