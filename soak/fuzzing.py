"""A fuzz of all endpoints: mutants alone, one server, a healthy connection beside."""

from __future__ import annotations

import http.client
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event

from soak.clients.base import Place
from soak.fuzz import Fuzzer
from soak.judging import tracebacks
from soak.record import Record
from soak.sampling import facts
from soak.seeds import recorded
from soak.server import Server, running

__all__ = ["fuzz", "keep_asking"]

#: How far the memory of a process may grow once it has seen many mutants.
MOST_GROWTH = 8 * 2**20


def fuzz(
    seconds: float, seed: object, home: Path, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Fuzz a server for a while.

    Args:
        seconds: How long.
        seed: From which all mutants are made.
        home: An empty folder for the server.
        say: Is told how it goes.

    Returns:
        The figures, among them the faults, of which there should be none.
    """
    with running(home, 1) as server:
        place = Place(server.url, server.keys, Record(), 0.1, Event())
        fuzzer = Fuzzer(server.port, recorded(server.port, place), seed)
        say(f"{len(fuzzer.seeds)} requests of real clients recorded; {server.url}")
        begin = time.monotonic()
        stopping = Event()
        beside = gevent.spawn(keep_asking, server.port, stopping)
        sizes = []
        while time.monotonic() < begin + seconds:
            fuzzer.run(2000, greenlets=8, until=begin + seconds)
            sizes.append(resident(server))
            say(
                f"{time.monotonic() - begin:6.0f} s: "
                f"{fuzzer.statuses.total():,} answers, {len(fuzzer.faults)} faults, "
                f"{sizes[-1] / 2**20:.1f} MiB"
            )
        stopping.set()
        asked = beside.get(timeout=60)
        server.stop()
        faults = [f"{fault} to {data[:3000]!r}" for fault, data in fuzzer.faults]
        faults += [f"traceback in the log: {text}" for text in tracebacks(server.log())]
    # By the middle everything that is kept in memory has been asked for.
    growth = sizes[-1] - sizes[len(sizes) // 2]
    if growth > MOST_GROWTH:
        faults.append(f"memory grows by {growth:,} bytes in the second half")
    return figures(fuzzer.statuses, asked, sizes, faults)


def figures(
    statuses: Counter[int], asked: int, sizes: list[int], faults: list[str]
) -> dict[str, Any]:
    """What was found."""
    return {
        "answers": {str(status): count for status, count in sorted(statuses.items())},
        "asked_beside": asked,
        "rss_mib": [round(sizes[at] / 2**20, 1) for at in (0, len(sizes) // 2, -1)],
        "faults": faults,
    }


def keep_asking(port: int, stopping: Event) -> int:
    """Ask on one connection again and again; how often there was an answer.

    Raises:
        AssertionError: An answer was wrong.
        OSError: The connection broke, or an answer took too long.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    count = 0
    while not stopping.is_set():
        connection.request("GET", f"/soak/echo/text?text={count}")
        answer = connection.getresponse()
        body = answer.read().decode()
        if (answer.status, body) != (200, str(count)):
            raise AssertionError(f"the connection beside: {answer.status} {body[:300]}")
        count += 1
        stopping.wait(0.02)
    connection.close()
    return count


def resident(server: Server) -> int:
    """Resident memory of the server's only process, bytes."""
    return facts(server.master())[0]
