"""Servers whose tools can be called through all doors."""

from __future__ import annotations

from contextlib import contextmanager

from toolserver.declarations import declared
from toolserver.parity.mistakes import mistakes_of
from toolserver.parity.running import asked_of, judge_calls
from toolserver.parity.servers import open_doors, serve_home, settings_for_parity
from toolserver.settings import Settings


class Opened:
    """A server with all its doors."""

    def __init__(self, worker, inside, doors):
        self.worker = worker
        self.inside = inside
        self.doors = doors

    def check(self, name, *, count, seed=1):
        asked = asked_of(self.worker.registry.target(name), count, seed)
        asked += mistakes_of(self.worker.registry.target(name), asked)
        return self.judge(name, asked)

    def judge(self, name, asked):
        entry = self.worker.registry.entry(name.rpartition(".")[0])
        target = self.worker.registry.target(name)
        return judge_calls(entry, target, asked, self.inside, self.doors)


@contextmanager
def opened(*classes, settings=None):
    tools = [each for each in declared if each.cls in classes]
    found = settings_for_parity(settings or Settings())
    with serve_home(found, tools=tools, groups=["testers"]) as (worker, keys):
        inside, doors = open_doors(worker, keys, ["testers"])
        try:
            yield Opened(worker, inside, doors)
        finally:
            for door in doors:
                door.close()


def told(report):
    """What a report says of faults, a few of them."""
    return [
        f"{fault.door}: {fault.asked}: expected {fault.expected}, got {fault.told}"[
            :500
        ]
        for fault in report.faults[:5]
    ]
