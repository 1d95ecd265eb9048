"""The life of jobs, as tools start them."""

import dataclasses
import threading
import time
from datetime import UTC, datetime, timedelta

import gevent
import pytest
from gevent.event import Event

from tests.http.raw_http import wait_for
from tests.passwords import quick_hash
from toolserver import (
    FactoryTool,
    Job,
    StandardTool,
    TransientTool,
    Var,
    chain,
    context,
    hidden,
    job,
    progress,
    register,
    retry,
    threaded,
)
from toolserver.contexts import Context, bind
from toolserver.errors import (
    Conflict,
    Forbidden,
    InvalidParams,
    JobCancelled,
    JobExpired,
    JobFailed,
    JobLost,
    JobUnknown,
    NotFound,
)
from toolserver.testing import serve


@dataclasses.dataclass
class Page:
    number: int
    text: str = ""


class Torn(Conflict):
    code = -32123


colour: Var[str] = Var("colour", default="none")


@register("press")
class Press(StandardTool):
    def __init__(self):
        self.printed = []
        self.gate = Event()
        self.running = 0
        self.most = 0
        self.tries = 0

    def print_page(self, page: Page, copies: int = 1) -> Page:
        self.printed.append((page.number, copies))
        return dataclasses.replace(page, text=f"page {page.number}")

    def slow(self, name: str) -> str:
        self.running += 1
        self.most = max(self.most, self.running)
        gevent.sleep(0.002)
        self.running -= 1
        self.printed.append(name)
        return name

    def hold(self) -> str:
        self.printed.append("held")
        progress(0.5, "half")
        self.gate.wait(10)
        return "let go"

    def tear(self, kind: str = "torn") -> None:
        self.tries += 1
        if kind == "torn":
            raise Torn("torn apart", data={"page": 3})
        if kind == "missing":
            raise NotFound("no paper")
        raise ValueError("no ink")

    @retry(times=2, backoff=0.01)
    def stubborn(self, until: int) -> int:
        self.tries += 1
        if self.tries < until:
            raise ValueError("not yet")
        return self.tries

    def lose_patience(self) -> None:
        with gevent.Timeout(0.001):
            self.gate.wait(10)

    def _inner(self, number: int) -> int:
        return number + 1

    @hidden
    def unseen(self) -> str:
        return "unseen"

    def anything(self, value):
        return [type(value).__name__, value]

    @threaded
    def beside(self) -> bool:
        progress(0.9)
        return threading.current_thread() is threading.main_thread()

    def who(self) -> list[object]:
        found = [context.client, sorted(context.groups), colour.get()]
        colour.set("red")
        return [*found, context.request is None, context.job_id is not None]

    # What tests call from outside: jobs are started by tools.

    def queue(self, priority: int, name: str) -> str:
        return self.enqueue(priority, self.slow, name).id

    def ask_who(self) -> Job:
        colour.set("blue")
        return self.enqueue(0, self.who)

    def wait_for_inner(self, depth: int) -> int:
        if depth == 0:
            return 0
        return self.spawn(self.wait_for_inner, depth - 1).result(5) + 1

    def wait_for_stored(self, depth: int) -> int:
        if depth == 0:
            return 0
        later = self.schedule(timedelta(0), self.wait_for_stored, depth - 1)
        return later.result(5) + 1


class Reel(TransientTool):
    def turn(self) -> str:
        return self.key

    def start(self) -> str:
        return self.enqueue(0, self.turn).result(5)


@register("reels")
class Reels(FactoryTool):
    children = (Reel,)
    gone = False

    def child_exists(self, key):
        return not self.gone


@pytest.fixture(params=["memory", "sqlite"])
def server(request):
    jobs = {"engine": request.param, "max_jobs": 20}
    with serve(Press, Reels, config={"jobs": jobs}) as running:
        yield running
        running.tool("press").gate.set()


@pytest.fixture
def press(server):
    return server.tool("press")


def test_a_queued_call_returns_what_its_hints_say(press):
    made = press.enqueue(5, press.print_page, Page(3), copies=2)
    assert made.result(5) == Page(3, "page 3")
    assert made.status == "done"
    assert press.printed == [(3, 2)]
    # It is kept for its time.
    assert made.result(0) == Page(3, "page 3")
    assert job(made.id).result(0) == Page(3, "page 3")
    assert repr(made) == f"<Job {made.id}>"


def test_a_queue_goes_by_priority_and_then_by_arrival(press):
    first = press.enqueue(0, press.hold)
    wait_for(lambda: press.printed == ["held"])
    jobs = [
        press.enqueue(priority, press.slow, f"{priority}{letter}")
        for letter in "abc"
        for priority in (1, 3, 2)
    ]
    press.gate.set()
    assert first.result(5) == "let go"
    for each in jobs:
        each.result(5)
    assert press.printed[1:] == [f"{p}{c}" for p in (3, 2, 1) for c in "abc"]
    assert press.most == 1


def test_queues_of_different_tools_run_side_by_side(server, press):
    held = press.enqueue(0, press.hold)
    wait_for(lambda: press.printed)
    assert server.call("reels.a.start") == "a"
    assert held.status == "running"


def test_timed_calls_start_when_due_and_never_early(press):
    begun = time.time()
    soon = press.schedule(timedelta(seconds=0.05), press.slow, "soon")
    sooner = press.schedule(begun + 0.02, press.slow, "sooner")
    at = press.schedule(datetime.now(UTC) + timedelta(seconds=0.08), press.slow, "at")
    assert soon.status == "waiting"
    for each in (at, soon, sooner):
        each.result(5)
    assert time.time() - begun >= 0.08
    assert press.printed == ["sooner", "soon", "at"]


def test_time_that_passes_in_tests_runs_what_becomes_due(server, press):
    for minutes in (1, 2, 3):
        press.schedule(timedelta(minutes=minutes), press.slow, f"{minutes}")
    assert server.run_jobs(advance=50) == 0
    assert server.run_jobs(advance=80) == 2
    assert press.printed == ["1", "2"]
    press.enqueue(0, press.slow, "now")
    assert server.run_jobs() == 1


@pytest.mark.parametrize(
    "when", [datetime(2030, 1, 1), "tomorrow", float("nan"), -1, None]
)
def test_what_is_no_time_is_refused(press, when):
    with pytest.raises(ValueError, match="when"):
        press.schedule(when, press.slow, "x") if when is not None else (
            press.schedule("", press.slow, "x")
        )


@pytest.mark.parametrize("priority", [2**31, -(2**31) - 1, 1.0, "1", None])
def test_what_is_no_priority_is_refused(press, priority):
    with pytest.raises(TypeError, match="priority: got"):
        press.enqueue(priority, press.slow, "x")


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
def test_what_is_no_time_for_a_run_is_refused(press, timeout):
    with pytest.raises(ValueError, match="timeout: got"):
        press.jobs(timeout=timeout)


def test_who_runs_jobs_in_tests_waits_for_all_that_run(server, press):
    spawned = press.spawn(gevent.sleep, 0.02)
    server.run_jobs()
    assert spawned.status == "done"
    press.enqueue(1, press.hold)
    with pytest.raises(TimeoutError, match=r"1 jobs have not ended in 0\.05 s"):
        server.run_jobs(timeout=0.05)


def test_spawned_calls_begin_at_once_and_keep_their_exception(press):
    page = press.spawn(press.print_page, Page(1))
    torn = press.spawn(press.tear)
    anything = press.spawn(lambda a, b: a + b, 1, b=2)
    assert page.result(5).text == "page 1"
    assert anything.result(5) == 3
    with pytest.raises(Torn, match="torn apart"):
        torn.result(5)
    assert torn.status == "failed"
    assert job(page.id) is page


def test_only_methods_of_registered_tools_are_stored(press):
    stranger = Press()
    stranger.namespace = "nowhere"
    for method in (print, lambda: 1, stranger.slow):
        with pytest.raises(TypeError):
            press.enqueue(1, method)
    assert press.enqueue(1, press._inner, 2).result(5) == 3
    assert press.enqueue(1, press.unseen).result(5) == "unseen"


def test_a_bad_argument_fails_at_once(press):
    with pytest.raises(InvalidParams, match="copies"):
        press.enqueue(1, press.print_page, Page(1), copies="many")
    with pytest.raises(InvalidParams, match="cannot be stored"):
        press.enqueue(1, press.anything, object())
    value = {"a": [1, (2, 3)], "when": datetime.now(UTC), "raw": b"\0"}
    assert press.enqueue(1, press.anything, value).result(5)[0] == "dict"


def test_failures_are_told_by_class_or_by_name(press):
    with pytest.raises(Torn, match="torn apart") as torn:
        press.enqueue(1, press.tear).result(5)
    assert torn.value.data == {"page": 3}
    with pytest.raises(NotFound, match="no paper"):
        press.enqueue(1, press.tear, "missing").result(5)
    with pytest.raises(JobFailed, match="ValueError: no ink") as failed:
        press.enqueue(1, press.tear, "other").result(5)
    assert failed.value.kind == "ValueError"


def test_failed_calls_are_tried_again(press):
    assert press.enqueue(1, press.stubborn, 3).result(5) == 3
    press.tries = 0
    with pytest.raises(JobFailed, match="not yet"):
        press.enqueue(1, press.stubborn, 9).result(5)
    assert press.tries == 3
    press.tries = 0


def test_what_cannot_be_called_is_not_tried_again(server, press):
    factory = server.tool("reels")
    made = server.call("reels.a.start")
    assert made == "a"
    server.worker.jobs.hold()
    reel = server.tool("reels.b")
    later = reel.enqueue(0, reel.turn)
    factory.gone = True
    factory.forget("b")
    server.worker.jobs.runner.resume()
    with pytest.raises(NotFound):
        later.result(5)


def test_waiting_jobs_are_cancelled_at_once_and_running_ones_soon(press):
    running = press.enqueue(1, press.hold)
    waiting = press.enqueue(1, press.slow, "never")
    wait_for(lambda: press.printed)
    assert waiting.cancel()
    assert waiting.status == "cancelled"
    assert running.cancel()
    with pytest.raises(JobCancelled):
        running.result(5)
    assert running.status == "cancelled"
    done = press.spawn(press._inner, 1)
    assert done.result(5) == 2
    assert not done.cancel()
    spawned = press.spawn(press.hold)
    wait_for(lambda: spawned.status == "running")
    assert spawned.cancel()
    with pytest.raises(JobCancelled):
        spawned.result(5)
    assert "never" not in press.printed


def test_results_are_kept_as_asked(press):
    once = press.jobs(once=True).enqueue(1, press.slow, "x")
    assert once.result(5) == "x"
    with pytest.raises(JobExpired, match="handed out"):
        once.result(5)
    assert press.jobs(keep_result=False).enqueue(1, press.slow, "x").result(5) is None
    with pytest.raises(Exception, match=r"ended after 0\.01 seconds"):
        press.jobs(timeout=0.01).enqueue(1, press.hold).result(5)
    press.gate.set()
    with pytest.raises(TimeoutError):
        press.enqueue(1, gated(press)).result(0)


def test_a_time_of_the_tools_own_is_no_end_of_the_run(press):
    with pytest.raises(JobFailed, match=r"Timeout: 0\.001 seconds") as failed:
        press.jobs(timeout=5).enqueue(1, press.lose_patience).result(5)
    assert failed.value.kind == "Timeout"


def gated(press):
    press.gate.clear()
    return press.hold


def test_unknown_ids_are_told_so(server, press):
    with pytest.raises(JobUnknown, match="no job 'nope'"):
        server.worker.jobs.outcomes.find("nope")


def forget_all(server):
    engine = server.worker.jobs.engine
    return engine.purge(now=server.worker.jobs.clock.now() + 1e6)


def test_what_is_forgotten_is_told_so(server, press):
    made = press.enqueue(1, press.slow, "x")
    made.result(5)
    assert forget_all(server) == 1
    for ask in (made.result, made.cancel, lambda: made.status, lambda: job(made.id)):
        with pytest.raises(JobExpired, match="ended and forgotten"):
            ask()


def test_who_comes_too_late_to_cancel_is_told(server, press, monkeypatch):
    server.worker.jobs.hold()
    made = press.enqueue(1, press.slow, "x")
    engine = server.worker.jobs.engine
    cancel = engine.cancel

    def come_late(id_, *, now):
        # Another process has been quicker.
        cancel(id_, now=now)
        assert forget_all(server) == 1
        return cancel(id_, now=now)

    monkeypatch.setattr(engine, "cancel", come_late)
    with pytest.raises(JobExpired, match="ended and forgotten"):
        made.cancel()


def test_what_was_begun_too_often_is_lost(server, press, monkeypatch):
    monkeypatch.setattr("toolserver.jobs.outcomes._LOOK", 0.01)
    jobs = server.worker.jobs
    jobs.hold()
    made = press.enqueue(1, press.slow, "x")
    now = jobs.clock.now()
    jobs.engine.claim("dead", 1, now=now, lease=now)
    jobs.engine.recover(["dead"], now=now, max_attempts=1)
    with pytest.raises(JobLost, match=r"was begun 1 times and never came to an end"):
        made.result(5)
    assert not made.cancel()


def test_only_what_has_failed_is_made_once_more(server, press):
    jobs, told = server.worker.jobs, []
    made = press.enqueue(1, press.slow, "x")
    made.result(5)
    jobs._bus.subscribe("jobs.changed", told.append)
    jobs.retry(jobs.engine.status(made.id).job)
    server.run_jobs()
    assert made.status == "done"
    assert press.printed == ["x"]
    assert told == []


def test_many_may_wait_and_each_has_its_result(server, press, monkeypatch):
    monkeypatch.setattr("toolserver.jobs.outcomes._PENDING", 2)
    server.worker.jobs.hold()
    jobs = [press.enqueue(1, press.slow, f"{number}") for number in range(5)]
    assert len(server.worker.jobs.outcomes._pending or ()) <= 2
    server.worker.jobs.runner.resume()
    assert [each.result(5) for each in jobs] == ["0", "1", "2", "3", "4"]


def test_a_spawned_job_may_wait_for_one_of_the_queue(server, press):
    waiting = press.spawn(lambda: press.enqueue(0, press.hold).result(5))
    wait_for(lambda: press.printed == ["held"])
    press.gate.set()
    assert waiting.result(5) == "let go"


def test_without_its_tool_a_result_is_plain_and_a_call_fails(tmp_path):
    config = {"jobs": {"engine": "sqlite"}}
    with serve(Press, config=config, home=tmp_path) as server:
        press = server.tool("press")
        done = press.enqueue(1, press.print_page, Page(3))
        done.result(5)
        later = press.schedule(timedelta(hours=1), press.slow, "x")
    with serve(Reels, config=config, home=tmp_path) as server:
        find = server.worker.jobs.outcomes.find
        assert find(done.id).result(0) == {"number": 3, "text": "page 3"}
        server.run_jobs(advance=3600)
        with pytest.raises(NotFound, match="press"):
            find(later.id).result(0)


def test_a_job_has_its_own_context(server, press):
    (server.worker.home.config / "groups").write_text("editors:ann\nreaders:bob\n")
    server.worker._access.load()
    ann = server.as_client("ann", groups={"editors", "night shift"})
    made = ann.call("press.ask_who")
    assert made.result(5) == ["ann", ["editors", "night shift"], "none", True, True]
    (server.worker.home.config / "groups").write_text("readers:ann\n")
    server.worker.jobs.hold()
    made = ann.call("press.ask_who")
    server.worker._access.load()
    server.worker.jobs.runner.resume()
    assert made.result(5)[1] == ["night shift", "readers"]


def test_the_job_of_a_client_that_has_gone_is_refused(server, press):
    passwd = server.worker.home.config / "passwd"
    passwd.write_text(f"ann:{quick_hash('secret')}\n")
    server.worker._access.load()
    server.worker.jobs.hold()
    answer = server.http.post("/press/ask_who", auth=("ann", "secret"))
    assert answer.status_code == 200
    passwd.write_text("")
    server.worker._access.load()
    server.worker.jobs.runner.resume()
    with pytest.raises(Forbidden, match="no client 'ann' any more"):
        server.worker.jobs.outcomes.find(answer.json()).result(5)


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_progress_is_from_nothing_to_all(press, fraction):
    with pytest.raises(ValueError, match="fraction: got"):
        press.spawn(progress, fraction).result(5)


def test_progress_of_a_call_without_a_listener_is_told_to_nobody(server, press):
    press.gate.set()
    assert server.call("press.hold") == "let go"


def test_jobs_that_wait_for_jobs_do_not_starve(server):
    assert server.call("press.wait_for_inner", 50) == 50
    assert server.call("press.wait_for_stored", 50) == 50


def test_threaded_methods_run_as_jobs(press):
    assert press.enqueue(1, press.beside).result(5) is False


def test_each_change_is_told_to_the_chain(server, press):
    seen = []

    def note(change):
        seen.append((change.id, str(change.state)))

    states = chain("system.job.state")
    with server_context(server):
        states.append(note)
    try:
        made = press.enqueue(1, press.slow, "x")
        made.result(5)
        wait_for(lambda: len(seen) >= 3)
        assert seen == [(made.id, s) for s in ("waiting", "running", "done")]
    finally:
        with server_context(server):
            states.remove(note)


def server_context(server):
    return bind(Context(services=server.worker.services))


def test_hundreds_of_jobs_and_calls_see_only_their_own(server):
    def ask(number):
        client = server.as_client(f"c{number}", groups={f"g{number}"})
        made = client.call("press.ask_who")
        assert client.call("press.who")[:2] == [f"c{number}", [f"g{number}"]]
        found = made.result(20)
        assert found == [f"c{number}", [f"g{number}"], "none", True, True]

    greenlets = [gevent.spawn(ask, number) for number in range(300)]
    gevent.joinall(greenlets, raise_error=True, timeout=30)
    assert all(greenlet.ready() for greenlet in greenlets)
