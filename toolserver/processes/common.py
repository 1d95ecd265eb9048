"""What all processes of a server have in common."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import gevent
from gevent.event import Event

from toolserver.configuration import Configuration, load
from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.http.descriptors import raise_bound
from toolserver.linewriter import reopen_all
from toolserver.logs import Logs
from toolserver.processes.unhandled import log_unhandled
from toolserver.switches import SET, SWITCHES, Given

__all__ = ["ServerProcess", "log"]

log = logging.getLogger("toolserver.serve")


class ServerProcess:
    """This process, as a part of the server of a home.

    Args:
        options: The arguments of the process.

    Attributes:
        tells_failure: Whether it tells people why it does not run, and not only the
            process that has started it.
    """

    tells_failure = True

    def __init__(self, options: argparse.Namespace) -> None:
        self.given = _given(options)
        self.home = Home.find(options.home)
        self.watches_files: bool = options.reload
        self.is_detached: bool = options.detached
        self.stopping = Event()
        self._ready_fd: int | None = options.ready_fd
        self._listen_fd: int | None = options.listen_fd
        for descriptor in (self._ready_fd, self._listen_fd):
            if descriptor is not None:
                os.set_inheritable(descriptor, False)

    def run(self) -> None:
        """Do what this process is for, until it is told to end."""
        raise NotImplementedError

    def fail(self, message: str) -> int:
        """Tell who started the process why it does not run.

        Args:
            message: Why.

        Returns:
            The exit code.
        """
        self.report({"error": message})
        if not self.is_detached and self.tells_failure:
            print(f"Error: {message}", file=sys.stderr)
        return 1

    def load(self) -> Configuration:
        """Read the configuration.

        Raises:
            StartError: It cannot be read.
        """
        return load(
            self.home.settings_file, environment=os.environ, switches=self.given
        )

    @contextmanager
    def logging(self, configuration: Configuration) -> Iterator[Logs]:
        """Open the logs; what ends the process is told there, too.

        Args:
            configuration: The configuration.
        """
        raise_bound(configuration.settings.limits.connections)
        log_unhandled()
        logs = Logs(
            self.home.log, configuration.settings.log, to_terminal=not self.is_detached
        )
        try:
            yield logs
        except StartError as error:
            if self.is_detached and self.tells_failure:
                log.error("not started: %s", error)
            raise
        except Exception as error:
            log.exception("the server failed")
            file = self.home.log / "error.log"
            raise StartError(
                f"internal error: {type(error).__name__}: {error}; see {file}"
            ) from error
        finally:
            logs.close()

    def report(self, facts: Mapping[str, object]) -> None:
        """Tell facts to who started this process and waits.

        Args:
            facts: What JSON can carry.
        """
        descriptor, self._ready_fd = self._ready_fd, None
        if descriptor is None:
            return
        try:
            with open(descriptor, "w", encoding="utf-8") as pipe:
                json.dump(facts, pipe)
        except BrokenPipeError:
            log.warning("who started the server has not waited for it")

    def inherited_listener(self) -> socket.socket | None:
        """The listening socket that was handed over, or None."""
        if self._listen_fd is None:
            return None
        return socket.socket(fileno=self._listen_fd)

    def stop(self) -> None:
        """End the process in an orderly way."""
        self.stopping.set()

    def on_signal(self, number: signal.Signals, handler: Callable[[], object]) -> None:
        """Have a signal handled in a greenlet.

        Args:
            number: The signal.
            handler: What it does.
        """
        gevent.signal_handler(number, handler)

    def reopen_logs(self) -> None:
        """Open the logs anew, as somebody has moved them away."""
        reopen_all()
        if self.is_detached:
            # What tools print goes there, too.
            with (self.home.log / "error.log").open("ab") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)


def _given(options: argparse.Namespace) -> list[Given]:
    found = []
    for assignment in options.set:
        key, _, value = assignment.partition("=")
        found.append(Given(SET, key, value))
    for switch in SWITCHES:
        value = vars(options)[switch.name]
        if value:
            found.append(Given(switch.name, switch.key, switch.value or value))
    return found
