"""``mcp``: messages of an agent between its pipes and a server."""

from __future__ import annotations

import io
import json
import sys

import pytest

from tests.client.scripted import Scripted, respond

from .conftest import ask


def message(method, id_=None, **params):
    told = {"jsonrpc": "2.0", "method": method, "params": params}
    return told if id_ is None else {**told, "id": id_}


def result(id_, value):
    return {"jsonrpc": "2.0", "id": id_, "result": value}


@pytest.fixture
def tell(tmp_path, monkeypatch):
    """Sends messages, and gives what comes back."""

    def told(url, *messages):
        lines = [f"{json.dumps(each)}\n" for each in messages]
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(lines)))
        done = ask(tmp_path, "mcp", "--url", url)
        assert (done.code, done.err) == (0, "")
        return [json.loads(line) for line in done.out.splitlines()]

    return told


def test_a_session_is_kept_and_streams_are_read(tell):
    stream = (
        ': hello\n\nid: 1\ndata:\n\nevent: ping\ndata: 1\n\ndata: {"jsonrpc":\n'
        'data: "2.0", "id": 2, "result": 3}\n\nevent: message\ndata: {"n": 1}\n\n'
    )

    def answer(head, body):
        match json.loads(body)["method"]:
            case "initialize":
                agreed = result(1, {"protocolVersion": "2025-06-18"})
                told = json.dumps(agreed, indent=1).encode()
                return respond("200 OK", told, "application/json", "Mcp-Session-Id: s1")
            case "tools/list":
                return respond("200 OK", stream.encode(), "text/event-stream")
            case "ping":
                return respond("502 Bad Gateway", b"<p>busy</p>", "text/html")
        return respond("202 Accepted", b"", "")

    with Scripted(answer) as server:
        first, *others = tell(
            server.url,
            message("initialize", 1),
            message("notifications/initialized"),
            message("tools/list", 2),
            message("ping", "p"),
        )
    assert first == result(1, {"protocolVersion": "2025-06-18"})
    failed = {"code": -32603, "message": "the server has answered 502: <p>busy</p>"}
    assert sorted(others, key=str) == sorted(
        [result(2, 3), {"n": 1}, {"jsonrpc": "2.0", "id": "p", "error": failed}],
        key=str,
    )
    heads = [head.decode().lower() for head, _ in server.requests]
    assert "mcp-session-id" not in heads[0]
    assert all("mcp-session-id: s1" in head for head in heads[1:])
    assert all("mcp-protocol-version: 2025-06-18" in head for head in heads[1:])


@pytest.mark.parametrize("told", [{"error": {}}, {"result": 5}, []])
def test_a_server_that_agrees_on_nothing(tell, told):
    body = json.dumps(told).encode()
    with Scripted(lambda *_: respond("200 OK", body)) as server:
        first, _ = tell(server.url, message("initialize", 1), message("ping", 2))
        assert first == told
    assert b"protocol-version" not in server.requests[1][0].lower()


def test_a_server_without_sessions(tell):
    body = json.dumps(result(1, {"protocolVersion": "2025-06-18"})).encode()
    with Scripted(lambda *_: respond("200 OK", body)) as server:
        tell(server.url, message("initialize", 1), message("ping", 2))
    assert b"\r\nmcp-protocol-version: 2025-06-18" in server.requests[1][0].lower()
    assert b"session" not in server.requests[1][0].lower()


def test_a_notification_that_nobody_takes_is_not_answered(tell):
    (told,) = tell("http://127.0.0.1:9", message("note"), message("ping", 1))
    assert told["id"] == 1


def test_params_that_are_none_are_sent_as_they_are(tell):
    with Scripted(lambda *_: respond("200 OK", b"{}")) as server:
        assert tell(server.url, {"id": 1, "method": "a", "params": [1]}) == [{}]
    assert json.loads(server.requests[0][1])["params"] == [1]


def test_an_agent_with_a_token(tell, monkeypatch):
    monkeypatch.setenv("TOOLSERVER_TOKEN", "t0ken")
    with Scripted(lambda *_: respond("200 OK", b"{}")) as server:
        tell(server.url, message("ping", 1))
    assert b"\r\nauthorization: bearer t0ken" in server.requests[0][0].lower()


def test_agents_cannot_sign(tmp_path):
    key = tmp_path / "ann.pem"
    key.touch()
    done = ask(tmp_path, "mcp", "--url", "http://localhost", "--privkey", key)
    assert (done.code, done.out) == (2, "")
    assert "agents cannot sign" in done.err


def test_what_agents_are_told_of_another_server(tmp_path):
    done = ask(
        *(tmp_path, "mcp", "--config", "--url", "https://h/", "--user", "ann"),
        *("--ca", tmp_path / "ca.pem"),
    )
    server = json.loads(done.out)["mcpServers"]["toolserver"]
    assert server["command"] == sys.executable
    assert server["args"] == [
        *("-m", "toolserver", "--home", str(tmp_path), "mcp", "--url", "https://h/"),
        *("--user", "ann", "--ca", str(tmp_path / "ca.pem")),
    ]
