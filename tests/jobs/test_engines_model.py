"""Every engine against a model of a few lines, whatever is asked of it in a row."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.jobs.test_engines import MAKERS
from toolserver.jobs.records import Claim, Ending, JobRecord, JobState

LONG = bool(os.environ.get("TOOLSERVER_LONG"))
MAX_ATTEMPTS = 3
RUNNERS = st.sampled_from(("one", "two"))
WAITING, RUNNING, CANCELLED = JobState.WAITING, JobState.RUNNING, JobState.CANCELLED


@dataclass
class Job:
    """What the model knows of a job."""

    record: JobRecord
    number: int
    due: float
    state: JobState = WAITING
    attempts: int = 0
    released: int = 0
    tries: int = 0
    runner: str = ""
    is_cancelling: bool = False
    is_taken: bool = False
    result: bytes | None = None
    finished: float = 0.0
    progress: float | None = None

    def end(self, state, now, result=None):
        self.state, self.finished = state, now
        self.result = result if self.record.keeps_result else None


class EngineMachine(RuleBasedStateMachine):
    """Asks an engine and the model alike. Times are whole, so that they are exact."""

    make = None
    ids = Bundle("ids")
    claims = Bundle("claims")

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.engine = self.make(self.folder)
        self.engine.open(0.0, "boot")
        self.jobs: dict[str, Job] = {}
        self.expired: set[str] = set()
        self.leases: dict[str, float] = {}
        self.now, self.ahead, self.numbers = 100.0, 0.0, 0

    def teardown(self):
        self.engine.close()
        shutil.rmtree(self.folder)

    def running(self, runner):
        return [
            job
            for job in self.jobs.values()
            if job.state is RUNNING and job.runner == runner
        ]

    def due(self, queue):
        return [
            job
            for job in self.jobs.values()
            if job.record.queue == queue and job.state is WAITING
            if job.due <= self.now
        ]

    # --- what is asked

    @rule(
        target=ids,
        queue=st.sampled_from((None, "", "a", "b")),
        priority=st.integers(-1, 1),
        pause=st.sampled_from((0, 0, 0, 3, 30)),
        follows_clock=st.booleans(),
        once=st.booleans(),
        keeps_result=st.booleans(),
    )
    def put(self, queue, priority, pause, **facts):
        self.numbers += 1
        record = JobRecord(
            id=f"j{self.numbers}",
            method="a.b",
            queue=queue,
            priority=priority,
            created=self.now,
            due=self.now + pause,
            result_ttl=20.0,
            **facts,
        )
        assert self.engine.put([record]) == [True]
        self.jobs[record.id] = Job(record, self.numbers, record.due)
        return record.id

    @rule(id_=ids)
    def put_again(self, id_):
        if id_ in self.jobs:
            other = JobRecord(id=id_, method="x.y", created=self.now, due=self.now)
            assert self.engine.put([other]) == [False]

    @rule(seconds=st.sampled_from((1, 3, 30)))
    def wait(self, seconds):
        self.now += seconds

    @rule(target=claims, runner=RUNNERS, count=st.integers(1, 4))
    def claim(self, runner, count):
        queues = {job.record.queue for job in self.jobs.values()} - {None}
        busy = {job.record.queue for job in self.jobs.values() if job.state is RUNNING}
        firsts = {
            queue: max(self.due(queue), key=lambda j: (j.record.priority, -j.number))
            for queue in queues - busy
            if self.due(queue)
        }
        beside = sorted(self.due(None), key=lambda j: (j.due, j.number))
        lease = self.now + 10
        claims, next_due = self.engine.claim(runner, count, now=self.now, lease=lease)
        found = [self.jobs[claim.job.id] for claim in claims]
        assert len(found) == min(count, len(firsts) + len(beside))
        got = [job for job in found if job.record.queue is None]
        assert got == beside[: len(got)]
        for job in found:
            if job.record.queue is not None:
                assert job is firsts.pop(job.record.queue)
        for job, claim in zip(found, claims, strict=True):
            job.state, job.runner = RUNNING, runner
            job.attempts += 1
            facts = claim.job, claim.attempt, claim.tries
            assert facts == (job.record, job.attempts, job.tries)
        if found:
            self.leases[runner] = lease
        if len(found) < count:
            assert next_due == self.next_due()
        return multiple(*claims)

    def next_due(self):
        waiting = [job.due for job in self.jobs.values() if job.state is WAITING]
        return min((due for due in waiting if due > self.now), default=None)

    @rule(
        claim=claims,
        state=st.sampled_from((JobState.DONE, JobState.FAILED, WAITING)),
        pause=st.sampled_from((0, 3, 30)),
    )
    def finish(self, claim: Claim, state, pause):
        id_, job = claim.job.id, self.jobs.get(claim.job.id)
        ending = Ending(state, result=b"result", due=self.now + pause)
        found = self.engine.finish({id_: (claim.attempt, ending)}, now=self.now)
        if job is None or (job.state, job.attempts) != (RUNNING, claim.attempt):
            assert found == set()
            return
        assert found == {id_}
        if state is not WAITING:
            job.end(state, self.now, b"result")
        elif job.is_cancelling:
            job.end(CANCELLED, self.now)
        else:
            job.state, job.due = WAITING, ending.due
            job.tries += 1

    @rule(runner=RUNNERS, id_=ids)
    def beat(self, runner, id_):
        lease = self.now + 10
        found = self.engine.beat(runner, {id_: (0.5, "half")}, lease=lease)
        mine = self.running(runner)
        assert found == {j.record.id: (j.attempts, j.is_cancelling) for j in mine}
        self.leases[runner] = lease
        for job in mine:
            if job.record.id == id_:
                job.progress = 0.5

    @rule(runner=RUNNERS)
    def die(self, runner):
        found = self.engine.recover([runner], now=self.now, max_attempts=MAX_ATTEMPTS)
        expected = {}
        self.leases.pop(runner, None)
        for job in self.running(runner):
            if job.is_cancelling:
                job.end(CANCELLED, self.now)
            elif job.attempts - job.released >= MAX_ATTEMPTS:
                job.end(JobState.LOST, self.now)
            else:
                job.state = WAITING
            expected[job.record.id] = job.state
        assert dict(found) == expected

    @rule(runner=RUNNERS)
    def stop(self, runner):
        found = self.engine.release(runner, now=self.now)
        expected = set()
        self.leases.pop(runner, None)
        for job in self.running(runner):
            if job.is_cancelling:
                job.end(CANCELLED, self.now)
            else:
                job.state = WAITING
                job.released += 1
                expected.add(job.record.id)
        assert set(found) == expected

    @rule(id_=ids)
    def cancel(self, id_):
        found, job = self.engine.cancel(id_, now=self.now), self.jobs.get(id_)
        if job is None:
            assert found is None
            return
        if job.state is WAITING:
            job.end(CANCELLED, self.now)
        elif job.state is RUNNING:
            job.is_cancelling = True
        assert found is job.state

    @rule(id_=ids)
    def take(self, id_):
        found, job = self.engine.take(id_), self.jobs.get(id_)
        if job is None:
            assert found is None
            return
        assert (found.result, found.is_taken) == (job.result, job.is_taken)
        if job.record.once and job.state.is_final:
            job.result, job.is_taken = None, True

    @rule()
    def purge(self):
        gone = {
            id_
            for id_, job in self.jobs.items()
            if job.state.is_final and job.finished + 20 <= self.now
        }
        assert self.engine.purge(now=self.now) == len(gone)
        assert self.engine.purge(now=self.now) == 0
        self.expired |= gone
        for id_ in gone:
            del self.jobs[id_]

    @rule(ahead=st.sampled_from((-30, 0, 3, 30)))
    def set_clock(self, ahead):
        self.engine.shift(float(ahead))
        for job in self.jobs.values():
            # A pause before another try is none till a time of day.
            if job.state is WAITING and job.record.follows_clock and not job.tries:
                job.due -= ahead - self.ahead
        self.ahead = ahead

    # --- what holds after each of them

    @invariant()
    def the_same_is_told_of_all(self):
        for id_, job in self.jobs.items():
            told = self.engine.status(id_)
            assert told.job.queue == job.record.queue
            assert told.state is job.state
            assert told.attempts == job.attempts
            assert told.tries == job.tries
            assert told.runner == job.runner
            assert told.fraction == job.progress
            assert told.result == job.result
            assert told.is_taken == job.is_taken
            if job.state.is_final:
                assert told.finished == job.finished
            assert not self.engine.has_expired(id_)
        for id_ in self.expired:
            assert self.engine.status(id_) is None
            assert self.engine.has_expired(id_)

    @invariant()
    def the_same_is_counted(self):
        states, waiting = {}, {}
        for job in self.jobs.values():
            states[job.state] = states.get(job.state, 0) + 1
            if job.state is WAITING:
                queue = job.record.queue
                waiting[queue] = waiting.get(queue, 0) + 1
        counts = self.engine.counts()
        assert counts.states == states
        assert counts.waiting == waiting
        newest = [each.job.id for each in self.engine.find()]
        assert newest == list(reversed(self.jobs))[:100]

    @invariant()
    def leases_are_as_they_were_given(self):
        assert self.engine.runners() == self.leases


@pytest.mark.parametrize("name", MAKERS)
def test_an_engine_does_what_the_model_does(name):
    kind = type(
        f"{name}Machine", (EngineMachine,), {"make": staticmethod(MAKERS[name])}
    )
    run_state_machine_as_test(
        kind,
        settings=settings(
            max_examples=500 if LONG else 40, stateful_step_count=50, deadline=None
        ),
    )
