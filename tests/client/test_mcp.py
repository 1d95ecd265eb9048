"""MCP by our own client: servers of both eras, and what is more than JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gevent
import pytest
from gevent import subprocess

from tests.client.scripted import Scripted, respond
from toolserver import Audio, Document, Image, StandardTool, connect, register
from toolserver.client import AnswerError, RemoteFault
from toolserver.client.mcp import MCPCodec
from toolserver.errors import Conflict, InvalidParams, MethodNotFound
from toolserver.testing import serve


@register("sample.media")
class Media(StandardTool):
    def picture(self) -> Image:
        return Image(b"\x89PNG", "image/png")

    def sound(self) -> Audio:
        return Audio(b"RIFF")

    def pictures(self, count: int) -> list[Image]:
        return [Image(bytes([each])) for each in range(count)]

    def mixed(self) -> list[str | Document]:
        return ["look", Document("a:b", "text"), Document("a:c", b"\0", "x/y")]

    def wraps(self, text: str) -> dict[str, str]:
        return {"result": text}

    def wrapped(self, value: object) -> object:
        return {"result": value}

    def bare(self, text: str) -> str:
        return text

    def waits(self) -> str:
        gevent.sleep(0.1)
        return "done"

    def takes(self, naïve: int) -> int:
        return naïve


@pytest.fixture(scope="module")
def server():
    with serve(Media) as running:
        yield running


@pytest.fixture
def media(server):
    return server.remote("MCP").get_tool("sample.media")


def test_pictures_sounds_and_documents_come_back_as_such(media, server):
    assert media.picture() == Image(b"\x89PNG", "image/png")
    assert media.sound() == Audio(b"RIFF")
    document = Document("a:b", "text")
    assert media.mixed() == ["look", document, Document("a:c", b"\0", "x/y")]
    for count in range(3):
        assert media.pictures(count) == [Image(bytes([each])) for each in range(count)]
    typed = server.remote("MCP").get_tool("sample.media", Media)
    assert typed.picture() == Image(b"\x89PNG", "image/png")
    assert typed.pictures(1) == [Image(b"\0")]
    assert typed.mixed()[1] == document


@pytest.mark.parametrize("text", ["", "{", '{"result": "x"}', '{"result":"x"}', "[1]"])
def test_results_that_look_like_what_is_put_around_others(media, text):
    assert media.bare(text) == text
    assert media.wraps(text) == {"result": text}
    assert media.wrapped(text) == {"result": text}
    assert media.wrapped({"result": 1}) == {"result": {"result": 1}}


def test_an_answer_that_takes_long_comes_as_a_stream(server, monkeypatch):
    monkeypatch.setattr("toolserver.web.callstreams._SOON", 0.01)
    kinds = []
    with server.remote("MCP") as client:
        send = client._transport.send

        def watched(*args):
            answer = send(*args)
            kinds.append(answer.media_type)
            return answer

        client._transport.send = watched
        assert client.call("sample.media.waits") == "done"
        client._codec.takes_streams = False
        assert client.call("sample.media.waits") == "done"
    assert kinds == ["text/event-stream", "application/json"]


def test_names_beyond_ascii(media):
    assert media.takes(naïve=3) == media.takes(3) == 3


@pytest.fixture(scope="module")
def foreign():
    script = Path(__file__).parent / "mcp_server.py"
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True
    )
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("path", ["/", "/early/"])
def test_a_server_of_the_official_sdk(foreign, path):
    with connect(foreign + path, "MCP", proxies={}) as client:
        assert client.call("add", a=2, b=3) == 5
        assert client.call("say", name="Ann") == "hi Ann"
        assert client.call("picture") == Image(b"\x89PNG", "image/png")
        with pytest.raises(RemoteFault, match="Error executing tool fail"):
            client.call("fail")
        agreed = client._codec._agreed
        assert (agreed is not None) == (path == "/early/")


def told(status, **members):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, **members}).encode()
    return respond(status, body)


RESULT = {"content": [], "structuredContent": {"result": 3}}


def test_a_session_that_the_server_has_forgotten():
    sessions = []

    def answer(head, body):
        method = json.loads(body)["method"]
        if method == "initialize":
            sessions.append(f"s{len(sessions)}")
            agreed = {"protocolVersion": "2025-06-18", "capabilities": {}}
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": agreed}).encode()
            field = f"Mcp-Session-Id: {sessions[-1]}"
            return respond("200 OK", body, "application/json", field)
        if f"mcp-session-id: {sessions[-1]}\r\n".encode() not in head.lower() + b"\r\n":
            return respond("404 Not Found", b"", "")
        if method == "notifications/initialized":
            return respond("202 Accepted", b"", "")
        return told("200 OK", result=RESULT)

    sessions.append("none")
    with Scripted(answer) as scripted, connect(scripted.url, "MCP", proxies={}) as mcp:
        assert mcp.call("a.b") == 3
        sessions.append("s5")
        assert mcp.call("a.b") == 3
        assert mcp.call("a.b") == 3
    asked = [json.loads(body)["method"] for _, body in scripted.requests]
    handshake = ["initialize", "notifications/initialized", "tools/call"]
    again = ["tools/call", *handshake]
    assert asked == [*again, *again, "tools/call"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (told("400 X", error={"code": -32602, "message": "no"}), InvalidParams),
        (
            told("400 X", error={"code": -32602, "message": "Unknown tool: a"}),
            MethodNotFound,
        ),
        (told("400 X", error={"code": -32020, "message": "no"}), AnswerError),
        (
            told(
                "400 X",
                error={
                    "code": -32022,
                    "message": "no",
                    "data": {"supported": ["2030-01-01"]},
                },
            ),
            AnswerError,
        ),
        (
            told(
                "200 OK",
                result={
                    "content": [{"type": "text", "text": "x"}],
                    "isError": True,
                    "_meta": {"toolserver/error": {"code": -32009, "message": "no"}},
                },
            ),
            Conflict,
        ),
        (told("200 OK", result={"resultType": "input_required"}), AnswerError),
        (told("200 OK", result=5), AnswerError),
        (told("200 OK", result={"content": [1]}), AnswerError),
        (told("200 OK", result={"content": [{"type": "resource"}]}), AnswerError),
        (
            told("200 OK", result={"content": [{"type": "image", "data": "%"}]}),
            AnswerError,
        ),
        (respond("200 OK", b"data: {}\n\n", "text/event-stream"), AnswerError),
    ],
)
def test_answers_after_which_nobody_asks_again(answer, error):
    with (
        Scripted(lambda *_: answer) as scripted,
        connect(scripted.url, "MCP", proxies={}) as client,
        pytest.raises(error),
    ):
        client.call("a.b")
    assert len(scripted.requests) == 1


def test_a_server_with_which_no_revision_can_be_agreed_on():
    def answer(head, body):
        if json.loads(body)["method"] == "initialize":
            return told("200 OK", result={"protocolVersion": "1999"})
        return told("400 X", error={"code": -32000, "message": "no"})

    with (
        Scripted(answer) as scripted,
        connect(scripted.url, "MCP", proxies={}) as client,
        pytest.raises(AnswerError, match="got revision '1999'"),
    ):
        client.call("a.b")


def test_a_stream_that_tells_how_to_take_it_up_again():
    """Its first event has a number and no data (2025-11-25, transports)."""
    answered = json.dumps({"jsonrpc": "2.0", "id": 1, "result": RESULT}).encode()
    stream = b"id: 1\ndata:\n\nretry: 100\n\ndata: %s\n\n" % answered
    with (
        Scripted(lambda *_: respond("200 OK", stream, "text/event-stream")) as scripted,
        connect(scripted.url, "MCP", proxies={}) as client,
    ):
        assert client.call("a.b") == 3


def test_a_server_without_sessions():
    def answer(head, body):
        if json.loads(body)["method"] == "initialize":
            return told("200 OK", result={"protocolVersion": "2025-06-18"})
        if b"mcp-protocol-version: 2025-06-18" not in head.lower():
            return respond("400 Bad Request", b"", "")
        return told("200 OK", result=RESULT)

    with Scripted(answer) as scripted, connect(scripted.url, "MCP", proxies={}) as mcp:
        assert mcp.call("a.b") == 3
    assert not any(b"mcp-session-id" in head.lower() for head, _ in scripted.requests)


def test_names_in_headers():
    sent = MCPCodec().write("a.naïve", [], {})
    assert sent.headers["Mcp-Name"] == "=?base64?YS5uYcOvdmU=?="
    assert MCPCodec().write("a.b", [], {}).headers["Mcp-Name"] == "a.b"
