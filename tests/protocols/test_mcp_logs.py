"""What a tool logs and how far it is, told to who has called it."""

import gc
import json
import logging

import gevent
import pytest
import requests
from gevent.event import Event

from tests.http.raw_http import wait_for
from tests.protocols.test_mcp import ENVELOPE, STATELESS
from toolserver import StandardTool, call, progress, register, threaded
from toolserver.contexts import Context, bind
from toolserver.pools import _Worker
from toolserver.protocols.mcp_envelope import HANDSHAKE, LOG_LEVEL
from toolserver.protocols.mcp_messages import write_log
from toolserver.subscribers import Subscribers
from toolserver.testing import serve
from toolserver.web.calllogs import follow_log

OWN = "toolserver.tool.sample.talks"


@register("sample.talks")
class Talks(StandardTool):
    def on_start(self) -> None:
        self.has_begun, self.gate, self.has_ended = Event(), Event(), Event()

    def work(self, name: str = "") -> str:
        self.log.debug("debug %s", name)
        self.log.info("info %s", name)
        gevent.sleep(0)
        logging.getLogger("toolserver.calls").error("the server's own")
        logging.getLogger("toolserver.tool.sample.talkshow").error("of another")
        self.log.getChild("part").warning("warning %s", name)
        call("sample.other.work")
        try:
            raise ValueError("secret in a traceback")
        except ValueError:
            self.log.exception("error %s", name)
        return "done"

    @threaded
    def threads(self) -> str:
        self.log.warning("from a thread")
        return "done"

    def waits(self) -> str:
        progress(0.5, "half of it")
        self.has_begun.set()
        self.gate.wait()
        return "done"

    def hangs(self) -> None:
        self.has_begun.set()
        try:
            gevent.sleep(60)
        finally:
            self.has_ended.set()

    def floods(self, times: int) -> str:
        for each in range(times):
            progress(each / times, f"step {each}")
            self.log.warning("line %d", each)
        return "done"


@register("sample.other")
class Other(StandardTool):
    def work(self) -> None:
        self.log.error("of a tool that the agent has not called")


@pytest.fixture(autouse=True)
def own_level():
    logger = logging.getLogger(OWN)
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="module")
def server():
    with serve(Talks, Other, settings={"mcp": {"logs": True}}) as running:
        yield running


@pytest.fixture(scope="module")
def silent():
    with serve(Talks, Other) as running:
        yield running


def post(server, method, params, *, version, session=None):
    sent = {"MCP-Protocol-Version": version, "Mcp-Method": method}
    sent["Accept"] = "application/json, text/event-stream"
    if session:
        sent["Mcp-Session-Id"] = session
    if "name" in params:
        sent["Mcp-Name"] = params["name"]
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return requests.post(server.url("/mcp"), json=message, headers=sent, timeout=10)


def messages(answer):
    """All messages of an answer, as a stream or as one."""
    if answer.headers["content-type"] == "application/json":
        return [answer.json()]
    lines = answer.content.decode().splitlines()
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


def listen(server, level, method, *, meta=None, tool="sample.talks", **arguments):
    meta = {**ENVELOPE, **({LOG_LEVEL: level} if level else {}), **(meta or {})}
    params = {"name": f"{tool}.{method}", "arguments": arguments, "_meta": meta}
    *told, last = messages(post(server, "tools/call", params, version=STATELESS))
    return told, last.get("result") or last["error"]


def logged(told):
    return [
        (each["params"]["level"], each["params"]["logger"], each["params"]["data"])
        for each in told
        if each["method"] == "notifications/message"
    ]


LINES = [
    ("info", OWN, "info x"),
    ("warning", f"{OWN}.part", "warning x"),
    ("error", OWN, "error x"),
]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        # What the server's own level leaves out, nobody is told.
        ("debug", LINES),
        ("info", LINES),
        ("notice", LINES[1:]),
        ("error", LINES[2:]),
        ("critical", []),
        ("emergency", []),
        (None, []),
    ],
)
def test_an_agent_follows_the_log_of_its_call(server, level, expected):
    told, result = listen(server, level, "work", name="x")
    assert logged(told) == expected
    assert result["structuredContent"] == {"result": "done"}


def test_the_log_of_another_tool_is_its_own(server):
    told, _ = listen(server, "info", "work", tool="sample.other")
    assert [line[0] for line in logged(told)] == ["error"]
    told, _ = listen(server, "info", "work", name="x")
    assert logged(told) == LINES


def test_a_line_that_cannot_be_put_together_harms_no_call(capsys, monkeypatch):
    told = []
    logger = logging.getLogger("toolserver.tool.sample.words")
    # The tests' own handler takes it for a failure of the test.
    monkeypatch.setattr(logger, "propagate", False)
    with bind(Context()):
        follow_log(logger, logging.INFO, lambda *line: told.append(line))
        logger.warning("%d words", "some")
        logger.warning("%d words", 2)
    assert told == [(logging.WARNING, logger.name, "2 words")]
    assert "--- Logging error ---" in capsys.readouterr().err


def test_the_log_of_a_tool_that_is_not_there(server):
    told, error = listen(server, "info", "work", tool="sample.nobody")
    assert (told, error["code"]) == ([], -32602)


def test_who_wants_lines_alone_is_told_of_no_progress(server):
    told, result = listen(server, "info", "floods", times=2)
    assert logged(told) == [("warning", OWN, "line 0"), ("warning", OWN, "line 1")]
    assert len(told) == 2
    assert result["structuredContent"] == {"result": "done"}


def test_a_method_in_a_thread(server):
    told, _ = listen(server, "info", "threads")
    assert logged(told) == [("warning", OWN, "from a thread")]


def test_each_call_is_told_of_its_own_lines(server):
    calls = {
        name: gevent.spawn(listen, server, "info", "work", name=name) for name in "abc"
    }
    for name, made in calls.items():
        told, _ = made.get(timeout=10)
        assert [line[2][-1] for line in logged(told)] == [name] * 3


def test_what_is_told_too_fast_is_told_in_part(server):
    meta = {"progressToken": 7}
    told, result = listen(server, "info", "floods", times=1000, meta=meta)
    assert result["structuredContent"] == {"result": "done"}
    assert len(told) <= 102
    assert "further lines were left out" in logged(told)[-1][2]
    last = [each["params"] for each in told if "progressToken" in each["params"]][-1]
    assert last["message"] == "step 999"


def test_progress_alone_that_is_told_too_fast(silent):
    meta = {"progressToken": 7}
    told, result = listen(silent, None, "floods", times=1000, meta=meta)
    assert result["structuredContent"] == {"result": "done"}
    assert told[-1]["params"]["message"] == "step 999"


def test_a_session_sets_its_level(server):
    version = HANDSHAKE[-1]

    def ask(method, params=None, session=None):
        return post(server, method, params or {}, version=version, session=session)

    hello = ask("initialize", {"protocolVersion": version})
    assert "logging" in hello.json()["result"]["capabilities"]
    session = hello.headers["Mcp-Session-Id"]
    other = ask("initialize", {"protocolVersion": version}).headers["Mcp-Session-Id"]
    calling = {"name": "sample.talks.work", "arguments": {"name": "x"}}
    assert len(messages(ask("tools/call", calling, session))) == 1
    set_ = ask("logging/setLevel", {"level": "warning"}, session)
    assert set_.json()["result"] == {}
    *told, _ = messages(ask("tools/call", calling, session))
    assert logged(told) == LINES[1:]
    assert len(messages(ask("tools/call", calling, other))) == 1
    wrong = ask("logging/setLevel", {"level": "loud"}, session)
    assert wrong.json()["error"]["code"] == -32602


def test_lines_that_no_json_text_can_carry():
    told = json.loads(write_log("error", "a", "\udc80"))
    assert told["params"]["data"] == "\\udc80"


def test_unknown_levels_are_refused(server):
    _, error = listen(server, "loud", "work")
    assert error["code"] == -32602
    assert "'loud'" in error["message"]


def test_where_the_operator_has_not_allowed_it_nobody_is_told(silent):
    told, _ = listen(silent, "debug", "work")
    assert told == []
    version = HANDSHAKE[-1]
    hello = post(silent, "initialize", {"protocolVersion": version}, version=version)
    assert "logging" not in hello.json()["result"]["capabilities"]
    refused = post(silent, "logging/setLevel", {"level": "info"}, version=version)
    assert refused.json()["error"]["code"] == -32601


def test_a_stateless_revision_has_no_method_for_it(server):
    params = {"level": "info", "_meta": ENVELOPE}
    answer = post(server, "logging/setLevel", params, version=STATELESS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, -32601)


def test_a_call_that_is_followed_has_its_time_while_the_server_stops():
    with serve(Talks) as server:
        tool = server.tool("sample.talks")
        token = {"progressToken": "a"}
        answer = gevent.spawn(listen, server, None, "waits", meta=token)
        assert tool.has_begun.wait(15)
        stopping = gevent.spawn(server.worker.stop, 30)
        wait_for(lambda: server.worker.http.stopping)
        gevent.sleep(0)
        tool.gate.set()
        told, result = answer.get(timeout=15)
        assert result["structuredContent"] == {"result": "done"}
        assert [each["params"]["message"] for each in told] == ["half of it"]
        stopping.get(timeout=15)


def begin(server, version, session=None):
    """A call that waits, and is followed; the greenlet with its answer."""
    server.tool("sample.talks").has_begun.clear()
    server.tool("sample.talks").gate.clear()
    meta = {"progressToken": "a", **(ENVELOPE if version == STATELESS else {})}
    params = {"name": "sample.talks.waits", "arguments": {}, "_meta": meta}
    asked = {"version": version, "session": session}
    answer = gevent.spawn(post, server, "tools/call", params, **asked)
    assert server.tool("sample.talks").has_begun.wait(15)
    return answer


def cancel(server, *, version, session):
    message = {"jsonrpc": "2.0", "method": "notifications/cancelled"}
    return requests.post(
        server.url("/mcp"),
        json={**message, "params": {"requestId": 1}},
        headers={"MCP-Protocol-Version": version, "Mcp-Session-Id": session},
        timeout=10,
    )


def test_who_has_cancelled_a_call_is_told_no_more_of_it(silent):
    version = HANDSHAKE[-1]
    hello = post(silent, "initialize", {"protocolVersion": version}, version=version)
    asked = {"version": version, "session": hello.headers["Mcp-Session-Id"]}
    answer = begin(silent, **asked)
    assert cancel(silent, **asked).status_code == 202
    (progress,) = messages(answer.get(timeout=15))
    assert progress["params"]["message"] == "half of it"
    # Nobody knows of it any more, and that is no mistake.
    assert cancel(silent, **asked).status_code == 202


def test_a_silent_call_shows_that_it_goes_on(silent, monkeypatch):
    monkeypatch.setattr("toolserver.subscribers.PING", 0.05)
    answer = begin(silent, STATELESS)
    gevent.sleep(0.2)
    silent.tool("sample.talks").gate.set()
    made = answer.get(timeout=15)
    assert b"\n: ping\n" in made.content
    assert messages(made)[-1]["result"]["structuredContent"] == {"result": "done"}


def test_a_call_ends_with_the_greenlet_that_answers_it(silent, monkeypatch):
    """Whatever has ended that: a tool may kill all greenlets there are."""
    monkeypatch.setattr("toolserver.web.callstreams._SOON", 60)
    params = {"name": "sample.talks.hangs", "arguments": {}, "_meta": dict(ENVELOPE)}
    params["_meta"]["progressToken"] = "a"
    tool = silent.tool("sample.talks")
    tool.has_begun.clear()
    answer = gevent.spawn(post, silent, "tools/call", params, version=STATELESS)
    assert tool.has_begun.wait(15)
    for each in [each for each in gc.get_objects() if type(each) is _Worker]:
        gevent.kill(each)
    assert tool.has_ended.wait(15)
    assert answer.get(timeout=15).status_code == 500
    assert len(silent.worker.services.part(Subscribers)) == 0
    assert post(silent, "tools/list", {"_meta": ENVELOPE}, version=STATELESS).ok
