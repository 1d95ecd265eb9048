"""A worker process: one of several that answer on one port.

It ends on SIGTERM, as the whole server does; on SIGUSR2, when another worker has taken
its place; and when its master is gone, as nobody else would end it, or replace it.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
from typing import Any

from gevent.hub import get_hub
from gevent.monkey import get_original

from toolserver.errors import StartError
from toolserver.http.tally import Tally
from toolserver.metrics.sheets import CountSheet
from toolserver.processes import heap
from toolserver.processes.common import ServerProcess, log
from toolserver.processes.making import make_worker
from toolserver.sharing.link import Link

__all__ = ["WorkerProcess"]

#: Seconds that clients of a worker that is replaced get to leave it, because they are
#: connecting, or sending their next requests, just now.
_LEAVE_S = 1.0
#: Seconds between two signs of life.
_BEAT_S = 1.0
#: Seconds beyond those of its running calls that a worker without a master gets.
_GRACE_S = 5.0

_start_native_thread: Any = get_original("_thread", "start_new_thread")
_native_sleep: Any = get_original("time", "sleep")
_native_poll: Any = get_original("select", "poll")


class WorkerProcess(ServerProcess):
    """This process, as a worker below a master.

    Args:
        options: The arguments of the process.
    """

    tells_failure = False

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self._number: int = options.worker
        self._is_first: bool = options.first
        self._is_replaced = False
        self._hub = socket.socket(fileno=options.hub_fd)
        self._hub.set_inheritable(False)
        self._tally = Tally(options.tally_fd, options.worker)
        os.close(options.tally_fd)
        self._sheet = CountSheet(options.counts_fd)
        self._beats: Any = None
        os.close(options.counts_fd)

    def run(self) -> None:
        """Answer requests until the master says so, or is gone."""
        configuration = self.load()
        listener = self.inherited_listener()
        if listener is None:  # pragma: no cover - a master hands one over
            raise StartError("--worker: there is no socket to accept from")
        _end_without_master(
            os.dup(self._hub.fileno()),
            configuration.settings.server.stop_timeout + _GRACE_S,
        )
        with self.logging(configuration) as logs:
            link = Link(self._hub)
            worker = make_worker(
                self,
                configuration,
                logs,
                link=link,
                listener=listener,
                tally=self._tally,
                sheet=self._sheet,
                tells_start=self._is_first,
                number=self._number,
            )
            self.on_signal(signal.SIGTERM, self.stop)
            self.on_signal(signal.SIGUSR1, self.reopen_logs)
            self.on_signal(signal.SIGUSR2, self._leave_to_another)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            link.on_end(self.stop)
            worker.start()
            heap.keep()
            self._beat()
            self.report(
                {
                    "url": worker.url,
                    "urls": worker.urls,
                    "folders": [str(folder) for folder in worker.folders],
                }
            )
            log.info("worker %d serves on %s", os.getpid(), worker.url)
            self.stopping.wait()
            if self._is_replaced:
                worker.retire(_LEAVE_S)
            worker.stop(tells_stop=self._number == 0 and not self._is_replaced)
            log.info("worker %d has stopped", os.getpid())

    def _beat(self) -> None:
        """Tell the master from now on that the loop turns."""
        self._sheet.beat()
        self._beats = get_hub().loop.timer(_BEAT_S, _BEAT_S, ref=False)
        self._beats.start(self._sheet.beat)

    def _leave_to_another(self) -> None:
        self._is_replaced = True
        self.stop()


def _end_without_master(hub: int, patience: float) -> None:
    """See to it that this process ends when its master has gone, whatever it does.

    A call that holds up the loop would keep it, and with it the port, for ever.

    Args:
        hub: A descriptor of the socket to the master.
        patience: Seconds for it to end in an orderly way.
    """

    def wait() -> None:  # pragma: no cover - a native thread, which is not measured
        poll = _native_poll()
        # Only the end of the connection is told then.
        poll.register(hub, 0)
        poll.poll()
        _native_sleep(patience)
        # Not by the log: some greenlet that will not go on may have its locks.
        os.write(2, f"worker {os.getpid()} without a master was cut off\n".encode())
        os._exit(1)

    _start_native_thread(wait, ())
