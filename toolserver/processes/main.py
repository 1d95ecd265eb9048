"""The process that is a home's server: it holds the lock, the pid and the port.

It answers requests by itself or leads others. To load everything anew a process that
answers by itself ends its work and executes itself anew, so that pid, lock and
listening socket stay: who connects meanwhile waits a moment.

A service manager that has started it hears how it is, and may have opened the port.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Protocol

import gevent
from gevent.event import Event

import toolserver
from toolserver.configuration import Configuration
from toolserver.daemon import START_S, check, server_command
from toolserver.errors import StartError
from toolserver.http.listeners import open_listener, remove_unix_socket
from toolserver.logs import Logs
from toolserver.pidfile import PidFile, State, has_orphans, write_state
from toolserver.processes.activation import take_activated
from toolserver.processes.common import ServerProcess, log
from toolserver.processes.notification import Notifier
from toolserver.processes.terminal import tell_terminal
from toolserver.settings import ServerSettings
from toolserver.switches import arguments

__all__ = ["MainProcess", "ServerClass"]

#: Seconds that the workers of a server which was killed get to leave its port.
_ORPHANS_S = 5.0
_STEP_S = 0.05


class Serving(Protocol):
    """What serves in a process."""

    def serve(self, logs: Logs) -> None:
        """Serve until there is a reason to end."""


class MainProcess(ServerProcess):
    """This process, as the server of a home.

    Args:
        options: The arguments of the process.
        choose: Tells what serves by some settings: answers by itself, or leads others.

    Attributes:
        woken: Set when there is something to do: to stop, or to load all anew.
        is_reload_asked: Whether somebody wants everything to be loaded anew.
        is_anew: Whether the process shall execute itself anew when it has ended.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        choose: Callable[[ServerSettings], ServerClass],
    ) -> None:
        super().__init__(options)
        self._choose = choose
        self._lock_fd: int | None = options.lock_fd
        self._listener: socket.socket | None = None
        self._unix: tuple[str, int] | None = None
        # Whether the listening socket is the service manager's.
        self._is_activated: bool = options.activated
        self._notifier = Notifier(os.environ)
        self._state = State(os.getpid(), reloads=options.reloads)
        self.woken = Event()
        self.is_reload_asked = False
        self.is_anew = False

    def run(self) -> None:
        """Serve until a signal ends the process.

        Raises:
            StartError: What keeps the server from starting.
        """
        activated = take_activated(os.environ)
        if activated is not None:
            self._is_activated = True
            self._listener = activated
        self.home.prepare()
        configuration = self.load()
        settings = configuration.settings.server
        make_server = self._choose(settings)
        lock = PidFile(self.home, self._lock_fd)
        may_be_left = has_orphans(self.home)
        write_state(self.home, self._state)
        with self.logging(configuration) as logs:
            # A second server that is started by mistake does no harm to the tools.
            self._take_port(settings, may_be_left)
            make_server(self, configuration).serve(logs)
        if self.is_anew and not self.stopping.is_set():
            self._execute_anew(lock)

    def fail(self, message: str) -> int:
        """Tell who started the process why it does not run.

        Args:
            message: Why.

        Returns:
            The exit code.
        """
        self._notifier.tell_status(f"failed: {message}")
        return super().fail(message)

    @property
    def was_executed_anew(self) -> bool:
        """Whether this process has served before, with other code."""
        return self._lock_fd is not None

    @property
    def listener(self) -> socket.socket:
        """The listening socket, which is this process's own.

        Raises:
            RuntimeError: It was closed.
        """
        if self._listener is None:  # pragma: no cover - nothing asks after the end
            raise RuntimeError("the listening socket was closed")
        return self._listener

    def begin_stop(self) -> None:
        """Tell others that the server ends, and close the port.

        Who connects from now on is told so; where the service manager has opened the
        port he waits for the next server.
        """
        self._notifier.tell_stopping()
        self.tell(phase="stopping")
        if self._listener is not None:  # pragma: no branch - it stops once
            self._listener.close()
            self._listener = None
            if self._unix is not None:
                remove_unix_socket(*self._unix)

    def catch_signals(
        self,
        logs: Logs,
        *,
        reopen: Callable[[], object] | None = None,
        cut_off: Callable[[], object] = lambda: None,
    ) -> None:
        """Have signals stop the process, reopen its logs, or load all anew.

        Args:
            logs: The logs, for one who is impatient.
            reopen: Opens the logs anew; by default those of this process.
            cut_off: Ends what else belongs to the server without ado.
        """

        def interrupt() -> None:
            if self.stopping.is_set():
                log.warning("interrupted again: running calls and hooks are cut off")
                cut_off()
                logs.close()
                os._exit(1)
            self.stop()

        self.on_signal(signal.SIGTERM, self.stop)
        self.on_signal(signal.SIGINT, interrupt)
        self.on_signal(signal.SIGUSR1, reopen or self.reopen_logs)
        self.on_signal(signal.SIGUSR2, self.reload)
        # Without a terminal it means to load everything anew; else it was closed.
        self.on_signal(signal.SIGHUP, self.reload if self._is_daemon() else self.stop)

    def stop(self) -> None:
        """End the process in an orderly way."""
        super().stop()
        self.woken.set()

    def reload(self) -> None:
        """Load everything anew, if the new code can be loaded."""
        self.is_reload_asked = True
        self.woken.set()

    def check(self) -> None:
        """Try in another process whether everything can be loaded.

        Raises:
            StartError: It cannot; says why.
        """
        words = [*arguments(self.given), *["--activated"] * self._is_activated]
        check(self.home, words)

    def announce(
        self,
        url: str,
        urls: Sequence[tuple[str, str]],
        settings: ServerSettings,
        **facts: object,
    ) -> None:
        """Tell everybody that the server serves.

        Args:
            url: Its address.
            urls: Labels and addresses of what it serves.
            settings: The settings in force.
            **facts: Further attributes of its `State`.
        """
        name = self.listener.getsockname()
        self._state = State(
            os.getpid(),
            phase="running",
            url=url,
            urls=tuple(urls),
            started=time.time(),
            version=toolserver.__version__,
            stop_timeout=settings.stop_timeout,
            port=0 if isinstance(name, (str, bytes)) else name[1],
            reloads=self._state.reloads,
            **facts,  # type: ignore[arg-type]  # as the state has them
        )
        write_state(self.home, self._state)
        log.info("serving on %s", url)
        self._notifier.tell_ready(_serving(self._state))
        self.report(asdict(self._state))
        if not self.is_detached:
            tell_terminal(self._state.announcement())

    def tell(self, **facts: object) -> None:
        """Tell others that something about the server has changed.

        Args:
            **facts: Attributes of its `State`.
        """
        self._state = replace(self._state, **facts)  # type: ignore[arg-type]  # as the state has them
        # A full disk keeps no server from going on.
        with suppress(StartError):
            write_state(self.home, self._state)

    def begin_reload(self) -> None:
        """Take note that everything is being loaded anew."""
        # Who asks from now on may have changed what has been read by then.
        self.is_reload_asked = False
        self._notifier.tell_reloading()
        self.tell(phase="reloading")

    def tell_reloaded(self, error: str = "", **facts: object) -> None:
        """Tell who has asked for it what became of loading everything anew.

        Args:
            error: Why it could not be done.
            **facts: Further attributes of its `State`.
        """
        if error:
            log.error("not reloaded: %s; the old code goes on serving", error)
        reloads = self._state.reloads + 1
        facts |= {"phase": "running", "reloads": reloads, "reload_error": error}
        # First, as who waits for the new state may ask the service manager next.
        state = replace(self._state, **facts)  # type: ignore[arg-type]  # as the state has them
        told = f"not reloaded: {error}" if error else _serving(state)
        self._notifier.tell_ready(told)
        self.tell(**facts)

    def _is_daemon(self) -> bool:
        return self.is_detached or not sys.stdin.isatty()

    def fits(self, settings: ServerSettings) -> bool:
        """Whether the listening socket is the one that settings name.

        Args:
            settings: The settings.
        """
        return self._is_activated or _fits(self.listener, settings)

    def _take_port(self, settings: ServerSettings, may_be_left: bool) -> None:
        if self._listener is not None:
            return
        inherited = self.inherited_listener()
        if self._is_activated:
            self._listener = inherited
            return
        if inherited is not None and not _fits(inherited, settings):
            inherited.close()
            inherited = None
        deadline = time.monotonic() + (_ORPHANS_S if may_be_left else 0.0)
        while inherited is None:
            try:
                inherited = open_listener(settings)
            except StartError:
                if time.monotonic() > deadline:
                    raise
                gevent.sleep(_STEP_S)  # pragma: no cover - they mostly end before
        self._listener = inherited
        if settings.unix_socket:
            self._unix = (settings.unix_socket, os.stat(settings.unix_socket).st_ino)

    def _execute_anew(self, lock: PidFile) -> None:
        descriptors = [lock.descriptor, self.listener.fileno()]
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        # Who has asked for it once more meanwhile gets it by this, too.
        reloads = self._state.reloads + 1 + self.is_reload_asked
        options = [*arguments(self.given), f"--reloads={reloads}"]
        options += ["--reload"] * self.watches_files + ["--detached"] * self.is_detached
        options += ["--activated"] * self._is_activated
        options += [f"--lock-fd={descriptors[0]}", f"--listen-fd={descriptors[1]}"]
        command = server_command(self.home, options)
        # Until they are caught again they would end the process.
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
        self._notifier.ask_for_time(START_S)
        environment = {**os.environ, **self._notifier.environment}
        os.execve(command[0], command, environment)  # noqa: S606  # our own interpreter


#: Makes what serves, out of the process and its configuration.
ServerClass = Callable[[MainProcess, Configuration], Serving]


def _serving(state: State) -> str:
    """How a server is that serves."""
    workers = f", {len(state.workers)} workers" if state.workers else ""
    return f"serving on {state.url}{workers}"


def _fits(listener: socket.socket, settings: ServerSettings) -> bool:
    """Whether a socket still is the one that the settings name."""
    name = listener.getsockname()
    if isinstance(name, (str, bytes)):
        return os.fsdecode(name) == settings.unix_socket
    return not settings.unix_socket and settings.port in (0, name[1])
