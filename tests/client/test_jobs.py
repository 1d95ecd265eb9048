"""Jobs of a remote server, over every protocol."""

from __future__ import annotations

import datetime as dt
import json
import time
import xmlrpc.client
from typing import Protocol

import pytest
import zeep

import toolserver.testing
from tests.client.protocols import OPEN
from tests.http.raw_http import wait_for
from tests.jobs.work import Locked, Receipt, Work
from tests.passwords import quick_hash
from tests.sample import OutOfStock
from toolserver import FactoryTool, StandardTool, TransientTool, expose, register
from toolserver.client import RemoteFault, RemoteJob, connect, remote_method
from toolserver.client.jobs import when_text
from toolserver.errors import (
    Conflict,
    InvalidParams,
    JobCancelled,
    JobUnknown,
    MethodNotFound,
)

from .scripted import Scripted, respond, result


@register("starters")
class Starters(StandardTool):
    """Has methods that are called like the ways to start calls."""

    def start(self, what: str) -> str:
        return f"started {what}"

    @expose("enqueue")
    def put(self, what: str, where: str) -> str:
        return f"{what} into {where}"


@register("ways.start")
class Start(StandardTool):
    """Is called like a way to start calls itself."""

    def now(self) -> str:
        return "now"


@register("ways.once")
class Once(StandardTool):
    def more(self) -> str:
        return "more"


class Key(TransientTool):
    def add(self, a: int, b: int = 1) -> int:
        return a + b


@register("keys")
class Keys(FactoryTool):
    children = (Key,)

    def child_exists(self, key: str) -> bool:
        return key == "one"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = toolserver.testing.Home(tmp_path_factory.mktemp("home"))
    home.create()
    lines = [f"{name}:{quick_hash(name)}\n" for name in ("ann", "bob", "root")]
    (home.path / "config" / "passwd").write_text("".join(lines))
    (home.path / "config" / "groups").write_text("admin: root\n")
    tools = (Work, Locked, Starters, Start, Once, Keys)
    with toolserver.testing.serve(*tools, home=home.path) as running:
        yield running
        running.tool("work").release.set()


@pytest.fixture
def work(server):
    tool = server.tool("work")
    tool.release.clear()
    yield tool
    tool.release.set()


@pytest.fixture(params=OPEN)
def remote(request, server, work):
    return server.remote(request.param)


def test_calls_are_started_queued_and_scheduled(remote):
    work = remote.get_tool("work")
    jobs = [
        work.add.start(1, 2),
        work.add.start(1, b=2),
        work.add.start(a=1, b=2),
        work.add.enqueue(5, 1, b=2),
        work.add.schedule(0.0, 1, 2),
        work.add.schedule(dt.timedelta(milliseconds=10), 1, 2),
        work.add.schedule(dt.datetime.now(dt.UTC), 1, b=2),
        remote.start("work.add", 1, b=2),
        remote.enqueue(-1, "work.add", 1, 2),
        remote.schedule(time.time() - 5, "work.add", 1, 2),
    ]
    assert all(isinstance(job, RemoteJob) for job in jobs)
    assert [job.result(timeout=10) for job in jobs] == [3] * len(jobs)
    assert len({job.id for job in jobs}) == len(jobs)
    assert {remote.job(job.id).status for job in jobs} == {"done"}


def test_a_job_is_asked_for_its_progress(remote, work):
    job = remote.get_tool("work").wait.start("text")
    wait_for(lambda: job.progress is not None)
    assert job.progress == (0.25, "began")
    assert job.status == "running"
    told = job.describe()
    assert told["method"] == "work.wait"
    assert told["id"] == job.id
    work.release.set()
    assert job.result() == "text"


def test_a_job_that_takes_too_long(remote, work):
    job = remote.get_tool("work").wait.start()
    begin = time.monotonic()
    with pytest.raises(TimeoutError, match=r"after 0\.3 seconds"):
        job.result(timeout=0.3)
    assert 0.3 <= time.monotonic() - begin < 15
    with pytest.raises(Conflict, match="without a result"):
        remote.call("system.jobs.result", job.id)


def test_a_server_that_lets_no_more_callers_wait():
    """It is asked without waiting, again and again."""
    asked = []

    def answer(head, body):
        call = json.loads(body)
        asked.append((call["method"], call["params"][1:]))
        if call["method"] == "system.jobs.result":
            return result("done")
        if call["params"][1]:
            body = {"error": {"code": -32029, "message": "too many wait"}}
            body |= {"jsonrpc": "2.0", "id": 1}
            return respond("200 OK", json.dumps(body).encode())
        return result({"state": "running" if len(asked) < 4 else "done"})

    with Scripted(answer) as full, connect(full.url, proxies={}, retries=0) as client:
        job = client.job("a1")
        assert repr(job) == "<RemoteJob a1>"
        assert job.result(30) == "done"
    waits = [params for method, params in asked if method == "system.jobs.status"]
    assert [bool(wait) for (wait,) in waits] == [True, False, True, False]


def test_a_job_is_cancelled(remote):
    job = remote.get_tool("work").wait.start()
    wait_for(lambda: job.status == "running")
    assert job.cancel()
    with pytest.raises(JobCancelled):
        job.result(timeout=10)
    assert job.status == "cancelled"
    done = remote.get_tool("work").add.start(1)
    assert done.result(10) == 2
    assert not done.cancel()


@pytest.mark.parametrize("how", ["own", "other"])
def test_failures_are_those_of_a_direct_call(remote, how):
    work = remote.get_tool("work")
    with pytest.raises((OutOfStock, RemoteFault)) as direct:
        work.break_down(how)
    with pytest.raises(type(direct.value)) as later:
        work.break_down.start(how).result(10)
    assert later.value.message == direct.value.message
    assert later.value.code == direct.value.code
    assert later.value.data == direct.value.data
    assert getattr(later.value, "kind", "") == getattr(direct.value, "kind", "")


@pytest.mark.parametrize(
    ("name", "args", "error"),
    [
        ("work.add", ("x",), InvalidParams),
        ("work.add", (1, 2, 3), InvalidParams),
        ("work.nope", (), MethodNotFound),
        ("work.secret", (), MethodNotFound),
        ("no.such.tool", (), MethodNotFound),
    ],
)
def test_what_cannot_be_called_is_no_job(remote, work, name, args, error):
    before = len(work.calls)
    with pytest.raises(error):
        remote.start(name, *args)
    assert len(work.calls) == before


@pytest.mark.parametrize("id", ["0" * 32, "", "x" * 300, "../x", "ä"])
def test_ids_that_are_none(remote, id):
    job = remote.job(id)
    for ask in (job.describe, job.cancel, lambda: job.result(1)):
        with pytest.raises(JobUnknown):
            ask()


def test_results_have_the_types_of_a_class(remote):
    class Typed(Protocol):
        @remote_method
        def order(self, item: str, count: int = 1) -> Receipt: ...

    work = remote.get_tool("work", Typed)
    assert work.order("book", count=2) == Receipt("book", 2)
    assert work.order.start("book", count=2).result(10) == Receipt("book", 2)
    assert work.order.enqueue(1, "book").result(10) == Receipt("book", 1)
    plain = remote.get_tool("work").order.start("book").result(10)
    assert plain == {"item": "book", "count": 1}


def test_methods_that_are_called_like_the_ways(remote):
    tool = remote.get_tool("starters")
    assert tool.start("it") == "started it"
    assert tool.enqueue("it", "there") == "it into there"
    assert tool.start.start("it").result(10) == "started it"
    assert remote.get_tool("").starters.start("it") == "started it"
    assert remote.get_tool("").starters.enqueue("it", "there") == "it into there"


def test_tools_that_are_called_like_the_ways(remote):
    tool = remote.get_tool("ways")
    assert tool.start.now() == "now"
    assert tool.start.now.start().result(10) == "now"
    assert tool.once.more() == "more"
    assert tool.once.more.once(None) == "more"


def test_tools_that_factories_make(remote):
    keys = remote.get_tool("keys")
    assert keys["one"].add.start(1).result(10) == 2
    assert keys["one"].add.enqueue(1, 1).result(10) == 2


def test_tokens_are_made_by_the_client(server, remote):
    if remote._codec.__class__.__name__ == "RESTCodec":
        return  # REST has no place for tokens
    tool = remote.get_tool("locked", secret="s")
    assert tool.add(1) == 2
    assert tool.add.start(1, b=2).result(10) == 3
    assert tool.add.enqueue(1, 1).result(10) == 2
    with pytest.raises((RemoteFault, InvalidParams, Exception)):
        remote.get_tool("locked").add.start(1)


def test_a_priority_and_a_time_are_needed(server):
    work = server.remote().get_tool("work")
    with pytest.raises(TypeError, match="expected a priority"):
        work.add.enqueue()
    with pytest.raises(TypeError, match="expected a time"):
        work.add.schedule()
    with pytest.raises(InvalidParams):
        work.add.enqueue("high", 1)


def test_times_in_a_form_that_every_protocol_has():
    assert when_text(5) == 5.0
    assert when_text(dt.timedelta(minutes=1.5)) == "PT90.000000S"
    assert when_text(dt.timedelta(seconds=-1)) == "-PT1.000000S"
    assert when_text(dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) == 0.0
    with pytest.raises(ValueError, match="with a zone"):
        when_text(dt.datetime(2026, 1, 1))
    for wrong in (True, "now", None):
        with pytest.raises(TypeError, match="expected a number"):
            when_text(wrong)


@pytest.mark.parametrize("when", [float("nan"), float("inf"), 1e300, -1e300])
def test_times_that_never_come(server, when):
    with pytest.raises(InvalidParams):
        server.remote().schedule(when, "work.add", 1)


# --- whose they are, over every protocol


@pytest.mark.parametrize("asker", [None, "ann", "bob", "root"])
@pytest.mark.parametrize("starter", [None, "ann"])
@pytest.mark.parametrize("protocol", OPEN)
def test_jobs_are_their_owners(server, work, protocol, starter, asker):
    def remote(name):
        return server.remote(protocol, basic=(name, name) if name else None)

    job = remote(starter).start("work.wait")
    seen = remote(asker).job(job.id)
    listed = {told["id"] for told in remote(asker).call("system.jobs.list")}
    assert (job.id in listed) == (asker == "root" or (asker == starter == "ann"))
    if starter is None or asker in ("ann", "root"):
        assert seen.status in ("waiting", "running")
        assert seen.cancel()
        with pytest.raises(JobCancelled):
            seen.result(10)
        return
    for ask in (seen.describe, seen.cancel, lambda: seen.result(0.1)):
        with pytest.raises(JobUnknown):
            ask()
    assert job.status in ("waiting", "running")
    job.cancel()


def test_a_result_that_is_handed_out_once(server):
    remote = server.remote()
    id = remote.call("system.jobs.start", "work.add", [1], once=True)
    job = remote.job(id)
    assert job.result(10) == 2
    with pytest.raises(Exception, match="handed out"):
        job.result(10)


def test_the_standard_library_of_python_may_ask(server, work):
    with xmlrpc.client.ServerProxy(server.url("/RPC2"), allow_none=True) as proxy:
        _use(proxy, work)


def _use(proxy, work):
    id = proxy.system.jobs.start("work.wait", ["text"])
    assert proxy.system.jobs.status(id)["state"] in ("waiting", "running")
    work.release.set()
    assert proxy.system.jobs.status(id, 10)["state"] == "done"
    assert proxy.system.jobs.result(id) == "text"
    assert not proxy.system.jobs.cancel(id)
    queued = proxy.system.jobs.enqueue(5, "work.add", [1], {"b": 4})
    assert proxy.system.jobs.result(queued, 10) == 5
    soon = proxy.system.jobs.schedule("PT0.01S", "work.add", [1])
    assert proxy.system.jobs.result(soon, 10) == 2
    assert proxy.system.jobs.list() == []
    with pytest.raises(xmlrpc.client.Fault) as caught:
        proxy.system.jobs.status("0" * 32)
    assert caught.value.faultCode == -32041


def test_in_a_batch_nobody_waits(server, work):
    job = server.remote().start("work.wait")
    calls = [
        {
            "jsonrpc": "2.0",
            "id": n,
            "method": "system.jobs.status",
            "params": [job.id, 30],
        }
        for n in range(20)
    ]
    begin = time.monotonic()
    found = server.http.post("/JSONRPC", json=calls).json()
    assert time.monotonic() - begin < 5
    assert {answer["result"]["state"] for answer in found} <= {"running", "waiting"}


def test_zeep_may_ask(server, work):
    client = zeep.Client(server.url("/WSDL/system.jobs"))
    numbers = [zeep.xsd.AnyObject(zeep.xsd.Integer(), number) for number in (1, 2)]
    id = client.service.start("work.add", {"item": numbers})
    told = client.service.status(id, 10)
    assert (told.state, told.method) == ("done", "work.add")
    assert client.service.result(id) == 3
    later = client.service.enqueue(5, "work.look")
    assert client.service.result(later, 10) == "saw nothing"
    assert client.service.cancel(later) is False
    with pytest.raises(zeep.exceptions.Fault, match="no job"):
        client.service.status("0" * 32)
