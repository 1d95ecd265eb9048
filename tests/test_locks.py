"""The locks of tools."""

import logging

import gevent
import pytest
from gevent.event import Event

import toolserver.testing
from toolserver import StandardTool, call, limit, register
from toolserver.locks import RLock


@register("locked")
class Locked(StandardTool):
    def on_start(self) -> None:
        self.entered = Event()
        self.go = Event()
        self.inside = 0

    def hold(self) -> None:
        with self.lock:
            self.entered.set()
            self.go.wait()

    def pass_through(self) -> int:
        with self.lock:
            self.inside += 1
            return self.inside

    def twice(self) -> int:
        with self.lock, self.lock:
            return call("locked.pass_through")

    @limit(timeout=0.05)
    def hold_too_long(self) -> None:
        with self.lock:
            gevent.sleep(30)


@pytest.fixture
def lock():
    return RLock("shop", logging.getLogger("toolserver.tool.shop"))


@pytest.fixture
def server():
    with toolserver.testing.serve(Locked) as server:
        yield server


def test_calls_exclude_each_other(server):
    tool = server.tool("locked")
    first = gevent.spawn(server.call, "locked.hold")
    tool.entered.wait()
    second = gevent.spawn(server.call, "locked.pass_through")
    gevent.sleep(0)
    assert not tool.lock.is_held
    assert tool.inside == 0
    tool.go.set()
    gevent.joinall([first, second], raise_error=True)
    assert second.value == 1


def test_who_holds_it_may_take_it_again(server):
    assert server.call("locked.twice") == 1
    assert server.call("locked.pass_through") == 2


def test_a_call_that_is_ended_releases_it(server):
    with pytest.raises(toolserver.errors.CallTimeout):
        server.call("locked.hold_too_long")
    assert server.call("locked.pass_through") == 1


def test_a_waiter_that_is_ended_waits_no_longer(server):
    tool = server.tool("locked")
    holder = gevent.spawn(server.call, "locked.hold")
    tool.entered.wait()
    killed = gevent.spawn(tool.pass_through)
    patient = gevent.spawn(tool.pass_through)
    gevent.sleep(0)
    killed.kill()
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
        tool.pass_through()
    tool.go.set()
    gevent.joinall([holder, patient], raise_error=True)
    assert patient.value == 1
    assert server.call("locked.pass_through") == 2


def test_one_that_is_ended_when_its_turn_comes_passes_it_on(lock):
    lock.acquire()
    killed = gevent.spawn(lock.acquire)
    following = gevent.spawn(lock.acquire)
    gevent.sleep(0)
    killed.kill(block=False)
    lock.release()
    following.join(10)
    assert following.value is True


def test_who_waits_gets_it_in_order(lock):
    order = []

    def turn(number):
        with lock:
            order.append(number)
            gevent.sleep(0)

    lock.acquire()
    jobs = [gevent.spawn(turn, number) for number in range(5)]
    gevent.sleep(0)
    lock.release()
    jobs.append(gevent.spawn(turn, 5))
    gevent.joinall(jobs, raise_error=True)
    assert order == [0, 1, 2, 3, 4, 5]


def test_waiting_can_be_bounded(lock):
    with lock:

        def attempt():
            return lock.acquire(blocking=False), lock.acquire(timeout=0.01)

        assert gevent.spawn(attempt).get() == (False, False)
        assert lock.acquire(blocking=False)
        lock.release()
    assert gevent.spawn(lock.acquire, timeout=0).get() is True


def test_only_who_holds_it_releases_it(lock):
    with pytest.raises(RuntimeError, match="shop"):
        lock.release()
    with lock, pytest.raises(RuntimeError):
        gevent.spawn(lock.release).get()


def test_waiting_is_told_at_level_debug(server, caplog):
    caplog.set_level(logging.DEBUG, "toolserver.tool.locked")
    tool = server.tool("locked")
    holder = gevent.spawn(server.call, "locked.hold")
    tool.entered.wait()
    waiter = gevent.spawn(server.call, "locked.pass_through")
    gevent.sleep(0.02)
    tool.go.set()
    gevent.joinall([holder, waiter], raise_error=True)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "lock of locked: locked.pass_through, request " in told[0]
    assert " by locked.hold, request " in told[0]
    assert "locked.pass_through" in told[1]
    assert float(told[1].split("waited for ")[1].split(" ")[0]) >= 0.02


def test_nothing_is_told_otherwise(server, caplog):
    caplog.set_level(logging.DEBUG, "toolserver.tool.locked")
    server.call("locked.twice")
    assert caplog.records == []


def test_an_unused_lock_is_not_made(server):
    tool = server.tool("locked")
    assert "lock" not in vars(tool)
    assert tool.lock is tool.lock


def test_the_lock_is_final():
    with pytest.raises(TypeError, match="belongs to the framework"):

        class Bad(StandardTool):
            def lock(self) -> None: ...
