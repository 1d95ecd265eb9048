"""A worker process with a port of its own: ``python -m … DESCRIPTOR HOME``.

It tells its URL in a line, and serves until the hub goes.
"""

from toolserver import pytest_plugin  # isort: skip  # patches before anything else

import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import msgspec

from toolserver import StandardTool, notify, register, universe, wait
from toolserver.declarations import declared
from toolserver.home import Home
from toolserver.settings import Settings
from toolserver.sharing.link import Link
from toolserver.worker import Worker

__all__ = ["process", "pytest_plugin"]


@register("served")
class Served(StandardTool):
    def put(self, name: str, count: int) -> None:
        universe.out(("order", name, (count, {"since": 1.5})))

    def take(self, least: int = 0) -> list:
        pattern = "order", str, lambda found: found[0] >= least
        _, name, (count, _) = universe.take(pattern, timeout=30)
        return [name, count, os.getpid()]

    def read(self, reader: str) -> str:
        return universe.read(("order", str, tuple), reader=reader, timeout=0)[1]

    def tell(self, value: str) -> int:
        return notify("news", value)

    def listen(self) -> list:
        return [wait("news", timeout=30), os.getpid()]


@contextmanager
def process(hub, home):
    """Run one whose hub is in this process; gives the process, with its `url`."""
    ours, theirs = socket.socketpair()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.sharing.served", str(theirs.fileno()), str(home)],
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=[theirs.fileno()],
        cwd=Path(__file__).parents[2],
    ) as running:
        theirs.close()
        hub.attach(ours)
        try:
            running.url = running.stdout.readline().strip()
            yield running
        finally:
            running.kill()


def main():
    link = Link(socket.socket(fileno=int(sys.argv[1])))
    home = Home(Path(sys.argv[2]))
    home.create()
    worker = Worker(
        msgspec.convert({"server": {"port": 0}}, Settings),
        home,
        tools=[each for each in declared if each.cls is Served],
        link=link,
    )
    worker.start()
    print(worker.url, flush=True)
    link.ended.wait()
    worker.stop(5.0)
    print("stopped", flush=True)


if __name__ == "__main__":
    main()
