"""The watchdog tells who holds up the loop."""

import inspect
import logging
import os
import re
import signal
import subprocess
import sys
import time

import gevent
import pytest
from gevent.monkey import get_original

import toolserver.testing
from toolserver import StandardTool, register
from toolserver.watchdog import Watchdog, _find_culprit, _warn

block = get_original("time", "sleep")
BOUND = 0.2


@register("slow")
class Slow(StandardTool):
    def computes(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass

    def waits_in_c(self, seconds: float) -> None:
        block(seconds)

    def keeps_the_lock_of_python(self) -> None:
        # The expression is one call in C that lets no other thread run.
        for length in range(20, 30):
            began = time.monotonic()
            re.match(r"(a+)+b", "a" * length)
            if time.monotonic() - began > 3 * BOUND:
                break

    def switches(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            gevent.sleep(0.001)


@pytest.fixture
def server():
    config = {"server": {"loop_block_warn": BOUND}}
    with toolserver.testing.serve(Slow, config=config) as server:
        yield server


@pytest.fixture
def told(caplog):
    caplog.set_level(logging.WARNING, "toolserver.watchdog")

    def find():
        return [r for r in caplog.records if r.name == "toolserver.watchdog"]

    return find


def until(test, seconds=10):
    with gevent.Timeout(seconds):
        while not test():
            gevent.sleep(0.005)


def place_of(method):
    lines, first = inspect.getsourcelines(method)
    return range(first + 1, first + len(lines))


@pytest.mark.parametrize("method", ["computes", "waits_in_c"])
def test_a_block_is_told_once_and_how_long_it_lasted(server, told, method):
    response = server.http.get(
        f"/slow/{method}?seconds=0.5", headers={"X-Request-Id": "the-request"}
    )
    assert response.status_code == 204
    until(lambda: len(told()) == 2)
    during, after = told()
    for record in during, after:
        text = record.getMessage()
        assert f"by slow.{method}, request the-request, at {__file__}:" in text
        assert record.pathname == __file__
        assert record.lineno in place_of(getattr(Slow, method))
        assert record.levelno == logging.WARNING
        assert f"in {method}" in record.stack_info
        assert "dispatcher.py" not in record.stack_info
    assert "is held up for at least" in during.getMessage()
    assert during.created < after.created
    lasted = float(after.getMessage().split("was held up for at least ")[1].split()[0])
    assert BOUND <= lasted <= 20
    gevent.sleep(3 * BOUND)
    assert len(told()) == 2


def test_what_lets_no_other_thread_run_is_told(server, told):
    server.http.get("/slow/keeps_the_lock_of_python")
    until(lambda: len(told()) == 2)
    # Which call it was may be unknown: it may have ended before anybody could look.
    assert "is held up for at least" in told()[0].getMessage()


def test_each_block_is_told(server, told):
    for count in (2, 4):
        server.http.get("/slow/computes?seconds=0.4")
        until(lambda count=count: len(told()) == count)


def test_calls_that_switch_are_not_told(server, told):
    server.http.get("/slow/switches?seconds=0.4")
    assert told() == []


def test_short_blocks_are_not_told(server, told):
    for _ in range(10):
        server.http.get(f"/slow/computes?seconds={BOUND / 4}")
    assert told() == []


def test_a_block_outside_of_any_call_is_told(told):
    watchdog = Watchdog(BOUND)
    watchdog.start()
    try:
        gevent.sleep(0.01)
        block(0.5)
        until(lambda: len(told()) == 2)
    finally:
        watchdog.stop()
    assert f"by no call, at {__file__}:" in told()[0].getMessage()


def test_a_block_that_outlasts_the_watchdog_is_told_once(told):
    watchdog = Watchdog(BOUND)
    watchdog.start()
    gevent.sleep(0.01)
    end = time.monotonic() + 60
    while not told() and time.monotonic() < end:
        block(0.01)
    watchdog.stop()
    # It looks from time to time whether it is to go on.
    block(3 * BOUND)
    gevent.sleep(0.01)
    (record,) = told()
    assert "is held up" in record.getMessage()


def test_who_held_up_the_loop_may_have_ended():
    culprit = _find_culprit(0)
    assert str(culprit) == "what has ended just now; it let no other thread run"


def test_nobody_is_told_where_warnings_are_not_wanted(caplog, told):
    caplog.set_level(logging.ERROR, "toolserver.watchdog")
    _warn(_find_culprit(0), "is", time.monotonic())
    assert told() == []


def test_a_stopped_watchdog_tells_nothing(told):
    watchdog = Watchdog(BOUND)
    watchdog.start()
    watchdog.stop()
    gevent.sleep(0.01)
    block(0.4)
    gevent.sleep(0.01)
    assert told() == []


SCRIPT = """
from gevent import monkey
monkey.patch_all()
import logging, sys, gevent
logging.basicConfig(stream=sys.stdout)
from toolserver.watchdog import Watchdog
Watchdog(0.2).start()
print("ready", flush=True)
gevent.sleep(float(sys.argv[1]))
print("end", flush=True)
"""


def test_a_stopped_process_is_no_block():
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, "2.5"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        for _ in range(3):
            os.kill(process.pid, signal.SIGSTOP)
            gevent.sleep(0.5)
            os.kill(process.pid, signal.SIGCONT)
            gevent.sleep(0.1)
        assert process.stdout.read() == "end\n"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
