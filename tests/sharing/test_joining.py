"""Several workers of one server, here in one process."""

import socket
from contextlib import ExitStack, contextmanager
from typing import ClassVar

import gevent
import msgspec
import pytest
from gevent.event import Event

from toolserver import (
    FactoryTool,
    StandardTool,
    TransientFactoryTool,
    TransientTool,
    chain,
    context,
    notify,
    register,
    tool,
    universe,
    wait,
)
from toolserver.bus import Bus
from toolserver.contexts import Context, bind
from toolserver.declarations import declared
from toolserver.home import Home
from toolserver.serverspace import Universe
from toolserver.services import services
from toolserver.settings import Settings
from toolserver.sharing.hub import Hub
from toolserver.sharing.link import Link
from toolserver.testing import TestServer
from toolserver.worker import Worker


@register("test.sharing")
class Sharing(StandardTool):
    def on_start(self) -> None:
        self.removed = []
        self.heard = []
        chain("system.tuple.removed", tuple).append(self.note)
        services().part(Bus).subscribe("test.sharing", self.heard.append)

    def note(self, values):
        self.removed.append((values, context.client))

    def put(self, name: str, ttl: float | None = None) -> None:
        universe.out(("thing", name), ttl=ttl)

    def put_object(self) -> None:
        universe.out(("thing", self))

    def take(self, timeout: float | None = None) -> str:
        return universe.take(("thing", str), timeout=timeout)[1]

    def take_long(self) -> str:
        return universe.take(("thing", lambda name: len(name) > 3))[1]

    def count(self) -> int:
        return len(universe)

    def tell(self, value: int) -> int:
        return notify("numbers", value)

    def listen(self) -> int:
        return wait("numbers", timeout=30)

    def publish(self, value: int) -> None:
        services().part(Bus).publish("test.sharing", value)


class Page(TransientTool):
    def on_start(self) -> None:
        self.text = Sites.texts[self.key]

    def on_close(self) -> None:
        # Hooks of what is forgotten may use what all share.
        universe.out(("closed", self.namespace))

    def show(self) -> str:
        return self.text


class Site(TransientFactoryTool):
    children = (Page,)

    def child_exists(self, key: str) -> bool:
        return key in Sites.texts


@register("test.sites")
class Sites(FactoryTool):
    children = (Site,)
    texts: ClassVar[dict[str, str]] = {}

    def child_exists(self, key: str) -> bool:
        return key == "main"

    def change(self, page: str, text: str) -> None:
        self.texts[page] = text
        tool("test.sites.main").forget(page)


@contextmanager
def joined(hub, home):
    """A worker of a server whose hub this is."""
    ours, theirs = socket.socketpair()
    hub.attach(theirs)
    folders = Home(home)
    folders.create()
    server = {"port": 0, "loop_block_warn": 0.0}
    worker = Worker(
        msgspec.convert({"server": server}, Settings),
        folders,
        tools=[each for each in declared if each.cls in (Sharing, Sites)],
        link=Link(ours),
    )
    worker.start()
    served = TestServer(worker)
    try:
        yield served
    finally:
        served.close()
        worker.stop(1.0)


@pytest.fixture
def hub():
    made = Hub()
    yield made
    made.close()


@pytest.fixture
def workers(hub, tmp_path):
    with ExitStack() as stack:
        yield [stack.enter_context(joined(hub, tmp_path)) for _ in range(2)]


def until(condition):
    with gevent.Timeout(10):
        while not condition():
            gevent.sleep(0.002)


def wait_for_asks(worker, count):
    """Wait until so many callers of a worker wait for the hub."""
    shared = worker.worker.services.part(Universe)
    until(lambda: len(shared._waiting) == count)
    # What they ask for has arrived before this is answered.
    len(shared)


def sharing(worker):
    return worker.tool("test.sharing")


def test_a_tuple_goes_from_one_worker_to_the_other(workers):
    first, second = workers
    taker = gevent.spawn(second.http.get, "/test/sharing/take")
    long = gevent.spawn(second.http.get, "/test/sharing/take_long")
    first.http.post("/test/sharing/put", json={"name": "a"})
    assert taker.get(timeout=10).text == "a"
    first.http.post("/test/sharing/put", json={"name": "b"})
    first.http.post("/test/sharing/put", json={"name": "longer"})
    assert long.get(timeout=10).text == "longer"
    assert second.call("test.sharing.count") == first.call("test.sharing.count") == 1
    assert first.call("test.sharing.take", timeout=0) == "b"
    answer = second.http.get("/test/sharing/take?timeout=0.01")
    assert "NoTuple" in answer.json()["detail"]


def test_what_cannot_be_carried_is_told(workers):
    with pytest.raises(TypeError, match="of the class Sharing, expected plain values"):
        workers[0].call("test.sharing.put_object")


def test_the_chain_of_what_was_taken_runs_where_it_was_taken(workers):
    first, second = workers
    first.call("test.sharing.put", "a")
    second.as_client("ann").call("test.sharing.take")
    assert sharing(second).removed == [(("thing", "a"), "ann")]
    assert sharing(first).removed == []


def test_the_chain_of_what_has_expired_runs_in_one_worker(workers):
    first, second = workers
    for worker in workers:
        worker.call("test.sharing.put", "a", ttl=0)
    assert second.call("test.sharing.count") == 0
    until(lambda: len(sharing(first).removed) == 2)
    assert sharing(second).removed == []


def test_who_waits_in_any_worker_is_told(workers):
    listeners = [
        gevent.spawn(worker.call, "test.sharing.listen")
        for worker in (*workers, *workers)
    ]
    for worker in workers:
        wait_for_asks(worker, 2)
    assert workers[0].call("test.sharing.tell", 7) == 4
    assert [each.get(timeout=10) for each in listeners] == [7] * 4
    assert workers[1].call("test.sharing.tell", 8) == 0


def test_what_one_publishes_all_hear_once_and_in_order(workers):
    first, second = workers
    for number in range(100):
        first.call("test.sharing.publish", number)
    for worker in workers:
        until(lambda worker=worker: len(sharing(worker).heard) >= 100)
        assert sharing(worker).heard == list(range(100))
    second.call("test.sharing.publish", 100)
    until(lambda: len(sharing(first).heard) > 100)
    assert sharing(first).heard == sharing(second).heard == list(range(101))


def test_what_one_forgets_is_forgotten_in_all_workers(workers):
    first, second = workers
    first.call("test.sites.change", "news", "old")
    for worker in workers:
        assert worker.call("test.sites.main.news.show") == "old"
    first.call("test.sites.change", "news", "new")
    assert first.call("test.sites.main.news.show") == "new"
    until(lambda: second.call("test.sites.main.news.show") == "new")
    with bind(Context(services=first.worker.services)):
        for _ in workers:
            assert universe.take(("closed", str)) == ("closed", "test.sites.main.news")
    # What a worker does not keep, it need not forget.
    first.worker.registry.forget("test.sites.other", "news")
    first.worker.registry.forget("test.none", "news")
    first.worker.registry.forget("", "news")
    assert first.call("test.sites.main.news.show") == "new"


def test_what_others_cannot_be_told_is_forgotten_here(workers, caplog):
    first, second = workers
    first.call("test.sites.change", "news", "old")
    assert second.call("test.sites.main.news.show") == "old"
    first.tool("test.sites").forget("\ud800")
    told = r"test.sites: others do not forget '\ud800': got text that is no Unicode"
    assert told in caplog.text
    # The link goes on.
    first.call("test.sites.change", "news", "new")
    until(lambda: second.call("test.sites.main.news.show") == "new")


def test_a_worker_that_stops_wakes_its_own_callers_alone(workers, hub):
    first, second = workers
    theirs = gevent.spawn(second.http.get, "/test/sharing/take")
    ours = gevent.spawn(first.http.get, "/test/sharing/listen")
    staying = gevent.spawn(first.http.get, "/test/sharing/take")
    wait_for_asks(first, 2)
    wait_for_asks(second, 1)
    second.worker.stop(5.0)
    answer = theirs.get(timeout=10)
    assert answer.status_code == 503
    assert "the server stops" in answer.text
    until(lambda: len(hub) == 1)
    assert not ours.ready()
    first.call("test.sharing.tell", 1)
    assert ours.get(timeout=10).text == "1"
    first.call("test.sharing.put", "a")
    assert staying.get(timeout=10).text == "a"


def test_without_the_master_all_who_wait_are_woken(workers, hub):
    taker = gevent.spawn(workers[0].http.get, "/test/sharing/take")
    wait_for_asks(workers[0], 1)
    ended = Event()
    workers[0].worker._link.on_end(ended.set)
    hub.close()
    assert ended.wait(10)
    assert taker.get(timeout=10).status_code == 503
    answer = workers[1].http.post("/test/sharing/put", json={"name": "a"})
    assert answer.status_code == 503
    # What needs no other worker goes on.
    assert workers[1].call("test.sharing.list_methods")
