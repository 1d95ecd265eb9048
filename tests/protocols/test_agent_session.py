"""The session of an agent in the documentation, sent to a server as it stands there."""

import json
import re
import sys
import types
from pathlib import Path

import pytest
import requests

from toolserver import __version__
from toolserver.testing import serve

PAGE = Path(__file__).parents[2] / "docs" / "agent-session.md"
SERVER_INFO = "io.modelcontextprotocol/serverInfo"
BLOCKS = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def blocks():
    return BLOCKS.findall(PAGE.read_text())


@pytest.fixture
def server(blocks, monkeypatch):
    module = types.ModuleType("session_of_an_agent")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    (code,) = [text for language, text in blocks if language == "python"]
    exec(compile(code, str(PAGE), "exec"), module.__dict__)
    settings = {"mcp": {"instructions": "Ask for a book by its title."}}
    with serve(module.Stock, settings=settings) as running:
        yield running


def events(text):
    """The messages of a stream."""
    lines = [line.partition(": ") for line in text.splitlines() if line]
    assert {name for name, _, _ in lines} <= {"event", "data", "retry"}
    return [json.loads(value) for name, _, value in lines if name == "data"]


def send(server, headers, message):
    params = message["params"]
    headers = {**headers, "Mcp-Method": message["method"]}
    headers.pop("Mcp-Name")
    name = params.get("name", params.get("uri"))
    if name is not None:
        headers["Mcp-Name"] = name
    answer = requests.post(
        server.url("/mcp"), json=message, headers=headers, timeout=10
    )
    assert answer.status_code == 200
    if answer.headers["Content-Type"] == "text/event-stream":
        return events(answer.text)
    return [answer.json()]


def test_the_page_tells_what_is_sent(server, blocks):
    (head,) = [text for language, text in blocks if language == "http"]
    headers = dict(line.split(": ", 1) for line in head.splitlines()[1:])
    del headers["Host"]
    shown = [
        events(text) if language == "text" else [json.loads(text)]
        for language, text in blocks
        if language in ("json", "text")
    ]
    meta = shown[0][0]["params"]["_meta"]
    shown[1][0]["result"]["_meta"][SERVER_INFO]["version"] = __version__
    pairs = list(zip(shown[::2], shown[1::2], strict=True))
    assert len(pairs) == 8
    for (asked,), told in pairs:
        params = asked["params"]
        params["_meta"] = {**meta, **params.get("_meta", {})}
        got = send(server, headers, asked)
        if asked["id"] > 1:
            # It tells the server's name once more.
            assert SERVER_INFO in got[-1]["result"].pop("_meta")
        assert got == told
