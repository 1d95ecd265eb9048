"""Jobs while somebody sets the clock of the machine."""

import time
from datetime import timedelta

import gevent
import pytest
from gevent.event import Event

from tests.http.raw_http import wait_for
from toolserver import StandardTool, register
from toolserver.jobs.clock import JobClock
from toolserver.jobs.records import JobRecord
from toolserver.jobs.sqlite import SQLiteEngine
from toolserver.testing import serve

HOUR = 3600.0


@register("sundial")
class Sundial(StandardTool):
    def __init__(self):
        self.begun = {}
        self.gate = Event()

    def note(self, name: str) -> str:
        self.begun[name] = self._wall()
        return name

    def hold(self) -> str:
        self.gate.wait(10)
        return "held"


class SetClock:
    """The clock of a server, which can be set."""

    def __init__(self, server):
        self.clock = server.worker.jobs.clock
        self.ahead = 0.0
        self.clock._wall = self.wall

    def wall(self):
        return time.time() + self.ahead


@pytest.fixture(params=["memory", "sqlite"])
def server(request):
    jobs = {"engine": request.param, "lease_timeout": 1}
    with serve(Sundial, config={"jobs": jobs}) as running:
        yield running
        running.tool("sundial").gate.set()


@pytest.fixture
def clock(server):
    return SetClock(server)


@pytest.fixture
def sundial(server, clock):
    tool = server.tool("sundial")
    tool._wall = clock.wall
    return tool


@pytest.mark.parametrize("ahead", [HOUR, -HOUR, 1.0, -1.0])
def test_a_time_is_kept_by_who_sets_the_clock_just_before(clock, sundial, ahead):
    clock.ahead = ahead
    when = clock.wall() + 0.3
    made = sundial.schedule(when, sundial.note, "a")
    assert made.result(5) == "a"
    assert when <= sundial.begun["a"] < when + 0.5


def test_a_clock_set_forward_brings_times_of_day_and_leaves_pauses(clock, sundial):
    in_an_hour = clock.wall() + HOUR
    at = sundial.schedule(in_an_hour, sundial.note, "at")
    after = sundial.schedule(timedelta(seconds=HOUR), sundial.note, "after")
    later = sundial.schedule(in_an_hour + HOUR, sundial.note, "later")
    gevent.sleep(0.02)
    clock.ahead = HOUR
    assert at.result(5) == "at"
    assert sundial.begun["at"] >= in_an_hour
    assert (after.status, later.status) == ("waiting", "waiting")


def test_a_clock_set_back_makes_times_of_day_wait_and_leaves_pauses(clock, sundial):
    # Late enough for the clock to be set before, also on a machine that is busy.
    at = sundial.schedule(clock.wall() + 1.0, sundial.note, "at")
    after = sundial.schedule(timedelta(seconds=1.0), sundial.note, "after")
    clock.ahead = -HOUR
    assert after.result(5) == "after"
    gevent.sleep(0.1)
    assert at.status == "waiting"
    # Set right again, it is not forgotten.
    clock.ahead = 0.0
    assert at.result(5) == "at"


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_leases_do_not_notice(server, clock, sundial, ahead):
    jobs = server.worker.jobs
    held = sundial.enqueue(0, sundial.hold)
    wait_for(lambda: held.status == "running")
    (before,) = jobs.engine.runners().values()
    clock.ahead = ahead
    gevent.sleep(0.5)
    (after,) = jobs.engine.runners().values()
    assert -0.1 <= after - before < 5
    sundial.gate.set()
    assert held.result(5) == "held"


@pytest.mark.parametrize("ahead", [HOUR, -HOUR])
def test_what_waits_for_its_time_of_day_keeps_it_over_a_boot(tmp_path, ahead):
    noon = 1_000_000.0
    first = SQLiteEngine(tmp_path / "jobs.db")
    clock = JobClock(wall=lambda: noon - HOUR, monotonic=lambda: 50.0)
    clock.offset = first.open(clock.true_offset, "one boot")
    first.put([JobRecord(id="a", method="x.y", due=clock.at(noon), follows_clock=True)])
    first.shift(ahead)
    first.close()
    # The clock was set, so that the time of day is another one on the jobs' clock.
    second = SQLiteEngine(tmp_path / "jobs.db")
    clock = JobClock(wall=lambda: noon - 0.001, monotonic=lambda: 1.0)
    clock.offset = second.open(clock.true_offset, "another boot")
    due = second.next_due(0.0)
    assert due == pytest.approx(clock.at(noon))
    assert due > clock.now()
    second.close()
