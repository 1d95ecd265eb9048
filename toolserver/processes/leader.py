"""A server of several processes: the master, which answers nothing itself.

It runs no tool and reads no request, so there is little that could end it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import gevent

from toolserver.configuration import Configuration
from toolserver.errors import StartError
from toolserver.handover import Result
from toolserver.logs import Logs
from toolserver.processes.common import log
from toolserver.processes.main import MainProcess
from toolserver.processes.supervisor import Ready, Supervisor
from toolserver.reloader import Watch
from toolserver.settings import ServerSettings
from toolserver.switches import arguments

__all__ = ["Leader"]

T = TypeVar("T")


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
            hang_timeout=self._settings.hang_timeout,
            on_change=self._tell_workers,
        )

    def serve(self, logs: Logs) -> None:
        """Keep the workers until a signal ends the server.

        Args:
            logs: The logs.

        Raises:
            StartError: A worker cannot start; says why, in its words.
        """
        process, supervisor = self._process, self._supervisor
        process.catch_signals(logs, reopen=self._reopen_logs, cut_off=supervisor.kill)
        try:
            self._lead()
        finally:
            process.begin_stop()
            supervisor.stop()
            log.info("stopped")

    def _lead(self) -> None:
        process, supervisor = self._process, self._supervisor
        ready = self._unless_stopped(lambda: supervisor.start(self._settings.workers))
        if ready is None:
            return
        process.announce(
            ready.url, ready.urls, self._settings, workers=supervisor.workers
        )
        watching = None
        if process.watches_files:
            watching = gevent.spawn(self._follow, ready)
        while not process.stopping.is_set():
            process.woken.wait()
            process.woken.clear()
            if process.is_reload_asked:
                self._unless_stopped(self._reload)
        if watching is not None:
            watching.kill()

    def _unless_stopped(self, work: Callable[[], T]) -> T | None:
        """Do what takes its time; break it off when the server is told to stop.

        Args:
            work: What is done.

        Returns:
            What it returns, or None where it was broken off.
        """
        task = gevent.spawn(Result, work)
        reasons: list[Any] = [task, self._process.stopping]
        gevent.wait(reasons, count=1)
        if not task.ready():
            task.kill()
            return None
        result: Result[T] = task.get()
        return result.get()

    def _reload(self) -> None:
        process, supervisor = self._process, self._supervisor
        log.info("replacing the workers by new ones")
        process.begin_reload()
        try:
            settings = self._read_settings()
            ready = supervisor.reload(
                settings.workers,
                stop_timeout=settings.stop_timeout,
                hang_timeout=settings.hang_timeout,
            )
        except StartError as error:
            process.tell_reloaded(str(error))
        else:
            process.tell_reloaded(
                url=ready.url,
                urls=ready.urls,
                workers=supervisor.workers,
                stop_timeout=settings.stop_timeout,
            )

    def _read_settings(self) -> ServerSettings:
        settings = self._process.load().settings.server
        if settings.workers < 2:
            raise StartError(
                "server.workers: a server of several processes becomes one of a single "
                "process by 'tsctl restart'"
            )
        if not self._process.fits(settings):
            raise StartError(
                "server.port and server.unix_socket: another place to listen on is "
                "taken by 'tsctl restart'"
            )
        return settings

    def _tell_workers(self) -> None:
        self._process.tell(workers=self._supervisor.workers)

    def _reopen_logs(self) -> None:
        self._process.reopen_logs()
        self._supervisor.broadcast(signal.SIGUSR1)

    def _follow(self, ready: Ready) -> None:
        """Replace the workers whenever a file has changed."""
        home = self._process.home
        folders = [Path(folder) for folder in ready.folders]
        watch = Watch([home.settings_file, home.lib, home.wsgi, *folders])
        while changed := watch.wait(self._process.stopping):
            names = ", ".join(path.name for path in changed)
            log.info("changed: %s", names)
            self._process.reload()
