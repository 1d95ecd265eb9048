"""MCP as FastMCP speaks it, which many agents are made with: both eras."""

import pytest

from tests.protocols.test_mcp import Orders
from tests.protocols.test_mcp_clients import Slow, look
from toolserver.testing import serve


@pytest.fixture(scope="module")
def server():
    with serve(Orders, Slow, settings={"mcp": {"logs": True}}) as running:
        yield running


@pytest.mark.parametrize(
    ("mode", "version"), [("legacy", "2025-11-25"), ("auto", "2026-07-28")]
)
def test_fastmcp_finds_everything(server, mode, version):
    server.tool("slow").ends.clear()
    seen = look("mcp_fastmcp.py", server.url("/mcp"), mode)
    assert set(seen.pop("tools")) >= {"shop.orders.greet", "slow.work"}
    told = [[0.0, 1.0, "step 0"], [1 / 3, 1.0, "step 1"], [2 / 3, 1.0, "step 2"]]
    assert seen == {
        "version": version,
        "greeted": ["hi Ann", "hi Ann"],
        "counted": {"pen": 2},
        "failed": "ValueError: no such luck",
        "worked": [3, told],
        "logged": [["warning", "3 steps done"]],
        "read": '"a b"',
        "templates": ["shop://items/{item}"],
        "prompt": "Review in Greek: ",
        "cancelled": True,
    }
    assert server.tool("slow").ends == ["CallCancelled"]
