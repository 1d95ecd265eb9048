"""A worker process: one of several that answer on one port."""

from __future__ import annotations

import argparse
import signal
import socket

from toolserver.errors import StartError
from toolserver.processes.common import ServerProcess, log
from toolserver.sharing.link import Link

__all__ = ["WorkerProcess"]


class WorkerProcess(ServerProcess):
    """This process, as a worker below a master.

    Args:
        options: The arguments of the process.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self._hub = socket.socket(fileno=options.hub_fd)
        self._hub.set_inheritable(False)

    def run(self) -> None:
        """Answer requests until the master says so, or is gone."""
        configuration = self.load()
        listener = self.inherited_listener()
        if listener is None:
            raise StartError("--worker: there is no socket to accept from")
        with self.logging(configuration) as logs:
            link = Link(self._hub)
            worker = self.make_worker(configuration, logs, link=link, listener=listener)
            self.on_signal(signal.SIGTERM, self.stop)
            self.on_signal(signal.SIGUSR1, self.reopen_logs)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            # Without its master nobody would end it, and nobody replace it.
            link.on_end(self.stop)
            worker.start()
            self.report(
                {
                    "url": worker.url,
                    "urls": worker.urls,
                    "folders": [str(folder) for folder in worker.folders],
                }
            )
            log.info("a worker serves on %s", worker.url)
            self.stopping.wait()
            worker.stop()
            log.info("a worker has stopped")
