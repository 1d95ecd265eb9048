"""Jobs of one process, which begin at once."""

import threading
from contextvars import ContextVar

import gevent
import pytest
from gevent.event import Event

from tests.http.raw_http import wait_for
from toolserver import (
    FactoryTool,
    Job,
    StandardTool,
    TransientTool,
    Var,
    context,
    job,
    register,
)
from toolserver.declarations import declared
from toolserver.errors import CallTimeout, JobCancelled, JobExpired, JobUnknown
from toolserver.jobs.known import KnownJobs
from toolserver.nativethreads import ThreadSlots
from toolserver.testing import serve
from toolserver.traces import current_trace

left_behind: ContextVar[str] = ContextVar("left_behind", default="nothing")
mine: Var[str] = Var("mine", default="nothing")
local = threading.local()


@register("mill")
class Mill(StandardTool):
    def __init__(self):
        self.gate = Event()
        self.running = self.most = 0
        self.began = []

    def grind(self, number: int) -> int:
        self.began.append(number)
        return number + 1

    def hold(self, number: int = 0) -> int:
        self.began.append(number)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            self.gate.wait(10)
        finally:
            self.running -= 1
        return number

    def who(self) -> tuple[object, ...]:
        return context.client, context.groups, context.tool, context.method

    def spawn_who(self) -> object:
        mine.set("the caller's")
        return self.spawn(self.who).result(5)

    def traces(self) -> list[str]:
        def inner() -> list[str]:
            return [current_trace(), self.spawn(current_trace).result(5)]

        return self.spawn(inner).result(5)

    def own_id(self) -> str | None:
        return context.job_id

    def fail(self) -> None:
        raise ValueError("no corn")

    def lose_patience(self) -> None:
        with gevent.Timeout(0.001):
            self.gate.wait(10)


class Stone(TransientTool):
    def turn(self) -> str:
        return f"{self.key} {context.tool is self}"


@register("stones")
class Stones(FactoryTool):
    children = (Stone,)

    def child_exists(self, key):
        return True


@register("ledger")
class Ledger(StandardTool):
    def __init__(self):
        self.notes = []

    def begin(self):
        self.notes.append("begin")

    def commit(self):
        self.notes.append("commit")

    def abort(self):
        self.notes.append("abort")

    def note(self, text: str) -> None:
        if not text:
            raise ValueError("nothing to note")
        self.notes.append(text)


@pytest.fixture
def server():
    with serve(Mill, Stones, Ledger, config={"jobs": {"max_jobs": 3}}) as running:
        yield running
        running.tool("mill").gate.set()


@pytest.fixture
def mill(server):
    return server.tool("mill")


def test_thousands_begin_in_order_and_as_many_at_once_as_may(mill):
    jobs = [mill.spawn(mill.grind, number) for number in range(3000)]
    assert [each.result(5) for each in jobs] == list(range(1, 3001))
    assert mill.began == list(range(3000))
    held = [mill.spawn(mill.hold, number) for number in range(10)]
    wait_for(lambda: mill.running == 3)
    assert [each.status for each in held] == ["running"] * 3 + ["waiting"] * 7
    mill.gate.set()
    assert [each.result(5) for each in held] == list(range(10))
    assert mill.most == 3


def test_others_get_their_turn_while_many_begin(mill):
    turns = []

    def count():
        while len(mill.began) < 5000:
            turns.append(len(mill.began))
            gevent.sleep(0)

    counting = gevent.spawn(count)
    for number in range(5000):
        mill.spawn(mill.grind, number)
    counting.join(5)
    assert len(turns) > 10


def test_a_job_runs_for_the_client_of_its_starter(server, mill):
    asked = server.as_client("ann", groups={"millers"}).call("mill.spawn_who")
    assert asked == ("ann", {"millers"}, mill, "who")
    assert mill.spawn(mill.who).result(5) == (None, frozenset(), mill, "who")
    assert mill.spawn(lambda: mine.get()).result(5) == "nothing"


def test_the_trace_of_a_request_goes_on_in_its_jobs(server):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    told = server.http.get("/mill/traces", headers={"traceparent": trace})
    assert told.json() == [trace, trace]
    assert server.call("mill.traces") == ["", ""]


def test_a_job_is_found_by_its_id_until_some_time_after_its_end(server, mill):
    started = mill.spawn(mill.own_id)
    assert started.result(5) == started.id
    assert job(started.id) is started
    other = mill.spawn(mill.own_id)
    assert other.id != started.id
    id_ = mill.spawn(mill.grind, 1).id
    assert server.worker.jobs.outcomes.find(id_).result(5) == 2
    with pytest.raises(JobUnknown):
        job("0" * 32)


def test_jobs_are_forgotten_by_time_and_by_number(monkeypatch):
    monkeypatch.setattr("toolserver.jobs.known._MOST", 3)
    clock = iter([0, 1, 2, 3, 62])
    known = KnownJobs(60, lambda: next(clock))
    ids = [known.add(Job("", None)) for _ in range(6)]
    for id_ in ids[:4]:
        known.note_end(id_)
    with pytest.raises(JobExpired, match="forgotten"):
        known.find(ids[0])
    assert known.find(ids[1]) is not None
    known.note_end(ids[4])
    for id_ in ids[1:3]:
        with pytest.raises(JobExpired):
            known.find(id_)
    assert [known.find(id_) is not None for id_ in ids[3:]] == [True] * 3
    assert len(known) == 3


def test_what_is_kept_for_no_time_is_forgotten_at_once():
    known = KnownJobs(0, lambda: 1.0)
    ids = [known.add(Job("", None)) for _ in range(2)]
    known.note_end(ids[0])
    with pytest.raises(JobExpired):
        known.find(ids[0])
    assert known.find(ids[1]) is not None
    assert len(known) == 1


def test_what_nobody_knows_is_not_kept(server, mill):
    known = server.worker.jobs._spawner.known
    before = len(known)
    for _ in range(100):
        mill.spawn(mill.grind, 1).result(5)
    assert len(known) == before


def test_nothing_of_a_job_is_left_to_the_next_one_in_its_greenlet(mill):
    def leave(text):
        found = left_behind.get(), getattr(local, "text", "nothing"), mine.get()
        left_behind.set(text)
        local.text = text
        mine.set(text)
        return *found, gevent.getcurrent()

    first = mill.spawn(leave, "first").result(5)
    second = mill.spawn(leave, "second").result(5)
    assert first[3] is second[3]
    assert second[:3] == ("nothing",) * 3


def test_who_is_cancelled_too_late_harms_nobody_else(mill):
    held = mill.spawn(mill.hold, 1)
    busy = [mill.spawn(gevent.sleep, 0.2) for _ in range(2)]
    wait_for(lambda: mill.began == [1])
    after = mill.spawn(gevent.sleep, 0.01)
    # It is let go first, and ended right after that.
    mill.gate.set()
    assert held.cancel()
    assert after.result(5) is None
    assert [each.result(5) for each in busy] == [None, None]
    assert held.status == "done"


def test_waiting_and_running_jobs_are_cancelled(mill):
    jobs = [mill.spawn(mill.hold, number) for number in range(4)]
    wait_for(lambda: mill.running == 3)
    assert jobs[3].cancel()
    assert jobs[0].cancel()
    for each in (jobs[0], jobs[3]):
        with pytest.raises(JobCancelled):
            each.result(5)
    mill.gate.set()
    assert jobs[1].result(5) == 1
    assert mill.began == [0, 1, 2]
    # Their places are free again.
    assert mill.spawn(mill.grind, 1).result(5) == 2


def test_a_job_runs_in_the_transaction_of_its_tool(server):
    ledger = server.tool("ledger")
    ledger.spawn(ledger.note, "one").result(5)
    assert ledger.notes == ["begin", "one", "commit"]
    with pytest.raises(ValueError, match="nothing to note"):
        ledger.spawn(ledger.note, "").result(5)
    assert ledger.notes[3:] == ["begin", "abort"]


def test_tools_of_factories_spawn_and_are_not_held(server):
    stone = server.worker.registry.entry("stones.red").tool
    assert stone.spawn(stone.turn).result(5) == "red True"
    paths = server.worker.jobs._spawner._paths
    assert not any(method.__self__ is stone for method in paths)


def test_a_tool_that_was_replaced_is_not_called_any_more(server, mill):
    assert mill.spawn(mill.grind, 1).result(5) == 2
    worker = server.worker
    (declaration,) = [each for each in declared if each.cls is Mill]
    new = worker._builder.make_entry(declaration)
    worker.registry.swap([worker.registry.entry("mill")], [new])
    assert mill.spawn(mill.grind, 2).result(5) == 3
    assert (mill.began, new.tool.began) == ([1], [2])


def test_only_a_failure_that_nobody_waits_for_is_logged(mill, caplog):
    waited = mill.spawn(mill.fail)
    with pytest.raises(ValueError, match="no corn"):
        waited.result(5)
    assert not caplog.records
    alone = mill.spawn(mill.fail)
    wait_for(lambda: alone.status == "failed")
    (record,) = caplog.records
    assert alone.id in record.getMessage()


def test_a_result_that_is_not_wanted_is_dropped(mill):
    dropped = mill.jobs(keep_result=False).spawn(mill.grind, 1)
    assert dropped.result(5) is None
    with pytest.raises(TimeoutError):
        mill.spawn(mill.hold).result(0)


def test_native_threads_start_jobs_and_wait_for_them(mill):
    def work():
        return mill.spawn(mill.grind, 5).result(5)

    assert in_thread(work) == 6


def in_thread(work):
    return ThreadSlots(1).run(work, lambda inner: inner(), stays=True)


def test_native_threads_wait_for_what_has_not_ended(mill):
    held = mill.spawn(mill.hold, 4)
    wait_for(lambda: mill.began)
    with pytest.raises(TimeoutError, match="has not ended"):
        in_thread(lambda: held.result(0.01))
    asking = gevent.spawn(in_thread, lambda: held.result(5))
    wait_for(lambda: held._ended is not None)
    mill.gate.set()
    assert asking.get(timeout=5) == 4


def test_several_wait_for_one_job(mill):
    held = mill.spawn(mill.hold, 4)
    asking = [gevent.spawn(held.result, 5) for _ in range(3)]
    wait_for(lambda: mill.began)
    mill.gate.set()
    assert [each.get(timeout=5) for each in asking] == [4] * 3


def test_a_result_is_handed_out_once_where_it_shall_be(mill):
    once = mill.jobs(once=True).spawn(mill.grind, 1)
    assert once.result(5) == 2
    with pytest.raises(JobExpired, match="handed out"):
        once.result(5)


def test_a_run_ends_with_its_time(mill):
    timed = mill.jobs(timeout=5)
    assert timed.spawn(mill.grind, 1).result(5) == 2
    with pytest.raises(CallTimeout, match=r"job: ended after 0\.01 seconds"):
        mill.jobs(timeout=0.01).spawn(mill.hold).result(5)
    # A time of the tool's own is its own business.
    with pytest.raises(gevent.Timeout):
        timed.spawn(mill.lose_patience).result(5)


def test_who_waits_lends_its_place_to_those_before_it(mill):
    def wait():
        inner = mill.spawn(mill.grind, 1)
        gevent.idle()
        assert inner.status == "waiting"
        return inner.result(5)

    for number in range(2):
        mill.spawn(mill.hold, number)
    assert mill.spawn(wait).result(5) == 2


def test_many_that_wait_for_something_all_have_their_turn(mill):
    jobs = [mill.spawn(gevent.sleep, 0) for _ in range(500)]
    assert [each.result(5) for each in jobs] == [None] * 500


def test_greenlets_of_a_burst_are_let_go(mill, monkeypatch):
    monkeypatch.setattr("toolserver.jobs.pool._PARKED", 2)
    held = [mill.spawn(mill.hold) for _ in range(3)]
    wait_for(lambda: mill.running == 3)
    pool = held[0].pool
    assert len(pool.workers) == 3
    mill.gate.set()
    assert [each.result(5) for each in held] == [0] * 3
    wait_for(lambda: len(pool.workers) == 2)
    assert mill.spawn(mill.grind, 1).result(5) == 2


def test_a_server_that_stops_lets_them_end(server, mill):
    ended = []

    def work():
        gevent.sleep(0.05)
        ended.append(mill)

    mill.spawn(work)
    wait_for(lambda: server.worker.jobs._spawner.pool.taken)
    server.worker.stop(10)
    assert ended == [mill]


def test_those_that_are_cut_off_are_told(server, mill, caplog):
    held = mill.spawn(mill.hold)
    wait_for(lambda: mill.running)
    server.worker.stop(0)
    assert held.status == "cancelled"
    assert "1 jobs were in memory alone and are lost" in caplog.text
