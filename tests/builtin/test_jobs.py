"""Jobs by their URLs: what is told of them, who may ask, and their events."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import sys
import time
from pathlib import Path

import gevent
import pytest
from gevent import subprocess

import toolserver.testing
from tests.http.raw_http import wait_for
from tests.jobs.work import Work
from tests.passwords import quick_hash
from toolserver.subscribers import Subscribers

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
UNKNOWN = "/jobs/" + "0" * 32
#: Forgets jobs when they end, and looks for them often.
FORGETFUL = {"jobs": {"result_ttl": 0, "lease_timeout": 1}}
PASSWD = {name: quick_hash(name) for name in ("ann", "bob", "root")}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    home = toolserver.testing.Home(tmp_path_factory.mktemp("home"))
    home.create()
    lines = [f"{name}:{hashed}\n" for name, hashed in PASSWD.items()]
    (home.path / "config" / "passwd").write_text("".join(lines))
    (home.path / "config" / "groups").write_text("admin: root\n")
    with toolserver.testing.serve(Work, home=home.path) as server:
        yield server
        server.tool("work").release.set()


@pytest.fixture
def server(running):
    running.tool("work").release.clear()
    yield running
    running.tool("work").release.set()


def auth(name):
    return {"auth": (name, name)} if name else {}


def start(server, path="/work/wait", client=None, **options):
    answer = server.http.post(
        path, headers={"Prefer": "respond-async"}, **auth(client), **options
    )
    assert answer.status_code == 202, answer.text
    return answer.headers["Location"]


def running_job(server, **options):
    path = start(server, **options)
    client = options.get("client")
    wait_for(lambda: state(server, path, client) == "running")
    return path


def state(server, path, client=None):
    return server.http.get(path, **auth(client)).json()["state"]


class EventSource:
    """Reads the events of a job."""

    def __init__(self, server, path, last="", **headers):
        port = server.worker.http.local[1]
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        headers = {"Accept": "text/event-stream", **headers}
        if last:
            headers["Last-Event-ID"] = last
        self.connection.request("GET", path, headers=headers)
        self.answer = self.connection.getresponse()
        self.last = last

    def __iter__(self):
        kind, data = "message", []
        for line in self.answer:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "event":
                kind = value
            elif name == "id":
                self.last = value
            elif name == "data":
                data.append(value)
            elif not name and data:
                yield kind, json.loads("\n".join(data))
                kind, data = "message", []

    def close(self):
        self.answer.close()
        self.connection.close()


# --- what is told


def test_a_job_tells_of_itself(server):
    path = running_job(server)
    answer = server.http.get(path)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    wait_for(lambda: server.http.get(path).json()["fraction"] is not None)
    told = server.http.get(path).json()
    assert path == f"/jobs/{told['id']}"
    assert told["method"] == "work.wait"
    assert told["client"] is None
    assert told["queue"] is None
    assert (told["fraction"], told["text"]) == (0.25, "began")
    assert told["created"] <= told["started"]
    assert told["finished"] is None
    server.tool("work").release.set()
    told = server.http.get(f"{path}?wait=10").json()
    assert told["state"] == "done"
    assert told["finished"] >= told["started"]
    assert told["error"] is None


def test_who_waits_is_woken(server):
    path = running_job(server)
    with gevent.Timeout(20):
        waiting = gevent.spawn(server.http.get, f"{path}?wait=30")
        wait_for(lambda: len(server.worker.services.part(Subscribers)) == 1)
        begin = time.monotonic()
        server.tool("work").release.set()
        assert waiting.get().json()["state"] == "done"
        assert time.monotonic() - begin < 15
    assert len(server.worker.services.part(Subscribers)) == 0


def test_a_wait_has_an_end(server):
    path = running_job(server)
    begin = time.monotonic()
    assert state(server, f"{path}?wait=0.3") == "running"
    assert 0.3 <= time.monotonic() - begin < 15


@pytest.mark.parametrize("wait", ["-1", "x", "nan", "1e9", "", "9" * 30])
def test_a_wait_is_a_number(server, wait):
    assert server.http.get(f"{start(server)}?wait={wait}").status_code == 400


def test_people_see_a_page(server):
    path = running_job(server)
    page = server.http.get(path, headers={"Accept": "text/html,*/*;q=0.1"})
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.headers["Refresh"] == "2"
    assert "<script" not in page.text.replace("<script src", "")
    assert "work.wait" in page.text
    assert "running" in page.text
    server.tool("work").release.set()
    server.http.get(f"{path}?wait=10")
    page = server.http.get(path, headers={"Accept": "text/html"})
    assert "Refresh" not in page.headers
    assert f'href="{path}/result"' in page.text
    failed = start(server, "/work/fail")
    server.http.get(f"{failed}?wait=10")
    page = server.http.get(failed, headers={"Accept": "text/html"})
    assert "OutOfStock: nothing left" in page.text


# --- results


def test_a_result_is_answered_as_the_call_would_have_been(server):
    path = start(server, "/work/order?item=book&count=2")
    server.http.get(f"{path}?wait=10")
    for accept in ("application/json", "text/csv", "*/*"):
        direct = server.http.get(
            "/work/order?item=book&count=2", headers={"Accept": accept}
        )
        later = server.http.get(f"{path}/result", headers={"Accept": accept})
        assert later.content == direct.content
        for name in ("Content-Type", "ETag", "Vary"):
            assert later.headers[name] == direct.headers[name]
        assert later.headers["Cache-Control"] == "no-store"
    nothing = start(server, "/work/nothing")
    assert server.http.get(f"{nothing}/result?wait=10").status_code == 204


def test_markup_is_told_as_text(server):
    # What was stored does not tell markup from text, and text may be a stranger's.
    path = start(server, "/work/page")
    later = server.http.get(f"{path}/result?wait=10")
    assert later.text == server.http.get("/work/page").text
    assert later.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("name", ["octets", "kinds", "look", "add?a=1"])
def test_results_of_all_kinds_are_answered_alike(server, name):
    direct = server.http.get(f"/work/{name}")
    path = start(server, f"/work/{name}")
    later = server.http.get(f"{path}/result?wait=10")
    assert later.content == direct.content
    assert later.headers["Content-Type"] == direct.headers["Content-Type"]


def test_a_failure_is_answered_as_that_of_the_call(server):
    for how in ("own", "other"):
        path = start(server, f"/work/fail?how={how}")
        direct = server.http.get(f"/work/fail?how={how}")
        later = server.http.get(f"{path}/result?wait=10")
        assert later.status_code == direct.status_code
        assert later.text == direct.text
        for name in ("X-REST-Errorobject", "X-REST-Errordetail"):
            assert later.headers[name] == direct.headers[name]
        told = server.http.get(path).json()
        assert told["state"] == "failed"
        assert told["error"]["type"] == direct.headers["X-REST-Errorobject"]


def test_a_result_is_handed_out_once_to_who_gets_it(server):
    id = server.remote().call("system.jobs.start", "work.add", [1], once=True)
    path = f"/jobs/{id}/result"
    for method, status in (("HEAD", 200), ("HEAD", 200), ("GET", 200), ("GET", 410)):
        answer = server.http.request(method, f"{path}?wait=10")
        assert answer.status_code == status
    assert answer.json()["error"] == "JobExpired"


def test_a_job_that_runs_has_no_result_so_far(server):
    path = running_job(server)
    answer = server.http.get(f"{path}/result")
    assert answer.status_code == 409
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["state"] == "running"
    assert answer.json()["error"] == "Conflict"


def test_a_result_waits_too(server):
    path = running_job(server)
    waiting = gevent.spawn(server.http.get, f"{path}/result?wait=20")
    wait_for(lambda: len(server.worker.services.part(Subscribers)) == 1)
    server.tool("work").release.set()
    assert waiting.get(10).text == "released"


# --- cancelling


def test_a_running_job_is_cancelled(server):
    path = running_job(server)
    answer = server.http.delete(path)
    assert answer.status_code in (200, 202)
    assert state(server, f"{path}?wait=10") == "cancelled"
    assert server.http.delete(path).status_code == 200
    result = server.http.get(f"{path}/result")
    assert (result.status_code, result.json()["error"]) == (409, "JobCancelled")


def test_what_has_ended_is_not_cancelled(server):
    path = start(server, "/work/add?a=1")
    server.http.get(f"{path}?wait=10")
    answer = server.http.delete(path)
    assert (answer.status_code, answer.json()["error"]) == (409, "Conflict")
    assert state(server, path) == "done"


def test_what_has_failed_is_made_once_more(server):
    path = start(server, "/work/fail")
    id_ = path.rpartition("/")[2]
    assert state(server, f"{path}?wait=10") == "failed"
    attempts = server.http.get(path).json()["attempts"]
    assert server.http.post("/system/jobs/retry", json={"id": id_}).json() is True
    wait_for(lambda: server.http.get(path).json()["attempts"] > attempts)
    assert state(server, f"{path}?wait=10") == "failed"
    done = start(server, "/work/add?a=1").rpartition("/")[2]
    server.http.get(f"/jobs/{done}?wait=10")
    assert server.http.post("/system/jobs/retry", json={"id": done}).json() is False


# --- unknown ones


@pytest.mark.parametrize(
    "path",
    [
        UNKNOWN,
        f"{UNKNOWN}/result",
        "/jobs/..%2F..%2Fetc",
        "/jobs/x%00",
        "/jobs/" + "a" * 3000,
        "/jobs/%F0%9F%98%80",
        "/jobs/' or 1=1",
    ],
)
@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("accept", ["*/*", "text/event-stream"])
def test_what_is_not_there_is_unknown(server, path, method, accept):
    answer = server.http.request(method, path, headers={"Accept": accept})
    assert answer.status_code == 404


def test_other_verbs_and_paths(server):
    path = start(server)
    assert server.http.post(path).status_code == 405
    assert server.http.get(f"{path}/other").status_code == 404
    assert server.http.delete(f"{path}/result").status_code == 404


def test_what_was_forgotten_is_told():
    with toolserver.testing.serve(Work, config=FORGETFUL) as server:
        path = start(server, "/work/add?a=1")
        wait_for(lambda: server.http.get(path).status_code == 410, 20)
        assert server.http.get(path).json()["error"] == "JobExpired"
        assert server.http.get(f"{path}/result").status_code == 410
        assert server.http.delete(path).status_code == 410


# --- whose they are

STARTERS = (None, "ann")
ASKERS = (None, "ann", "bob", "root")


def may(starter, asker):
    return starter is None or asker in (starter, "root")


@pytest.mark.parametrize("starter", STARTERS)
@pytest.mark.parametrize("asker", ASKERS)
def test_a_job_is_its_owners_and_the_administrators(server, starter, asker):
    get, delete = server.http.get, server.http.delete
    path = running_job(server, client=starter)
    id = path.rpartition("/")[2]
    expected = 200 if may(starter, asker) else 404
    assert get(path, **auth(asker)).status_code == expected
    assert get(f"{path}?wait=0.01", **auth(asker)).status_code == expected
    page = get(path, headers={"Accept": "text/html"}, **auth(asker))
    assert page.status_code == expected
    result = get(f"{path}/result", **auth(asker))
    assert result.status_code == (409 if may(starter, asker) else 404)
    stream = {"Accept": "text/event-stream"}
    answer = get(path, headers=stream, stream=True, **auth(asker))
    assert answer.status_code == expected
    answer.close()
    listed = [job["id"] for job in get("/jobs/", **auth(asker)).json()]
    is_listed = asker == "root" or (starter is not None and asker == starter)
    assert (id in listed) == is_listed
    cancelled = delete(path, **auth(asker))
    assert (cancelled.status_code < 300) == may(starter, asker)
    if not may(starter, asker):
        # The same words as for one that is not there.
        unknown = get(UNKNOWN, **auth(asker)).json()
        refused = get(path, **auth(asker)).json()
        assert refused["detail"].replace(id, "X") == unknown["detail"].replace(
            UNKNOWN.rpartition("/")[2], "X"
        )
        assert state(server, path, starter) == "running"


def test_a_job_runs_as_its_starter(server):
    path = start(server, "/work/who", client="root")
    result = server.http.get(f"{path}/result?wait=10", **auth("root"))
    assert result.text == "root ['admin'] True"


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
@pytest.mark.parametrize("suffix", ["", "/result"])
def test_pages_of_strangers_may_not_ask(server, origin, suffix):
    path = start(server)
    for method in ("GET", "DELETE"):
        for accept in ("*/*", "text/event-stream"):
            headers = {"Origin": origin, "Accept": accept}
            answer = server.http.request(method, path + suffix, headers=headers)
            assert answer.status_code == 403
    assert server.http.get("/jobs/", headers={"Origin": origin}).status_code == 403
    assert (
        server.http.get(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code
        == 403
    )


def test_lists_are_filtered(server):
    path = running_job(server, client="bob")
    done = start(server, "/work/add?a=1", client="bob")
    server.http.get(f"{done}?wait=10", **auth("bob"))

    def listed(query):
        found = server.http.get(f"/jobs/?{query}", **auth("bob"))
        assert found.status_code == 200
        return {f"/jobs/{job['id']}" for job in found.json()}

    assert {path, done} <= listed("")
    assert path in listed("state=running")
    assert done not in listed("state=running")
    assert done in listed("state=done")
    assert listed("queue=other") == set()
    assert len(listed("limit=1")) == 1
    for query in ("state=x", "limit=x", "limit=-1"):
        answer = server.http.get(f"/jobs/?{query}", **auth("bob"))
        assert answer.status_code == 400


# --- events


def test_states_and_progress_are_told_as_they_come(server):
    path = running_job(server)
    source = EventSource(server, path)
    assert source.answer.status == 200
    assert source.answer.headers["Content-Type"] == "text/event-stream"
    events = iter(source)
    kind, told = next(events)
    while told["fraction"] is None:
        kind, told = next(events)
    assert (kind, told["state"], told["fraction"]) == ("status", "running", 0.25)
    server.tool("work").release.set()
    rest = list(events)
    kind, told = rest[-1]
    assert (kind, told["state"]) == ("end", "done")
    assert {name for name, _ in rest[:-1]} <= {"status"}
    source.close()
    # A browser comes again when a stream has ended, and is told to stop.
    again = EventSource(server, path, last=source.last)
    assert again.answer.status == 204
    again.close()
    anew = EventSource(server, path)
    assert [name for name, _ in anew] == ["end"]
    anew.close()


def test_what_a_client_knows_is_not_told_again(server):
    path = running_job(server)
    wait_for(lambda: server.http.get(path).json()["fraction"] is not None)
    first = EventSource(server, path)
    next(iter(first))
    first.close()
    second = EventSource(server, path, last=first.last)
    server.tool("work").release.set()
    states = [(told["state"], told["fraction"]) for _, told in second]
    assert ("running", 0.25) not in states
    second.close()


def test_listeners_that_vanish_leave_nothing(server):
    path = running_job(server)
    sources = [EventSource(server, path) for _ in range(20)]
    assert len(server.worker.services.part(Subscribers)) == 20
    for source in sources:
        source.close()
    wait_for(lambda: not len(server.worker.services.part(Subscribers)))
    from toolserver.jobs.watching import JobWatch

    watch = server.worker.services.part(JobWatch)
    wait_for(lambda: not watch._told)
    assert watch._unsubscribe is None


def test_a_server_with_listeners_stops_at_once():
    with toolserver.testing.serve(Work) as server:
        path = running_job(server)
        sources = [EventSource(server, path) for _ in range(50)]
        waiting = gevent.spawn(server.http.get, f"{path}?wait=50")
        wait_for(lambda: len(server.worker.services.part(Subscribers)) == 51)
        begin = time.monotonic()
        stopping = gevent.spawn(server.worker.stop, 30)
        for source in sources:
            assert b"event: stopping" in source.answer.read()
            source.close()
        assert waiting.get(15).json()["state"] in ("running", "waiting")
        assert time.monotonic() - begin < 15
        server.tool("work").release.set()
        stopping.get(10)


def test_curl_reads_events(server):
    path = start(server, "/work/add?a=1")
    done = subprocess.run(
        ["curl", "-sN", "-H", "Accept: text/event-stream", server.url(path)],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 0
    assert "event: end\n" in done.stdout
    assert '"state":"done"' in done.stdout


@pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="Chromium is not installed"
)
def test_a_browser_follows_a_job_to_its_end(server):
    assert CHROMIUM is not None, "Chromium is not installed"
    script = Path(__file__).with_name("eventsource.py")
    done = subprocess.run(
        [sys.executable, str(script), server.url("/"), CHROMIUM],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told[-1] == ["end", "done"]
    assert ["status", "running"] in told
    assert told.count(["end", "done"]) == 1
