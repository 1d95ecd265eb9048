"""A server of one process, which answers by itself."""

from __future__ import annotations

import socket
from pathlib import Path

import gevent

from toolserver.configuration import Configuration
from toolserver.errors import StartError
from toolserver.logs import Logs
from toolserver.processes import heap
from toolserver.processes.common import log
from toolserver.processes.main import MainProcess
from toolserver.processes.making import make_worker
from toolserver.reloader import Watch
from toolserver.worker import Worker

__all__ = ["Alone"]


class Alone:
    """Answers requests in this very process.

    Args:
        process: The process.
        configuration: Its configuration.
    """

    def __init__(self, process: MainProcess, configuration: Configuration) -> None:
        self._process = process
        self._configuration = configuration

    def serve(self, logs: Logs) -> None:
        """Serve until a signal, or until there is other code to serve.

        Args:
            logs: The logs.
        """
        process = self._process
        # The process keeps its own, for the case that it executes itself anew.
        listener = socket.socket(fileno=socket.dup(process.listener.fileno()))
        worker = make_worker(process, self._configuration, logs, listener=listener)
        # It looks before the code is loaded, so that no change is missed.
        watch = self._watch(worker) if process.watches_files else None
        process.catch_signals(logs)
        try:
            worker.start()
        except StartError as error:
            if watch is None or not process.was_executed_anew:
                raise
            # The code was tried and loads, but a hook fails: the next change may
            # mend it.
            log.error("not started: %s; waiting for a change", error)
            watch.wait(process.stopping)
            process.is_anew = True
            return
        heap.keep()
        process.announce(worker.url, worker.urls, worker.settings.server)
        watching = gevent.spawn(self._follow, watch, worker) if watch else None
        self._wait()
        if watching is not None:
            watching.kill()
        if process.stopping.is_set():
            process.begin_stop()
        worker.stop()
        log.info("stopped")

    def _wait(self) -> None:
        """Wait for a reason to end."""
        process = self._process
        while not process.stopping.is_set() and not process.is_anew:
            process.woken.wait()
            process.woken.clear()
            if process.is_reload_asked and not process.stopping.is_set():
                process.begin_reload()
                try:
                    process.check()
                except StartError as error:
                    process.tell_reloaded(str(error))
                else:
                    log.info("loading everything anew")
                    process.is_anew = True

    def _watch(self, worker: Worker) -> Watch:
        home = self._process.home
        return Watch([home.settings_file, home.lib, home.wsgi, *worker.folders])

    def _follow(self, watch: Watch, worker: Worker) -> None:
        """Load what has changed, or have the process executed anew."""
        process = self._process
        while changed := watch.wait(process.stopping):
            if worker.has_loaded(changed):
                for file in changed:
                    self._reload_tools(worker, file)
                continue
            names = ", ".join(path.name for path in changed)
            try:
                process.check()
            except StartError as error:
                log.error("changed: %s; the old code goes on serving: %s", names, error)
            else:
                log.info("changed: %s; starting anew", names)
                process.is_anew = True
                process.woken.set()
                return

    def _reload_tools(self, worker: Worker, file: Path) -> None:
        try:
            worker.reload(file)
        except StartError as error:
            log.error("%s; the old code goes on serving", error)
        heap.keep()
