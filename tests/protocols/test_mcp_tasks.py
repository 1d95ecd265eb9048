"""Long calls of agents as tasks, which are jobs: both eras."""

import secrets
from collections.abc import Iterator

import gevent
import pytest
import requests
from gevent.event import Event
from mcp_types import _v2025_11_25 as early

from tests.http.raw_http import wait_for
from tests.passwords import quick_hash
from tests.protocols.test_mcp import ENVELOPE, STATELESS
from tests.protocols.test_mcp_clients import look
from toolserver import Image, StandardTool, limit, progress, register
from toolserver.jobs.payload import write_result
from toolserver.jobs.records import Ending, JobRecord, JobState
from toolserver.protocols.mcp_envelope import HANDSHAKE
from toolserver.subscribers import End, Subscribers
from toolserver.testing import serve

TASKS = "io.modelcontextprotocol/tasks"
CAPABLE = {
    **ENVELOPE,
    "io.modelcontextprotocol/clientCapabilities": {"extensions": {TASKS: {}}},
}


@register("sample.long")
class Long(StandardTool):
    def __init__(self):
        self.goes = Event()

    @limit(timeout=600)
    def work(self, steps: int) -> int:
        if steps < 0:
            raise ValueError("backwards")
        return steps

    @limit(timeout=0)
    def hold(self) -> list[Image]:
        progress(0.5, "half")
        self.goes.wait()
        return [Image(b"x")]

    def quick(self) -> str:
        return "at once"

    def stream(self) -> Iterator[str]:
        yield "a"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    (home / "config").mkdir()
    lines = [f"{name}:{quick_hash(name)}" for name in ("ann", "bob")]
    (home / "config" / "passwd").write_text("\n".join(lines))
    with serve(Long, home=home) as running:
        yield running


@pytest.fixture
def ask(server):
    def ask(method, params=None, *, version=HANDSHAKE[-1], who=None, meta=CAPABLE):
        params = dict(params or {})
        sent = {"MCP-Protocol-Version": version}
        if version == STATELESS:
            params["_meta"] = meta
            sent["Mcp-Method"] = method
            sent["Mcp-Name"] = params.get("taskId", params.get("name"))
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        auth = (who, who) if who else None
        told = requests.post(
            server.url("/mcp"), json=message, headers=sent, timeout=10, auth=auth
        ).json()
        return told["result"] if "result" in told else told["error"]

    return ask


def calling(name, task=True, **arguments):
    found = {"name": f"sample.long.{name}", "arguments": arguments}
    return found | ({"task": {"ttl": 60000}} if task else {})


def test_an_agent_asks_for_a_task(ask):
    made = ask("tools/call", calling("work", steps=3))
    task = early.CreateTaskResult.model_validate(made).task
    assert task.status == "working"
    result = ask("tasks/result", {"taskId": task.task_id})
    assert result["structuredContent"] == {"result": 3}
    related = result["_meta"]["io.modelcontextprotocol/related-task"]
    assert related == {"taskId": task.task_id}
    told = ask("tasks/get", {"taskId": task.task_id})
    assert early.Task.model_validate(told).status == "completed"
    assert told["ttl"] >= 3_600_000


def test_a_task_that_fails(ask):
    id_ = ask("tools/call", calling("work", steps=-1))["task"]["taskId"]
    result = ask("tasks/result", {"taskId": id_})
    assert result["isError"] is True
    assert result["content"][0]["text"] == "ValueError: backwards"
    told = ask("tasks/get", {"taskId": id_})
    assert (told["status"], told["statusMessage"]) == (
        "failed",
        "ValueError: backwards",
    )
    # For stateless agents that is a result like others.
    later = ask("tasks/get", {"taskId": id_}, version=STATELESS)
    assert later["status"] == "completed"
    assert later["result"]["isError"] is True


def test_the_server_makes_tasks_of_long_calls(ask, server):
    made = ask("tools/call", calling("hold", task=False), version=STATELESS)
    assert made["resultType"] == "task"
    assert made["status"] == "working"

    def told():
        return ask("tasks/get", {"taskId": made["taskId"]}, version=STATELESS)

    wait_for(lambda: told().get("statusMessage") == "half")
    assert told()["resultType"] == "complete"
    answered = gevent.spawn(ask, "tasks/result", {"taskId": made["taskId"]})
    server.tool("sample.long").goes.set()
    image = [{"type": "image", "data": "eA==", "mimeType": "image/png"}]
    assert answered.get(timeout=10)["content"] == image
    server.tool("sample.long").goes.clear()
    ended = told()
    assert (ended["status"], ended["result"]["content"]) == ("completed", image)
    assert ended["ttlMs"] >= 3_600_000


def test_calls_that_become_no_tasks(ask):
    quick = ask("tools/call", calling("quick", task=False), version=STATELESS)
    assert quick["resultType"] == "complete"
    params = calling("work", task=False, steps=1)
    unable = ask("tools/call", params, version=STATELESS, meta=ENVELOPE)
    assert unable["resultType"] == "complete"
    # Early revisions know no tasks, whatever is asked.
    early = ask("tools/call", calling("work", steps=1), version=HANDSHAKE[-2])
    assert early["structuredContent"] == {"result": 1}
    assert ask("tasks/list", version=HANDSHAKE[-2])["code"] == -32601
    assert ask("tools/call", calling("stream"))["code"] == -32601
    wrong = {**calling("work"), "task": 1}
    assert ask("tools/call", wrong)["code"] == -32602


@pytest.mark.parametrize("version", [HANDSHAKE[-1], STATELESS])
def test_arguments_that_do_not_fit_are_told_at_once(ask, version):
    told = ask("tools/call", calling("work", steps="x"), version=version)
    if version == STATELESS:
        assert told["isError"] is True
        assert "steps" in told["content"][0]["text"]
    else:
        assert told["code"] == -32602


@pytest.mark.parametrize("version", [HANDSHAKE[-1], STATELESS])
def test_a_task_is_cancelled(ask, version):
    made = ask("tools/call", calling("hold"), version=version)
    id_ = made.get("task", made)["taskId"]
    told = ask("tasks/cancel", {"taskId": id_}, version=version)
    if version == STATELESS:
        assert set(told) == {"resultType", "_meta"}
        wait_for(
            lambda: (
                ask("tasks/get", {"taskId": id_}, version=version)["status"]
                == "cancelled"
            )
        )
    else:
        assert early.Task.model_validate(told).status == "cancelled"
        result = ask("tasks/result", {"taskId": id_})
        assert "was cancelled" in result["content"][0]["text"]
        assert ask("tasks/cancel", {"taskId": id_})["code"] == -32602


def test_tasks_are_their_owners(ask):
    id_ = ask("tools/call", calling("work", steps=1), who="ann")["task"]["taskId"]
    for method in ("tasks/get", "tasks/result", "tasks/cancel"):
        assert ask(method, {"taskId": id_}, who="bob")["code"] == -32602
        assert ask(method, {"taskId": "no-such"}, who="ann")["code"] == -32602
    assert ask("tasks/result", {"taskId": id_}, who="ann")["structuredContent"]
    assert [each["taskId"] for each in ask("tasks/list", who="ann")["tasks"]] == [id_]
    assert ask("tasks/list", who="bob")["tasks"] == []
    assert ask("tasks/list")["tasks"] == []
    assert ask("tasks/list", {"cursor": "x"})["code"] == -32602


def test_what_is_offered(ask):
    hello = {"protocolVersion": HANDSHAKE[-1], "capabilities": {}}
    offered = ask("initialize", hello)["capabilities"]["tasks"]
    assert offered == {"cancel": {}, "requests": {"tools": {"call": {}}}}
    known = ask("initialize", hello, who="ann")["capabilities"]["tasks"]
    assert known == {**offered, "list": {}}
    tools = {tool["name"]: tool for tool in ask("tools/list")["tools"]}
    assert tools["sample.long.work"]["execution"] == {"taskSupport": "optional"}
    assert "execution" not in tools["sample.long.stream"]
    (tool, *_) = ask("tools/list", version=STATELESS)["tools"]
    assert "execution" not in tool
    found = ask("server/discover", version=STATELESS)
    assert found["capabilities"]["extensions"] == {TASKS: {}}


def test_who_has_not_declared_the_extension_is_told(ask):
    params = {"taskId": "x", "inputResponses": {}}
    for method in ("tasks/get", "tasks/cancel", "tasks/update"):
        told = ask(method, params, version=STATELESS, meta=ENVELOPE)
        assert told["code"] == -32021
        needed = {"requiredCapabilities": {"extensions": {TASKS: {}}}}
        assert told["data"] == needed
        assert ask(method, params, version=STATELESS)["code"] == -32602
    for method in ("tasks/list", "tasks/result"):
        assert ask(method, params, version=STATELESS)["code"] == -32601


def test_answers_for_a_task_are_taken(ask):
    made = ask("tools/call", calling("hold", task=False), version=STATELESS)
    given = {"taskId": made["taskId"], "inputResponses": {}}
    assert ask("tasks/update", given, version=STATELESS)["resultType"] == "complete"
    given = {"taskId": made["taskId"]}
    assert ask("tasks/cancel", given, version=STATELESS)["resultType"] == "complete"


@pytest.fixture
def claimed(server):
    """Makes a job that another process has taken."""

    def claim(method):
        jobs = server.worker.jobs
        id_, now = secrets.token_hex(16), jobs.clock.now()
        jobs.engine.put([JobRecord(id=id_, method=method, created=now, due=now)])
        (claim,), _ = jobs.engine.claim("another", 10, now=now, lease=now + 60)
        assert claim.job.id == id_
        return jobs, id_, claim.attempt

    return claim


def test_a_task_that_is_lost_with_its_process(ask, claimed):
    jobs, id_, _ = claimed("sample.long.work")
    jobs.engine.recover(["another"], now=jobs.clock.now(), max_attempts=1)
    told = ask("tasks/get", {"taskId": id_}, version=STATELESS)
    assert told["status"] == "failed"
    assert told["error"]["code"]
    assert "never came to an end" in told["error"]["message"]


def test_a_task_whose_method_is_gone(ask, claimed):
    jobs, id_, attempt = claimed("sample.long.gone")
    ending = Ending(JobState.DONE, write_result("kept"))
    jobs.engine.finish({id_: (attempt, ending)}, now=jobs.clock.now())
    result = ask("tasks/result", {"taskId": id_})
    assert result["content"] == [{"type": "text", "text": "kept"}]


def test_a_server_that_stops_while_a_task_is_waited_for(ask, claimed, server):
    _, id_, _ = claimed("sample.long.work")
    subscribers = server.worker.services.part(Subscribers)
    asking = gevent.spawn(ask, "tasks/result", {"taskId": id_})
    (waiting,) = wait_for(lambda: subscribers._members)
    waiting.finish(End.STOPPING)
    told = f"task {id_}: running, without a result so far"
    assert asking.get()["message"] == told


def test_the_official_sdk_takes_tasks(server):
    offered, result, seen = look("mcp_tasks_sdk.py", server.url("/mcp"))
    assert offered == {TASKS: {}}
    assert result == {"result": 3}
    assert seen == ["working", "completed"]
