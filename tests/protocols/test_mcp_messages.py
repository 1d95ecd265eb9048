"""Whatever arrives as MCP is calls or an error, and is answered."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocols.test_mcp import Orders
from toolserver.calls import Outcome
from toolserver.describe.agentcatalog import AgentCatalog
from toolserver.describe.agentlogs import LogLevels, level_name, level_number
from toolserver.errors import InternalError, InvalidParams, ToolserverError
from toolserver.message import Request, Response
from toolserver.protocols.mcp import MCP
from toolserver.protocols.mcp_envelope import (
    HANDSHAKE,
    STATELESS,
    check_stateless,
    routing_headers,
)
from toolserver.protocols.mcp_messages import write_error
from toolserver.settings import Limits
from toolserver.testing import serve

PREFIX = "io.modelcontextprotocol/"
METHODS = [
    *("tools/call", "tools/list", "tasks/get", "tasks/list", "tasks/update"),
    *("logging/setLevel", "initialize", "ping", "resources/read", "no/such"),
    *("notifications/cancelled", "completion/complete", "server/discover"),
]
ODD = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    *(st.just([]), st.just({}), st.just({"ttl": 1}), st.just(HANDSHAKE[-1])),
)
CAPABILITIES = st.one_of(
    ODD,
    st.fixed_dictionaries(
        {"extensions": st.one_of(ODD, st.just({f"{PREFIX}tasks": {}}))}
    ),
)
META = st.fixed_dictionaries(
    {},
    optional={
        f"{PREFIX}protocolVersion": st.one_of(ODD, st.sampled_from(STATELESS)),
        f"{PREFIX}clientCapabilities": CAPABILITIES,
        f"{PREFIX}logLevel": st.one_of(ODD, st.sampled_from(["info", "loud"])),
        "progressToken": ODD,
        "toolserver/idempotencyKey": ODD,
    },
)
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "_meta": st.one_of(ODD, META, META),
        "name": st.one_of(ODD, st.just("shop.orders.greet")),
        "arguments": ODD,
        "task": ODD,
        "taskId": ODD,
        "cursor": ODD,
        "level": ODD,
        "uri": ODD,
    },
)
MESSAGE = st.fixed_dictionaries(
    {"jsonrpc": st.one_of(st.just("2.0"), ODD)},
    optional={
        "id": ODD,
        "method": st.one_of(st.sampled_from(METHODS), ODD),
        "params": st.one_of(PARAMS, PARAMS, ODD),
        "result": ODD,
        "error": ODD,
    },
)
VERSIONS = st.sampled_from([*HANDSHAKE, *STATELESS, None, "1999"])


@pytest.fixture(scope="module")
def codec():
    with serve(Orders) as server:
        catalog = AgentCatalog(server.worker.registry)
        yield MCP(Limits(), catalog, "mcp", LogLevels())


@given(st.data())
def test_any_message_is_answered(codec, data):
    message = data.draw(st.one_of(MESSAGE, st.lists(MESSAGE, max_size=3), ODD))
    version = data.draw(VERSIONS)
    headers = {"content-type": "application/json", "mcp-session-id": "x"}
    if version is not None:
        headers["mcp-protocol-version"] = version
    params = message.get("params") if isinstance(message, dict) else None
    if isinstance(params, dict) and data.draw(st.booleans()):
        routing = routing_headers(str(message.get("method")), params)
        headers |= {name.lower(): value for name, value in routing.items()}
    body = json.dumps(message).encode()
    request = Request(method="POST", path="/mcp", headers=headers, content=body)
    try:
        calls = codec.decode(request)
    except ToolserverError:
        return
    outcomes = [
        Outcome(call, error=call.error or InvalidParams("no")) for call in calls
    ]
    for call in calls:
        codec.stream_key(request, call)
        codec.log_level(request, call)
        told = codec.encode_progress(request, call, 0.5, "half")
        assert told is None or json.loads(told)["method"] == "notifications/progress"
    answer = codec.encode(request, outcomes)
    body = answer.body if isinstance(answer, Response) else answer
    if body:
        told = json.loads(body)
        assert type(told) is type(message)
        for each in told if isinstance(told, list) else [told]:
            assert ("result" in each) != ("error" in each)
    else:
        assert all(call.notify for call in calls)


@given(st.text(max_size=20), st.sampled_from(["tools/call", "tasks/get"]))
def test_headers_that_are_made_are_those_that_are_expected(name, method):
    meta = {
        f"{PREFIX}protocolVersion": STATELESS[-1],
        f"{PREFIX}clientCapabilities": {},
    }
    key = "name" if method == "tools/call" else "taskId"
    params = {key: name, "_meta": meta}
    made = routing_headers(method, params)
    for value in made.values():
        assert value.isascii()
        assert value == value.strip()
    headers = {field.lower(): value for field, value in made.items()}
    check_stateless(Request(headers=headers), {"method": method, "params": params})


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/list", {}),
        ("tools/list", {"_meta": 1}),
        ("tools/list", {"_meta": {f"{PREFIX}protocolVersion": 1}}),
    ],
)
def test_what_does_not_stand_by_itself_needs_no_headers(method, params):
    assert routing_headers(method, params) == {}


def test_no_header_repeats_a_name_that_is_no_text():
    meta = {f"{PREFIX}protocolVersion": STATELESS[-1]}
    assert routing_headers("tools/call", {"name": 1, "_meta": meta}) == {
        "MCP-Protocol-Version": STATELESS[-1],
        "Mcp-Method": "tools/call",
    }


def test_a_failure_of_the_framework_is_told_with_its_reference():
    assert json.loads(write_error(3, InternalError("r-1"))) == {
        "jsonrpc": "2.0",
        "id": 3,
        "error": {
            "code": -32603,
            "message": "internal error, reference r-1",
            "data": {"reference": "r-1"},
        },
    }


def test_levels_of_logs_and_their_names():
    for name in ("debug", "info", "notice", "warning", "error", "critical"):
        assert level_name(level_number(name)) == name
    assert [level_name(number) for number in (0, 5, 15, 45)] == [
        *("debug", "debug", "debug", "error")
    ]


def test_levels_are_kept_for_sessions_of_our_own_and_for_so_many(monkeypatch):
    monkeypatch.setattr("toolserver.describe.agentlogs._MOST", 2)
    levels = LogLevels()
    for number in (1, 2, 1, 3):
        levels.set(f"{number:032x}", number)
    levels.set("x" * 32, 7)
    levels.set("a" * 33, 7)
    kept = [levels.get(f"{number:032x}") for number in (1, 2, 3)]
    assert kept == [1, None, 3]
    assert levels.get("x" * 32) is levels.get("a" * 33) is None
