"""The greenlets that run requests, as tools and operators may treat them."""

from __future__ import annotations

import contextlib

import gevent
import pytest
from gevent.event import Event

from toolserver import pools
from toolserver.pools import Pool


class Work:
    """Notes that it was served, by whom."""

    def __init__(self, hold=None):
        self.by = []
        self.hold = hold

    def serve(self):
        self.by.append(gevent.getcurrent())
        if self.hold is not None:
            self.hold.wait()
        return False


@pytest.fixture
def pool():
    made = Pool(size=2, max_waiting=1, turns=10)
    yield made
    made.kill()
    assert not made.workers


def submit(pool, work):
    """Have some work done, as the loop does it."""
    taken = []
    gevent.get_hub().loop.run_callback(lambda: taken.append(pool.submit(work)))
    gevent.idle()
    return taken[0]


def test_a_greenlet_that_somebody_has_killed_serves_nobody(pool):
    first, second = Work(), Work()
    assert submit(pool, first)
    assert pool.busy == 0
    gevent.kill(first.by[0])
    gevent.idle()
    assert first.by[0].dead
    assert pool.busy == 0
    assert submit(pool, second)
    assert second.by[0] is not first.by[0]
    assert not second.by[0].dead


def test_a_greenlet_goes_from_one_piece_of_work_to_the_next(pool):
    works = [Work() for _ in range(3)]
    assert all(submit(pool, work) for work in works)
    assert len({id(work.by[0]) for work in works}) == 1


def test_what_is_linked_to_a_piece_of_work_is_told_of_its_end(pool):
    told = []

    class Linked(Work):
        def serve(self):
            greenlet = gevent.getcurrent()
            for note in (told.append, print):
                greenlet.rawlink(note)
            greenlet.unlink(print)
            # It is not there any more.
            greenlet.unlink(print)
            greenlet.mine = 1
            return super().serve()

    work = Linked()
    assert submit(pool, work)
    assert told == work.by
    assert not vars(work.by[0])


def test_more_than_may_wait_is_refused(pool):
    hold = Event()
    works = [Work(hold) for _ in range(4)]
    assert [submit(pool, work) for work in works] == [True, True, True, False]
    assert pool.busy == 2
    hold.set()
    gevent.idle()
    assert [len(work.by) for work in works] == [1, 1, 1, 0]


def test_who_clings_to_life_is_left_behind(monkeypatch):
    monkeypatch.setattr(pools, "_KILL_TURNS", 2)
    free = Event()

    def cling():
        while not free.is_set():
            with contextlib.suppress(gevent.GreenletExit):
                free.wait()

    stubborn = gevent.spawn(cling)
    gevent.idle()
    workers = {stubborn}
    pools.end_all(workers)
    assert workers == {stubborn}
    free.set()
    stubborn.join()
