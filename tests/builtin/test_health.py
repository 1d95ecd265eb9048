"""Whether the server is well, and who may know why not."""

import os
import sqlite3
import time

import gevent
import pytest
import requests

import toolserver.testing
from toolserver import StandardTool, health, register
from toolserver.errors import StartError

PATHS = ("/health/live", "/health/ready", "/health/startup")


@register("")
class Root(StandardTool):
    def sleep(self, seconds: float) -> str:
        gevent.sleep(seconds)
        return "slept"


@pytest.fixture
def _hurried(monkeypatch):
    """What was found of the store holds for less, and it has to answer sooner."""
    monkeypatch.setattr(health, "_HOLDS_S", 0.05)
    monkeypatch.setattr(health, "_PATIENCE_S", 0.3)


def serve(home=None, **config):
    return toolserver.testing.serve(Root, config=config, home=home)


def until(condition):
    with gevent.Timeout(20):
        while not condition():
            gevent.sleep(0.02)


@pytest.mark.parametrize("path", PATHS)
def test_a_server_that_serves_is_well(path):
    with serve() as server:
        answer = server.http.get(path)
        told = answer.json()
        assert (answer.status_code, told["status"]) == (200, "ok")
        assert set(told["checks"].values()) <= {"ok"}
        assert told["pid"]
        assert told["since"]
        assert answer.headers["Cache-Control"] == "no-store"
        assert server.http.head(path).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_others_learn_no_more_than_whether(path):
    with serve(ops={"allow": []}) as server:
        assert server.http.get(path).json() == {"status": "ok"}
    with serve(ops={"allow": [], "probes": ["192.0.2.1"]}) as server:
        assert server.http.get(path).status_code == 401


@pytest.mark.parametrize("path", PATHS)
def test_each_has_a_switch(path):
    with serve(ops={path.rpartition("/")[2]: False}) as server:
        found = {each: server.http.get(each).status_code for each in PATHS}
        assert found == {each: 404 if each == path else 200 for each in PATHS}


@pytest.mark.parametrize("setting", ["allow", "probes"])
def test_what_is_no_network_is_told_at_the_start(setting):
    with (
        pytest.raises(StartError, match=f"ops.{setting}: got 'nearby', expected an"),
        serve(ops={setting: ["nearby"]}),
    ):
        pass


@pytest.mark.usefixtures("_hurried")
def test_a_server_that_cannot_write_is_not_ready(tmp_path):
    with serve(tmp_path) as server:
        assert server.http.get("/health/ready").status_code == 200
        var = tmp_path / "var"
        var.rename(tmp_path / "away")
        until(lambda: server.http.get("/health/ready").status_code == 503)
        answer = server.http.get("/health/ready")
        assert answer.json()["status"] == "unavailable"
        assert "cannot be written" in answer.json()["checks"]["store"]
        assert answer.headers["Retry-After"] == "1"
        # Nothing that a new start would mend.
        assert server.http.get("/health/live").status_code == 200
        (tmp_path / "away").rename(var)
        until(lambda: server.http.get("/health/ready").status_code == 200)
        assert not list(var.glob(".health*"))


@pytest.mark.usefixtures("_hurried")
def test_a_server_whose_jobs_cannot_be_stored_is_not_ready(tmp_path):
    with serve(tmp_path, jobs={"engine": "sqlite"}) as server:
        assert server.http.get("/health/ready").status_code == 200
        base = sqlite3.connect(tmp_path / "var" / "jobs.db", isolation_level=None)
        base.execute("BEGIN EXCLUSIVE")
        until(lambda: server.http.get("/health/ready").status_code == 503)
        base.execute("ROLLBACK")
        base.close()
        until(lambda: server.http.get("/health/ready").status_code == 200)


@pytest.mark.usefixtures("_hurried")
def test_a_disk_that_does_not_answer_keeps_one_thread_waiting(tmp_path):
    def told():
        return server.http.get("/health/ready").json()["checks"]["store"]

    with serve(tmp_path) as server:
        # Who opens a pipe for writing waits until somebody reads.
        pipe = tmp_path / "var" / f".health-{os.getpid()}"
        os.mkfifo(pipe)
        try:
            until(lambda: "the store has not answered for" in told())
            until(lambda: "the disk has not answered" in told())
        finally:
            reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            until(lambda: not pipe.exists())
            os.close(reader)
        until(lambda: told() == "ok")


def test_a_server_that_is_to_stop_serves_on_until_others_have_noticed():
    with serve(ops={"drain": 0.6}) as server:
        url = server.url("/health/ready")
        stopping = gevent.spawn(server.worker.stop, 5.0)
        begun = time.monotonic()
        until(lambda: requests.get(url, timeout=5).status_code == 503)
        assert server.http.post("/sleep", json={"seconds": 0}).text == "slept"
        stopping.join()
        assert 0.6 <= time.monotonic() - begun < 4
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=5)
