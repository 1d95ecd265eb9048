"""Keeps worker processes running: starts them, replaces them, ends them."""

from __future__ import annotations

import logging
import signal
import socket
import time
from collections.abc import Callable, Sequence

import gevent

from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.http.tally import Tally, make_tally
from toolserver.metrics.totals import Totals
from toolserver.pidfile import WorkerState
from toolserver.processes.child import Child, Ready
from toolserver.sharing.hub import Hub

__all__ = ["Ready", "Supervisor"]

log = logging.getLogger("toolserver.master")

#: Workers at most, as the settings have it.
_MOST = 1000
#: A worker that lives as long is a good one, seconds.
_GOOD_S = 10.0
#: Pauses before a worker is started again that has died young: the first, doubled each
#: time, and the longest, seconds.
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
#: Seconds between two looks at a worker, whether its loop turns.
_LOOK_S = 1.0
#: Seconds that a worker gets to end: beyond what its calls get, and before it serves.
_GRACE_S, _UNREADY_GRACE_S = 5.0, 2.0


class Supervisor:
    """Keeps a number of workers running.

    Args:
        home: The folders of the server.
        arguments: The arguments of `toolserver.serve` for each worker.
        listener: The socket from which they accept.
        stop_timeout: Seconds that running calls get.
        hang_timeout: Seconds for which the loop of a worker may stand still; 0 for no
            bound.
        on_change: Told whenever a worker has come or gone.
    """

    def __init__(
        self,
        home: Home,
        arguments: Sequence[str],
        listener: socket.socket,
        *,
        stop_timeout: float,
        hang_timeout: float,
        on_change: Callable[[], None],
    ) -> None:
        self._home = home
        self._arguments = list(arguments)
        self._listener = listener
        self._stop_timeout = stop_timeout
        self._hang_timeout = hang_timeout
        self._on_change = on_change
        self._totals = Totals()
        self._hub = Hub(survey=self._totals.series)
        self._tally_file = make_tally(_MOST)
        self._tally = Tally(self._tally_file.fileno())
        # All processes that have not ended yet; of each place the one that serves.
        self._children: set[Child] = set()
        self._serving: dict[int, Child] = {}
        self._restarts: dict[int, int] = {}
        # Of each place: how many in succession have died young, and who sees to it
        # that another one is started.
        self._young: dict[int, int] = {}
        self._revivals: dict[int, gevent.Greenlet[..., None]] = {}
        self._is_stopping = False

    @property
    def workers(self) -> tuple[WorkerState, ...]:
        """The workers that serve."""
        return tuple(
            WorkerState(child.pid, child.started, self._restarts.get(number, 0))
            for number, child in sorted(self._serving.items())
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
        # The first one alone: what keeps it from starting is told once.
        ready = self._await(self._execute(0, "--first"))
        others = [self._execute(number) for number in range(1, count)]
        for child in others:
            self._await(child)
        return ready

    def reload(self, count: int, *, stop_timeout: float, hang_timeout: float) -> Ready:
        """Replace the workers one by one by new ones, which load everything anew.

        A new one takes requests before an old one takes no more, so that none is
        refused.

        Args:
            count: How many there shall be.
            stop_timeout: Seconds that running calls get from now on.
            hang_timeout: Seconds for which a loop may stand still from now on.

        Returns:
            What the first new one has told.

        Raises:
            StartError: A new one cannot start; the old ones go on.
        """
        ready = self._replace(0)
        self._stop_timeout = stop_timeout
        self._hang_timeout = hang_timeout
        for number in range(1, count):
            try:
                self._replace(number)
            except StartError as error:
                done = f"{number} of {count} workers have been replaced"
                raise StartError(f"{error}; {done}") from error
        for number in [each for each in self._serving if each >= count]:
            self._end(self._serving.pop(number), signal.SIGUSR2)
            self._tally.clear(number)
        for number in [each for each in self._revivals if each >= count]:
            self._revivals.pop(number).kill()
        self._on_change()
        return ready

    def broadcast(self, number: signal.Signals) -> None:
        """Send a signal to all workers, to those that do not serve yet when they do."""
        for child in self._children:
            child.signal_when_ready(number)

    def stop(self) -> None:
        """End all workers: running calls get their time."""
        self._is_stopping = True
        gevent.killall(list(self._revivals.values()))
        self._serving.clear()
        gevent.joinall([self._end(child) for child in list(self._children)])
        self._hub.close()

    def kill(self) -> None:
        """End all workers without ado."""
        for child in self._children:
            child.send(signal.SIGKILL)

    def _replace(self, number: int) -> Ready:
        """Start a worker, in the place of another one if there is one."""
        ready = self._await(self._execute(number))
        # Another one, that was to follow one that has died, is not needed any more.
        revival = self._revivals.pop(number, None)
        if revival is not None:
            revival.kill()
        self._young.pop(number, None)
        return ready

    def _execute(self, number: int, *words: str) -> Child:
        child = Child(
            self._home,
            [*self._arguments, *words],
            self._listener,
            self._tally_file,
            self._hub,
            self._totals.open(),
            number,
        )
        self._children.add(child)
        return child

    def _await(self, child: Child) -> Ready:
        """Wait until a worker serves; one that served in its place may leave then."""
        try:
            ready = child.wait_until_ready()
        except BaseException:
            child.send(signal.SIGKILL)
            gevent.spawn(self._bury, child)
            raise
        old = self._serving.get(child.number)
        self._serving[child.number] = child
        gevent.spawn(self._keep, child)
        if old is not None:
            self._end(old, signal.SIGUSR2)
        self._on_change()
        return ready

    def _bury(self, child: Child) -> None:
        child.wait()
        self._children.discard(child)
        self._totals.close(child.sheet)

    def _keep(self, child: Child) -> None:
        """Wait until a worker ends; start another one where it was not to end."""
        self._watch(child)
        self._bury(child)
        number = child.number
        if self._serving.get(number) is not child or self._is_stopping:
            return
        del self._serving[number]
        self._tally.clear(number)
        self._on_change()
        log.error("worker %d died: %s; another is started", child.pid, child.ending)
        is_young = time.time() - child.started < _GOOD_S
        self._young[number] = self._young.get(number, 0) + 1 if is_young else 0
        self._revivals[number] = gevent.spawn(self._revive, number)

    def _watch(self, child: Child) -> None:
        """Wait until a worker ends, and kill it where its loop stands still."""
        silent = 0
        while not child.wait(_LOOK_S):
            silent = silent + 1 if 0 < self._hang_timeout < child.silence else 0
            # Where the whole machine has paused, none has had its turn at the first
            # look.
            if silent == 2:
                log.error(
                    "worker %d hangs: its loop has not turned for %d s; it is killed",
                    child.pid,
                    child.silence,
                )
                child.send(signal.SIGKILL)

    def _revive(self, number: int) -> None:
        while True:
            gevent.sleep(self._pause(number))
            self._restarts[number] = self._restarts.get(number, 0) + 1
            try:
                self._await(self._execute(number))
            except StartError as error:
                self._young[number] = self._young.get(number, 0) + 1
                log.error("worker not started: %s", error)
            else:
                break
        self._revivals.pop(number, None)

    def _pause(self, number: int) -> float:
        young = self._young.get(number, 0)
        if young < 2:
            return 0.0
        pause: float = _PAUSE_S * 2 ** min(young - 2, 10)
        return min(_LONGEST_PAUSE_S, pause)

    def _end(
        self, child: Child, number: signal.Signals = signal.SIGTERM
    ) -> gevent.Greenlet[..., None]:
        """Let a worker end by itself; one that does not is killed."""
        child.send(number)
        patience = self._stop_timeout + _GRACE_S if child.is_ready else _UNREADY_GRACE_S
        return gevent.spawn(self._await_end, child, patience)

    def _await_end(self, child: Child, patience: float) -> None:
        if not child.wait(patience):
            log.error("worker %d does not end and is killed", child.pid)
            child.send(signal.SIGKILL)
            child.wait(_GRACE_S)
