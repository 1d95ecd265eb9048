"""How the machine and the server are: for those who share a secret alone.

Each method takes a token in front of its arguments: the answer to a challenge. The
folder `clients` shows how callers in other languages make one.

    python examples/clients/status.py http://localhost:4334 example
    sh examples/clients/status.sh http://localhost:4334 example

The secret stands in the configuration, in the section `[tool."server.status"]`.
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from toolserver import CRAMSettings, OnlyRPCCRAMTool, call, register
from toolserver.errors import InvalidParams


@dataclass(frozen=True)
class StatusSettings(CRAMSettings):
    """The section ``[tool."server.status"]`` of the configuration may change these.

    Attributes:
        disks: Folders on the disks that are told of.
    """

    disks: tuple[str, ...] = ("/",)


@dataclass(frozen=True)
class Disk:
    """A disk.

    Attributes:
        folder: A folder on it.
        size: Bytes in all.
        free: Bytes that are left.
    """

    folder: str
    size: int
    free: int


@dataclass(frozen=True)
class Status:
    """How the machine and the server are.

    Attributes:
        machine: Name of the machine.
        python: Version of Python.
        uptime: Seconds since the server has started.
        load: Average number of processes that want to run, in the last minute.
        memory: Bytes of memory that the server has.
        tools: How many tools it offers.
    """

    machine: str
    python: str
    uptime: float
    load: float
    memory: int
    tools: int


@register("server.status")
class ServerStatus(OnlyRPCCRAMTool):
    """Tells how the machine and the server are."""

    settings = StatusSettings()

    def on_start(self) -> None:
        """Begin to count."""
        self._started = time.monotonic()

    def overview(self) -> Status:
        """Tell how the machine and the server are."""
        return Status(
            machine=platform.node(),
            python=platform.python_version(),
            uptime=round(time.monotonic() - self._started, 3),
            load=os.getloadavg()[0],
            memory=_resident_memory(),
            tools=len(call("system.listTools")),
        )

    def disk(self, folder: str = "/") -> Disk:
        """Tell how full a disk is.

        Args:
            folder: One of the folders that the settings name.

        Raises:
            InvalidParams: It is none of them.
        """
        if folder not in self.settings.disks:
            known = ", ".join(self.settings.disks)
            raise InvalidParams(f"folder: got {folder!r}, expected one of {known}")
        usage = shutil.disk_usage(folder)
        return Disk(folder, usage.total, usage.free)


def _resident_memory() -> int:
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
