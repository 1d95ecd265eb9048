"""Jobs of the store while they run: how they end, and what they tell."""

import contextlib
import logging
import sqlite3
import threading
from datetime import timedelta

import gevent
import pytest
from gevent.event import Event

from tests.http.raw_http import wait_for
from toolserver import (
    FactoryTool,
    StandardTool,
    TransientTool,
    chain,
    context,
    job,
    progress,
    register,
    retry,
    threaded,
)
from toolserver.contexts import Context, bind
from toolserver.errors import (
    ApplicationError,
    JobCancelled,
    JobFailed,
    JobNotStored,
    NotFound,
)
from toolserver.jobs.payload import write_result
from toolserver.jobs.records import Ending, JobState
from toolserver.testing import serve


@register("kiln")
class Kiln(StandardTool):
    def __init__(self):
        self.gate = Event()
        self.second_gate = Event()
        self.native_gate = threading.Event()
        self.seen = []

    def begin(self):
        self.seen.append("begin")

    def commit(self):
        self.seen.append("commit")

    def abort(self):
        self.seen.append("abort")

    def hold(self) -> str:
        self.seen.append("hold")
        self.gate.wait(10)
        return "let go"

    def cling(self) -> str:
        self.seen.append("cling")
        try:
            self.gate.wait(10)
        except gevent.GreenletExit:
            return "stayed"
        return "let go"

    @retry(times=5, backoff=0)
    def stumble(self) -> None:
        self.seen.append("stumble")
        try:
            self.gate.wait(10)
        finally:
            raise ValueError("as it was ended")

    @retry(times=5, backoff=0)
    def burn(self) -> object:
        self.seen.append("burn")
        return object()

    def wait_for_cancelled(self) -> None:
        other = self.schedule(timedelta(hours=1), self.quick)
        other.cancel()
        other.result(5)

    def wait_for_next(self) -> str:
        return self.enqueue(9, self.quick).result()

    def wait_for_itself(self) -> str:
        return job(context.job_id).result()

    def cancel_next(self) -> str:
        self.next.cancel()
        return str(self.next.status)

    def quick(self) -> str:
        self.seen.append("quick")
        progress(0.5, "half")
        progress(1.0, "all")
        return "done"

    def slowly(self) -> None:
        progress(0.25, "a quarter")
        self.gate.wait(10)

    def tell_when_let(self) -> str:
        self.seen.append("tell")
        self.gate.wait(10)
        progress(0.75, "told")
        self.second_gate.wait(10)
        return "told"

    @threaded
    def fire(self) -> str:
        self.seen.append("fire")
        self.native_gate.wait(10)
        return "fired"

    @threaded
    def ask_all(self) -> list[str]:
        made = [
            self.enqueue(1, self.quick),
            self.schedule(timedelta(0), self.quick),
            self.spawn(self.quick),
            self.jobs(keep_result=True).enqueue(1, self.quick),
        ]
        later = self.schedule(timedelta(hours=1), self.quick)
        found = [job(each.id).result(5) for each in made]
        assert later.status == "waiting"
        assert later.cancel()
        return [*found, str(later.status), str(made[0].status)]


class Brick(TransientTool):
    @retry(times=5, backoff=0)
    def bake(self) -> str:
        return self.key


@register("bricks")
class Bricks(FactoryTool):
    children = (Brick,)
    asked = 0
    gone = False

    def child_exists(self, key):
        self.asked += 1
        return not self.gone


@pytest.fixture(params=["memory", "sqlite"])
def server(request):
    with serve(Kiln, Bricks, config={"jobs": {"engine": request.param}}) as running:
        yield running
        running.tool("kiln").gate.set()
        running.tool("kiln").second_gate.set()
        running.tool("kiln").native_gate.set()


@pytest.fixture
def kiln(server):
    return server.tool("kiln")


def kept(server, made):
    return server.worker.jobs.engine.status(made.id)


def test_who_is_cancelled_aborts(kiln):
    made = kiln.enqueue(1, kiln.hold)
    wait_for(lambda: "hold" in kiln.seen)
    assert made.cancel()
    with pytest.raises(JobCancelled):
        made.result(5)
    assert kiln.seen == ["begin", "hold", "abort"]
    assert made.cancel()


def test_what_was_done_all_the_same_is_done(kiln):
    made = kiln.enqueue(1, kiln.cling)
    wait_for(lambda: "cling" in kiln.seen)
    assert made.cancel()
    assert made.result(5) == "stayed"
    assert made.status == "done"
    assert not made.cancel()


def test_who_is_cancelled_is_not_tried_again(kiln):
    made = kiln.enqueue(1, kiln.stumble)
    wait_for(lambda: "stumble" in kiln.seen)
    made.cancel()
    with pytest.raises(JobCancelled):
        made.result(5)
    assert kiln.seen.count("stumble") == 1


def test_who_waits_for_a_cancelled_job_has_failed(kiln):
    made = kiln.enqueue(1, kiln.wait_for_cancelled)
    with pytest.raises(JobCancelled):
        made.result(5)
    assert made.status == "failed"


@pytest.mark.parametrize("method", ["wait_for_next", "wait_for_itself"])
def test_who_would_wait_for_ever_is_told(kiln, method):
    with pytest.raises(JobFailed, match=r"RuntimeError: job .* cannot"):
        kiln.enqueue(1, getattr(kiln, method)).result(5)
    # Outside of the queue there is nothing to be afraid of.
    made = kiln.schedule(timedelta(0), kiln.wait_for_next)
    assert made.result(5) == "done"


def test_a_result_that_cannot_be_kept_is_not_tried_again(kiln):
    made = kiln.enqueue(1, kiln.burn)
    with pytest.raises(ApplicationError, match="object"):
        made.result(5)
    assert kiln.seen == ["begin", "burn", "commit"]
    unkept = kiln.jobs(keep_result=False).enqueue(1, kiln.burn)
    assert unkept.result(5) is None


def test_a_key_that_is_gone_is_not_tried_again(server):
    factory, brick = server.tool("bricks"), server.tool("bricks.a")
    server.worker.jobs.hold()
    made = brick.enqueue(1, brick.bake)
    factory.gone, factory.asked = True, 0
    factory.forget("a")
    server.worker.jobs.runner.resume()
    with pytest.raises(NotFound):
        made.result(5)
    assert made.status == "failed"
    assert factory.asked == 1


def test_threads_are_waited_for(kiln):
    made = kiln.enqueue(1, kiln.fire)
    wait_for(lambda: "fire" in kiln.seen)
    assert made.cancel()
    # To say it once more changes nothing.
    assert made.cancel()
    assert made.status == "running"
    kiln.native_gate.set()
    with pytest.raises(JobCancelled):
        made.result(5)
    assert kiln.seen == ["begin", "fire", "abort"]


def test_threads_use_jobs_as_anybody(kiln):
    made = kiln.enqueue(2, kiln.quick)
    made.result(5)
    found = kiln.schedule(timedelta(0), kiln.ask_all).result(5)
    assert found == ["done"] * 4 + ["cancelled", "done"]


def test_the_last_progress_is_kept(server, kiln):
    made = kiln.enqueue(1, kiln.quick)
    assert made.result(5) == "done"
    assert (kept(server, made).fraction, kept(server, made).text) == (1.0, "all")


def test_progress_is_no_change_of_state(server, kiln):
    seen = []

    def note(change):
        seen.append(str(change.state))

    with bind(Context(services=server.worker.services)):
        chain("system.job.state").append(note)
    made = kiln.enqueue(1, kiln.slowly)
    wait_for(lambda: kept(server, made).fraction == 0.25)
    waiting = kiln.enqueue(1, kiln.quick)
    waiting.cancel()
    kiln.gate.set()
    made.result(5)
    wait_for(lambda: seen[-1] == "done")
    assert seen == ["waiting", "running", "waiting", "cancelled", "done"]


def test_an_end_that_cannot_be_stored_is_stored_later(
    server, kiln, monkeypatch, caplog
):
    monkeypatch.setattr("toolserver.jobs.runner._LOOK_SHARED", 0.01)
    engine, failures = server.worker.jobs.engine, iter(range(2))
    finish = engine.finish

    def fail(endings, *, now):
        if next(failures, None) is not None:
            raise JobNotStored("disk full")
        return finish(endings, now=now)

    monkeypatch.setattr(engine, "finish", fail)
    with caplog.at_level(logging.CRITICAL, "toolserver.jobs"):
        assert kiln.enqueue(1, kiln.quick).result(5) == "done"
    assert kiln.enqueue(1, kiln.quick).result(5) == "done"


@pytest.mark.parametrize("engine", ["memory", "sqlite"])
def test_where_all_places_are_taken_the_next_one_is_begun_at_an_end(engine):
    with serve(Kiln, config={"jobs": {"engine": engine, "max_jobs": 1}}) as server:
        kiln = server.tool("kiln")
        kiln.schedule(timedelta(0), kiln.hold)
        wait_for(lambda: "hold" in kiln.seen)
        second = kiln.schedule(timedelta(0), kiln.quick)
        wait_for(lambda: server.worker.jobs.runner._is_full)
        assert second.status == "waiting"
        kiln.gate.set()
        assert second.result(5) == "done"


@pytest.fixture
def store(tmp_path):
    """A server whose store can be taken away for a while."""
    config = {"jobs": {"engine": "sqlite", "max_jobs": 2}}
    with serve(Kiln, config=config, home=tmp_path) as running:
        yield running
        running.tool("kiln").gate.set()
        running.tool("kiln").second_gate.set()


@contextlib.contextmanager
def taken_away(server):
    path = server.worker.home.var / "jobs.db"
    path.rename(path.with_name("away.db"))
    try:
        yield
    finally:
        path.with_name("away.db").rename(path)


def test_a_store_that_cannot_be_used_is_looked_at_again(store, monkeypatch, caplog):
    monkeypatch.setattr("toolserver.jobs.runner._LOOK_SHARED", 0.01)
    kiln = store.tool("kiln")
    with taken_away(store):
        with pytest.raises(JobNotStored, match="removed or replaced"):
            kiln.enqueue(1, kiln.quick)
        wait_for(lambda: "jobs cannot be claimed; tried again in" in caplog.text)
    assert kiln.enqueue(1, kiln.quick).result(5) == "done"


def test_progress_that_cannot_be_stored_harms_nothing(store, caplog):
    kiln = store.tool("kiln")
    made = kiln.enqueue(1, kiln.tell_when_let)
    wait_for(lambda: "tell" in kiln.seen)
    with taken_away(store):
        kiln.gate.set()
        wait_for(lambda: "jobs: their progress cannot be stored" in caplog.text)
    kiln.second_gate.set()
    assert made.result(5) == "told"


def test_nobody_is_told_of_progress_after_the_end(store):
    kiln, runner, told = store.tool("kiln"), store.worker.jobs.runner, []
    store.worker.jobs._bus.subscribe("jobs.changed", told.append)
    made = kiln.enqueue(1, kiln.tell_when_let)
    wait_for(lambda: "tell" in kiln.seen and made.status == "running")
    path = store.worker.home.var / "jobs.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        kiln.gate.set()
        wait_for(lambda: runner._progress)
        # Now it is about to be stored, and waits for the other process.
        wait_for(lambda: not runner._progress)
        runner._running[made.id].release()
        wait_for(lambda: not runner.running)
        other.execute("COMMIT")
    # This is done after what was asked for before.
    store.worker.jobs.engine.extend(runner.name, 1e9)
    store.worker.jobs.engine.cancel("nobody's", now=0.0)
    gevent.idle()
    assert kept(store, made).fraction == 0.75
    assert {fraction for _, _, fraction, _ in told} == {None}


def give_away(server, made, runner=None):
    """Let the store take a job from this process, as if it had shown no life."""
    jobs = server.worker.jobs
    now = jobs.clock.now()
    found = jobs.engine.recover([jobs.runner.name], now=now, max_attempts=9)
    assert found == [(made.id, JobState.WAITING)]
    if runner is not None:
        ((claim,), _) = jobs.engine.claim(runner, 1, now=now, lease=now + 60)
        return claim
    return None


def test_an_end_that_comes_too_late_is_none(server, kiln, caplog):
    made = kiln.enqueue(1, kiln.hold)
    wait_for(lambda: "hold" in kiln.seen)
    server.worker.jobs.hold()
    give_away(server, made)
    kiln.gate.set()
    wait_for(lambda: "had been given to another process" in caplog.text)
    assert made.status == "waiting"
    server.worker.jobs.runner.resume()
    assert made.result(5) == "let go"
    assert kiln.seen.count("hold") == 2


def test_what_was_given_to_another_process_is_cut_off(
    server, kiln, caplog, monkeypatch
):
    # Nobody tells us of what the other one does.
    monkeypatch.setattr("toolserver.jobs.outcomes._LOOK", 0.01)
    made = kiln.enqueue(1, kiln.hold)
    wait_for(lambda: "hold" in kiln.seen)
    claim = give_away(server, made, "another")
    server.worker.jobs.runner._ask_news()
    wait_for(lambda: kiln.seen == ["begin", "hold", "abort"])
    assert "was given to another process" in caplog.text
    assert kept(server, made).runner == "another"
    assert made.status == "running"
    ending = Ending(JobState.DONE, result=write_result("elsewhere"))
    now = server.worker.jobs.clock.now()
    server.worker.jobs.engine.finish({made.id: (claim.attempt, ending)}, now=now)
    assert made.result(5) == "elsewhere"


def test_what_another_process_wants_cancelled_is_ended(server, kiln):
    made = kiln.enqueue(1, kiln.hold)
    wait_for(lambda: "hold" in kiln.seen)
    jobs = server.worker.jobs
    assert jobs.engine.cancel(made.id, now=jobs.clock.now()) is JobState.RUNNING
    jobs.runner._ask_news()
    with pytest.raises(JobCancelled):
        made.result(5)
    assert kiln.seen == ["begin", "hold", "abort"]


def test_what_is_cancelled_before_it_begins_is_not_called():
    with serve(Kiln) as server:
        kiln, jobs = server.tool("kiln"), server.worker.jobs
        jobs.hold()
        first = kiln.schedule(timedelta(0), kiln.cancel_next)
        # Both are claimed at once.
        kiln.next = kiln.schedule(timedelta(0), kiln.quick)
        jobs.runner.resume()
        assert first.result(5) == "running"
        with pytest.raises(JobCancelled):
            kiln.next.result(5)
        assert "quick" not in kiln.seen


def test_a_late_cancel_ends_no_other_job(server, kiln):
    kiln.gate.set()
    for _ in range(50):
        made = [kiln.schedule(timedelta(0), kiln.hold) for _ in range(4)]
        made[0].result(5)
        made[0].cancel()
        made[1].cancel()
        assert [each.result(5) for each in made[2:]] == ["let go"] * 2
        wait_for(lambda jobs=made: jobs[1].status in ("done", "cancelled"))


@register("lamp")
class Lamp(StandardTool):
    def on_start(self):
        self.lit = []

    def on_stop(self):
        self.enqueue(0, self.light, "since it was put out")

    def light(self, why: str) -> None:
        self.lit.append(why)


def test_tools_may_store_jobs_while_they_stop(tmp_path):
    config = {"jobs": {"engine": "sqlite"}}
    for expected in ([], ["since it was put out"]):
        with serve(Lamp, config=config, home=tmp_path) as server:
            server.run_jobs()
            assert server.tool("lamp").lit == expected


def test_what_is_lost_is_told_at_the_end(caplog):
    with serve(Lamp) as server:
        lamp = server.tool("lamp")
        lamp.schedule(timedelta(hours=1), lamp.light, "later")
    assert "2 jobs were in memory alone and are lost" in caplog.text


def test_jobs_that_are_cut_off_are_given_back(tmp_path):
    config = {"jobs": {"engine": "sqlite"}}
    with serve(Kiln, config=config, home=tmp_path) as server:
        kiln = server.tool("kiln")
        made = kiln.enqueue(1, kiln.hold)
        wait_for(lambda: "hold" in kiln.seen)
        server.worker.stop(0)
        assert kiln.seen == ["begin", "hold", "abort"]
    with serve(Kiln, config=config, home=tmp_path) as server:
        kiln = server.tool("kiln")
        wait_for(lambda: "hold" in kiln.seen)
        status = kept(server, made)
        assert (status.state, status.tries) == (JobState.RUNNING, 0)
        kiln.gate.set()
        assert server.worker.jobs.outcomes.find(made.id).result(5) == "let go"
