"""How much the processes of the server hold, over time."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from gevent.event import Event

from soak.server import Server

__all__ = ["Sample", "Sampler"]

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Sample:
    """What one process holds at a moment.

    Attributes:
        time: Seconds since the soak began.
        pid: The process.
        kind: What it is, master or worker.
        rss_bytes: Its resident memory.
        descriptors: Its open files and sockets.
        threads: Its native threads.
    """

    time: float
    pid: int
    kind: str
    rss_bytes: int
    descriptors: int
    threads: int


@dataclass
class Sampler:
    """Looks at the processes again and again.

    Attributes:
        server: The server.
        begin: When the soak began, on the monotonic clock.
        samples: What was seen.
        greenlets: How many greenlets workers had: time, process, number.
    """

    server: Server
    begin: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)
    greenlets: list[tuple[float, int, int]] = field(default_factory=list)

    def run(self, pause: float, stopping: Event) -> None:
        """Look until all shall end."""
        while not stopping.wait(pause):
            self.look()

    def look(self) -> None:
        """Look once."""
        now = time.monotonic() - self.begin
        for pid, kind in self.server.processes().items():
            try:
                self.samples.append(Sample(now, pid, kind, *facts(pid)))
            except OSError:
                continue
        try:
            # A connection of its own, so that any worker may answer.
            found: dict[str, Any] = requests.get(
                f"{self.server.url}/soak/inside/look", timeout=10
            ).json()
            self.greenlets.append((now, found["pid"], found["greenlets"]))
        except (requests.RequestException, KeyError):
            return


def facts(pid: int) -> tuple[int, int, int]:
    """Resident memory in bytes, descriptors and threads of a process.

    Raises:
        OSError: It is gone.
    """
    folder = Path(f"/proc/{pid}")
    resident = int((folder / "statm").read_text().split()[1]) * _PAGE
    status = (folder / "status").read_text()
    threads = int(status.partition("\nThreads:")[2].split()[0])
    return resident, len(os.listdir(folder / "fd")), threads
