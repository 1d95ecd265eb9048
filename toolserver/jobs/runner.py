"""What takes jobs from the store and runs them, in one process.

Two greenlets work: one claims what may run, as long as there is room, and one keeps the
lease, hands on progress, and looks after what others have left behind. They sleep as
long as there is nothing to do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
from gevent.event import Event
from gevent.monkey import get_original

from toolserver.bus import Bus
from toolserver.jobs.clock import JobClock
from toolserver.jobs.engine import Engine, Progress
from toolserver.jobs.pool import JobPool
from toolserver.jobs.records import Claim, Ending, JobState
from toolserver.jobs.recovery import Recovery
from toolserver.jobs.runners import name_runner
from toolserver.settings import JobSettings
from toolserver.turns import Turns

__all__ = ["CANCEL", "READY", "OnChange", "Run", "Runner"]

log = logging.getLogger("toolserver.jobs")

#: Told to all processes: that some job may run, and that one shall be ended.
READY, CANCEL = "jobs.ready", "jobs.cancel"
#: Seconds after which the store is looked at without having been told anything: with
#: other processes, and alone.
_LOOK_SHARED, _LOOK_ALONE = 1.0, 30.0
#: Seconds in which a claim is over, unless others lock the store.
_CLAIMING = 1.0
#: Seconds by which the clocks may part before jobs for a time of day are moved.
_PARTED = 0.5
#: Seconds between two writings of progress.
_PROGRESS = 0.25

#: Told id, method, state, fraction and text of a job that has changed.
OnChange = Callable[[str, str, JobState, float | None, str], None]

_start_native_thread: Any = get_original("_thread", "start_new_thread")
_native_sleep: Any = get_original("time", "sleep")


class Run:
    """One claimed job, while it runs.

    Args:
        runner: Runs it.
        claim: The job.
    """

    __slots__ = ("_greenlet", "claim", "is_cancelled", "is_released", "runner")

    def __init__(self, runner: Runner, claim: Claim) -> None:
        self.runner = runner
        self.claim = claim
        self.is_cancelled = False
        self.is_released = False
        self._greenlet: Any = None

    @property
    def id(self) -> str:
        """The id of the job."""
        return self.claim.job.id

    @property
    def trace(self) -> str:
        """The W3C trace context of who started the job."""
        return self.claim.job.trace

    @property
    def pool(self) -> JobPool:
        """The pool that runs it."""
        return self.runner.pool

    def tell(self, fraction: float, text: str) -> None:
        """Tell how much of it is done."""
        self.runner.tell(self, fraction, text)

    def serve(self) -> bool:
        """Run it; whether there is another one."""
        self.runner.serve(self)
        return False

    def make(self, make: Callable[[Run], Ending]) -> Ending:
        """Make its call, unless somebody ends it.

        Args:
            make: Makes the call and tells what became of it.
        """
        if self.is_cancelled or self.is_released:
            return Ending(JobState.CANCELLED)
        self._greenlet = gevent.getcurrent()
        try:
            return make(self)
        except gevent.GreenletExit:
            return Ending(JobState.CANCELLED)
        finally:
            self._greenlet = None

    def cancel(self) -> None:
        """End it, as somebody wants it cancelled."""
        if not self.is_cancelled:
            self.is_cancelled = True
            self._end()

    def release(self) -> None:
        """End it, as it is another runner's, or shall be."""
        self.is_released = True
        self._end()

    def _end(self) -> None:
        greenlet = self._greenlet
        if greenlet is not None:
            self.pool.end(greenlet, lambda: self._greenlet is greenlet)


class Runner:
    """Runs the jobs of a store in this process.

    Args:
        engine: The store.
        clock: The clock of jobs.
        bus: Tells of what other processes have put into the store.
        settings: How many run, and how long leases last.
        has_peers: Whether other processes run jobs of the store.
        make: Makes the call of a job and tells what became of it.
        on_change: Told id, method, state, fraction and text at each change.
        on_clock_set: Told that somebody has set the clock.

    Attributes:
        name: What the store knows it by.
        pool: The greenlets of the jobs.
        served: How many jobs it has run, to whatever end.
        on_begin: Told of each job how many seconds after it was due it has begun.
    """

    def __init__(
        self,
        engine: Engine,
        clock: JobClock,
        bus: Bus,
        settings: JobSettings,
        *,
        has_peers: bool,
        make: Callable[[Run], Ending],
        on_change: OnChange,
        on_clock_set: Callable[[], None],
    ) -> None:
        self.name = name_runner()
        self.pool = JobPool(settings.max_jobs)
        self.served = 0
        self._engine = engine
        self._clock = clock
        self._bus = bus
        self._settings = settings
        self._has_peers = has_peers
        self._make = make
        self._on_change = on_change
        self._on_clock_set = on_clock_set
        self._recovery = Recovery(engine, clock, settings, self.name)
        self._running: dict[str, Run] = {}
        self._wake = Event()
        self._is_idle = Event()
        self._is_empty = Event()
        self._is_full = self._is_looking = False
        self._is_beating = False
        self._progress: dict[str, Progress] = {}
        self.on_begin: Callable[[float], object] | None = None
        self._greenlets: list[gevent.Greenlet[..., None]] = []
        self._claimer: gevent.Greenlet[..., None] | None = None
        self._unsubscribes: list[Callable[[], None]] = []

    @property
    def running(self) -> int:
        """Jobs that run."""
        return len(self._running)

    def start(self) -> None:
        """Begin to run jobs, those first that a process that has died had begun."""
        self._try(self.follow_clock)
        self._try(self._recover)
        self._is_beating = True
        if self._engine.is_shared:
            _start_native_thread(self._beat, ())
        self._unsubscribes = [
            self._bus.subscribe(READY, self._ready_told),
            self._bus.subscribe(CANCEL, self._cancel_told),
        ]
        self._greenlets = [gevent.spawn(self._look_after)]
        self.resume()

    def wake(self) -> None:
        """Look at the store: some job may run now, or will sooner than was known."""
        self._is_idle.clear()
        self._wake.set()

    def wait_until_idle(self, timeout: float) -> bool:
        """Wait until nothing runs, and nothing more may run now.

        Args:
            timeout: Seconds to wait.

        Returns:
            Whether it is so.
        """
        self.wake()
        # It may be over again before it is the caller's turn.
        return self._is_idle.wait(timeout) and self._is_idle.is_set()

    def follow_clock(self) -> None:
        """Move what waits for a time of day, if somebody has set the clock.

        Raises:
            JobNotStored: The store cannot be written to.
        """
        parted = self._clock.true_offset - self._clock.offset - self._clock.shifted
        if abs(parted) <= _PARTED:
            return
        ahead = self._clock.shifted + parted
        self._engine.shift(ahead)
        self._clock.shifted = ahead
        log.warning("the clock was set by %+.1f seconds", parted)
        self._on_clock_set()
        self.wake()

    def cancel(self, id: str) -> bool:
        """End a job that runs here.

        Returns:
            Whether it runs here.
        """
        run = self._running.get(id)
        if run is not None:
            run.cancel()
        return run is not None

    def tell(self, run: Run, fraction: float, text: str) -> None:
        """Hand on how much of a job is done, a few times a second."""
        job = run.claim.job
        if not self._progress:
            gevent.spawn_later(_PROGRESS, self._write_progress)
        self._progress[job.id] = (fraction, text)

    def resume(self) -> None:
        """Begin jobs, also after `hold`."""
        self._claimer = gevent.spawn(self._claim)
        self._greenlets.append(self._claimer)

    def hold(self) -> None:
        """Begin no more jobs than those that are being claimed."""
        # It is not killed: nobody would know of what the store gives it just now.
        self._claimer = None
        self._wake.set()

    def stop(self, timeout: float) -> None:
        """Begin no more jobs, and let those that run end.

        Args:
            timeout: Seconds that they get; then they are given back, to run again.
        """
        self.hold()
        for unsubscribe in self._unsubscribes:
            unsubscribe()
        gevent.joinall(self._greenlets[1:], timeout=_CLAIMING)
        if self._running:
            self._is_empty.clear()
            self._is_empty.wait(timeout)
        for run in list(self._running.values()):
            run.release()
        if self._running:
            log.warning("%d jobs had to be cut off", len(self._running))
            self._is_empty.clear()
            self._is_empty.wait(1.0)
        gevent.killall(self._greenlets)
        self._is_beating = False
        # Where they cannot be given back, the next start sees that nobody runs them.
        self._try(lambda: self._engine.release(self.name, now=self._clock.now()))
        self.pool.kill()

    def serve(self, run: Run) -> None:
        """Run a job to its end; in a greenlet of the pool."""
        job = run.claim.job
        try:
            self._on_change(job.id, job.method, JobState.RUNNING, None, "")
            ending = run.make(self._make)
            if not run.is_released and self._finish(run, ending):
                self._on_change(job.id, job.method, ending.state, None, "")
        finally:
            self.served += 1
            self._running.pop(job.id, None)
            if not self._running:
                self._is_empty.set()
            if self._is_full:
                self.wake()
            else:
                self._look_idle()

    def _finish(self, run: Run, ending: Ending) -> bool:
        """Store the end of a job; whether it was still this runner's."""
        job = run.claim.job
        told = self._progress.pop(job.id, None)
        pause = _LOOK_SHARED
        while not run.is_released:
            now = self._clock.now()
            try:
                if told is not None:
                    lease = now + self._settings.lease_timeout
                    self._engine.beat(self.name, {job.id: told}, lease=lease)
                endings = {job.id: (run.claim.attempt, ending)}
                # The next job of its queue is asked for together with its end.
                self.wake()
                if self._engine.finish(endings, now=now):
                    return True
                log.warning("job %s: had been given to another process", job.id)
                return False
            except Exception:
                # What nobody knows to have ended would be running for ever.
                log.exception(
                    "job %s: its end cannot be stored; tried again in %g s",
                    *(job.id, pause),
                )
            gevent.sleep(pause)
            pause = min(2 * pause, _LOOK_ALONE)
        return False

    def _claim(self) -> None:
        while self._claimer is gevent.getcurrent():
            self._wake.clear()
            self._is_looking = True
            pause = _LOOK_SHARED if self._has_peers else _LOOK_ALONE
            try:
                pause = min(pause, self._claim_some())
            except Exception:
                pause = _LOOK_SHARED
                log.exception("jobs cannot be claimed; tried again in %g s", pause)
            self._is_looking = False
            if pause > 0:
                self._look_idle()
                self._wake.wait(pause)

    def _claim_some(self) -> float:
        """Begin what may run; for how many seconds there is nothing more to do."""
        # Before anything is due by a clock that was set.
        self.follow_clock()
        now = self._clock.now()
        room = self.pool.room
        self._is_full = not room
        if not room:
            return _LOOK_ALONE
        lease = now + self._settings.lease_timeout
        claims, due = self._engine.claim(self.name, room, now=now, lease=lease)
        for claim in claims:
            run = self._running[claim.job.id] = Run(self, claim)
            if self.on_begin is not None:
                self.on_begin(now - claim.job.due)
            self.pool.start(run)
        if len(claims) == room:
            return 0.0 if self.pool.room else _LOOK_ALONE
        return _LOOK_ALONE if due is None else max(0.0, due - self._clock.now())

    def _look_after(self) -> None:
        """Keep the lease, and see to what others have left behind."""
        pause = min(self._settings.lease_timeout / 3, _LOOK_ALONE)
        if self._has_peers:
            pause = min(pause, _LOOK_SHARED)
        while True:
            gevent.sleep(pause)
            # One may be of use though another cannot be done, as the disk is full.
            for duty in (
                *(self._ask_news, self.follow_clock),
                *(self._recover, self._forget),
            ):
                self._try(duty)

    def _try(self, duty: Callable[[], object]) -> None:
        try:
            duty()
        except Exception:
            log.exception("jobs: cannot be looked after")

    def _forget(self) -> None:
        turns = Turns()
        while self._engine.purge(now=self._clock.now()):
            turns.offer()

    def _ask_news(self) -> None:
        """Learn which of our jobs somebody wants ended, or has taken."""
        if not self._running:
            return
        before = dict(self._running)
        lease = self._clock.now() + self._settings.lease_timeout
        ours = self._engine.beat(self.name, {}, lease=lease)
        for id_, run in before.items():
            attempt, is_unwanted = ours.get(id_, (0, False))
            if self._running.get(id_) is not run:  # pragma: no cover - a race
                continue
            if attempt != run.claim.attempt:
                log.warning("job %s: was given to another process", id_)
                run.release()
            elif is_unwanted:
                run.cancel()

    def _write_progress(self) -> None:
        told, self._progress = self._progress, {}
        told = {id_: each for id_, each in told.items() if id_ in self._running}
        if not told or not self._is_beating:
            return
        lease = self._clock.now() + self._settings.lease_timeout
        try:
            self._engine.beat(self.name, told, lease=lease)
        except Exception:
            log.exception("jobs: their progress cannot be stored")
            return
        for id_, (fraction, text) in told.items():
            run = self._running.get(id_)
            if run is not None:
                method = run.claim.job.method
                self._on_change(id_, method, JobState.RUNNING, fraction, text)

    def _recover(self) -> None:
        """Give back the jobs of processes that have died."""
        changed = self._recovery.recover()
        for id_, state in changed:
            log.warning("job %s: its process has died; it is %s", id_, state)
            self._on_change(id_, "", state, None, "")
        if changed:
            self.wake()

    def _look_idle(self) -> None:
        is_looking = self._is_looking or self._wake.is_set()
        if not self._running and not is_looking:
            self._is_idle.set()

    def _ready_told(self, teller: str) -> None:
        # What this process has put in was looked for at once.
        if teller != self.name:
            self.wake()

    def _cancel_told(self, id: str) -> None:
        self.cancel(id)

    def _beat(self) -> None:
        """In a native thread: keep the lease also while a call holds up the loop."""
        pause = self._settings.lease_timeout / 3
        while self._is_beating:
            until = time.monotonic() + pause
            while self._is_beating and time.monotonic() < until:
                _native_sleep(min(1.0, pause))
            # Others end a process whose lease is over, also one that runs nothing.
            if self._is_beating:
                lease = self._clock.now() + self._settings.lease_timeout
                # The next beat makes up for one that fails; the loop tells of it.
                with suppress(Exception):
                    self._engine.extend(self.name, lease)
