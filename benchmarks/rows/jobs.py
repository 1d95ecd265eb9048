"""Calls that do not wait for their caller: at once, through a queue, and at a time.

Ours are started by a method of a tool in a server as ``tsctl start`` runs it. The peers
are scripts that do the same and nothing else.
"""

import json
import os
import statistics
import subprocess

from benchmarks import environment
from benchmarks.messages import Connection, Request
from benchmarks.report import Line, Sense
from benchmarks.rounds import Rates, Run, say
from benchmarks.servers import HERE, Server, Toolserver

SPAWNED, QUEUED, SECONDS = 20_000, 1000, 5
#: In the memory of the process, and kept there for no longer than a round.
MEMORY = Toolserver(
    settings=(
        ("TOOLSERVER_JOBS__ENGINE", "memory"),
        ("TOOLSERVER_JOBS__RESULT_TTL", "1"),
    )
)


def ask(server: Server, call: str) -> list[float]:
    """What a method of the tool has measured."""
    with Connection(server.port) as connection:
        connection.socket.settimeout(120)
        connection.send(Request(f"/background/{call}"))
        status, body = connection.receive()
    assert status == 200, body
    found = json.loads(body)
    return found if isinstance(found, list) else [found]


def peer(run: Run, script: str, count: int) -> list[float]:
    """What a script of `benchmarks/peers` has measured, on the CPU of the servers."""
    done = subprocess.run(
        [environment.PYTHON, HERE / "peers" / script, str(count)],
        check=True,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: os.sched_setaffinity(0, run.cpus.server),  # noqa: PLW1509, RUF100
    )
    found: list[float] = json.loads(done.stdout)
    return found


def measure(run: Run) -> list[Line]:
    return [
        *at_once(run),
        *queued(run),
        timed(run, "in memory", MEMORY, count=100_000, ahead=7, at_most=10),
        timed(run, "in SQLite", Toolserver(), count=5000, ahead=5, at_most=50),
    ]


def at_once(run: Run) -> list[Line]:
    """``spawn`` against gevent's pool."""
    ours, pool = ["spawn", "spawn, result"], ["gevent's pool", "gevent's pool, get"]
    methods = ["spawned", "spawned_one_by_one"]
    found: dict[str, list[float]] = {name: [] for name in (*ours, *pool)}
    with run.server(MEMORY) as server:
        for method in methods:
            ask(server, f"{method}?count={SPAWNED // 4}")  # warms up
        for _ in range(run.rounds):
            rates = [ask(server, f"{method}?count={SPAWNED}")[0] for method in methods]
            rates += peer(run, "gevent_pool.py", SPAWNED)
            for name, rate in zip((*ours, *pool), rates, strict=True):
                say(f"  {name}: {rate:,.0f}/s")
                found[name].append(rate)
    compare = Rates(found).compare
    return [
        compare("immediate jobs, no result", ours[0], pool[0], at_least=5),
        compare("immediate jobs, one by one", ours[1], pool[1], at_least=2),
    ]


def queued(run: Run) -> list[Line]:
    """``enqueue`` in SQLite against huey in SQLite."""
    ours, huey, file = "enqueue, result", "huey, its consumer", "huey, no consumer"
    found: dict[str, list[float]] = {ours: [], huey: [], file: []}
    with run.server(Toolserver()) as server:
        ask(server, "queued_one_by_one?count=100")  # warms up
        for _ in range(run.rounds):
            rates = ask(server, f"queued_one_by_one?count={QUEUED}")
            rates += peer(run, "huey_sqlite.py", QUEUED)
            for name, rate in zip(found, rates, strict=True):
                say(f"  {name}: {rate:,.0f}/s")
                found[name].append(rate)
    compare, what = Rates(found).compare, "durable queued jobs, one by one"
    return [
        compare(what, ours, huey, at_least=2.5),
        compare(what, ours, file, at_least=None),
    ]


def timed(
    run: Run, where: str, spec: Toolserver, *, count: int, ahead: int, at_most: int
) -> Line:
    """How late jobs begin that are due at a time.

    Args:
        run: The run.
        where: Where they are stored.
        spec: The server that stores them there.
        count: How many there are.
        ahead: Seconds in which they are asked for before.
        at_most: Milliseconds by which 99 of 100 may be late.
    """
    asked = f"timers?count={count}&seconds={SECONDS}&ahead={ahead}"
    rounds = []
    with run.server(spec) as server:
        for _ in range(run.rounds):
            late = ask(server, asked)
            assert min(late) >= 0, "a job began too early"
            rounds.append(
                [1000 * statistics.quantiles(late, n=100)[at] for at in (49, 98)]
            )
            say("  {} timers: p50 {:.2f} ms, p99 {:.2f} ms".format(count, *rounds[-1]))
    middle, last = (statistics.median(values) for values in zip(*rounds, strict=True))
    return Line(
        f"{count:,} timers over {SECONDS} s: lateness, p99",
        f"schedule, {where}: p50 {middle:.2f} ms",
        "the moment itself",
        last,
        [each[1] for each in rounds],
        Sense.AT_MOST,
        at_most,
        " ms",
    )
