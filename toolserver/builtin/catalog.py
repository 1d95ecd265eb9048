"""Which tools come with the server, and under which names."""

from __future__ import annotations

from collections.abc import Mapping

from toolserver.builtin.api import API
from toolserver.builtin.health import HealthTool
from toolserver.builtin.jobs import JobsTool
from toolserver.builtin.mcp import MCPTool
from toolserver.builtin.metrics import MetricsTool
from toolserver.builtin.openapi import OpenAPITool
from toolserver.builtin.rpc import RPCTool
from toolserver.builtin.status import StatusTool
from toolserver.builtin.system import SystemTool
from toolserver.builtin.systemjobs import SystemJobsTool
from toolserver.builtin.wsdl import WSDLTool
from toolserver.tools import Tool

__all__ = ["BUILTIN"]

#: A subclass that a user registers under the same name takes the place of one.
BUILTIN: Mapping[str, type[Tool]] = {
    "API": API,
    "health": HealthTool,
    "jobs": JobsTool,
    "mcp": MCPTool,
    "metrics": MetricsTool,
    "openapi": OpenAPITool,
    "rpc": RPCTool,
    "system": SystemTool,
    "system.jobs": SystemJobsTool,
    "system.status": StatusTool,
    "WSDL": WSDLTool,
}
