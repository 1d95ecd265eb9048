"""Every engine against a simple model of what the seam says.

``TOOLSERVER_LONG=1`` tries it for longer.
"""

import os
import shutil
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.jobs.engines import MAKERS, record
from toolserver.errors import Overload
from toolserver.jobs.records import Ending, JobState, JobStatus

#: Jobs by their places, the newest first; one that is far away is unknown.
PLACES = st.integers(0, 9)
QUEUES = st.sampled_from([None, "", "p", "q"])
RUNNERS = st.sampled_from(["one", "two", "three"])
JOBS = st.fixed_dictionaries(
    {
        "count": st.integers(1, 2),
        "known": PLACES,
        "queue": QUEUES,
        "priority": st.integers(-2, 2),
        "delay": st.sampled_from([0, 0, 0, 3, 40]),
        "follows_clock": st.booleans(),
        "once": st.booleans(),
        "keeps_result": st.booleans(),
    }
)
ENDS = st.sampled_from([JobState.DONE, JobState.FAILED, JobState.WAITING])
MOST, MAX_ATTEMPTS, RESULT_TTL = 20, 2, 20.0


class Modelled:
    """What is true of one job."""

    def __init__(self, job, number):
        self.number = number
        self.due = job.due
        self.released = 0
        self.ends = 0.0
        self.status = JobStatus(job=job, state=JobState.WAITING)

    def set(self, **facts):
        self.status = msgspec.structs.replace(self.status, **facts)

    def end(self, state, now, result=None, error=None):
        kept = result if self.status.job.keeps_result else None
        self.set(state=state, finished=now, result=kept, error=error)
        self.ends = now + self.status.job.result_ttl

    @property
    def state(self):
        return self.status.state

    @property
    def queue(self):
        return self.status.job.queue


class EngineMachine(RuleBasedStateMachine):
    make = None

    @initialize()
    def open(self):
        self.folder = Path(tempfile.mkdtemp())
        self.engine = type(self).make(self.folder, max_stored=MOST)
        self.engine.open(0.0, "boot")
        self.now = 100.0
        self.jobs, self.forgotten, self.leases, self.claims = {}, set(), {}, []
        self.ahead = self.number = 0

    def teardown(self):
        self.engine.close()
        shutil.rmtree(self.folder)

    def id_at(self, place):
        ids = list(self.jobs)[::-1]
        return ids[place] if place < len(ids) else "unknown"

    def held(self, runner):
        return {
            id_: job
            for id_, job in self.jobs.items()
            if job.state is JobState.RUNNING and job.status.runner == runner
        }

    def due(self, is_queued):
        return [
            job
            for job in self.jobs.values()
            if job.state is JobState.WAITING
            and job.due <= self.now
            and (job.queue is not None) is is_queued
        ]

    @rule(seconds=st.sampled_from([1, 5, 30]))
    def pass_time(self, seconds):
        self.now += seconds

    # Most of what happens; else the rare would take the place of the usual.
    @rule(
        jobs=st.lists(JOBS, min_size=1, max_size=5),
        runner=RUNNERS,
        count=st.integers(0, 4),
        state=st.none() | ENDS,
        pause=st.sampled_from([0, 7]),
    )
    def take_a_turn(self, jobs, runner, count, state, pause):
        for facts in jobs:
            self.put(**facts)
        self.claim(runner, count)
        if state is not None:
            self.finish({0, 2}, state, pause)

    def put(self, count, known, delay, **facts):
        ids = [f"job{self.number + number}" for number in range(1, count + 1)]
        ids += {self.id_at(known)}.difference(ids, ["unknown"])
        facts.update(created=self.now, due=self.now + delay, result_ttl=RESULT_TTL)
        jobs = [record(id_, **facts) for id_ in ids]
        new = [job for job in jobs if job.id not in self.jobs]
        if len(self.jobs) + len(new) > MOST:
            with pytest.raises(Overload):
                self.engine.put(jobs)
            return
        assert self.engine.put(jobs) == [job in new for job in jobs]
        for job in new:
            self.number += 1
            self.jobs[job.id] = Modelled(job, self.number)

    @rule(runner=RUNNERS, count=st.integers(0, 5))
    def claim(self, runner, count):
        lease = self.now + 10
        found, due = self.engine.claim(runner, count, now=self.now, lease=lease)
        busy = {j.queue for j in self.jobs.values() if j.state is JobState.RUNNING}
        first = {}
        for job in self.due(is_queued=True):
            if job.queue not in busy:
                order = (-job.status.job.priority, job.number, job.status.job.id)
                first[job.queue] = min(order, first.get(job.queue, order))
        beside = [
            job.status.job.id
            for job in sorted(
                self.due(is_queued=False), key=lambda job: (job.due, job.number)
            )
        ]
        queued = [each.job.id for each in found if each.job.queue is not None]
        others = [each.job.id for each in found if each.job.queue is None]
        assert set(queued) <= {order[2] for order in first.values()}
        assert others == beside[: len(others)]
        assert len(found) == min(count, len(first) + len(beside))
        if count > 1 and first and beside:
            assert queued
            assert others
        for each in found:
            job = self.jobs[each.job.id]
            assert each.job == job.status.job
            attempts = job.status.attempts + 1
            job.set(
                state=JobState.RUNNING,
                runner=runner,
                attempts=attempts,
                started=self.now,
            )
            assert (each.attempt, each.tries) == (attempts, job.status.tries)
            self.claims.append((each.job.id, each.attempt))
        assert due == self.engine.next_due(self.now)
        if found:
            self.leases[runner] = lease

    # Also claims that are over, whose ends have to be refused.
    @rule(
        places=st.sets(st.integers(0, 7), min_size=2, max_size=4),
        state=ENDS,
        pause=st.sampled_from([0, 7]),
    )
    def finish(self, places, state, pause):
        newest = self.claims[::-1]
        chosen = [newest[place] for place in places if place < len(newest)]
        ending = Ending(state, result=b"r", error=b"e", due=self.now + pause)
        endings = {id_: (attempt, ending) for id_, attempt in chosen}
        ended = self.engine.finish(endings, now=self.now)
        expected = set()
        for id_, (attempt, _) in endings.items():
            job = self.jobs.get(id_)
            if job is None or job.state is not JobState.RUNNING:
                continue
            if job.status.attempts != attempt:
                continue
            expected.add(id_)
            if state is not JobState.WAITING:
                job.end(state, self.now, b"r", b"e")
            elif job.status.is_cancelling:
                job.end(JobState.CANCELLED, self.now)
            else:
                job.due = ending.due
                job.set(state=state, tries=job.status.tries + 1, error=b"e")
        assert ended == expected

    @rule(place=PLACES)
    def cancel(self, place):
        id_ = self.id_at(place)
        found = self.engine.cancel(id_, now=self.now)
        job = self.jobs.get(id_)
        if job is None:
            assert found is None
            return
        if job.state is JobState.WAITING:
            job.end(JobState.CANCELLED, self.now)
        elif job.state is JobState.RUNNING:
            job.set(is_cancelling=True)
        assert found is job.state

    @rule(place=PLACES)
    def retry(self, place):
        id_ = self.id_at(place)
        job = self.jobs.get(id_)
        found = self.engine.retry(id_, now=self.now)
        if job is None:
            assert found is None
            return
        if job.state in (JobState.FAILED, JobState.CANCELLED, JobState.LOST):
            job.due, job.released = self.now, job.status.attempts
            job.set(
                **{"state": JobState.WAITING, "tries": 0, "text": "", "fraction": None},
                **{"finished": None, "result": None, "error": None},
                **{"is_cancelling": False, "is_taken": False},
            )
        assert found is job.state

    @rule(
        runner=RUNNERS,
        place=PLACES,
        what=st.sampled_from(["beat", "extend", "recover", "release", "release"]),
    )
    def tell_of_a_runner(self, runner, place, what):
        id_ = self.id_at(place)
        if what == "beat":
            self.beat(runner, id_)
        elif what == "recover":
            self.recover({runner, id_})
        else:
            getattr(self, what)(runner)

    def beat(self, runner, id_):
        held = self.held(runner)
        self.leases[runner] = self.now + 15
        told = {id_: (0.5, f"at {self.now}")}
        found = self.engine.beat(runner, told, lease=self.now + 15)
        assert found == {
            id_: (job.status.attempts, job.status.is_cancelling)
            for id_, job in held.items()
        }
        if id_ in held:
            held[id_].set(fraction=0.5, text=f"at {self.now}")

    def extend(self, runner):
        self.leases[runner] = self.now + 25
        self.engine.extend(runner, self.now + 25)
        # It waits for nothing; what is stored afterwards comes after it.
        self.engine.beat("three", {}, lease=self.now + 15)
        self.leases["three"] = self.now + 15

    def recover(self, gone):
        found = self.engine.recover(gone, now=self.now, max_attempts=MAX_ATTEMPTS)
        expected = []
        for runner in gone:
            self.leases.pop(runner, None)
            for id_, job in self.held(runner).items():
                if job.status.is_cancelling:
                    job.end(JobState.CANCELLED, self.now)
                elif job.status.attempts - job.released >= MAX_ATTEMPTS:
                    job.end(JobState.LOST, self.now)
                else:
                    job.set(state=JobState.WAITING)
                expected.append((id_, job.state))
        assert sorted(found) == sorted(expected)

    def release(self, runner):
        self.leases.pop(runner, None)
        expected = []
        for id_, job in self.held(runner).items():
            if job.status.is_cancelling:
                job.end(JobState.CANCELLED, self.now)
            else:
                job.released += 1
                job.set(state=JobState.WAITING)
                expected.append(id_)
        assert sorted(self.engine.release(runner, now=self.now)) == sorted(expected)

    @rule(place=PLACES)
    def take(self, place):
        id_ = self.id_at(place)
        found = self.engine.take(id_)
        job = self.jobs.get(id_)
        assert (None if found is None else plain(found)) == (
            None if job is None else plain(job.status)
        )
        if job is not None and job.status.job.once and job.state.is_final:
            job.set(is_taken=True, result=None)

    @rule()
    def purge(self):
        gone = {
            id_
            for id_, job in self.jobs.items()
            if job.state.is_final and job.ends <= self.now
        }
        assert self.engine.purge(now=self.now) == len(gone)
        for id_ in gone:
            del self.jobs[id_]
        self.forgotten |= gone

    @rule(ahead=st.sampled_from([-50, 0, 50]))
    def shift(self, ahead):
        self.engine.shift(float(ahead))
        for job in self.jobs.values():
            waits_for_day = job.status.job.follows_clock and not job.status.tries
            if job.state is JobState.WAITING and waits_for_day:
                job.due -= ahead - self.ahead
        self.ahead = ahead

    @rule(
        state=st.sampled_from([None, *JobState]),
        queue=QUEUES,
        limit=st.integers(1, 4),
    )
    def find(self, state, queue, limit):
        expected = [
            id_
            for id_, job in sorted(self.jobs.items(), key=lambda item: -item[1].number)
            if state in (None, job.state) and queue in (None, job.queue)
        ]
        found = self.engine.find(state=state, queue=queue, limit=limit)
        assert [status.job.id for status in found] == expected[:limit]

    @rule()
    def look(self):
        for id_, job in self.jobs.items():
            found = self.engine.status(id_)
            assert found is not None
            assert plain(found) == plain(job.status)
        for id_ in self.forgotten:
            assert self.engine.has_expired(id_)
        assert self.engine.runners() == self.leases
        later = [
            job.due
            for job in self.jobs.values()
            if job.state is JobState.WAITING and job.due > self.now
        ]
        assert self.engine.next_due(self.now) == min(later, default=None)

    @invariant()
    def counts_agree(self):
        states, waiting = {}, {}
        for job in self.jobs.values():
            states[job.state] = states.get(job.state, 0) + 1
            if job.state is JobState.WAITING:
                waiting[job.queue] = waiting.get(job.queue, 0) + 1
        counts = self.engine.counts()
        assert (counts.states, counts.waiting) == (states, waiting)


def plain(status):
    """Without the arguments, which may be left out."""
    job = msgspec.structs.replace(status.job, arguments=b"")
    return msgspec.structs.replace(status, job=job)


@pytest.mark.parametrize("name", MAKERS)
def test_it_does_what_the_model_does(name):
    machine = type("Machine", (EngineMachine,), {"make": staticmethod(MAKERS[name])})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=500 if os.environ.get("TOOLSERVER_LONG") else 40,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
