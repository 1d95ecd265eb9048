"""The trace that a call is a part of, from server to server."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

import toolserver
from toolserver import StandardTool, context, register
from toolserver.contexts import Context, bind
from toolserver.logs import AccessLog, ErrorLog
from toolserver.message import Headers, Request
from toolserver.testing import serve
from toolserver.traces import current_trace, outgoing, trace_id, trace_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@register("relay")
class Relay(StandardTool):
    """Asks a server, itself or another one, what has arrived there."""

    url = ""

    def heard(self) -> list[str]:
        headers = context.request.headers
        return [headers.get("traceparent", ""), headers.get("tracestate", "")]

    def ask(self, protocol: str) -> list[str]:
        with toolserver.connect(self.url, protocol) as server:
            return server.get_tool("relay").heard()

    def ask_in_a_job(self) -> list[str]:
        return self.enqueue(0, self.ask, "JSONRPC").result(10)

    def fail(self) -> None:
        raise ValueError("no")


@pytest.fixture(scope="module")
def server():
    with serve(Relay) as running:
        running.tool("relay").url = running.url("")
        yield running


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        PARENT.upper(),
        PARENT[:-1],
        PARENT + "-more",
        PARENT.replace("00-4", "ff-4"),
        PARENT.replace(TRACE, "0" * 32),
        PARENT.replace("00f067aa0ba902b7", "0" * 16),
        f" {PARENT}",
        f"cc{PARENT[2:]}-{'x' * 600}",
    ],
)
def test_what_is_malformed_is_no_trace(malformed):
    assert trace_of({"traceparent": malformed}) == ""


def test_a_later_version_may_say_more():
    later = f"cc{PARENT[2:]}-more"
    assert trace_of({"traceparent": later}) == later
    assert trace_id(later) == TRACE


@given(st.text(max_size=80) | st.text("0123456789abcdef-", max_size=80))
def test_any_text_is_a_trace_or_none(text):
    assert trace_of({"traceparent": text}) in ("", text)


def test_nothing_is_traced_that_came_without(server):
    assert current_trace() == ""
    assert outgoing() == {}
    asked = server.http.post("/relay/ask", json={"protocol": "REST"})
    assert asked.json() == ["", ""]


@pytest.mark.parametrize("protocol", ["REST", "JSONRPC", "RPC2", "SOAP", "MCP"])
def test_a_trace_goes_on_to_other_servers(server, protocol):
    state = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"
    asked = server.http.post(
        "/relay/ask",
        json={"protocol": protocol},
        headers={"traceparent": PARENT, "tracestate": state},
    )
    heard, heard_state = asked.json()
    version, trace, parent, flags = heard.split("-")
    assert (version, trace, flags) == ("00", TRACE, "01")
    assert parent != "00f067aa0ba902b7"
    assert heard_state == state


def test_a_trace_goes_on_in_jobs(server):
    headers = {"traceparent": PARENT.replace("-01", "-00")}
    heard, _ = server.http.post("/relay/ask_in_a_job", headers=headers).json()
    assert heard[:36] == f"00-{TRACE}-"
    assert heard.endswith("-00")


def test_the_error_log_names_the_trace():
    request = Request(headers=Headers([("Traceparent", PARENT)]))
    record = logging.LogRecord("relay", logging.ERROR, "", 0, "failed", (), None)
    with bind(Context(request=request)):
        assert f" trace_id={TRACE}] failed" in ErrorLog().format(record)


def test_the_access_log_names_the_trace():

    lines = []

    class Writer:
        write = staticmethod(lines.append)

    log = AccessLog(Writer(), "json")
    for fields in ([("Traceparent", PARENT)], []):
        log.write(Request(headers=Headers(fields)), 200, 3, 0.1)
    assert [json.loads(line)["trace_id"] for line in lines] == [TRACE, None]
