"""MCP as the official SDK speaks it: both eras, progress, cancelling."""

import json
import sys
from pathlib import Path

import gevent
import pytest
from gevent import subprocess

from tests.protocols.test_mcp import Orders
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


def look(server, mode):
    script = Path(__file__).parent / "mcp_sdk.py"
    process = subprocess.Popen(
        [sys.executable, str(script), server.url("/mcp"), mode],
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
    seen = look(server, mode)
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
