"""Jobs in the memory of one process: for tests, and for what may be lost.

Each step costs at most the logarithm of the number of jobs. What left its place before
its turn, by being cancelled, leaves a mark behind that is passed over later. Nothing
that is kept for a job is looked at by the garbage collector, which would hold up all
others for as long as many jobs take.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from toolserver.errors import Overload
from toolserver.jobs.engine import Progress
from toolserver.jobs.records import (
    Claim,
    Counts,
    Ending,
    JobRecord,
    JobState,
    JobStatus,
)
from toolserver.turns import Turns

__all__ = ["MemoryEngine"]

#: Ids of forgotten jobs that are remembered as such; and how many are forgotten
#: before it is asked whether others should have their turn.
_REMEMBERED, _FORGOTTEN = 100_000, 100

#: When something is due, and the number of the job, which tells the order of those
#: due at once.
_Place = tuple[float, int]


class _Job(msgspec.Struct, gc=False):
    """A job and where it is in its life."""

    record: JobRecord
    number: int
    due: float
    state: JobState = JobState.WAITING
    attempts: int = 0
    released: int = 0
    tries: int = 0
    runner: str = ""
    started: float | None = None
    finished: float | None = None
    ends: float = 0.0
    fraction: float | None = None
    text: str = ""
    is_cancelling: bool = False
    is_taken: bool = False
    result: bytes | None = None
    error: bytes | None = None

    def status(self) -> JobStatus:
        """What is known of it."""
        return JobStatus(
            job=self.record,
            state=self.state,
            attempts=self.attempts,
            tries=self.tries,
            runner=self.runner,
            started=self.started,
            finished=self.finished,
            fraction=self.fraction,
            text=self.text,
            is_cancelling=self.is_cancelling,
            is_taken=self.is_taken,
            result=self.result,
            error=self.error,
        )


class _Queue:
    """The jobs of one tool that are due."""

    __slots__ = ("running", "waiting")

    def __init__(self) -> None:
        self.waiting: list[_Place] = []
        self.running: _Job | None = None


class MemoryEngine:
    """Keeps jobs in memory.

    Args:
        max_stored: How many jobs are kept at most, ended ones too.
    """

    is_shared = False
    is_durable = False

    def __init__(self, max_stored: int = 1_000_000) -> None:
        self._max_stored = max_stored
        self._numbers = itertools.count()
        self._jobs: dict[str, _Job] = {}
        self._numbered: dict[int, _Job] = {}
        self._later: list[_Place] = []
        self._beside: list[_Place] = []
        self._queues: dict[str, _Queue] = {}
        #: Queues with jobs of which none runs; the one that waits longest is first.
        self._idle: OrderedDict[str, None] = OrderedDict()
        #: Where jobs are taken from by turns: what comes next is first.
        self._sources = deque((self._next_beside, self._next_queued))
        self._running: dict[str, _Job] = {}
        self._leases: dict[str, float] = {}
        self._ends: list[_Place] = []
        self._ahead = 0.0
        self._expired: OrderedDict[str, None] = OrderedDict()

    def open(self, offset: float, boot: str) -> float:
        """Agree on a clock: that of the only process."""
        return offset

    def close(self) -> None:
        """Let go of the store: there is nothing to hold."""

    def put(self, jobs: Sequence[JobRecord]) -> list[bool]:
        """Keep jobs; see `Engine.put`."""
        new = {job.id for job in jobs if job.id not in self._jobs}
        if len(self._jobs) + len(new) > self._max_stored:
            raise Overload(f"jobs: {self._max_stored} are kept, the most there may be")
        found = []
        for record in jobs:
            is_new = record.id not in self._jobs
            found.append(is_new)
            if is_new:
                number = next(self._numbers)
                job = _Job(record, number, record.due)
                self._jobs[record.id] = self._numbered[number] = job
                heapq.heappush(self._later, (job.due, number))
        return found

    def claim(
        self, runner: str, count: int, *, now: float, lease: float
    ) -> tuple[list[Claim], float | None]:
        """Take jobs that may run; see `Engine.claim`."""
        self._promote(now)
        found: list[Claim] = []
        misses = 0
        while len(found) < count and misses < 2:
            # By turns, so that neither kind waits for the end of the other.
            job = self._sources[0]()
            self._sources.rotate()
            misses = misses + 1 if job is None else 0
            if job is not None:
                found.append(self._start(job, runner, now))
        if found:
            self._leases[runner] = lease
        return found, self.next_due(now)

    def next_due(self, now: float) -> float | None:
        """When the next job becomes due; see `Engine.next_due`."""
        self._promote(now)
        while self._later and self._waiting_at(self._later[0]) is None:
            heapq.heappop(self._later)
        return self._later[0][0] if self._later else None

    def oldest_due(self, now: float) -> float | None:
        """When the job became due that is due for longest; see `Engine.oldest_due`."""
        waiting = (j.due for j in self._jobs.values() if j.state is JobState.WAITING)
        return min((due for due in waiting if due <= now), default=None)

    def finish(
        self, endings: Mapping[str, tuple[int, Ending]], *, now: float
    ) -> set[str]:
        """End jobs that were run; see `Engine.finish`."""
        found = set()
        for id_, (attempt, ending) in endings.items():
            job = self._running.get(id_)
            if job is None or job.attempts != attempt:
                continue
            found.add(id_)
            if ending.state is not JobState.WAITING:
                self._end(job, ending, now)
            elif job.is_cancelling:
                self._end(job, Ending(JobState.CANCELLED), now)
            else:
                job.tries += 1
                job.due, job.error = ending.due, ending.error
                self._give_back(job)
        return found

    def extend(self, runner: str, lease: float) -> None:
        """Say that a runner lives; see `Engine.extend`."""
        self._leases[runner] = lease

    def beat(
        self, runner: str, progress: Mapping[str, Progress], *, lease: float
    ) -> dict[str, tuple[int, bool]]:
        """Say that a runner lives and how far its jobs are; see `Engine.beat`."""
        self._leases[runner] = lease
        found = {}
        for id_, job in self._running.items():
            if job.runner == runner:
                found[id_] = (job.attempts, job.is_cancelling)
                job.fraction, job.text = progress.get(id_, (job.fraction, job.text))
        return found

    def recover(
        self, gone: Iterable[str], *, now: float, max_attempts: int
    ) -> list[tuple[str, JobState]]:
        """Give back the jobs of runners that have died; see `Engine.recover`."""
        dead = set(gone)
        for runner in dead:
            self._leases.pop(runner, None)
        found = []
        for id_, job in list(self._running.items()):
            if job.runner not in dead:
                continue
            if job.is_cancelling:
                self._end(job, Ending(JobState.CANCELLED), now)
            elif job.attempts - job.released >= max_attempts:
                self._end(job, Ending(JobState.LOST), now)
            else:
                self._give_back(job)
            found.append((id_, job.state))
        return found

    def release(self, runner: str, *, now: float) -> list[str]:
        """Give back what a runner does not end; see `Engine.release`."""
        self._leases.pop(runner, None)
        found = []
        for id_, job in list(self._running.items()):
            if job.runner != runner:
                continue
            if job.is_cancelling:
                self._end(job, Ending(JobState.CANCELLED), now)
            else:
                job.released += 1
                self._give_back(job)
                found.append(id_)
        return found

    def runners(self) -> dict[str, float]:
        """Who runs jobs; see `Engine.runners`."""
        return dict(self._leases)

    def status(self, id: str) -> JobStatus | None:
        """What is known of a job; see `Engine.status`."""
        job = self._jobs.get(id)
        return None if job is None else job.status()

    def take(self, id: str) -> JobStatus | None:
        """What is known of a job, with its result; see `Engine.take`."""
        job = self._jobs.get(id)
        if job is None:
            return None
        found = job.status()
        if job.record.once and job.state.is_final:
            job.is_taken, job.result = True, None
        return found

    def cancel(self, id: str, *, now: float) -> JobState | None:
        """Cancel a job; see `Engine.cancel`."""
        job = self._jobs.get(id)
        if job is None:
            return None
        if job.state is JobState.WAITING:
            self._end(job, Ending(JobState.CANCELLED), now)
        elif job.state is JobState.RUNNING:
            job.is_cancelling = True
        return job.state

    def retry(self, id: str, *, now: float) -> JobState | None:
        """Let a job wait once more; see `Engine.retry`."""
        job = self._jobs.get(id)
        if job is None:
            return None
        if job.state.is_retriable:
            job.state, job.due = JobState.WAITING, now
            job.tries, job.released = 0, job.attempts
            job.ends = 0.0
            job.finished = job.fraction = job.result = job.error = None
            job.text, job.is_cancelling, job.is_taken = "", False, False
            heapq.heappush(self._later, (now, job.number))
        return job.state

    def purge(self, *, now: float) -> int:
        """Forget jobs whose time is over; see `Engine.purge`."""
        count, turns = 0, Turns()
        while self._ends and self._ends[0][0] <= now:
            end, number = heapq.heappop(self._ends)
            job = self._numbered.get(number)
            if job is None or job.ends != end:
                # It was made once more since then.
                continue
            id_ = job.record.id
            del self._jobs[id_], self._numbered[number]
            self._expired[id_] = None
            if len(self._expired) > _REMEMBERED:
                self._expired.popitem(last=False)
            count += 1
            if count % _FORGOTTEN == 0:
                turns.offer()
        return count

    def has_expired(self, id: str) -> bool:
        """Whether a job was forgotten because its time was over."""
        return id in self._expired

    def shift(self, ahead: float) -> None:
        """Move the jobs that wait for a time of day; see `Engine.shift`."""
        later, self._ahead = self._ahead - ahead, ahead
        if not later:
            return
        # All begin anew to wait for their time, those that were due, too.
        self._later, self._beside = [], []
        for queue in self._queues.values():
            queue.waiting = []
        for job in self._jobs.values():
            if job.state is JobState.WAITING:
                # The pause before another try is none till a time of day.
                if job.record.follows_clock and not job.tries:
                    job.due += later
                self._later.append((job.due, job.number))
        heapq.heapify(self._later)

    def find(
        self,
        *,
        state: JobState | None = None,
        queue: str | None = None,
        client: str | None = None,
        limit: int = 100,
    ) -> list[JobStatus]:
        """List jobs, the newest first; see `Engine.find`."""
        fitting = (
            job.status()
            for job in reversed(self._jobs.values())
            if (state is None or job.state is state)
            and (queue is None or job.record.queue == queue)
            and (client is None or job.record.client == client)
        )
        return list(itertools.islice(fitting, limit))

    def counts(self) -> Counts:
        """Count the jobs."""
        states = Counter(job.state for job in self._jobs.values())
        waiting = Counter(
            job.record.queue
            for job in self._jobs.values()
            if job.state is JobState.WAITING
        )
        return Counts(states=dict(states), waiting=dict(waiting))

    def _promote(self, now: float) -> None:
        """Put the jobs that have become due where they are taken from."""
        while self._later and self._later[0][0] <= now:
            place = heapq.heappop(self._later)
            job = self._waiting_at(place)
            if job is None:
                continue
            name = job.record.queue
            if name is None:
                heapq.heappush(self._beside, place)
                continue
            queue = self._queues.get(name)
            if queue is None:
                queue = self._queues[name] = _Queue()
            heapq.heappush(queue.waiting, (-job.record.priority, job.number))
            if queue.running is None:
                self._idle.setdefault(name)

    def _waiting_at(self, place: _Place) -> _Job | None:
        """The job that waits in a place; None where it was cancelled or moved."""
        job = self._numbered.get(place[1])
        if job is None or job.state is not JobState.WAITING or job.due != place[0]:
            return None
        return job

    def _next_beside(self) -> _Job | None:
        while self._beside:
            job = self._waiting_at(heapq.heappop(self._beside))
            if job is not None:
                return job
        return None

    def _next_queued(self) -> _Job | None:
        while self._idle:
            name, _ = self._idle.popitem(last=False)
            queue = self._queues[name]
            while queue.waiting:
                job = self._numbered.get(heapq.heappop(queue.waiting)[1])
                if job is not None and job.state is JobState.WAITING:
                    queue.running = job
                    return job
            del self._queues[name]
        return None

    def _start(self, job: _Job, runner: str, now: float) -> Claim:
        job.state = JobState.RUNNING
        job.attempts += 1
        job.runner, job.started = runner, now
        self._running[job.record.id] = job
        return Claim(job.record, job.attempts, job.tries)

    def _give_back(self, job: _Job) -> None:
        self._leave(job)
        job.state = JobState.WAITING
        heapq.heappush(self._later, (job.due, job.number))

    def _end(self, job: _Job, ending: Ending, now: float) -> None:
        self._leave(job)
        job.state, job.error = ending.state, ending.error
        job.finished = now
        if job.record.keeps_result:
            job.result = ending.result
        job.ends = now + job.record.result_ttl
        heapq.heappush(self._ends, (job.ends, job.number))

    def _leave(self, job: _Job) -> None:
        """Let the next one of its queue run, if it was running."""
        name = job.record.queue
        if self._running.pop(job.record.id, None) is not None and name is not None:
            self._queues[name].running = None
            self._idle.setdefault(name)
