"""A server of several processes: the master, which answers nothing itself.

It runs no tool and reads no request, so there is little that could end it.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import gevent

from toolserver.configuration import Configuration
from toolserver.errors import StartError
from toolserver.logs import Logs
from toolserver.processes.common import log
from toolserver.processes.supervisor import Ready, Supervisor
from toolserver.reloader import Watch
from toolserver.settings import ServerSettings
from toolserver.switches import arguments

if TYPE_CHECKING:
    from toolserver.processes.main import MainProcess

__all__ = ["Leader"]


class Leader:
    """Leads workers.

    Args:
        process: The process.
        configuration: Its configuration.
    """

    def __init__(self, process: MainProcess, configuration: Configuration) -> None:
        self._process = process
        self._settings = configuration.settings.server
        words = [*arguments(process.given), *["--detached"] * process.is_detached]
        self._supervisor = Supervisor(
            process.home,
            words,
            process.listener,
            stop_timeout=self._settings.stop_timeout,
            on_change=self._tell_workers,
        )

    def serve(self, logs: Logs) -> None:
        """Keep the workers until a signal ends the server.

        Args:
            logs: The logs.
        """
        process, supervisor = self._process, self._supervisor
        process.catch_signals(logs)
        process.on_signal(signal.SIGUSR1, self._reopen_logs)
        process.cut_off = supervisor.kill  # type: ignore[method-assign]  # its duty here
        ready = supervisor.start(self._settings.workers)
        workers = supervisor.workers
        process.announce(ready.url, ready.urls, self._settings, workers=workers)
        watching = None
        if process.watches_files:
            watching = gevent.spawn(self._follow, ready)
        try:
            self._wait()
        finally:
            if watching is not None:
                watching.kill()
            process.tell(phase="stopping")
            process.close_listener()
            supervisor.stop()
            log.info("stopped")

    def _wait(self) -> None:
        process = self._process
        while not process.stopping.is_set():
            process.woken.wait()
            process.woken.clear()
            if process.is_reload_asked and not process.stopping.is_set():
                self._reload()

    def _reload(self) -> None:
        log.info("replacing the workers by new ones")
        try:
            settings = self._read_settings()
            ready = self._supervisor.reload(settings.workers)
        except StartError as error:
            self._process.tell_reloaded(str(error))
        else:
            self._process.tell_reloaded(
                url=ready.url, urls=ready.urls, workers=self._supervisor.workers
            )

    def _read_settings(self) -> ServerSettings:
        settings = self._process.load().settings.server
        if settings.workers < 2:
            raise StartError(
                "server.workers: a server of several processes becomes one of a single "
                "process by 'tsctl restart'"
            )
        return settings

    def _tell_workers(self) -> None:
        self._process.tell(workers=self._supervisor.workers)

    def _reopen_logs(self) -> None:
        self._process.reopen_logs()
        self._supervisor.signal(signal.SIGUSR1)

    def _follow(self, ready: Ready) -> None:
        """Replace the workers whenever a file has changed."""
        home = self._process.home
        folders = [Path(folder) for folder in ready.folders]
        watch = Watch([home.settings_file, home.lib, home.wsgi, *folders])
        while changed := watch.wait(self._process.stopping):
            names = ", ".join(path.name for path in changed)
            log.info("changed: %s", names)
            self._process.reload()
