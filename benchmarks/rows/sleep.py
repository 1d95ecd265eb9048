"""A thousand calls at once that sleep for a second."""

import selectors
import statistics
import time
from contextlib import ExitStack

from benchmarks.messages import Connection, Request
from benchmarks.report import Line, Sense
from benchmarks.rounds import Run, say
from benchmarks.servers import Server, Toolserver

CALLS, SLEEP = 1000, 1.0
REQUEST = Request(f"/bench/sleep?seconds={SLEEP}")


def wall_time(server: Server) -> float:
    """Seconds from the first request sent to the last answer, on open connections."""
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(CALLS):
            connection = stack.enter_context(Connection(server.port))
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        begin = time.perf_counter()
        for key in selector.get_map().values():
            key.data.send(REQUEST)
        waiting = CALLS
        while waiting:
            ready = selector.select(30)
            assert ready, f"{waiting} calls were not answered"
            for key, _ in ready:
                status, body = key.data.receive()
                assert (status, float(body)) == (200, SLEEP), body
                selector.unregister(key.fileobj)
                waiting -= 1
        return time.perf_counter() - begin


def measure(run: Run) -> list[Line]:
    with run.server(Toolserver()) as server:
        wall_time(server)
        times = [wall_time(server) for _ in range(run.rounds)]
    median = statistics.median(times)
    say(f"  {CALLS} calls that sleep: {median:.3f} s")
    return [
        Line(
            f"{CALLS:,} concurrent calls that sleep 1 s",
            "tool over REST",
            "the sleep alone: 1 s",
            median,
            times,
            Sense.AT_MOST,
            1.1,
            " s",
        )
    ]
