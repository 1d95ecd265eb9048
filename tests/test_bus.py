"""What the parts of one server tell each other."""

import logging

import gevent
import pytest
from gevent.event import Event

from toolserver import StandardTool, register
from toolserver.bus import Bus
from toolserver.contexts import Context, bind, current
from toolserver.services import services
from toolserver.testing import serve


@pytest.fixture
def bus():
    return Bus()


def settle():
    """Let everything be told that was published."""
    for _ in range(3):
        gevent.idle()


def test_subscribers_hear_in_order_and_only_of_their_topic(bus):
    first, second, other = [], [], []
    bus.subscribe("a", first.append)
    bus.subscribe("a", second.append)
    bus.subscribe("b", other.append)
    for number in range(100):
        bus.publish("a", number)
    assert first == [], "a publisher does not run the callbacks itself"
    settle()
    assert first == second == list(range(100))
    assert other == []


def test_nobody_hears_what_was_told_before(bus):
    heard = []
    bus.publish("a", 1)
    bus.subscribe("a", heard.append)
    bus.publish("a", 2)
    settle()
    assert heard == [2]


def test_one_that_fails_is_logged_and_harms_no_other(bus, caplog):
    heard = []

    def fails(value):
        raise ValueError(f"no {value}")

    bus.subscribe("a", fails)
    bus.subscribe("a", heard.append)
    with caplog.at_level(logging.ERROR, "toolserver"):
        bus.publish("a", 1)
        bus.publish("a", 2)
        settle()
    assert heard == [1, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "bus: a subscriber of 'a' failed"
    ] * 2


def test_who_has_ended_it_hears_no_more(bus):
    first, second = [], []
    end = bus.subscribe("a", first.append)
    bus.subscribe("a", second.append)
    bus.publish("a", 1)
    settle()
    end()
    end()
    bus.publish("a", 2)
    settle()
    assert (first, second) == ([1], [1, 2])


def test_a_callback_ends_another_one_that_comes_after_it(bus):
    heard = []
    ends = []
    bus.subscribe("a", lambda value: ends[0]())
    ends.append(bus.subscribe("a", heard.append))
    bus.publish("a", 1)
    settle()
    assert heard == []


def test_one_callback_may_be_subscribed_twice(bus):
    heard = []
    end = bus.subscribe("a", heard.append)
    bus.subscribe("a", heard.append)
    bus.publish("a", 1)
    settle()
    end()
    bus.publish("a", 2)
    settle()
    assert heard == [1, 1, 2]


def test_callbacks_may_publish(bus):
    heard = []
    bus.subscribe("a", lambda value: bus.publish("b", value + 1))
    bus.subscribe("b", heard.append)
    bus.publish("a", 1)
    settle()
    assert heard == [2]


def test_a_callback_that_ends_the_greenlet_ends_no_other(bus):
    heard = []

    def ends(value):
        raise gevent.GreenletExit

    bus.subscribe("a", ends)
    bus.subscribe("b", heard.append)
    bus.publish("a", 1)
    bus.publish("b", 2)
    settle()
    bus.publish("b", 3)
    settle()
    assert heard == [2, 3]


def test_callbacks_see_no_context_of_the_publisher(bus):
    seen = []
    done = Event()
    bus.subscribe("a", lambda value: seen.append(current()))
    bus.subscribe("a", lambda value: done.set())
    with bind(Context(client="ann")):
        bus.publish("a")
    assert done.wait(5)
    assert seen == [None]


def test_what_is_published_is_carried_and_told_here_once(bus):
    carried, heard = [], []
    bus.carry_by(lambda topic, value: carried.append((topic, value)))
    bus.subscribe("a", heard.append)
    bus.publish("a", 1)
    bus.publish("nobody listens here", 2)
    bus.deliver("a", 3)
    settle()
    assert heard == [1, 3]
    assert carried == [("a", 1), ("nobody listens here", 2)]


def test_a_callback_may_close_the_bus(bus):
    heard = []
    bus.subscribe("a", heard.append)
    bus.subscribe("a", lambda value: bus.close())
    bus.publish("a", 1)
    settle()
    assert heard == [1]
    bus.close()


@register("test.bus")
class Teller(StandardTool):
    def tell(self, value: int) -> None:
        services().part(Bus).publish("test", value)


def test_tools_of_one_server_share_a_bus():
    heard = []
    with serve(Teller) as server, serve(Teller) as other:
        server.worker.services.part(Bus).subscribe("test", heard.append)
        other.call("test.bus.tell", 1)
        server.call("test.bus.tell", 2)
        settle()
    assert heard == [2]
