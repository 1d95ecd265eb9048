"""MCP as the official SDK speaks it: both eras, progress, cancelling."""

import json
import sys
from pathlib import Path

import gevent
import pytest
from gevent import subprocess

from tests.protocols.test_mcp import ENVELOPE, Orders
from toolserver import StandardTool, progress, register
from toolserver.testing import serve


@register("slow")
class Slow(StandardTool):
    def __init__(self):
        self.ends = []

    def work(self, steps: int) -> int:
        for step in range(steps):
            progress(step / steps, f"step {step}")
            gevent.sleep(0.01)
        self.log.warning("%d steps done", steps)
        return steps

    def hang(self) -> None:
        try:
            gevent.sleep(30)
        except BaseException as error:
            self.ends.append(type(error).__name__)
            raise

    def ended(self) -> list[str]:
        return self.ends


@pytest.fixture
def server():
    with serve(Orders, Slow) as running:
        yield running


def look(name, *words):
    script = Path(__file__).parent / name
    process = subprocess.Popen(
        [sys.executable, str(script), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, error = process.communicate(timeout=40)
    assert process.returncode == 0, error
    return json.loads(out)


@pytest.mark.parametrize(
    ("mode", "version"), [("legacy", "2025-11-25"), ("auto", "2026-07-28")]
)
def test_the_official_sdk_finds_everything(server, mode, version):
    seen = look("mcp_sdk.py", server.url("/mcp"), mode)
    assert seen["version"] == version
    assert "shop.orders.greet" in seen["tools"]
    assert seen["greeted"] == ["hi Ann", {"result": "hi Ann"}]
    assert seen["failed"] == [True, "ValueError: no such luck"]
    told = [[0.0, 1.0, "step 0"], [1 / 3, 1.0, "step 1"], [2 / 3, 1.0, "step 2"]]
    assert seen["worked"] == [{"result": 3}, told]
    assert seen["read"] == '"a b"'
    assert seen["prompt"] == "Review in Greek: "
    # An error that is told to nobody, not a failure of the tool.
    assert server.tool("slow").ends == ["CallCancelled"]


@pytest.mark.parametrize(
    ("mode", "version"), [("legacy", "2025-11-25"), ("auto", "2026-07-28")]
)
def test_agents_of_the_desktop_come_by_standard_input(server, mode, version):
    command = [sys.executable, "-m", "toolserver", "mcp", "--url", server.url()]
    assert look("mcp_stdio.py", mode, *command) == {
        "version": version,
        "worked": [{"result": 3}, ["step 0", "step 1", "step 2"]],
        "greeted": "hi Ann",
    }


def bridge(*words, told=""):
    process = subprocess.Popen(
        [sys.executable, "-m", "toolserver", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, error = process.communicate(told, timeout=30)
    return process.returncode, out, error


def test_what_an_agent_sends_wrongly_is_told(server):
    ping = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})
    words = ["mcp", "--url", server.url()]
    _, out, _ = bridge(*words, told=f"nonsense\n[]\n\n{ping}\n")
    codes = [json.loads(line).get("error", {}).get("code") for line in out.splitlines()]
    assert sorted(codes, key=str) == [-32700, -32700, None]
    _, out, _ = bridge("mcp", "--url", "http://127.0.0.1:9", told=f"{ping}\n")
    assert "cannot be asked" in json.loads(out)["error"]["message"]


def test_what_is_unknown_is_no_mistake_of_the_bridge(server):
    capabilities = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    meta = {**ENVELOPE, "io.modelcontextprotocol/clientCapabilities": capabilities}
    told = ""
    for method, params in (
        ("tools/call", {"name": "shop.naïve"}),
        ("tools/call", {"name": " padded "}),
        ("tasks/get", {"taskId": "no-such"}),
    ):
        params = {**params, "_meta": meta}
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        told += json.dumps(asked) + "\n"
    _, out, _ = bridge("mcp", "--url", server.url(), told=told)
    errors = [json.loads(line)["error"] for line in out.splitlines()]
    assert [each["code"] for each in errors] == [-32602] * 3
    assert {each["message"][:7] for each in errors} == {"unknown"}


def test_agents_are_told_how_to_start_it(tmp_path, monkeypatch):
    code, out, _ = bridge("--home", str(tmp_path), "mcp", "--config")
    assert code == 0
    told = json.loads(out)["mcpServers"]["toolserver"]
    assert told["args"] == ["-m", "toolserver", "--home", str(tmp_path), "mcp"]
    # In whatever folder the agent starts it, it is the server of this one.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "toolserver.toml").touch()
    assert json.loads(bridge("mcp", "--config")[1])["mcpServers"]["toolserver"] == told
    code, _, error = bridge("--home", str(tmp_path), "mcp")
    assert code != 0
    assert "Traceback" not in error
