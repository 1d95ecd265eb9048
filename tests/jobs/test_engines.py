"""What every engine does alike."""

import gevent
import pytest

from tests.jobs.engines import MAKERS, claim, ids, put, record
from toolserver.errors import Overload
from toolserver.jobs.records import Ending, JobState

DONE = Ending(JobState.DONE, result=b"result")


@pytest.fixture(params=MAKERS)
def make(request, tmp_path):
    made = []

    def make(**options):
        engine = MAKERS[request.param](tmp_path, **options)
        engine.open(0.0, "boot")
        made.append(engine)
        return engine

    yield make
    for engine in made:
        engine.close()


@pytest.fixture
def engine(make):
    return make()


def end(engine, claims, ending=DONE, now=2.0):
    endings = {each.job.id: (each.attempt, ending) for each in claims}
    return engine.finish(endings, now=now)


def test_a_job_is_claimed_run_and_kept(engine):
    whole = record(
        "a", arguments=b"args", queue="press", priority=3, client="ann", groups=("x",)
    )
    assert engine.put([whole]) == [True]
    assert engine.put([whole]) == [False]
    assert engine.status("a").state is JobState.WAITING
    (claimed,) = claim(engine)
    assert claimed.job == whole
    assert (claimed.attempt, claimed.tries) == (1, 0)
    running = engine.status("a")
    assert (running.state, running.runner, running.started) == ("running", "one", 1.0)
    assert end(engine, [claimed]) == {"a"}
    done = engine.status("a")
    assert (done.state, done.result, done.finished) == ("done", b"result", 2.0)
    assert end(engine, [claimed]) == set()
    assert engine.status("b") is None


def test_of_a_queue_one_runs_by_priority_and_arrival(engine):
    for priority in (1, 3, 2):
        put(engine, f"{priority}a", f"{priority}b", queue="q", priority=priority)
    order = []
    while claims := claim(engine):
        assert len(claims) == 1
        assert claim(engine, runner="two") == []
        order += ids(claims)
        end(engine, claims)
    assert order == ["3a", "3b", "2a", "2b", "1a", "1b"]


def test_queues_and_others_run_side_by_side(engine):
    for queue in ("p", "q", None):
        put(engine, *(f"{queue}{number}" for number in range(3)), queue=queue)
    found = ids(claim(engine, 10))
    assert sorted(found) == ["None0", "None1", "None2", "p0", "q0"]
    assert claim(engine) == []


def test_no_kind_waits_for_the_end_of_the_other(engine):
    for number in range(20):
        put(engine, f"b{number}")
        put(engine, f"q{number}", queue=f"queue{number}")
    seen = []
    for _ in range(10):
        claims = claim(engine, 2)
        seen += ids(claims)
        end(engine, claims)
    assert sum(id_.startswith("q") for id_ in seen) == 10
    assert len(set(seen)) == 20


def test_where_there_is_room_for_one_they_take_turns(engine):
    for number in range(10):
        put(engine, f"b{number}")
        put(engine, f"q{number}", queue="q")
    seen = []
    for _ in range(10):
        claims = claim(engine, 1)
        seen += ids(claims)
        end(engine, claims)
    assert sum(id_.startswith("q") for id_ in seen) == 5


def test_a_full_queue_lets_others_come(engine):
    for number in range(10):
        put(engine, f"a{number}", queue="a", priority=9)
        put(engine, f"b{number}", queue="b")
    seen = []
    for _ in range(10):
        claims = claim(engine, 1)
        seen += ids(claims)
        end(engine, claims)
    assert sum(id_.startswith("b") for id_ in seen) == 5


def test_what_is_not_due_waits(engine):
    put(engine, "late", due=20.0)
    put(engine, "soon", due=10.0, queue="q")
    put(engine, "now", due=1.0, queue="q")
    assert engine.next_due(0.0) == 1.0
    assert ids(claim(engine, now=0.99)) == []
    first = claim(engine, now=1.0)
    assert ids(first) == ["now"]
    assert engine.next_due(1.0) == 10.0
    end(engine, first)
    assert ids(claim(engine, now=30.0)) in (["late", "soon"], ["soon", "late"])
    assert engine.next_due(30.0) is None


def test_jobs_outside_of_queues_come_by_their_time(engine):
    for due in (5.0, 3.0, 4.0):
        put(engine, f"{due}", due=due)
    assert ids(claim(engine, now=9.0)) == ["3.0", "4.0", "5.0"]


def test_a_failed_try_waits_for_its_time_and_holds_up_nobody(engine):
    put(engine, "a", "b", queue="q")
    claims = claim(engine)
    again = Ending(JobState.WAITING, error=b"why", due=5.0)
    assert end(engine, claims, again) == {"a"}
    status = engine.status("a")
    assert (status.state, status.tries, status.error) == ("waiting", 1, b"why")
    second = claim(engine)
    assert ids(second) == ["b"]
    end(engine, second)
    assert claim(engine, now=4.9) == []
    (third,) = claim(engine, now=5.0)
    assert (third.job.id, third.attempt, third.tries) == ("a", 2, 1)


def test_the_jobs_of_the_dead_run_again_and_their_ends_are_refused(engine):
    put(engine, "a", "b", "c", queue="q")
    put(engine, "d")
    dead = claim(engine, runner="dead", lease=5.0)
    assert sorted(ids(dead)) == ["a", "d"]
    assert engine.runners() == {"dead": 5.0}
    found = engine.recover(["dead"], now=6.0, max_attempts=5)
    assert sorted(found) == [("a", JobState.WAITING), ("d", JobState.WAITING)]
    assert engine.runners() == {}
    again = claim(engine, now=6.0, runner="two")
    assert sorted(ids(again)) == ["a", "d"]
    assert {each.attempt for each in again} == {2}
    assert end(engine, dead) == set()
    assert end(engine, again) == {"a", "d"}
    assert ids(claim(engine)) == ["b"]


def test_what_is_begun_too_often_is_lost(engine):
    put(engine, "a")
    for attempt in (1, 2, 3):
        (claimed,) = claim(engine, runner=f"r{attempt}")
        assert claimed.attempt == attempt
        ((_, state),) = engine.recover([f"r{attempt}"], now=1.0, max_attempts=3)
    assert state is JobState.LOST
    assert engine.status("a").state is JobState.LOST
    assert claim(engine) == []


def test_what_is_given_back_is_not_lost_and_yet_fenced(engine):
    put(engine, "a", queue="q")
    before = []
    for _ in range(3):
        (claimed,) = claim(engine)
        assert end(engine, before) == set()
        before.append(claimed)
        assert engine.release("one", now=1.0) == ["a"]
        assert end(engine, [claimed]) == set()
    assert engine.runners() == {}
    claim(engine, runner="two")
    assert engine.recover(["two"], now=1.0, max_attempts=2) == [("a", "waiting")]
    claim(engine, runner="two")
    assert engine.recover(["two"], now=1.0, max_attempts=2) == [("a", "lost")]


def test_what_somebody_wants_ended_is_not_begun_again(engine):
    put(engine, "a", "b")
    claims = claim(engine)
    for id_ in ("a", "b"):
        assert engine.cancel(id_, now=1.0) is JobState.RUNNING
    again = Ending(JobState.WAITING, due=1.0)
    assert end(engine, [each for each in claims if each.job.id == "a"], again) == {"a"}
    assert engine.release("one", now=1.0) == []
    assert engine.counts().states == {JobState.CANCELLED: 2}


def test_jobs_that_follow_the_clock_wait_again_when_it_is_set_back(engine):
    put(engine, "q", queue="q", due=10.0, follows_clock=True)
    put(engine, "beside", due=10.0, follows_clock=True)
    put(engine, "other", due=10.0)
    assert claim(engine, 0, now=11.0) == []
    engine.shift(-60.0)
    assert ids(claim(engine, now=60.0)) == ["other"]
    assert engine.next_due(60.0) == 70.0
    assert sorted(ids(claim(engine, now=70.0))) == ["beside", "q"]


def test_a_pause_before_another_try_does_not_follow_the_clock(engine):
    put(engine, "a", follows_clock=True)
    end(engine, claim(engine), Ending(JobState.WAITING, due=5.0))
    engine.shift(-60.0)
    assert ids(claim(engine, now=5.0)) == ["a"]


def test_what_is_due_is_not_the_next_that_becomes_due(engine):
    put(engine, "q", queue="q", due=5.0)
    put(engine, "beside", due=6.0)
    assert engine.next_due(7.0) is None
    put(engine, "later", due=8.0)
    assert engine.next_due(7.0) == 8.0


def test_what_is_due_for_longest_is_told(engine):
    assert engine.oldest_due(9.0) is None
    put(engine, "late", due=5.0, queue="q")
    put(engine, "latest", due=3.0)
    put(engine, "later", due=20.0)
    assert engine.oldest_due(2.0) is None
    assert engine.oldest_due(9.0) == 3.0
    claim(engine, now=9.0)
    assert engine.oldest_due(10.0) is None


def test_a_queue_may_have_no_name(engine):
    put(engine, "root", "root2", queue="")
    put(engine, "a", queue="a")
    assert sorted(ids(claim(engine))) == ["a", "root"]


def test_queues_take_turns(engine):
    for number in range(6):
        put(engine, f"{number}a", f"{number}b", queue=f"q{number}")
    seen = []
    for _ in range(6):
        claims = claim(engine, 2)
        seen += ids(claims)
        end(engine, claims)
    assert sorted(id_[0] for id_ in seen[:6]) == list("012345")
    assert len(set(seen)) == 12


def test_leases_are_kept_and_news_are_told(engine):
    put(engine, "a", "b")
    claim(engine, lease=5.0)
    engine.extend("one", 8.0)
    assert engine.status("a").state is JobState.RUNNING
    assert engine.cancel("b", now=1.0) is JobState.RUNNING
    told = {"a": (0.5, "half"), "nobody's": (1.0, "")}
    assert engine.beat("one", told, lease=9.0) == {"a": (1, False), "b": (1, True)}
    assert engine.beat("two", {"a": (0.9, "x")}, lease=9.0) == {}
    assert engine.runners()["one"] == 9.0
    status = engine.status("a")
    assert (status.fraction, status.text) == (0.5, "half")
    found = dict(engine.recover(["one"], now=10.0, max_attempts=5))
    assert found == {"a": JobState.WAITING, "b": JobState.CANCELLED}


def test_cancelled_jobs_never_run(engine):
    put(engine, "a", "b", queue="q")
    put(engine, "c", due=50.0, queue="q")
    (first,) = claim(engine)
    assert engine.cancel("b", now=1.0) is JobState.CANCELLED
    assert engine.cancel("c", now=1.0) is JobState.CANCELLED
    assert engine.cancel("nope", now=1.0) is None
    end(engine, [first])
    assert engine.cancel("a", now=1.0) is JobState.DONE
    assert claim(engine, now=60.0) == []
    assert engine.next_due(1.0) is None


def test_a_result_is_handed_out_once_or_kept_or_dropped(engine):
    put(engine, "once", once=True)
    put(engine, "kept")
    put(engine, "dropped", keeps_result=False)
    assert engine.take("once").state is JobState.WAITING
    end(engine, claim(engine))
    assert engine.take("once").result == b"result"
    taken = engine.take("once")
    assert (taken.result, taken.is_taken) == (None, True)
    assert engine.take("kept").result == engine.take("kept").result == b"result"
    assert engine.take("dropped").result is None
    assert engine.take("nope") is None


def test_what_has_ended_is_forgotten_after_its_time(engine):
    put(engine, "a", result_ttl=10.0)
    put(engine, "b", result_ttl=20.0)
    put(engine, "c")
    end(engine, [each for each in claim(engine) if each.job.id != "c"], now=2.0)
    assert engine.purge(now=11.9) == 0
    assert engine.purge(now=12.0) == 1
    assert engine.status("a") is None
    assert engine.has_expired("a")
    assert not engine.has_expired("b")
    assert not engine.has_expired("nope")
    assert engine.purge(now=1e9) == 1
    assert engine.status("c").state is JobState.RUNNING


def test_what_was_made_once_more_is_not_forgotten_by_its_first_end(engine):
    put(engine, "a", result_ttl=10.0)
    end(engine, claim(engine), Ending(JobState.FAILED, error=b"why"), now=2.0)
    assert engine.retry("a", now=3.0) is JobState.WAITING
    assert engine.purge(now=12.0) == 0
    end(engine, claim(engine, now=12.0), now=13.0)
    assert engine.purge(now=22.9) == 0
    assert engine.purge(now=23.0) == 1
    assert engine.has_expired("a")


@pytest.mark.parametrize("module", ["memory", "sqlite"])
def test_of_the_forgotten_the_last_ones_are_known(tmp_path, monkeypatch, module):
    monkeypatch.setattr(f"toolserver.jobs.{module}._REMEMBERED", 2)
    engine = MAKERS[module](tmp_path)
    engine.open(0.0, "boot")
    for id_ in "abc":
        put(engine, id_, result_ttl=0.0)
        end(engine, claim(engine))
        assert engine.purge(now=9.0) == 1
    assert [engine.has_expired(id_) for id_ in "abc"] == [False, True, True]
    engine.close()


def test_others_have_their_turn_while_thousands_are_forgotten(engine):
    put(engine, *map(str, range(2500)), result_ttl=0.0)
    end(engine, claim(engine, 2500))
    forgetting = gevent.spawn(engine.purge, now=9.0)
    turns = 0
    while not forgetting.ready():
        turns += 1
        gevent.sleep(0)
    assert turns > 2
    assert forgetting.get() == 2500
    assert engine.status("0") is None


def test_jobs_for_a_time_of_day_follow_it(engine):
    put(engine, "day", due=100.0, follows_clock=True)
    put(engine, "pause", due=100.0)
    for _ in range(2):
        engine.shift(60.0)
    assert engine.next_due(0.0) == 40.0
    assert ids(claim(engine, now=50.0)) == ["day"]
    engine.shift(-60.0)
    assert ids(claim(engine, now=100.0)) == ["pause"]


def test_there_is_a_bound(make):
    engine = make(max_stored=3)
    put(engine, "a", "b")
    with pytest.raises(Overload, match="3 are kept"):
        put(engine, "c", "d")
    assert engine.status("c") is None
    put(engine, "c", result_ttl=0.0)
    with pytest.raises(Overload):
        put(engine, "d")
    end(engine, [each for each in claim(engine) if each.job.id == "c"])
    engine.purge(now=9.0)
    assert put(engine, "d") == [True]


def test_jobs_are_found_and_counted(engine):
    put(engine, "a", "b", queue="q", client="ann")
    put(engine, "c", client="bob")
    claim(engine, 1)
    claim(engine, 1)
    assert [each.job.id for each in engine.find()] == ["c", "b", "a"]
    assert [each.job.id for each in engine.find(client="ann", limit=1)] == ["b"]
    assert [each.job.id for each in engine.find(state=JobState.RUNNING)] == ["c", "a"]
    assert [each.job.id for each in engine.find(queue="q")] == ["b", "a"]
    counts = engine.counts()
    assert counts.states == {JobState.WAITING: 1, JobState.RUNNING: 2}
    assert counts.waiting == {"q": 1}


def test_many_greenlets_use_it_at_once(engine):
    def work(number):
        put(engine, f"{number}a", f"{number}b", queue=f"q{number % 5}")

    gevent.joinall([gevent.spawn(work, n) for n in range(100)], raise_error=True)
    seen = []

    def run(name):
        while claims := claim(engine, 3, runner=name):
            queues = [each.job.queue for each in claims]
            assert len(set(queues)) == len(queues)
            gevent.sleep(0)
            assert end(engine, claims) == set(ids(claims))
            seen.extend(ids(claims))

    while len(seen) < 200:
        gevent.joinall([gevent.spawn(run, f"r{n}") for n in range(4)], raise_error=True)
    assert len(set(seen)) == len(seen) == 200
