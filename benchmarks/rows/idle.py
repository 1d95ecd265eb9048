"""Memory of an idle connection: what a server grows by when many are open.

Each connection has had one answer and is kept. What the kernel holds for a socket is
the same for all servers and not counted.
"""

import statistics
from contextlib import ExitStack

from benchmarks.machine import open_files, resident_bytes
from benchmarks.messages import Connection, Request
from benchmarks.report import Line, Sense
from benchmarks.rounds import Run, say
from benchmarks.servers import BareWSGI, Peer, Server, ServerSpec

WARM, OPEN = 100, 10_000


def growth(run: Run, spec: ServerSpec) -> float:
    """Bytes per connection."""
    with ExitStack() as stack:
        server = stack.enter_context(run.server(spec))
        for _ in range(WARM):
            open_one(stack, server, "127.0.0.1")
        before = resident_bytes(server.pids)
        for number in range(OPEN):
            open_one(stack, server, f"127.0.1.{1 + number // 5000}")
        grown = (resident_bytes(server.pids) - before) / OPEN
        assert open_files(server.pids) > OPEN, "connections were closed too early"
        say(f"  {spec}: {grown:,.0f} bytes per idle connection")
        return grown


def open_one(stack: ExitStack, server: Server, source: str) -> None:
    connection = stack.enter_context(Connection(server.port, source))
    status, body = connection.ask(Request("/"))
    assert (status, body) == (200, b"Hello World!")


def measure(run: Run) -> list[Line]:
    ours, peer = [], []
    # Memory varies little, and ten thousand connections take their time.
    for _ in range(min(run.rounds, 3)):
        ours.append(growth(run, BareWSGI()))
        peer.append(growth(run, Peer("hello_pywsgi.py")))
    return [
        Line(
            f"memory of an idle connection, {OPEN:,} open",
            f"bare WSGI: {statistics.median(ours) / 1024:.2f} KiB",
            f"pywsgi: {statistics.median(peer) / 1024:.2f} KiB",
            statistics.median(ours) / statistics.median(peer),
            [mine / other for mine, other in zip(ours, peer, strict=True)],
            Sense.AT_MOST,
            0.2,
            "x",
        )
    ]
