"""What JSON-RPC keeps for itself: the methods whose names begin with ``rpc.``.

Spec: JSON-RPC 2.0, section 4 (reserved names); OpenRPC 1.3.2 (service discovery).
"""

from __future__ import annotations

from typing import Any

from toolserver.builtin.openapi import OpenAPISettings
from toolserver.describe.openapi import Info
from toolserver.describe.openrpc import describe_rpc
from toolserver.marks import expose, read_only
from toolserver.services import services
from toolserver.tools import InternalTool
from toolserver.visibility import shown, visible

__all__ = ["RPCTool"]

_PREFIX = "JSONRPC"


class RPCTool(InternalTool):
    """Describes tools to programs that call them over JSON-RPC."""

    settings = OpenAPISettings()

    @expose
    @read_only
    def discover(self, tool: str | None = None) -> dict[str, Any]:
        """Describe tools as an OpenRPC document.

        Args:
            tool: Dotted name of a single tool; by default all but the server's own
                are described, and of those that factories make the ones they list.

        Returns:
            The document.

        Raises:
            NotFound: There is no such tool.
        """
        offered = services()
        if tool is None:
            listed = visible(offered.registry.listed())
            entries = [entry for entry in listed if not entry.is_builtin]
            entries.sort(key=lambda entry: entry.namespace)
        else:
            entries = [shown(tool)]
        about = self.settings
        url = f"{offered.url}{_PREFIX}"
        info = Info(about.title, about.version, about.description, url)
        return describe_rpc(entries, info)
