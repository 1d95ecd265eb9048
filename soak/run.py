"""A soak: a server, its clients, what is done to it, and what came of it."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import random
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event

from soak import report
from soak.chaos import Chaos
from soak.clients import CLIENTS
from soak.clients.base import Place
from soak.hostile import Hostile
from soak.judging import growths, judge
from soak.ledger import Ledger
from soak.record import Record
from soak.sampling import Sampler
from soak.seeds import recorded
from soak.server import Server, running, wait_until
from toolserver import __version__

__all__ = ["Plan", "soak"]

#: Seconds that clients get to end what they are doing.
_PATIENCE = 180.0


@dataclass(frozen=True)
class Plan:
    """How a server is soaked.

    Attributes:
        seconds: How long, all told.
        seed: From which everything is made that is left to chance.
        workers: Worker processes of the server.
        rate: Actions of good clients per second, about; each is a request or a few.
        clients: Good clients of each kind.
        hostile: Hostile clients.
        mutated: Whose requests these change, by their labels; all if it is empty.
        storm: The part of the time in which processes are killed. In the rest they
            live long enough to be judged by what they hold.
        chaos_pause: Seconds between two disturbances, on average.
        most_disturbances: How many there are at most.
        is_judging_growth: Whether memory and descriptors are judged.
    """

    seconds: float = 1200.0
    seed: int = 1
    workers: int = 3
    rate: float = 60.0
    clients: int = 2
    hostile: int = 3
    mutated: tuple[str, ...] = ()
    storm: float = 0.5
    chaos_pause: float = 15.0
    most_disturbances: int = 10_000
    is_judging_growth: bool = True


def soak(plan: Plan, home: Path, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Soak a server.

    Args:
        plan: How.
        home: An empty folder for the server.
        say: Is told how it goes.

    Returns:
        The figures, among them the faults, of which there should be none.
    """
    begun = datetime.datetime.now(datetime.UTC)
    with running(home, plan.workers) as server:
        soaked = _Soak(plan, server, say)
        soaked.run()
        samples, greenlets = soaked.sampler.samples, soaked.sampler.greenlets
        # Also what ends at the very end has to be told of.
        server.stop()
        verdict = judge(
            soaked.record, Ledger.read(server.journal), server.log(), server.killed
        )
    if plan.is_judging_growth:
        begin, end = soaked.judged
        verdict.growths = growths(samples, begin, end)
        verdict.faults += [
            f"{each.kind} {each.pid}: {each.what} grows from {each.begin:,.0f} "
            f"to {each.end:,.0f}"
            for each in verdict.growths
            if not each.is_level
        ]
        if not verdict.growths:
            verdict.faults.append("no process lived long enough to be judged")
    return report.figures(
        about(plan, begun), soaked.record, verdict, samples, greenlets
    )


def about(plan: Plan, begun: datetime.datetime) -> dict[str, Any]:
    """When, where and with what it was measured."""
    names = ("gevent", "greenlet", "httptools", "msgspec")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return {
        "When": f"{begun:%Y-%m-%d %H:%M} UTC, {plan.seconds:,.0f} s, seed {plan.seed}",
        "Machine": f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"load average {os.getloadavg()[1]:.1f}",
        "With": f"Python {platform.python_version()}, {versions}",
        "Server": f"Toolserver {__version__}, {plan.workers} workers",
        "Load": f"{plan.clients} clients of each of {len(CLIENTS)} kinds, about "
        f"{plan.rate:.0f} actions a second; {plan.hostile} hostile ones",
    }


class _Soak:
    """What happens while the server runs."""

    def __init__(self, plan: Plan, server: Server, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._server = server
        self._say = say
        self._stopping = Event()
        self.record = Record()
        self.sampler = Sampler(server)

    @property
    def judged(self) -> tuple[float, float]:
        """From when to when growth is judged: the second half of the calm."""
        calm = self._plan.seconds * (1 - self._plan.storm)
        return self._plan.seconds - calm / 2, self._plan.seconds

    def run(self) -> None:
        """Let all of them loose, and wait for their ends."""
        plan, server, stopping = self._plan, self._server, self._stopping
        seed = plan.seed
        count = plan.clients * len(CLIENTS)
        place = Place(server.url, server.keys, self.record, count / plan.rate, stopping)
        seeds = recorded(server.port, place, plan.mutated)
        self._say(f"{len(seeds)} requests of real clients recorded; {server.url}")
        begin = self.sampler.begin = time.monotonic()
        clients = [
            kind(place, number, seed)
            for kind in CLIENTS
            for number in range(1, plan.clients + 1)
        ]
        hostile = [
            Hostile(
                server.port, self.record, seeds, random.Random(f"{seed}/hostile/{n}")
            )
            for n in range(plan.hostile)
        ]
        chaos = Chaos(server, self.record, random.Random(f"{seed}/chaos"))
        pause = max(0.25, plan.seconds / 600)
        storm_end = begin + plan.seconds * plan.storm
        working = [
            *(gevent.spawn(client.run) for client in clients),
            *(gevent.spawn(each.run, 0.5, stopping) for each in hostile),
            gevent.spawn(self.sampler.run, pause, stopping),
            gevent.spawn(
                *(chaos.run, storm_end, plan.chaos_pause),
                *(plan.most_disturbances, stopping),
            ),
        ]
        shown = 0
        while (left := begin + plan.seconds - time.monotonic()) > 0:
            gevent.sleep(min(30.0, left))
            told = sum(self.record.answers.values())
            self._say(
                f"{time.monotonic() - begin:6.0f} s: {told:,} answers, "
                f"{len(self.record.failures)} failures, "
                f"{len(self.record.disturbances)} disturbances, "
                f"{len(self.record.wrong)} wrong"
            )
            for text in self.record.wrong[shown:]:
                self._say(text)
            shown = len(self.record.wrong)
        stopping.set()
        gevent.joinall(working, timeout=_PATIENCE)
        for each in working:
            if not each.ready():
                at = "".join(traceback.format_stack(each.gr_frame))
                self.record.tell_wrong(f"somebody does not come to an end:\n{at}")
            if each.exception is not None:
                self.record.tell_wrong(f"the soak itself failed: {each.exception!r}")
        gevent.killall(working)
        if not wait_until(server.is_whole, 30):
            self.record.tell_wrong("the server is not whole at the end")
