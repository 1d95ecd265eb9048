"""A worker process, as its master sees it.

A worker is executed afresh, not forked: a fork of a process that has loaded half of
everything would inherit it. It tells through a pipe that it is ready, or why it cannot
start; and it ends by itself when the socket to the hub in the master closes.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

import gevent
from gevent import subprocess
from gevent.os import nb_read

from toolserver.daemon import ending, server_command, server_environment
from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.metrics.totals import SheetReader
from toolserver.sharing.hub import Hub

__all__ = ["Child", "Ready"]

#: Seconds in which a worker has to be ready.
_START_S = 300.0


@dataclass(frozen=True)
class Ready:
    """What a worker tells when it serves.

    Attributes:
        url: The address of the server.
        urls: Labels and addresses of what it serves.
        folders: The folders of tools.
    """

    url: str
    urls: tuple[tuple[str, str], ...] = ()
    folders: tuple[str, ...] = ()


class Child:
    """A worker process, which is started.

    Args:
        home: The folders of the server.
        arguments: The arguments of `toolserver.serve` that are the same for all.
        listener: The socket from which it accepts.
        tally: Where the workers tell how many connections each has.
        hub: What connects it with the others.
        sheet: Where it counts what it does.
        number: Its place among the workers.

    Attributes:
        number: The same.
        sheet: The same.
        pid: Its process.
        started: When it was started, seconds since 1970.
        is_ready: Whether it has told that it serves.
    """

    def __init__(
        self,
        home: Home,
        arguments: Sequence[str],
        listener: socket.socket,
        tally: BinaryIO,
        hub: Hub,
        sheet: SheetReader,
        number: int,
    ) -> None:
        self.number = number
        self.sheet = sheet
        self.started = time.time()
        self.is_ready = False
        self._missed: set[signal.Signals] = set()
        ours, theirs = socket.socketpair()
        self._reader, writer = os.pipe()
        inherited = {
            "listen": listener.fileno(),
            "tally": tally.fileno(),
            "hub": theirs.fileno(),
            "counts": sheet.file.fileno(),
            "ready": writer,
        }
        words = [f"--{name}-fd={each}" for name, each in inherited.items()]
        try:
            self._process: Any = subprocess.Popen(
                server_command(home, [*arguments, f"--worker={number}", *words]),
                stdin=subprocess.DEVNULL,
                pass_fds=list(inherited.values()),
                env=server_environment(),
                # An impatient hand at the terminal interrupts the master alone.
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            os.close(self._reader)
            raise
        finally:
            theirs.close()
            os.close(writer)
        self.pid: int = self._process.pid
        hub.attach(ours)

    @property
    def silence(self) -> float:
        """For how long its event loop has not turned, seconds; 0 before it serves."""
        beat = self.sheet.beat
        return time.monotonic() - beat if beat else 0.0

    @property
    def ending(self) -> str:
        """How it has ended."""
        return ending(self._process.wait())

    def wait_until_ready(self) -> Ready:
        """Wait until it serves.

        Returns:
            What it tells.

        Raises:
            StartError: It cannot; says why, in its words.
        """
        late = StartError(f"worker {self.pid}: not ready after {_START_S:g} s")
        try:
            with gevent.Timeout(_START_S, late):
                told = _read_report(self._reader)
        finally:
            os.close(self._reader)
        if "error" in told:
            raise StartError(told["error"])
        if "url" not in told:
            raise StartError(f"a worker ended before it was ready ({self.ending})")
        self.is_ready = True
        for number in self._missed:
            self.send(number)
        urls = tuple((label, url) for label, url in told["urls"])
        return Ready(told["url"], urls, tuple(told["folders"]))

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing if it has ended."""
        # Popen knows whether it was waited for: its pid may be another's by now.
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    def signal_when_ready(self, number: signal.Signals) -> None:
        """Send a signal that would end it before it catches signals."""
        if self.is_ready:
            self.send(number)
        else:
            self._missed.add(number)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for its end; whether it has ended.

        Args:
            timeout: Seconds to wait at most; None for no bound.
        """
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        return self._process.returncode is not None


def _read_report(reader: int) -> dict[str, Any]:
    """What a worker says through the pipe; nothing if it ended without a word."""
    os.set_blocking(reader, False)
    data = b""
    while piece := nb_read(reader, 65536):
        data += piece
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
