"""The OpenAPI document of the tools, at ``/openapi.json``."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from toolserver import __version__, strictjson
from toolserver.describe.openapi import Info, describe_rest
from toolserver.errors import NotFound, ToolNotFound
from toolserver.message import Request, Response
from toolserver.services import services
from toolserver.tools import InternalTool, expose, read_only
from toolserver.wrappers import rest

__all__ = ["OpenAPISettings", "OpenAPITool"]

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
        self._kept: dict[tuple[int, str | None, str], tuple[bytes, str]] = {}

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
        offered = services()
        registry = offered.registry
        title = self.settings.title
        if tool is None:
            entries = [entry for entry in registry if not entry.is_builtin]
            entries.sort(key=lambda entry: entry.namespace)
        else:
            try:
                entries = [registry.entry(tool)]
            except ToolNotFound as error:
                raise NotFound(error.message) from error
            title = f"{title}: {tool or '/'}"
        info = Info(
            title, self.settings.version, self.settings.description, offered.url
        )
        return describe_rest(entries, info)

    @rest("GET", name="/openapi.json")
    def _as_file(self, request: Request) -> Response:
        """The OpenAPI document of all tools, or with ``?tool=`` of a single one.

        Raises:
            NotFound: There is no such tool.
        """
        offered = services()
        tool = request.query.get("tool")
        key = (offered.registry.generation, tool, offered.url)
        found = self._kept.get(key)
        if found is None:
            body = strictjson.encode(self.document(tool))
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
