"""A process that tries whether a server would start, and ends."""

from __future__ import annotations

import argparse

from toolserver.http.listeners import open_listener
from toolserver.pidfile import find_server
from toolserver.processes.common import ServerProcess
from toolserver.processes.making import make_worker
from toolserver.settings import ServerSettings

__all__ = ["TrialProcess"]


class TrialProcess(ServerProcess):
    """This process, which loads everything, but runs no hook and answers nothing.

    Args:
        options: The arguments of the process.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self._is_activated: bool = options.activated

    def run(self) -> None:
        """Try it.

        Raises:
            StartError: What would keep the server from starting.
        """
        self.home.prepare()
        configuration = self.load()
        make_worker(self, configuration).check()
        if not self._is_activated:
            self._check_port(configuration.settings.server)

    def _check_port(self, settings: ServerSettings) -> None:
        """Try whether the port can be had, unless the running server has it."""
        running = find_server(self.home)
        taken = running is not None and running.port == settings.port
        if settings.port and not settings.unix_socket and not taken:
            open_listener(settings).close()
