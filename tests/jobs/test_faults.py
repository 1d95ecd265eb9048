"""Jobs while the disk is full, or the store is busy."""

import sqlite3
from contextlib import closing, suppress
from datetime import timedelta

import gevent
import pytest
import requests
from gevent.event import Event

from tests.http.raw_http import wait_for
from toolserver import StandardTool, job, register
from toolserver.errors import JobNotStored
from toolserver.testing import serve

LARGE = "x" * 20_000


@register("attic")
class Attic(StandardTool):
    def __init__(self):
        self.gate = Event()
        self.kept = []

    def keep(self, what: str) -> str:
        self.kept.append(what)
        return what[:10]

    def find(self) -> str:
        self.kept.append("find")
        self.gate.wait(10)
        return 10 * LARGE

    def store(self, what: str) -> str:
        return self.enqueue(0, self.keep, what).id


class Disk:
    """The space that a server's store may take."""

    def __init__(self, server):
        self.engine = server.worker.jobs.engine

    def fill(self):
        (pages,) = self._say("PRAGMA page_count")
        self._say(f"PRAGMA max_page_count = {pages + 20}")

    def free(self):
        self._say("PRAGMA max_page_count = 1000000")

    def _say(self, text):
        return self.engine._write(lambda base: base.execute(text).fetchone())


@pytest.fixture
def server():
    with serve(Attic, config={"jobs": {"engine": "sqlite", "max_jobs": 2}}) as running:
        yield running
        running.tool("attic").gate.set()


@pytest.fixture
def disk(server):
    return Disk(server)


def test_who_asks_is_told_and_nothing_is_half_stored(server, disk):
    attic = server.tool("attic")
    attic.enqueue(0, attic.find)
    wait_for(lambda: attic.kept)
    disk.fill()
    accepted = []
    while True:
        answer = server.http.post("/attic/store", json={"what": LARGE})
        if answer.status_code != 200:
            break
        accepted.append(answer.text)
    assert answer.status_code == 503
    assert "Retry-After" in answer.headers
    later = server.http.post(
        "/attic/keep", json={"what": LARGE}, headers={"Prefer": "respond-async"}
    )
    assert later.status_code == 503
    with pytest.raises(JobNotStored, match="full"):
        attic.enqueue(0, attic.keep, LARGE)
    assert server.worker.jobs.engine.counts().waiting == {"attic": len(accepted)}
    # Requests are answered all the same.
    assert server.http.post("/attic/keep", json={"what": "direct"}).text == "direct"
    disk.free()
    attic.gate.set()
    for id_ in accepted:
        assert job(id_).result(5) == LARGE[:10]
    assert len(attic.kept) == 2 + len(accepted)


def test_what_ends_meanwhile_has_ended_later(server, disk):
    attic = server.tool("attic")
    made = attic.enqueue(0, attic.find)
    wait_for(lambda: attic.kept)
    disk.fill()
    for _ in range(10):
        with suppress(JobNotStored):
            attic.enqueue(0, attic.keep, LARGE)
    attic.gate.set()
    gevent.sleep(0.2)
    assert made.status == "running"
    disk.free()
    assert made.result(10) == 10 * LARGE
    assert attic.kept.count("find") == 1


def test_a_server_stops_in_order(disk, server):
    attic = server.tool("attic")
    made = attic.enqueue(0, attic.find)
    wait_for(lambda: attic.kept)
    disk.fill()
    for _ in range(10):
        with suppress(JobNotStored):
            attic.enqueue(0, attic.keep, LARGE)
    attic.gate.set()
    gevent.sleep(0.1)
    assert made.status == "running"
    server.worker.stop(0.2)
    with pytest.raises(requests.ConnectionError):
        server.http.get("/attic/keep")


def test_what_is_being_claimed_as_the_server_stops_is_run(server):
    attic = server.tool("attic")
    path = server.worker.home.var / "jobs.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        made = attic.schedule(timedelta(seconds=0.1), attic.keep, "late")
        other.execute("BEGIN IMMEDIATE")
        # Now the claim waits for the other process.
        gevent.sleep(0.3)
        server.worker.jobs.hold()
        assert made.status == "waiting"
        other.execute("COMMIT")
    assert made.result(5) == "late"
    assert attic.schedule(timedelta(0), attic.keep, "more").status == "waiting"
    gevent.sleep(0.1)
    assert attic.kept == ["late"]
