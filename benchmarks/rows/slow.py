"""What a healthy client notices of two hundred slow ones.

A third of them sends heads, a third bodies that need a worker, and a third reads an
answer of 1 MiB: each some bytes at a time, ten times a second.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.messages import Connection, Request
from benchmarks.report import Line, Sense
from benchmarks.rounds import Run, say
from benchmarks.servers import Server, Toolserver

CLIENTS = 200
REQUEST = Request("/bench/hello")


@contextmanager
def slow_clients(server: Server) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.slow", str(server.port), str(CLIENTS)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
        assert process.poll() is None
        process.stdin.close()


def p99(server: Server, seconds: float) -> float:
    """Seconds in which 99 of a hundred answers arrive."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        # A connection serves a bounded number of requests.
        with Connection(server.port) as connection:
            for _ in range(500):
                begin = time.perf_counter()
                assert connection.ask(REQUEST) == (200, b"Hello World!")
                times.append(time.perf_counter() - begin)
    return statistics.quantiles(times, n=100)[98]


def measure(run: Run) -> list[Line]:
    quiet, beside = [], []
    with run.server(Toolserver()) as server:
        p99(server, 1.0)
        for _ in range(run.rounds):
            quiet.append(p99(server, run.seconds))
            with slow_clients(server):
                beside.append(p99(server, run.seconds))
            say(f"  p99: {quiet[-1] * 1e6:.0f} µs, {beside[-1] * 1e6:.0f} µs beside")
    return [
        Line(
            f"p99 of a client beside {CLIENTS} slow ones",
            f"tool over REST: {statistics.median(beside) * 1e6:.0f} µs",
            f"nobody else there: {statistics.median(quiet) * 1e6:.0f} µs",
            statistics.median(beside) / statistics.median(quiet),
            [many / none for many, none in zip(beside, quiet, strict=True)],
            Sense.AT_MOST,
            5.0,
            "x",
        )
    ]
