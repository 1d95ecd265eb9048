"""The status page: what it shows of a busy server, and to whom."""

import logging
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import gevent
import pytest
from gevent.event import Event

from tests.http.raw_http import wait_for
from toolserver import StandardTool, register
from toolserver.pages.status import JobFacts, status_page
from toolserver.serverstatus import ServerStatus
from toolserver.testing import serve

ON = {"ops": {"status": True}}
CHROMIUM = shutil.which("chromium")


@register("press")
class Press(StandardTool):
    def __init__(self):
        self.release = Event()

    def hold(self, text: str) -> str:
        self.release.wait(30)
        return text

    def fail(self) -> None:
        raise ValueError("no <b>ink</b>")

    def fill(self) -> None:
        for number in range(5):
            self.enqueue(0, self.hold, str(number))


@pytest.fixture
def busy():
    """A server with calls that run, jobs that wait, and one that has failed."""
    with serve(Press, config=ON) as server:
        tool = server.tool("press")
        failed = server.http.post("/press/fail", headers={"Prefer": "respond-async"})
        url = failed.headers["Location"]
        wait_for(lambda: server.http.get(url).json()["state"] == "failed")
        calls = [
            gevent.spawn(server.http.post, "/press/hold", json={"text": str(number)})
            for number in range(30)
        ]
        wait_for(lambda: server.worker.http.busy == 30)
        server.http.post("/press/fill")
        yield server
        tool.release.set()
        gevent.joinall(calls, timeout=10)


def test_it_is_off_unless_it_is_asked_for():
    with serve(Press) as server:
        assert server.http.get("/system/status/").status_code == 404


def test_what_runs_waits_and_has_failed_is_shown(busy):
    logging.getLogger("toolserver").error("disk %s", "<full>")
    answer = busy.http.get("/system/status/")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    text = answer.text
    assert text.count("press.hold") >= 30
    assert "anonymous REST" in text
    assert "test_status.py" in text
    # One job of the queue runs, the others wait.
    assert "<td>4</td>" in text
    assert "1 running" in text
    assert "1 failed" in text
    assert "ValueError: no &lt;b&gt;ink&lt;/b&gt;" in text
    assert "disk &lt;full&gt;" in text
    assert "<b>" not in text


def test_who_looks_at_it_is_not_among_the_calls():
    with serve(Press, config=ON) as server:
        looking = [gevent.spawn(server.http.get, "/system/status/") for _ in range(5)]
        gevent.joinall(looking, timeout=10)
        for each in looking:
            assert "0 run in this process" in each.get().text


@dataclass(frozen=True)
class Running:
    """A call that runs."""

    method: str
    inside: str = "press.inner"
    seconds: float | None = 2.0
    client: str | None = "ann"
    protocol: str = "SOAP"
    request_id: str = "x"
    at: str = "press.py:1"


@pytest.mark.parametrize(("count", "shown"), [(100, 100), (101, 100), (0, 0)])
def test_of_many_calls_the_longest_are_shown(count, shown):
    calls = [Running(f"press.hold{number:03}") for number in range(count)]
    status = ServerStatus(lambda: calls, dict, list)
    try:
        jobs = JobFacts({}, {}, [], [])
        text = status_page(status, calls, jobs, root="/API/").body.decode()
    finally:
        status.close()
    told = f"{count} run in this process, {count} of them for more than a second."
    assert told in text
    assert (f"{told} The longest 100 are shown." in text) is (count > shown)
    assert text.count("→ press.inner") == shown
    assert "press.hold100" not in text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_it_is_to_be_looked_at_alone(busy, method):
    assert busy.http.request(method, "/system/status/").status_code in (404, 405)


def test_strangers_see_nothing():
    config = {"ops": {"status": True, "allow": ["192.0.2.0/24"]}}
    with serve(Press, config=config) as server:
        assert server.http.get("/system/status/").status_code == 401
        relayed = {"X-Forwarded-For": "127.0.0.1"}
        assert server.http.get("/system/status/", headers=relayed).status_code == 401


def test_errors_are_forgotten_with_the_server():
    before = list(logging.getLogger("toolserver").handlers)
    with serve(Press, config=ON):
        assert logging.getLogger("toolserver").handlers != before
    assert logging.getLogger("toolserver").handlers == before


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_a_browser_shows_it_and_renews_it(busy, tmp_path):
    browser = Path(__file__).with_name("statusbrowser.py")
    looked = subprocess.Popen(
        [sys.executable, str(browser), busy.url("/"), str(CHROMIUM), str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # It has seen the calls, and waits for their end.
    first = looked.stdout.readline()
    busy.tool("press").release.set()
    said, _ = looked.communicate(timeout=100)
    assert (first, looked.returncode) == ("busy\n", 0), first + said
