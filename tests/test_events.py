"""Nobody is forgotten who waits for an event."""

import time

import gevent
from gevent.event import Event

from toolserver.events import wait_for


def burn():
    end = time.perf_counter() + 0.001
    while time.perf_counter() < end:
        pass


def test_who_comes_late_is_not_forgotten():
    # The loop looks at its timers between the late one's coming and the news.
    event = Event()
    first = gevent.spawn(wait_for, event, 0.02)
    gevent.sleep(0)
    late = gevent.spawn(wait_for, event, 5)
    busy = [gevent.spawn(burn) for _ in range(200)]
    event.set()
    assert late.get(timeout=15)
    gevent.joinall([first, *busy], timeout=15, raise_error=True)


def test_waits_have_an_end():
    event = Event()
    assert not wait_for(event, 0.01)
    waiting = gevent.spawn(wait_for, event)
    gevent.sleep(0)
    event.set()
    assert waiting.get(timeout=15)
