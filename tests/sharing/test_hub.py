"""The hub and workers in processes of their own."""

import contextlib
import random
import signal
import socket
import time
from contextlib import ExitStack

import gevent
import pytest

from tests.sharing.peer import peer
from toolserver.errors import Overload
from toolserver.sharing import channel
from toolserver.sharing import hub as hub_module
from toolserver.sharing.channel import Channel
from toolserver.sharing.frames import frame
from toolserver.sharing.hub import Hub
from toolserver.sharing.link import Link
from toolserver.sharing.messages import Kind, described
from toolserver.sharing.sharedspace import SharedSpace
from toolserver.sharing.values import pack
from toolserver.tuplespace import NoTuple, SpaceClosed


@pytest.fixture
def hub():
    made = Hub()
    yield made
    made.close()


@pytest.fixture
def links(hub):
    """Makes links of this process."""
    made = []

    def links():
        ours, theirs = socket.socketpair()
        hub.attach(theirs)
        made.append(Link(ours))
        return made[-1]

    yield links
    for link in made:
        link.close()


@pytest.fixture
def space(links):
    return SharedSpace(links())


def until(condition):
    with gevent.Timeout(20):
        while not condition():
            gevent.sleep(0.005)


def line(running):
    """The next line that a process says."""
    return running.stdout.readline().strip()


def asks(hub, count):
    until(lambda: len(hub._space._asks) == count)


def test_each_tuple_goes_to_one_of_many_processes(hub, space):
    with ExitStack() as stack:
        takers = [stack.enter_context(peer(hub, "take_all")) for _ in range(3)]
        asks(hub, 3)
        for number in range(300):
            space.out(("job", number))
        until(lambda: len(space) == 0)
        for _ in takers:
            space.out(("job", -1))
        taken = [list(map(int, taker.stdout)) for taker in takers]
    assert all(each[-1] == -1 for each in taken)
    every = [number for each in taken for number in each[:-1]]
    assert sorted(every) == list(range(300))


def test_a_worker_that_dies_while_it_waits_takes_nothing_along(hub, space):
    with peer(hub, "take_one") as waiting:
        asks(hub, 1)
        waiting.kill()
        waiting.wait()
    space.out(("job", 1))
    assert space.take(("job", int), timeout=10) == ("job", 1)


def test_what_a_dead_worker_has_not_confirmed_comes_back(hub, space):
    space.out(("job", 1))
    space.out(("job", 2))
    with peer(hub, "hold") as holding:
        assert line(holding)
        assert space.read(("job", ...), timeout=0) == ("job", 2)
        taker = gevent.spawn(space.take, ("job", 1))
        asks(hub, 1)
        holding.kill()
        # Who waits for it has it.
        assert taker.get(timeout=10) == ("job", 1)
    with peer(hub, "hold") as holding:
        assert line(holding)
        space.out(("job", 3))
    until(lambda: len(space) == 2)
    # It is as old as it was.
    assert space.take(("job", ...), timeout=0) == ("job", 2)


def test_a_worker_that_judges_slowly_does_not_hold_up_the_others(hub, space):
    with peer(hub, "judge_slowly") as slow:
        asks(hub, 1)
        second = gevent.spawn(space.take, ("job", int))
        asks(hub, 2)
        began = time.monotonic()
        space.out(("job", 1))
        assert second.get(timeout=10) == ("job", 1)
        assert time.monotonic() - began < 1.9
        assert line(slow) == "judging"
        space.out(("job", 2))
        assert line(slow) == "judging"
        assert line(slow) == "2"
    with pytest.raises(NoTuple):
        space.take((..., ...), timeout=0)


def test_who_stands_behind_one_that_was_served_otherwise_is_not_forgotten(hub, links):
    link = links()
    judge, exact = link.open(), [gevent.spawn(SharedSpace(links()).take, ("job", int))]
    link.send(Kind.ASK, judge, described(("job", bool.__call__)), True, "", True)
    asks(hub, 2)
    exact.append(gevent.spawn(SharedSpace(links()).take, ("job", int)))
    asks(hub, 3)
    space = SharedSpace(links())
    space.out(("job", 1))
    space.out(("job", 2))
    # The judge refuses both; by then the first of the others has got one.
    for _ in range(2):
        kind, number, _ = link.answer(judge, 10)
        assert kind == Kind.OFFER
        link.send(Kind.VERDICT, judge, number, False)
    taken = [each.get(timeout=10)[1] for each in exact]
    assert sorted(taken) == [1, 2]


def test_of_several_who_judge_the_first_has_it(hub, links):
    spaces = [SharedSpace(links()) for _ in range(3)]
    takers = []
    for count, space in enumerate(spaces):
        takers.append(gevent.spawn(space.take, ("job", lambda number: number > 0)))
        asks(hub, count + 1)
    spaces[2].out(("job", 0))
    for number in (1, 2, 3):
        spaces[0].out(("job", number))
    gevent.joinall(takers, timeout=10)
    assert [taker.value[1] for taker in takers] == [1, 2, 3]
    assert len(spaces[0]) == 1


def test_a_flood_arrives_whole_and_holds_nobody_up(hub, space):
    with peer(hub, "hear") as hearing:
        assert line(hearing) == "ready"
        with peer(hub, "flood") as flooding:
            longest = 0.0
            done = gevent.spawn(line, flooding)
            while not done.ready():
                began = time.monotonic()
                space.out(("job", 1))
                space.take(("job", int), timeout=0)
                longest = max(longest, time.monotonic() - began)
                gevent.sleep(0.01)
            assert done.get() == "done"
        assert line(hearing) == "True"
    assert longest < 2


def test_a_worker_that_does_not_read_is_cut_off_and_ends(hub, links, monkeypatch):
    monkeypatch.setattr(hub_module, "_PATIENCE", 0.2)
    monkeypatch.setattr(channel, "_MUCH_WAITING", 2**20)
    publisher, listener = links(), links()
    heard = []
    listener.on_published(lambda topic, value: heard.append(value[0]))
    with peer(hub, "end") as stopped:
        assert line(stopped) == "ready"
        asks(hub, 1)
        stopped.send_signal(signal.SIGSTOP)
        for number in range(100):
            publisher.publish("flood", [number, "x" * 50_000])
            gevent.sleep(0)
        until(lambda: len(hub) == 2)
        until(lambda: len(heard) == 100)
        assert heard == list(range(100))
        stopped.send_signal(signal.SIGCONT)
        assert line(stopped) == "ended"


def test_who_lets_too_much_wait_is_cut_off(hub, links, space, monkeypatch, caplog):
    monkeypatch.setattr(channel, "_MOST_WAITING", 2**20)
    ours, theirs = socket.socketpair()
    hub.attach(theirs)
    publisher = links()
    with ours:
        for number in range(60):
            publisher.publish("flood", [number, "x" * 50_000])
            # What is answered comes after all that was published.
            assert len(SharedSpace(publisher)) == 0
            if len(hub) == 2:
                break
        assert "has not read what it was told; it is cut off" in caplog.text
        # It sees its end, behind what had been sent.
        with gevent.Timeout(20):
            while ours.recv(2**16):
                pass
    space.out(("job", 1))
    assert space.take(("job", int), timeout=0) == ("job", 1)


def test_workers_end_with_the_hub(hub):
    with peer(hub, "end") as first, peer(hub, "end") as second:
        assert [line(first), line(second)] == ["ready"] * 2
        asks(hub, 2)
        hub.close()
        assert [line(first), line(second)] == ["ended"] * 2
    assert len(hub) == 0


@pytest.mark.parametrize(
    "stream",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 100,
        b"\0\0\0\x02\x91\x63",  # a kind that there is not
        b"\0\0\0\x02\x91\x02",  # without its parts
        b"\0\0\0\x04\x94\x02\x01\xa0",  # cut off
        b"\0\0\0\x05\x94\x02\x01\xa0\xc0",  # values that are none
        b"\0\0\0\x07\x96\x05\x01\x91\x92\x01\xa1",  # cut off
        b"\0\0\0\x0a\x96\x05\x01\x91\x92\x01\xa1x\xc3\xa0",  # a class unknown
        frame((Kind.OUT, 1, pack(["job", 1]), None)),  # a list, which is no tuple
    ],
)
def test_who_sends_what_is_no_message_is_cut_off_alone(hub, space, stream):
    ours, theirs = socket.socketpair()
    hub.attach(theirs)
    with ours:
        ours.sendall(stream)
        ours.shutdown(socket.SHUT_WR)
        assert ours.recv(100) == b""
    until(lambda: len(hub) == 1)
    space.out(("job", 1))
    assert space.take(("job", int), timeout=0) == ("job", 1)


def test_a_link_that_nobody_reads_refuses_more(monkeypatch):
    monkeypatch.setattr(channel, "_MOST_WAITING", 2**20)
    ours, theirs = socket.socketpair()
    with theirs:
        link = Link(ours)

        def flood():
            for _ in range(100):
                link.publish("flood", "x" * 50_000)

        with pytest.raises(Overload, match="wait for another process"):
            flood()
        link.close()


def test_a_link_to_nobody_tells_so_at_once():
    ours, theirs = socket.socketpair()
    theirs.close()
    link = Link(ours)
    ended = []
    link.on_end(lambda: ended.append(1))
    until(link.ended.is_set)
    link.on_end(lambda: ended.append(2))
    assert ended == [1, 2]
    with pytest.raises(SpaceClosed):
        SharedSpace(link).out(("a",))
    with pytest.raises(SpaceClosed):
        SharedSpace(link).wait("a")
    link.close()


def test_a_link_ends_where_the_master_sends_what_is_no_message(caplog):
    ours, theirs = socket.socketpair()
    link = Link(ours)
    with theirs:
        theirs.sendall(b"\xff" * 100)
        until(link.ended.is_set)
        assert "the master has sent what is no message" in caplog.text
        assert theirs.recv(100) == b""


def test_what_is_sent_to_nobody_does_not_wait():
    ours, theirs = socket.socketpair()
    sending = Channel(ours)
    theirs.close()
    sending.send((1, b"x" * 100_000))
    assert sending._writer is None
    assert list(sending.messages()) == []
    sending.close()


def test_a_space_that_is_closed_lets_nobody_wait(space):
    space.close()
    for wait in (lambda: space.wait("a"), lambda: space.take(("a",))):
        with pytest.raises(SpaceClosed, match="the server stops"):
            wait()


def test_a_verdict_that_comes_too_late_is_none(hub, links, space):
    link = links()
    judge = link.open()
    link.send(Kind.ASK, judge, described(("job", bool.__call__)), True, "", True)
    asks(hub, 1)
    space.out(("job", 1))
    kind, number, _ = link.answer(judge, 10)
    assert kind == Kind.OFFER
    link.send(Kind.CANCEL, judge)
    link.send(Kind.VERDICT, judge, number, True)
    assert len(SharedSpace(link)) == 1
    assert space.take(("job", int), timeout=0) == ("job", 1)


def test_what_was_read_and_is_gone_does_not_come_back(hub, links, space):
    link = links()
    space.out(("job", 1))
    reader = link.open()
    link.send(Kind.ASK, reader, described(("job", int)), False, "ann", True)
    kind, _ = link.answer(reader, 10)
    assert kind == Kind.GRANT
    assert space.take(("job", int), timeout=0) == ("job", 1)
    # It has not said that it arrived.
    link.close()
    until(lambda: len(hub) == 1)
    assert len(space) == 0
    with pytest.raises(NoTuple):
        space.read(("job", int), reader="ann", timeout=0)


def test_a_link_that_was_closed_here_tells_nobody():
    ours, theirs = socket.socketpair()
    link = Link(ours)
    ended = []
    link.on_end(lambda: ended.append(1))
    link.close()
    theirs.close()
    gevent.idle()
    assert ended == []


def test_descriptors_are_closed_while_much_waits_to_be_sent():
    ours, theirs = socket.socketpair()
    sending = Channel(ours)
    for _ in range(20):
        sending.send((1, b"x" * 100_000))
    out = sending._out
    sending.close()
    until(lambda: out.fileno() == -1)
    assert ours.fileno() == -1
    theirs.close()


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_or_had_twice_whoever_is_killed(hub, links, seed):
    chance = random.Random(seed)
    spaces = [SharedSpace(links()) for _ in range(3)]
    patterns = [("job", int), ("job", lambda number: number % 2), (..., lambda _: True)]
    taken = []

    def take():
        while True:
            space, pattern = chance.choice(spaces), chance.choice(patterns)
            timeout = chance.choice([None, 0, 0.001, 0.01])
            try:
                taken.append(space.take(pattern, timeout=timeout)[1])
            except NoTuple:
                gevent.sleep(0.001)

    takers = [gevent.spawn(take) for _ in range(30)]
    for number in range(600):
        chance.choice(spaces).out(("job", number))
        if chance.random() < 0.2:
            place = chance.randrange(len(takers))
            takers[place].kill(block=False)
            takers[place] = gevent.spawn(take)
        if chance.random() < 0.1:
            gevent.sleep(0.002)
    gevent.killall(takers)
    rest = []
    with contextlib.suppress(NoTuple):
        while True:
            for space in spaces:
                # What was on its way to who was killed is back before this is answered.
                len(space)
            rest.append(spaces[0].take(("job", int), timeout=0)[1])
    assert sorted(taken + rest) == list(range(600))
    space_of_hub = hub._space
    assert not space_of_hub._asks
    assert not space_of_hub._granted
    assert not space_of_hub._packed
    assert not space_of_hub._refused
