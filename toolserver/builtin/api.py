"""The API pages: every tool and method, documented from the running code."""

from __future__ import annotations

from dataclasses import dataclass

from toolserver.builtin.openapi import OpenAPITool
from toolserver.builtin.wsdl import WSDLTool
from toolserver.errors import NotFound
from toolserver.message import Request, Response, redirect
from toolserver.pages.frame import asset, page
from toolserver.pages.overview import overview
from toolserver.pages.site import ROOT, Site
from toolserver.pages.tools import tool_page
from toolserver.services import services
from toolserver.tools import InternalTool
from toolserver.visibility import shown, visible
from toolserver.wrappers import rest

__all__ = ["API", "APISettings"]


@dataclass(frozen=True)
class APISettings:
    """Settings of the API pages.

    Attributes:
        source: Whether they show the source of the tools.
    """

    source: bool = False


class API(InternalTool):
    """Pages about all tools, for people.

    They are made from the running code: doc strings, signatures and contracts.
    """

    settings = APISettings()

    @rest("GET")
    def index(self, request: Request) -> Response:
        """List the tools, or with ``?q=`` those that have some words."""
        query = request.query.get("q", "")[:200]
        site = self._site()
        entries = visible(services().registry.listed())
        return page(
            "Tools", *overview(entries, site, query), root=site.root, query=query
        )

    @rest("GET", name="*")
    def tool_page(self, request: Request) -> Response:
        """Tell all of one tool: ``shop.orders/`` or ``shop/orders/``."""
        first, *rest_of_path = request.rest
        if first == "_files" and len(rest_of_path) == 1:
            found = asset(rest_of_path[0])
            if found is None:
                raise NotFound(f"no file {rest_of_path[0]!r}")
            return found
        site = self._site()
        namespace = ".".join(request.rest)
        if rest_of_path or not request.path.endswith("/"):
            return redirect(site.link(namespace), 308)
        entry = shown("" if namespace == ROOT else namespace)
        title = entry.namespace or "/"
        return page(title, *tool_page(entry, site), root=site.root)

    def _site(self) -> Site:
        offered = services()
        own = offered.registry.entry(self.namespace)
        return Site(
            server=offered.url,
            root=own.path,
            prefixes=offered.prefixes,
            documents=_documents(),
            shows_source=self.settings.source,
        )


def _documents() -> dict[str, str]:
    registry = services().registry
    found = {}
    wsdl = registry.of_class(WSDLTool)
    if wsdl is not None:
        found["WSDL"] = f"{wsdl.path[1:]}{{}}"
    if registry.of_class(OpenAPITool) is not None:
        found["OpenAPI"] = "openapi.json?tool={}"
    return found
