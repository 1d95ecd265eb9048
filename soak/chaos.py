"""What is done to the server: processes killed, workers replaced, logs reopened."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

from gevent.event import Event

from soak.record import Record
from soak.server import Server, lives, wait_until

__all__ = ["WORKER_KILLED", "Chaos"]

WORKER_KILLED, MASTER_KILLED = "kill -9 of a worker", "kill -9 of the master"
RELOADED, REOPENED = "SIGHUP, workers replaced", "SIGUSR1, logs reopened"
#: What failures each of these excuses.
EXCUSES: dict[str, frozenset[str]] = {
    WORKER_KILLED: frozenset({"broken connection"}),
    MASTER_KILLED: frozenset(
        {"broken connection", "connection refused", "503", "time-out"}
    ),
    RELOADED: frozenset(),
    REOPENED: frozenset(),
}
#: Seconds for which the server may need to be whole again on a machine that is busy.
PATIENCE = 120.0


class Chaos:
    """Disturbs the server at random moments, and waits each time until it is whole.

    Args:
        server: The server.
        record: Where it notes what it does.
        dice: Tells what is done when.
    """

    def __init__(self, server: Server, record: Record, dice: random.Random) -> None:
        self._server = server
        self._record = record
        self._dice = dice

    def run(self, until: float, pause: float, most: int, stopping: Event) -> None:
        """Do one thing after the other, each kind once before any is done again.

        Args:
            until: When to end, on the monotonic clock, but not before the first one.
            pause: Seconds between two of them, on average.
            most: How many at most.
            stopping: Set when all shall end.
        """
        deeds = [self.kill_worker, self.reload, self.kill_master, self.reopen_logs]
        often = [self.kill_worker] * 5 + [self.reload] * 2 + [self.kill_master]
        for count in range(most):
            if stopping.wait(pause * self._dice.uniform(0.5, 1.5)):
                break
            if count and time.monotonic() > until:
                break
            deed = deeds.pop(0) if deeds else self._dice.choice(often)
            deed()

    def kill_worker(self) -> None:
        """Kill one of the workers."""
        victim = self._dice.choice(self._server.workers())
        self._disturb(
            WORKER_KILLED,
            lambda: self._server.signal(victim, signal.SIGKILL),
            lambda: victim not in self._server.workers(),
        )

    def kill_master(self) -> None:
        """Kill the master, and start the server anew."""
        before = list(self._server.processes())

        def kill() -> None:
            self._server.signal(self._server.master(), signal.SIGKILL)
            self._server.start()

        self._disturb(MASTER_KILLED, kill, lambda: not any(map(lives, before)))

    def reload(self) -> None:
        """Have all workers replaced."""
        before, reloads = self._server.workers(), self._reloads()
        self._disturb(
            RELOADED,
            lambda: self._server.signal(self._server.master(), signal.SIGHUP),
            lambda: self._reloads() > reloads and not any(map(lives, before)),
        )

    def reopen_logs(self) -> None:
        """Move the access log away, as programs that rotate logs do."""
        access = self._server.home / "log" / "access.log"
        if access.exists():
            access.rename(access.with_suffix(".old"))
        self._disturb(
            REOPENED,
            lambda: self._server.signal(self._server.master(), signal.SIGUSR1),
            access.exists,
        )

    def _reloads(self) -> int:
        return int(self._server.state().get("reloads", 0))

    def _disturb(
        self, kind: str, deed: Callable[[], None], is_over: Callable[[], bool]
    ) -> None:
        with self._record.disturbing(kind):
            deed()
            if not wait_until(lambda: is_over() and self._server.is_whole(), PATIENCE):
                self._record.tell_wrong(f"{kind}: the server is not whole again")
        self._server.processes()
