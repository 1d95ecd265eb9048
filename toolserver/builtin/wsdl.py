"""WSDL documents of all tools, at ``/WSDL/<namespace>``."""

from __future__ import annotations

from toolserver.describe.wsdl import write_wsdl
from toolserver.entries import ToolEntry
from toolserver.marks import expose, read_only
from toolserver.message import Request, Response
from toolserver.services import services
from toolserver.tools import InternalTool
from toolserver.visibility import shown, visible
from toolserver.wrappers import rest

__all__ = ["WSDLTool"]

_XML = "text/xml; charset=utf-8"


class WSDLTool(InternalTool):
    """Describes tools to programs that call them over SOAP."""

    @expose
    @read_only
    def document(self, namespace: str = "") -> str:
        """Describe a tool as a WSDL document.

        Args:
            namespace: Dotted name of the tool.

        Returns:
            The document.

        Raises:
            NotFound: There is no such tool.
        """
        offered = services()
        return write_wsdl(shown(namespace), offered.url)

    @expose
    @read_only
    def index(self) -> str:
        """List the addresses of the documents of all tools, one a line."""
        offered = services()
        here = f"{offered.url}{self.namespace.replace('.', '/')}"
        addresses = [
            # The path without a namespace leads to this list.
            f"{here}{entry.path[:-1]}" if entry.namespace else f"{offered.url}SOAP?wsdl"
            for entry in sorted(visible(offered.registry.listed()), key=_name)
            if not entry.is_builtin
        ]
        return "".join(f"{address}\n" for address in addresses)

    @rest("GET", name="*")
    def _of_path(self, request: Request) -> Response:
        namespace = ".".join(request.rest)
        return Response(self.document(namespace), content_type=_XML)


def _name(entry: ToolEntry) -> str:
    return entry.namespace
