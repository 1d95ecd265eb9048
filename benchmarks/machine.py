"""The machine: which CPU does what, how many files may be open, what to call it."""

from __future__ import annotations

import os
import platform
import resource
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


class CPUs:
    """One CPU for the server under test, another for the load.

    Attributes:
        server: CPUs of the servers.
        load: CPUs of the load generator.
        note: What to tell the reader about it.
    """

    def __init__(self) -> None:
        allowed = sorted(os.sched_getaffinity(0))
        self.server = {allowed[0]}
        self.load = {allowed[1] if len(allowed) > 1 else allowed[0]}
        self.note = (
            f"servers on CPU {allowed[0]}, load on CPU {allowed[1]}"
            if len(allowed) > 1
            else "only one CPU: server and load share it, and the ratios mean little"
        )


def raise_file_limit() -> int:
    """Allow this process and its children as many open files as may be had."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def describe() -> str:
    """The CPU, how many there are, the kernel."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{os.cpu_count()} x {model}, {platform.system()} {platform.release()}"


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except OSError:
                continue
            # The command may hold spaces and brackets; what follows it does not.
            parent = int(stat.rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for each in found:
        found += parents.get(each, [])
    return found


def cpu_seconds(pids: list[int]) -> float:
    """CPU time that processes have used so far."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def resident_bytes(pids: list[int]) -> int:
    """Memory that processes hold."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                total += int(line.split()[1]) * 1024
    return total


def open_files(pids: list[int]) -> int:
    """How many files and sockets processes have open."""
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)
