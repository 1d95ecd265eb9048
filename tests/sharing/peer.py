"""A worker process that has nothing but its link: ``python -m … DESCRIPTOR ACTION``."""

from toolserver import pytest_plugin  # isort: skip  # patches before anything else

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import gevent
from gevent.event import Event
from gevent.monkey import get_original

from toolserver.bus import Bus
from toolserver.sharing.link import Link
from toolserver.sharing.messages import Kind, described
from toolserver.sharing.sharedspace import SharedSpace
from toolserver.tuplespace import SpaceClosed

__all__ = ["peer", "pytest_plugin"]


def say(text):
    print(text, flush=True)


def take_all(link):
    """Take jobs until there is an end, half of them by a predicate."""
    space = SharedSpace(link)
    taken = []
    patterns = ("job", int), ("job", lambda number: True)
    while not taken or taken[-1] >= 0:
        taken.append(space.take(patterns[len(taken) % 2])[1])
        say(taken[-1])


def take_one(link):
    say(SharedSpace(link).take(("job", int))[1])


def hold(link):
    """Be granted a tuple, and never say that it has arrived."""
    id = link.open()
    link.send(Kind.ASK, id, described(("job", int)), True, "", True)
    say(link.answer(id)[0])
    gevent.sleep(60)


def judge_slowly(link):
    """Hold up the own loop while a tuple is judged."""

    def judge(number):
        say("judging")
        get_original("time", "sleep")(2.0)
        return True

    say(SharedSpace(link).take(("job", judge))[1])


def flood(link):
    for number in range(20_000):
        link.publish("flood", [number, "x" * 1000])
        if not number % 100:
            gevent.sleep(0)
    # What is answered comes after all that was published.
    len(SharedSpace(link))
    say("done")


def hear(link):
    heard = []
    all_heard = Event()

    def take(value):
        heard.append(value[0])
        if len(heard) == 20_000:
            all_heard.set()

    bus = Bus()
    bus.subscribe("flood", take)
    link.on_published(bus.deliver)
    say("ready")
    all_heard.wait()
    say(heard == list(range(20_000)))


def end(link):
    """End when the master has gone, as a worker does."""
    ended = Event()
    link.on_end(ended.set)
    say("ready")
    try:
        SharedSpace(link).take(("job",))
    except SpaceClosed:
        ended.wait()
        say("ended")


@contextmanager
def peer(hub, action):
    """Run one that is connected to a hub in this process."""
    from gevent import socket

    ours, theirs = socket.socketpair()
    with (
        theirs,
        subprocess.Popen(
            [sys.executable, "-m", "tests.sharing.peer", str(theirs.fileno()), action],
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[theirs.fileno()],
            cwd=Path(__file__).parents[2],
        ) as running,
    ):
        theirs.close()
        hub.attach(ours)
        try:
            yield running
        finally:
            running.kill()


if __name__ == "__main__":
    import socket

    made = Link(socket.socket(fileno=int(sys.argv[1])))
    globals()[sys.argv[2]](made)
