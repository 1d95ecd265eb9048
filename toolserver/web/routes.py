"""From the path and the verb of a REST request to what answers it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from toolserver.calls import Call
from toolserver.cors import CORS
from toolserver.endpoints import ANY, INDEX, Endpoint, endpoints_of
from toolserver.entries import FactoryEntry, ToolEntry
from toolserver.errors import NotFound, ToolserverError
from toolserver.message import Request
from toolserver.registry import Registry

__all__ = ["Route", "Routes"]

#: A tool, and the elements of the path after its own.
Located = tuple[ToolEntry, tuple[str, ...]]
#: Paths that are remembered, and how long they may be.
_REMEMBERED = 4096
_LONGEST = 256
#: First element of paths at which the server alone answers.
_HEALTH = "health"


@dataclass(frozen=True)
class Route:
    """What answers one path.

    Attributes:
        entry: The tool.
        name: Name of the method.
        endpoints: What answers, by verb.
        rest: The elements of the path that follow the method.
        redirect: Where the path has to end instead; empty if it is right.
        cors: Which web pages of other origins may call it.
        is_trusted: Whether the request comes from such a page.
    """

    entry: ToolEntry
    name: str
    endpoints: dict[str, Endpoint]
    rest: tuple[str, ...] = ()
    redirect: str = ""
    cors: CORS | None = None
    is_trusted: bool = False

    @property
    def allow(self) -> str:
        """The verbs that are answered, for the field ``Allow``."""
        return ", ".join(sorted({*self.endpoints, "OPTIONS"}))


class Routes:
    """Finds what answers a path.

    Args:
        registry: The tools.
        failure: Tells what a caller learns of an exception that a factory raised.
    """

    def __init__(
        self,
        registry: Registry,
        failure: Callable[[Call, BaseException], ToolserverError],
    ) -> None:
        self._registry = registry
        self._failure = failure
        self._exact: dict[str, Route | None] = {}
        registry.on_swap.append(self._exact.clear)

    def exact(self, request: Request) -> Route | None:
        """Find a method whose tool and name are the whole path.

        Args:
            request: The request.

        Returns:
            The route, or None; a tool's own path leads to its ``index``.
        """
        path = request.raw_path
        try:
            return self._exact[path]
        except KeyError:
            found = self._locate(request)
            route = self._route(found)
            if route is not None and route.rest:
                route = None
            if route is None:
                route = self._fixed(request.path)
            if found is not None and _passes(found[0], route):
                # The factory is asked once, also where `nearest` comes next.
                request.notes["located"] = path, found
                return route
            if len(path) > _LONGEST:
                return route
            if len(self._exact) >= _REMEMBERED:
                # Whatever strangers ask for: most paths that matter come back soon.
                self._exact.clear()
            self._exact[path] = route
            return route

    def nearest(self, request: Request) -> Route | None:
        """Find the nearest tool upwards whose first remaining element is a method.

        Args:
            request: The request.

        Returns:
            The route with the further elements, or None.

        Raises:
            NotFound: The elements lead to a factory, which has no such tool.
        """
        path, found = request.notes.pop("located", ("", None))
        if path != request.raw_path:
            found = self._locate(request)
        route = self._route(found)
        if route is None and found is not None:
            entry, remaining = found
            if isinstance(entry, FactoryEntry) and remaining and remaining[0]:
                where = entry.namespace or "the root tool"
                raise NotFound(f"{where}: there is no {remaining[0][:_LONGEST]!r}")
        return route

    def _locate(self, request: Request) -> Located | None:
        # Split before decoding: an encoded slash belongs to its element.
        parts = tuple(
            unquote(part, errors="surrogateescape") if "%" in part else part
            for part in request.raw_path.split("/")[1:]
        )
        if parts[0] == _HEALTH and not any(
            entry.namespace == _HEALTH for entry in self._registry
        ):
            # What may be asked without a signature is never asked of a root tool:
            # neither as a method of it, nor as a key where it is a factory.
            return None
        try:
            return self._registry.nearest(parts)
        except ToolserverError:
            raise
        except BaseException as error:
            # A factory could not make a tool.
            raise self._failure(Call(request.path), error) from error

    def _route(self, found: Located | None) -> Route | None:
        if found is None:
            return None
        entry, remaining = found
        if remaining in ((), ("",)):
            endpoints = self._of(entry, INDEX)
            if not endpoints:
                return None
            # Links of a page are relative to its folder.
            redirect = entry.path if not remaining and entry.namespace else ""
            return Route(entry, INDEX, endpoints, redirect=redirect, cors=entry.cors)
        elements = remaining if remaining[-1] else remaining[:-1]
        name, *rest = elements
        endpoints = self._of(entry, name)
        if endpoints and name != ANY and not name.startswith("/"):
            return Route(entry, name, endpoints, tuple(rest), cors=entry.cors)
        endpoints = self._of(entry, ANY)
        if not endpoints:
            return None
        return Route(entry, ANY, endpoints, elements, cors=entry.cors)

    def _fixed(self, path: str) -> Route | None:
        entry = self._registry.fixed(path)
        if entry is None or (not entry.is_builtin and path.split("/", 2)[1] == _HEALTH):
            return None
        return Route(entry, path, self._of(entry, path), cors=entry.cors)

    def _of(self, entry: ToolEntry, name: str) -> dict[str, Endpoint]:
        found: dict[str, Endpoint] | None = entry.endpoints.get(name)
        if found is None:
            found = endpoints_of(entry, name)
            if found:
                entry.endpoints[name] = found
        return found


def _passes(entry: ToolEntry, route: Route | None) -> bool:
    """Whether what was found for a path may be another thing soon."""
    return entry.is_transient or (route is None and isinstance(entry, FactoryEntry))
