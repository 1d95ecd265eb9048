"""Short work beside the loop: results, errors, and callers that are ended."""

from __future__ import annotations

import os

import gevent
import pytest
from gevent.monkey import get_original
from gevent.pool import Pool

from toolserver.nativethreads import offload

native_sleep = get_original("time", "sleep")
native_ident = get_original("_thread", "get_ident")


def test_results_and_errors_come_back():
    assert offload(divmod, 7, 2) == (3, 1)
    assert offload(int, "ff", base=16) == 255
    with pytest.raises(ZeroDivisionError):
        offload(divmod, 1, 0)
    with pytest.raises(SystemExit):
        offload(os.sys.exit, 3)
    assert offload(native_ident) != native_ident()


def test_many_at_once_get_what_is_theirs():
    pool = Pool(50)
    assert pool.map(lambda n: offload(pow, n, 2), range(500)) == [
        n * n for n in range(500)
    ]


def test_others_go_on_meanwhile():
    begun, ended = [], []

    def work():
        begun.append(True)
        while not ended:
            native_sleep(0.001)
        return "done"

    greenlet = gevent.spawn(offload, work)
    while not begun:
        gevent.sleep(0.001)
    ended.append(True)
    assert greenlet.get() == "done"


def test_work_is_done_before_its_caller_is_ended():
    begun, may_end, ended = [], [], []

    def work():
        begun.append(True)
        while not may_end:
            native_sleep(0.001)
        ended.append(True)

    def caller():
        try:
            offload(work)
        finally:
            seen.extend(ended)

    seen: list[bool] = []
    greenlet = gevent.spawn(caller)
    while not begun:
        gevent.sleep(0.001)
    greenlet.kill(block=False)
    gevent.sleep(0.01)
    assert not greenlet.dead
    may_end.append(True)
    greenlet.join(10)
    assert greenlet.dead
    assert seen == [True]
    # Whoever comes next is not woken by it.
    assert offload(len, "abc") == 3


def test_a_loop_that_waits_for_it_alone_does_not_end():
    """In a thread of its own, whose loop has nothing else to do."""

    def run():
        return offload(native_sleep, 0.02) is None and offload(len, "abc")

    assert gevent.get_hub().threadpool.apply(run) == 3


def test_a_fork_has_threads_of_its_own():
    assert offload(len, "abc") == 3
    pid = gevent.os.fork()
    if not pid:
        status = 1
        try:
            status = 0 if offload(len, "abc") == 3 else 2
        finally:
            os._exit(status)
    _, status = gevent.os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
