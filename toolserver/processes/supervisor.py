"""Keeps worker processes running: starts them, replaces them, ends them.

A worker is executed afresh, not forked: a fork of a process that has loaded half of
everything would inherit it. It tells through a pipe that it is ready, or why it cannot
start; and it ends by itself when the socket to the hub in the master closes.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gevent
from gevent import subprocess
from gevent.os import nb_read

from toolserver.daemon import server_command, server_environment
from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.pidfile import WorkerState
from toolserver.sharing.hub import Hub

__all__ = ["Ready", "Supervisor"]

log = logging.getLogger("toolserver.master")

#: A worker that lives as long is a good one, seconds.
_GOOD_S = 10.0
#: Pauses before a worker is started again that has died young: the first, doubled each
#: time, and the longest, seconds.
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
#: Seconds in which a worker has to be ready, and to end beyond what its calls get.
_START_S, _GRACE_S = 300.0, 5.0


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


class _Child:
    """One worker process."""

    def __init__(self, process: Any, number: int) -> None:
        self.process = process
        self.number = number
        self.pid: int = process.pid
        self.started = time.time()
        self.is_ending = False


class Supervisor:
    """Keeps a number of workers running.

    Args:
        home: The folders of the server.
        arguments: The arguments of `toolserver.serve` for each worker.
        listener: The socket from which they accept.
        stop_timeout: Seconds that running calls get.
        on_change: Told whenever a worker has come or gone.
    """

    def __init__(
        self,
        home: Home,
        arguments: Sequence[str],
        listener: socket.socket,
        *,
        stop_timeout: float,
        on_change: Callable[[], None],
    ) -> None:
        self._home = home
        self._arguments = list(arguments)
        self._listener = listener
        self._stop_timeout = stop_timeout
        self._on_change = on_change
        self._hub = Hub()
        self._children: dict[int, _Child] = {}
        self._restarts: dict[int, int] = {}
        self._youths: dict[int, int] = {}
        self._keepers: dict[int, gevent.Greenlet[..., None]] = {}
        self._ending: set[_Child] = set()
        self._is_stopping = False
        self._is_reloading = False

    @property
    def workers(self) -> tuple[WorkerState, ...]:
        """The workers that serve."""
        return tuple(
            WorkerState(child.pid, child.started, self._restarts.get(number, 0))
            for number, child in sorted(self._children.items())
        )

    def start(self, count: int) -> Ready:
        """Start the workers and wait until all of them serve.

        Args:
            count: How many.

        Returns:
            What the first one has told.

        Raises:
            StartError: One cannot start; says why, in its words.
        """
        try:
            # The first one alone: what keeps it from starting is told once.
            ready = self._start_worker(0)
            others = [gevent.spawn(self._start_worker, n) for n in range(1, count)]
            gevent.joinall(others, raise_error=True)
        except BaseException:
            self.stop()
            raise
        return ready

    def reload(self, count: int) -> Ready:
        """Replace the workers one by one by new ones, which load everything anew.

        A new one takes requests before an old one takes no more, so that none is
        refused.

        Args:
            count: How many there shall be.

        Returns:
            What the first new one has told.

        Raises:
            StartError: A new one cannot start; the old ones go on.
        """
        self._is_reloading = True
        try:
            found: Ready | None = None
            for number in range(count):
                ready = self._start_worker(number)
                found = found or ready
            for number in [each for each in self._children if each >= count]:
                self._end(self._children.pop(number))
            self._on_change()
            assert found is not None  # noqa: S101  # there is at least one
            return found
        finally:
            self._is_reloading = False

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all workers."""
        for child in [*self._children.values(), *self._ending]:
            _send(child, number)

    def stop(self) -> None:
        """End all workers: the port is closed first, running calls get their time."""
        self._is_stopping = True
        # Who connects from now on is told so, and does not wait in vain.
        self._listener.close()
        gevent.killall(list(self._keepers.values()))
        for number in list(self._children):
            self._end(self._children.pop(number))
        deadline = time.monotonic() + self._stop_timeout + _GRACE_S
        while self._ending and time.monotonic() < deadline:
            gevent.sleep(0.02)
        self.kill()
        self._hub.close()

    def kill(self) -> None:
        """End all workers without ado."""
        for child in [*self._children.values(), *self._ending]:
            _send(child, signal.SIGKILL)

    def _start_worker(self, number: int) -> Ready:
        """Start a worker, in the place of another one if there is one."""
        child, reader = self._execute(number)
        try:
            ready = self._await_ready(child, reader)
        except BaseException:
            _send(child, signal.SIGKILL)
            gevent.spawn(child.process.wait)
            raise
        old = self._children.get(number)
        self._children[number] = child
        keeper = self._keepers.pop(number, None)
        self._keepers[number] = gevent.spawn(self._keep, child)
        if keeper is not None and keeper is not gevent.getcurrent():
            keeper.kill(block=False)
        if old is not None and not old.is_ending:
            self._end(old)
        self._on_change()
        return ready

    def _execute(self, number: int) -> tuple[_Child, int]:
        ours, theirs = socket.socketpair()
        reader, writer = os.pipe()
        words = [
            *self._arguments,
            f"--worker={number}",
            f"--listen-fd={self._listener.fileno()}",
            f"--hub-fd={theirs.fileno()}",
            f"--ready-fd={writer}",
        ]
        try:
            process = subprocess.Popen(  # our own interpreter
                server_command(self._home, words),
                stdin=subprocess.DEVNULL,
                pass_fds=[self._listener.fileno(), theirs.fileno(), writer],
                env=server_environment(),
                # An impatient hand at the terminal interrupts the master alone.
                start_new_session=True,
            )
        except BaseException:
            ours.close()
            os.close(reader)
            raise
        finally:
            theirs.close()
            os.close(writer)
        self._hub.attach(ours)
        return _Child(process, number), reader

    def _await_ready(self, child: _Child, reader: int) -> Ready:
        try:
            with gevent.Timeout(_START_S, StartError(f"worker {child.pid}: not ready")):
                told = _read_report(reader)
        finally:
            os.close(reader)
        if "error" in told:
            raise StartError(told["error"])
        if "url" not in told:
            ending = _ending(child.process.wait())
            raise StartError(f"a worker ended before it was ready ({ending})")
        urls = tuple((label, url) for label, url in told["urls"])
        return Ready(told["url"], urls, tuple(told["folders"]))

    def _keep(self, child: _Child) -> None:
        """Start a worker again whenever it has died."""
        code = child.process.wait()
        if child.is_ending or self._is_stopping:
            return
        number = child.number
        if self._children.get(number) is child:
            del self._children[number]
        self._on_change()
        log.error(
            "worker %d died: %s; another one is started", child.pid, _ending(code)
        )
        lived = time.time() - child.started
        self._youths[number] = 0 if lived > _GOOD_S else self._youths.get(number, 0) + 1
        while True:
            gevent.sleep(self._pause(number))
            self._restarts[number] = self._restarts.get(number, 0) + 1
            try:
                self._start_worker(number)
                return
            except StartError as error:
                self._youths[number] = self._youths.get(number, 0) + 1
                log.error("worker not started: %s", error)

    def _pause(self, number: int) -> float:
        youths = self._youths.get(number, 0)
        if youths < 2:
            return 0.0
        pause: float = _PAUSE_S * 2 ** min(youths - 2, 10)
        return min(_LONGEST_PAUSE_S, pause)

    def _end(self, child: _Child) -> None:
        """Let a worker end by itself; one that does not is killed."""
        child.is_ending = True
        self._ending.add(child)
        _send(child, signal.SIGTERM)
        gevent.spawn(self._await_end, child)

    def _await_end(self, child: _Child) -> None:
        if child.process.wait(self._stop_timeout + _GRACE_S) is None:
            log.error("worker %d does not end and is killed", child.pid)
            _send(child, signal.SIGKILL)
            child.process.wait()
        self._ending.discard(child)


def _send(child: _Child, number: signal.Signals) -> None:
    # Popen knows whether it was waited for: its pid may be another's by now.
    child.process.send_signal(number)


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


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
