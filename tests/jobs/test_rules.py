"""Calls that are made again and again, by the rules of their methods."""

import logging
from datetime import UTC, datetime

import pytest

from tests.http.raw_http import wait_for
from toolserver import AuthenticatedTool, StandardTool, context, every, register
from toolserver.jobs.records import JobState
from toolserver.jobs.rules import SERVER
from toolserver.testing import serve

MINUTE = 60


@register("clockwork")
class Clockwork(StandardTool):
    def __init__(self):
        self.calls = []

    @every("* * * * *", priority=3)
    def tick(self) -> object:
        self.calls.append("tick")
        return object()

    @every("*/15 * * * *")
    def _quarter(self) -> None:
        self.calls.append("quarter")

    def slow(self, name: str) -> None:
        self.calls.append(name)


@register("guarded.clockwork")
class Guarded(AuthenticatedTool):
    groups = "nobody"

    def __init__(self):
        self.calls = []

    @every("* * * * *")
    def tick(self) -> None:
        self.calls.append((context.client, context.protocol))


@pytest.fixture(params=["memory", "sqlite"])
def engine(request):
    return {"jobs": {"engine": request.param}}


def start_of_hour(server):
    """Let time pass up to the next full hour, where minutes are easily counted."""
    now = server.worker.jobs.clock.wall()
    server.run_jobs(advance=3600 - now % 3600 - 1)
    server.tool("clockwork").calls.clear()


def waiting(server, queue="clockwork"):
    found = server.worker.jobs.engine.find(state=JobState.WAITING, queue=queue)
    return sorted(status.job.method for status in found)


def test_calls_come_at_each_tick(engine):
    with serve(Clockwork, config=engine) as server:
        calls = server.tool("clockwork").calls
        start_of_hour(server)
        server.run_jobs(advance=16 * MINUTE)
        assert calls == ["tick", "quarter"] + ["tick"] * 15 + ["quarter"]
        # The next ones wait, and nothing else.
        assert waiting(server) == ["clockwork._quarter", "clockwork.tick"]
        (made, *_) = server.worker.jobs.engine.find(queue="clockwork", limit=1)
        assert made.job.client == SERVER
        assert made.job.request_id == ""


def test_what_was_missed_is_made_up_for_by_one_call(tmp_path):
    config = {"jobs": {"engine": "sqlite"}}
    with serve(Clockwork, config=config, home=tmp_path) as server:
        server.run_jobs()
        before = waiting(server)
        assert before == ["clockwork._quarter", "clockwork.tick"]
        server.worker.jobs.hold()
        # As if the server were down: time passes, and nothing is run.
        server.worker.jobs.clock.advance(1800)
        server.worker.jobs.runner.resume()
        server.run_jobs()
        assert sorted(server.tool("clockwork").calls) == ["quarter", "tick"]
        assert waiting(server) == before
    # Another start finds the calls that wait, and stores no others.
    with serve(Clockwork, config=config, home=tmp_path) as server:
        assert waiting(server) == before


def test_calls_never_overlap_nor_pile_up(engine):
    with serve(Clockwork, config=engine) as server:
        jobs, tool = server.worker.jobs, server.tool("clockwork")
        start_of_hour(server)
        jobs.hold()
        first = tool.enqueue(0, tool.slow, "slow")
        for _ in range(5):
            jobs.clock.advance(MINUTE)
            jobs.plan()
        assert waiting(server) == [
            *("clockwork._quarter", "clockwork.slow", "clockwork.tick")
        ]
        jobs.runner.resume()
        server.run_jobs()
        assert first.status == "done"
        # By priority, not by arrival.
        assert tool.calls[0] == "tick"
        assert sorted(tool.calls[1:]) == ["quarter", "slow"]


def test_several_processes_store_one_call(engine):
    with serve(Clockwork, config=engine) as server:
        jobs = server.worker.jobs
        jobs.plan(anew=True)
        jobs.plan(anew=True)
        assert waiting(server) == ["clockwork._quarter", "clockwork.tick"]


def test_a_rule_that_is_gone_calls_no_more(engine, monkeypatch):
    with serve(Clockwork, config=engine) as server:
        monkeypatch.setattr(
            "toolserver.jobs.rules._key", lambda method, rule: f"every-other-{method}"
        )
        server.run_jobs(advance=15 * MINUTE)
        assert server.tool("clockwork").calls == []
        assert waiting(server) == []
        found = server.worker.jobs.engine.find(queue="clockwork")
        assert {status.state for status in found} == {JobState.CANCELLED}


def test_the_rules_of_a_tool_that_is_gone_end(tmp_path):
    config = {"jobs": {"engine": "sqlite"}}
    with serve(Clockwork, config=config, home=tmp_path) as server:
        assert waiting(server) == ["clockwork._quarter", "clockwork.tick"]
    with serve(Guarded, config=config, home=tmp_path) as server:
        server.run_jobs(advance=15 * MINUTE)
        found = server.worker.jobs.engine.find(queue="clockwork")
        assert [status.state for status in found] == [JobState.CANCELLED] * 2


def test_the_server_may_call_what_few_may(engine):
    with serve(Guarded, config=engine) as server:
        server.run_jobs(advance=MINUTE)
        assert server.tool("guarded.clockwork").calls == [(None, "")]


def test_who_sets_the_clock_back_stops_nothing(engine):
    with serve(Clockwork, config=engine) as server:
        jobs = server.worker.jobs
        start_of_hour(server)
        wall = jobs.clock._wall
        jobs.clock._wall = lambda: wall() - 86400
        jobs.runner.follow_clock()
        server.run_jobs(advance=2 * MINUTE)
        assert server.tool("clockwork").calls.count("tick") == 2
        moment = datetime.fromtimestamp(jobs.clock.wall(), UTC)
        assert moment.minute in (1, 2)


def test_a_full_store_does_not_end_a_rule(monkeypatch, caplog):
    monkeypatch.setattr("toolserver.jobs.rules._AGAIN", 0.05)
    full = {"jobs": {"engine": "memory", "max_stored": 3}}
    with serve(Guarded, Clockwork, config=full) as server:
        jobs = server.worker.jobs
        with caplog.at_level(logging.CRITICAL, "toolserver.jobs"):
            server.run_jobs(advance=MINUTE)
        assert waiting(server, "guarded.clockwork") == []
        jobs.clock.advance(86_400)
        jobs.engine.purge(now=jobs.clock.now())
        wait_for(lambda: waiting(server, "guarded.clockwork"))


def test_a_store_that_is_full_at_the_start_gets_them_later(monkeypatch, caplog):
    monkeypatch.setattr("toolserver.jobs.rules._AGAIN", 0.05)
    full = {"jobs": {"engine": "memory", "max_stored": 2}}
    with serve(Clockwork, Guarded, config=full) as server:
        engine = server.worker.jobs.engine
        assert sum(engine.counts().states.values()) == 2
        told = "the next calls of rules could not be stored"
        # It is tried as long as it takes.
        wait_for(lambda: caplog.text.count(told) > 3)
        engine._max_stored = 100
        wait_for(lambda: engine.counts().states[JobState.WAITING] == 3)


def test_a_stop_does_not_call_them_lost(caplog):
    with serve(Clockwork):
        pass
    assert "lost" not in caplog.text
