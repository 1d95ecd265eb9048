"""The OpenAPI document of the tools, at ``/openapi.json``."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from toolserver import __version__, strictjson
from toolserver.describe.openapi import Info, describe_rest
from toolserver.entries import ToolEntry
from toolserver.marks import expose, read_only
from toolserver.message import Request, Response
from toolserver.services import services
from toolserver.tools import InternalTool
from toolserver.visibility import shown, visible
from toolserver.wrappers import rest

__all__ = ["OpenAPISettings", "OpenAPITool"]

_BASIC = {
    "basic": {
        "type": "http",
        "scheme": "basic",
        "description": "An account of this server.",
    }
}
_BEARER = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token of the identity provider.",
    }
}
#: Documents that are kept; a server may be asked under many names.
_KEPT = 64


@dataclass(frozen=True)
class OpenAPISettings:
    """What the document says of itself.

    Attributes:
        title: What the service is called.
        version: The version of what it offers.
        description: What it is for, in Markdown.
    """

    title: str = "Toolserver"
    version: str = __version__
    description: str = ""


class OpenAPITool(InternalTool):
    """Describes tools to programs that call them over REST."""

    settings = OpenAPISettings()

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], tuple[bytes, str]] = {}

    @expose
    @read_only
    def document(self, tool: str | None = None) -> dict[str, Any]:
        """Describe tools as an OpenAPI document.

        Args:
            tool: Dotted name of a single tool; by default all but the server's own
                are described.

        Returns:
            The document.

        Raises:
            NotFound: There is no such tool.
        """
        return self._describe(tool, self._entries(tool))

    def _entries(self, tool: str | None) -> list[ToolEntry]:
        if tool is not None:
            return [shown(tool)]
        registered = visible(services().registry)
        entries = [entry for entry in registered if not entry.is_builtin]
        return sorted(entries, key=lambda entry: entry.namespace)

    def _describe(self, tool: str | None, entries: list[ToolEntry]) -> dict[str, Any]:
        about = self.settings
        title = about.title if tool is None else f"{about.title}: {tool or '/'}"
        offered = services()
        auth = offered.settings.auth
        schemes = {
            **(_BASIC if auth.basic else {}),
            **(_BEARER if auth.jwt_issuer else {}),
        }
        info = Info(title, about.version, about.description, offered.url, schemes)
        return describe_rest(entries, info)

    @rest("GET", name="/openapi.json")
    def _as_file(self, request: Request) -> Response:
        """The OpenAPI document of all tools, or with ``?tool=`` of a single one.

        Raises:
            NotFound: There is no such tool.
        """
        offered = services()
        tool = request.query.get("tool")
        entries = self._entries(tool)
        # What is told depends on who asks.
        names = tuple(entry.namespace for entry in entries)
        key = (offered.registry.generation, tool, offered.url, names)
        found = self._kept.get(key)
        if found is None:
            body = strictjson.encode(self._describe(tool, entries))
            found = body, f'"{blake2b(body, digest_size=12).hexdigest()}"'
            # Tools that a factory makes come and go.
            is_registered = tool is None or any(
                entry.namespace == tool for entry in offered.registry
            )
            if is_registered:
                if len(self._kept) >= _KEPT:
                    self._kept.clear()
                self._kept[key] = found
        body, etag = found
        return Response(body, content_type="application/json", headers={"ETag": etag})
