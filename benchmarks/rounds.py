"""Interleaved rounds: every contestant is measured in turn, again and again.

What slows the machine for a moment then hits all of them alike, and the median of
the rounds leaves it out.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks import load, machine
from benchmarks.messages import Check, Request, verify
from benchmarks.report import Line, Measure, Sense
from benchmarks.servers import Server, ServerSpec


@dataclass(frozen=True)
class Contestant:
    """Who takes part in a row.

    Attributes:
        server: The server.
        request: What it is asked.
        check: Whether an answer is right.
        large: Whether the answers are much larger than a few KiB.
    """

    server: ServerSpec
    request: Request
    check: Check
    large: bool = False


@dataclass
class Rates:
    """Answers per second of each contestant, one number per round."""

    by_name: Mapping[str, Sequence[float]]

    def median(self, name: str) -> float:
        """The middle of the rounds."""
        return statistics.median(self.by_name[name])

    def compare(
        self, what: str, ours: str, peer: str, *, at_least: float | None
    ) -> Line:
        """How many times as fast we are.

        Args:
            what: What was measured, for the table.
            ours: Name of our contestant.
            peer: Name of the other one.
            at_least: The ratio aimed at.
        """
        pairs = zip(self.by_name[ours], self.by_name[peer], strict=True)
        return Line(
            what,
            f"{ours}: {self.median(ours):,.0f}/s",
            f"{peer}: {self.median(peer):,.0f}/s",
            self.median(ours) / self.median(peer),
            [mine / other for mine, other in pairs],
            Sense.AT_LEAST,
            at_least,
            "x",
        )


@dataclass
class Run:
    """One run of the benchmarks, which the rows are given.

    Attributes:
        rounds: How often each contestant is measured.
        seconds: How long each time.
        connections: How many connections ask at once.
        cpus: Who runs where.
        measures: What was measured so far.
    """

    rounds: int
    seconds: int
    connections: int
    cpus: machine.CPUs = field(default_factory=machine.CPUs)
    measures: list[Measure] = field(default_factory=list)

    def server(self, spec: ServerSpec) -> Server:
        """A server on its own CPU, to be entered."""
        return Server(spec, self.cpus.server)

    def rates(
        self, contestants: Mapping[str, Contestant], *, cpus: set[int] | None = None
    ) -> Rates:
        """Measure answers per second.

        Args:
            contestants: By the name that the tables show.
            cpus: CPUs of the servers, if it is not the one.
        """
        found: dict[str, list[float]] = {name: [] for name in contestants}
        measures = {name: Measure(name) for name in contestants}
        with ExitStack() as stack:
            servers: dict[ServerSpec, Server] = {}
            for each in contestants.values():
                if each.server not in servers:
                    started = Server(each.server, cpus or self.cpus.server)
                    servers[each.server] = stack.enter_context(started)
            for each in contestants.values():
                verify(servers[each.server].port, each.request, each.check)
                self._once(servers[each.server], each, 1)  # warms up
            for _ in range(self.rounds):
                for name, each in contestants.items():
                    measure = self._once(servers[each.server], each, self.seconds)
                    say(f"  {name}: {measure[0]:,.0f}/s")
                    measures[name].add(*measure)
                    found[name].append(measure[0])
            for each in contestants.values():
                # Still right after all the load.
                verify(servers[each.server].port, each.request, each.check)
        self.measures.extend(measures.values())
        return Rates(found)

    def _once(
        self, server: Server, contestant: Contestant, seconds: int
    ) -> tuple[float, float, float]:
        pids = server.pids
        before, begin = machine.cpu_seconds(pids), time.perf_counter()
        seen = load.run(
            server.port,
            contestant.request,
            self.connections,
            seconds,
            large=contestant.large,
        )
        used, took = machine.cpu_seconds(pids) - before, time.perf_counter() - begin
        return seen.rate, used / took, seen.busy


def say(text: str) -> None:
    """Tell whoever waits how far it is; not part of the result."""
    print(text, file=sys.stderr, flush=True)
