"""The tuple space."""

from __future__ import annotations

import enum
import itertools
import socket
import time

import gevent
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

import toolserver.testing
from toolserver import NoTuple, Space, StandardTool, chain, notify, register
from toolserver import universe as shared
from toolserver import wait as wait_for
from toolserver.errors import Overload
from toolserver.serverspace import Universe
from toolserver.sharing.hub import Hub
from toolserver.sharing.link import Link
from toolserver.sharing.sharedspace import SharedSpace
from toolserver.tuplespace import SpaceClosed, SpaceFull
from toolserver.tuplestore import TupleStore


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def local_space(*, on_removed=None, **options):
    """The space of one process."""
    return Space(on_removed=on_removed, **options), lambda: None


def shared_space(*, on_removed=None, **options):
    """One that several processes share, of which this is the only one."""
    ours, theirs = socket.socketpair()
    hub = Hub(**options)
    hub.attach(theirs)
    link = Link(ours)
    if on_removed is not None:
        link.on_expired(on_removed)
    return SharedSpace(link, on_removed=on_removed), link.close


@pytest.fixture(params=[local_space, shared_space], ids=["local", "shared"])
def make_space(request):
    closes = []

    def make_space(**options):
        space, close = request.param(**options)
        closes.append(close)
        return space

    yield make_space
    for close in closes:
        close()


@pytest.fixture
def space(make_space, clock):
    return make_space(clock=clock)


def waiting(function, *args, **kwargs):
    """Let a greenlet begin to wait."""
    greenlet = gevent.spawn(function, *args, **kwargs)
    gevent.idle()
    # What it asks for has arrived before this is answered.
    len(getattr(function, "__self__", ()))
    assert not greenlet.ready()
    return greenlet


class Topic(enum.StrEnum):
    ORDER = "order"


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        (("order", 7, "Ann"), True),
        (("order", 7.0, "Ann"), True),
        ((Topic.ORDER, 7, "Ann"), True),
        (("order", ..., ...), True),
        ((..., ..., ...), True),
        ((str, int, str), True),
        ((str, int | None, object), True),
        (("order", lambda number: number > 5, ...), True),
        ((str.islower, ..., str.istitle), True),
        (("order", 8, "Ann"), False),
        (("order", str, ...), False),
        (("order", lambda number: number > 7, ...), False),
        (("orders", ..., ...), False),
        (("order", ...), False),
        (("order", ..., ..., ...), False),
        ((), False),
    ],
)
def test_patterns(space, pattern, fits):
    space.out(("order", 7, "Ann"))
    space.out(("else",))
    for look in (space.read, space.take):
        if fits:
            assert look(pattern, timeout=0) == ("order", 7, "Ann")
        else:
            with pytest.raises(NoTuple, match="no tuple fits"):
                look(pattern, timeout=0)
    assert len(space) == (1 if fits else 2)


def test_members_of_enumerations_are_found_by_their_text(space):
    space.out((Topic.ORDER, 1))
    assert space.take(("order", int), timeout=0) == ("order", 1)


def test_what_came_first_goes_first(space):
    for number in range(3):
        space.out(("n", number))
        space.out((number, "n"))
    assert [space.take(("n", int), timeout=0)[1] for _ in range(2)] == [0, 1]
    assert space.take((..., ...), timeout=0) == (0, "n")
    assert space.read((..., ...), timeout=0) == (1, "n")
    assert space.take(("n", int), timeout=0) == ("n", 2)


@pytest.mark.parametrize("wrong", [["a"], "a", None])
def test_only_tuples_are_tuples(space, wrong):
    with pytest.raises(TypeError, match="expected a tuple"):
        space.out(wrong)
    with pytest.raises(TypeError, match="expected a tuple"):
        space.take(wrong, timeout=0)


def test_a_generic_class_is_no_pattern(space):
    with pytest.raises(TypeError, match=r"got list\[int\], expected a plain class"):
        space.take((list[int],), timeout=0)


def test_nothing_fits_after_its_lifetime(space, clock):
    space.out(("a",), ttl=5)
    space.out(("b",), ttl=2)
    clock.now += 1.9
    assert len(space) == 2
    clock.now += 0.1
    with pytest.raises(NoTuple):
        space.read(("b",), timeout=0)
    assert space.read((str,), timeout=0) == ("a",)
    clock.now += 60
    assert len(space) == 0


def test_a_tuple_without_lifetime_is_for_those_who_wait(space):
    reader = waiting(space.read, ("a", ...))
    space.out(("a", 1), ttl=0)
    assert reader.get(timeout=5) == ("a", 1)
    with pytest.raises(NoTuple):
        space.read(("a", ...), timeout=0)


@pytest.mark.parametrize("ttl", [-1, float("nan")])
def test_a_lifetime_is_not_negative(space, ttl):
    with pytest.raises(ValueError, match="expected seconds, 0 or more"):
        space.out(("a",), ttl=ttl)


def test_times_of_what_was_taken_are_forgotten():
    store = TupleStore()
    for number in range(1000):
        entry = store.make((number,), 3600.0 + number)
        store.insert(entry)
        store.remove(entry)
    assert len(store._expiries) < 100


def test_who_waits_has_the_tuple_at_once(space):
    taker = waiting(space.take, ("job", int))
    space.out(("job", "x"))
    space.out(("job", 1))
    assert taker.get(timeout=5) == ("job", 1)
    assert len(space) == 1


def test_who_came_first_is_served_first(space):
    takers = [waiting(space.take, ("job", ...)) for _ in range(3)]
    for number in range(3):
        space.out(("job", number))
    gevent.joinall(takers, timeout=5)
    assert [taker.value for taker in takers] == [("job", 0), ("job", 1), ("job", 2)]


def test_all_who_read_and_one_who_takes_have_the_tuple(space):
    readers = [waiting(space.read, ("news", ...)) for _ in range(2)]
    takers = [waiting(space.take, ("news", ...)) for _ in range(2)]
    space.out(("news", 1))
    gevent.joinall([*readers, takers[0]], timeout=5)
    assert [greenlet.value for greenlet in (*readers, takers[0])] == [("news", 1)] * 3
    assert not takers[1].ready()
    takers[1].kill()


def test_waiting_ends_after_its_time(space):
    began = time.monotonic()
    with pytest.raises(NoTuple, match=r"fitted \('a', Ellipsis\) in 0.01 s"):
        space.take(("a", ...), timeout=0.01)
    assert time.monotonic() - began < 5
    space.out(("a", 1))
    assert len(space) == 1
    assert issubclass(NoTuple, TimeoutError)


def test_each_reader_has_each_tuple_once(space):
    space.out(("news", 1))
    space.out(("news", 2))
    for reader in ("ann", "bob"):
        assert space.read(("news", ...), reader=reader, timeout=0) == ("news", 1)
        assert space.read(("news", ...), reader=reader, timeout=0) == ("news", 2)
        with pytest.raises(NoTuple):
            space.read(("news", ...), reader=reader, timeout=0)
    assert space.read(("news", ...), timeout=0) == ("news", 1)
    reader = waiting(space.read, ("news", ...), reader="ann")
    space.out(("news", 3))
    assert reader.get(timeout=5) == ("news", 3)
    with pytest.raises(NoTuple):
        space.read(("news", ...), reader="ann", timeout=0)


def test_two_who_wait_under_one_name_share_the_tuples(space):
    readers = [waiting(space.read, ("news", ...), reader="ann") for _ in range(2)]
    space.out(("news", 1))
    space.out(("news", 2))
    gevent.joinall(readers, timeout=5)
    assert [reader.value for reader in readers] == [("news", 1), ("news", 2)]


def test_what_a_killed_greenlet_should_have_had_is_not_lost(space):
    taker = waiting(space.take, ("job", ...))
    taker.kill(block=False)
    space.out(("job", 1))
    space.out(("job", 2))
    taker.join()
    assert space.take(("job", ...), timeout=0) == ("job", 1)
    assert space.take((..., ...), timeout=0) == ("job", 2)


def test_what_a_killed_greenlet_should_have_had_is_the_next_ones(space):
    first, second = (waiting(space.take, ("job", ...)) for _ in range(2))
    first.kill(block=False)
    space.out(("job", 1))
    assert second.get(timeout=5) == ("job", 1)
    first, second = (waiting(space.read, ("job", ...), reader="ann") for _ in range(2))
    first.kill(block=False)
    space.out(("job", 2))
    assert second.get(timeout=5) == ("job", 2)
    reader = waiting(space.read, ("more", ...))
    reader.kill(block=False)
    space.out(("more", 1))
    reader.join()
    assert space.take(("more", ...), timeout=0) == ("more", 1)


def test_a_time_out_around_the_waiting_loses_nothing(space):
    with gevent.Timeout(0.01, False):
        space.take(("job", ...))
        pytest.fail("the time-out was swallowed")
    space.out(("job", 1))
    assert len(space) == 1


def test_a_predicate_that_fails_is_its_owners_matter(space):
    bad = waiting(space.take, (lambda value: 1 / value,))
    good = waiting(space.take, (0,))
    space.out((0,))
    assert good.get(timeout=5) == (0,)
    with pytest.raises(ZeroDivisionError):
        bad.get(timeout=5)


def test_a_full_space_says_so(make_space):
    space = make_space(max_tuples=2)
    space.out((1,))
    space.out((2,))
    with pytest.raises(SpaceFull, match="it holds 2 tuples"):
        space.out((3,))
    # Who waits needs no room.
    taker = waiting(space.take, (4,))
    space.out((4,))
    assert taker.get(timeout=5) == (4,)
    space.take((1,), timeout=0)
    space.out((5,))


def test_closing_wakes_all_and_lets_nobody_wait(space):
    greenlets = [
        waiting(space.take, ("a",)),
        waiting(space.read, ("a",), timeout=60),
        waiting(space.wait, "topic"),
    ]
    space.close()
    for greenlet in greenlets:
        with pytest.raises(SpaceClosed, match="the server stops"):
            greenlet.get(timeout=5)
    space.out(("a",))
    assert space.take(("a",)) == ("a",)
    with pytest.raises(SpaceClosed):
        space.take(("a",))
    with pytest.raises(NoTuple):
        space.take(("a",), timeout=0)
    assert issubclass(SpaceClosed, Overload)


def test_what_is_removed_is_told(make_space, clock):
    told = []
    space = make_space(clock=clock, on_removed=told.append)
    space.out(("taken",))
    space.out(("expired",), ttl=1)
    space.read(("taken",), timeout=0)
    space.take(("taken",), timeout=0)
    taker = waiting(space.take, ("handed",))
    space.out(("handed",))
    taker.get(timeout=5)
    clock.now += 1
    assert len(space) == 0
    assert told == [("taken",), ("handed",), ("expired",)]


def test_a_long_queue_is_taken_from_in_no_time():
    space = Space()
    for number in range(50_000):
        space.out(("job", number))
    began = time.monotonic()
    for number in range(50_000):
        assert space.take(("job", ...), timeout=0)[1] == number
    # Some tenths of a second; it would be minutes if each looked at all before it.
    assert time.monotonic() - began < 20


def test_those_who_wait_for_a_topic_are_told(space):
    assert space.notify("prices", 0) == 0
    waiters = [waiting(space.wait, "prices") for _ in range(2)]
    other = waiting(space.wait, "weather")
    assert space.notify("prices", 1) == 2
    gevent.joinall(waiters, timeout=5)
    assert [waiter.value for waiter in waiters] == [1, 1]
    other.kill()
    with pytest.raises(NoTuple, match=r"told under 'prices' in 0.01 s"):
        space.wait("prices", timeout=0.01)
    with pytest.raises(NoTuple, match="'prices' just now"):
        space.wait("prices", timeout=0)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_who_waits_for_any_tuple_is_told_of_no_topic(space, length):
    reader = waiting(space.read, (...,) * length)
    taker = waiting(space.take, (...,) * length)
    listener = waiting(space.wait, "prices")
    assert space.notify("prices", 1) == 1
    assert listener.get(timeout=5) == 1
    assert not reader.ready()
    gevent.killall([reader, taker])


def test_a_topic_may_be_waited_for_again_at_once(space):
    def listen():
        return [space.wait("prices") for _ in range(2)]

    listener = waiting(listen)
    assert space.notify("prices", 1) == 1
    gevent.idle()
    killed = waiting(space.wait, "prices")
    killed.kill()
    assert space.notify("prices", 2) == 1
    assert listener.get(timeout=5) == [1, 2]
    assert space.notify("prices", 3) == 0


class SpaceMachine(RuleBasedStateMachine):
    """The space against a list that is looked through from its beginning."""

    values = st.tuples(st.sampled_from(["a", "b", 1]), st.integers(0, 2))
    patterns = st.tuples(
        st.sampled_from(["a", "b", 1, ..., str, int]),
        st.sampled_from([0, 1, 2, ..., int]) | st.just(lambda number: number > 0),
    )

    make_space = staticmethod(local_space)

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.removed = []
        self.space, self.close = self.make_space(
            clock=self.clock, on_removed=self.removed.append, max_tuples=8
        )
        self.model = []
        self.gone = 0

    def live(self):
        live = [entry for entry in self.model if entry[1] > self.clock.now]
        self.gone += len(self.model) - len(live)
        self.model = live
        return live

    @staticmethod
    def fits(pattern, values):
        return all(
            element is ...
            or (isinstance(element, type) and isinstance(value, element))
            or (type(element) in (str, int) and element == value)
            or (
                not isinstance(element, type | str | int)
                and element is not ...
                and element(value)
            )
            for element, value in zip(pattern, values, strict=True)
        )

    @rule(values=values, ttl=st.none() | st.integers(0, 5))
    def out(self, values, ttl):
        entry = (values, float("inf") if ttl is None else self.clock.now + ttl, set())
        if len(self.live()) >= 8:
            with pytest.raises(SpaceFull):
                self.space.out(values, ttl=ttl)
        else:
            self.space.out(values, ttl=ttl)
            self.model.append(entry)

    @rule(pattern=patterns)
    def take(self, pattern):
        for entry in self.live():
            if self.fits(pattern, entry[0]):
                self.model.remove(entry)
                self.gone += 1
                assert self.space.take(pattern, timeout=0) == entry[0]
                return
        with pytest.raises(NoTuple):
            self.space.take(pattern, timeout=0)

    @rule(pattern=patterns, reader=st.sampled_from(["", "ann", "bob"]))
    def read(self, pattern, reader):
        for entry in self.live():
            if self.fits(pattern, entry[0]) and reader not in entry[2]:
                if reader:
                    entry[2].add(reader)
                assert self.space.read(pattern, reader=reader, timeout=0) == entry[0]
                return
        with pytest.raises(NoTuple):
            self.space.read(pattern, reader=reader, timeout=0)

    @rule(seconds=st.integers(1, 4))
    def wait(self, seconds):
        self.clock.now += seconds

    @invariant()
    def holds_as_many(self):
        assert len(self.space) == len(self.live())
        assert len(self.removed) == self.gone


class SharedSpaceMachine(SpaceMachine):
    make_space = staticmethod(shared_space)

    def teardown(self):
        self.close()


TestSpaceMachine = SpaceMachine.TestCase
TestSharedSpaceMachine = SharedSpaceMachine.TestCase
TestSharedSpaceMachine.settings = settings(max_examples=25, deadline=None)


# In a server.


@register("bulletin")
class Bulletin(StandardTool):
    def post(self, text: str) -> None:
        shared.out(("post", text))

    def next(self, timeout: float | None = None) -> str:
        return shared.take(("post", str), timeout=timeout)[1]

    def shout(self, text: str) -> int:
        return notify("shouts", text)

    def listen(self) -> str:
        return wait_for("shouts", timeout=30)

    def count(self) -> int:
        return len(shared)


def until(condition):
    for _ in range(1000):
        if condition():
            return
        gevent.sleep(0.005)
    pytest.fail("nothing came of the waiting")


def test_calls_of_a_server_share_its_universe():
    with (
        toolserver.testing.serve(Bulletin) as server,
        toolserver.testing.serve(Bulletin) as other,
    ):
        taker = gevent.spawn(server.http.get, "/bulletin/next")
        listener = gevent.spawn(server.http.get, "/bulletin/listen")
        until(lambda: server.call("bulletin.shout", "hey"))
        assert listener.get(timeout=5).text == "hey"
        other.call("bulletin.post", "elsewhere")
        server.http.post("/bulletin/post", json={"text": "here"})
        assert taker.get(timeout=5).text == "here"
        assert server.call("bulletin.count") == 0
        assert other.call("bulletin.count") == 1
        answer = server.http.get("/bulletin/next?timeout=0.01")
        assert answer.status_code == 500
        assert "NoTuple" in answer.json()["detail"]


def test_a_stopping_server_wakes_all_who_wait():
    config = {"server": {"stop_timeout": 50.0}}
    with toolserver.testing.serve(Bulletin, config=config) as server:
        listener = gevent.spawn(server.http.get, "/bulletin/listen")
        until(lambda: server.worker.services.part(Universe)._listeners)
        began = time.monotonic()
        server.worker.stop()
        assert time.monotonic() - began < 25
        answer = listener.get(timeout=5)
        assert answer.status_code == 503
        assert "the server stops" in answer.text


def test_removed_tuples_are_told_by_a_chain():
    numbers = itertools.count()

    @register("removals")
    class Removals(StandardTool):
        def on_start(self):
            self.removed = []
            chain("system.tuple.removed", tuple).append(self.removed.append)
            chain("system.tuple.removed", tuple).append(self.fail)

        def fail(self, values):
            next(numbers)
            raise ValueError("broken")

    with toolserver.testing.serve(Bulletin, Removals) as server:
        server.call("bulletin.post", "x")
        assert server.call("bulletin.next") == "x"
        assert server.tool("removals").removed == [("post", "x")]
    assert next(numbers) == 1


def test_there_is_no_universe_without_a_server():
    with pytest.raises(RuntimeError, match="no server runs"):
        shared.out(("a",))
