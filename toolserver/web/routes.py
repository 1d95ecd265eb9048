"""From the path and the verb of a REST request to what answers it.

Everything about a method that does not change from request to request is prepared
once, in an `Endpoint`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from toolserver.calls import Call
from toolserver.entries import BoundWrapper, FactoryEntry, Target, ToolEntry
from toolserver.errors import NotFound, ToolserverError
from toolserver.message import Request
from toolserver.registry import Registry

__all__ = ["Endpoint", "Generator", "Route", "Routes"]

#: A tool, and the elements of the path after its own.
Located = tuple[ToolEntry, tuple[str, ...]]
#: What an exported method answers without further ado.
_USUAL = ("GET", "HEAD", "POST")
#: Paths that are remembered, and how long they may be.
_REMEMBERED = 4096
_LONGEST = 256
INDEX = "index"
#: The name under which a method for REST alone answers all other paths of its tool.
ANY = "*"


@dataclass(frozen=True)
class Generator:
    """What renders a result.

    Attributes:
        function: The bound method.
        content_type: Media type that it makes; empty for any.
        compress: Whether the answer may be compressed.
    """

    function: Callable[..., Any]
    content_type: str
    compress: bool


@dataclass(frozen=True)
class Endpoint:
    """What answers one verb of one path.

    Attributes:
        target: What is called.
        is_rest: Whether it takes the request itself.
        is_safe: Whether pages of strangers may make their visitors call it.
        parser: Makes the arguments, or None for the usual way.
        generators: Render the result, the preferred one first.
        on_error: Answers when the call has failed, or None for the usual way.
    """

    target: Target
    is_rest: bool
    is_safe: bool
    parser: Callable[..., Any] | None = None
    generators: tuple[Generator, ...] = ()
    on_error: Callable[..., Any] | None = None

    @cached_property
    def varies(self) -> bool:
        """Whether the caller's ``Accept`` chooses between the generators."""
        return any(generator.content_type for generator in self.generators)


@dataclass(frozen=True)
class Route:
    """What answers one path.

    Attributes:
        entry: The tool.
        name: Name of the method.
        endpoints: What answers, by verb.
        rest: The elements of the path that follow the method.
        redirect: Where the path has to end instead; empty if it is right.
    """

    entry: ToolEntry
    name: str
    endpoints: dict[str, Endpoint]
    rest: tuple[str, ...] = ()
    redirect: str = ""

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
            return Route(entry, INDEX, endpoints, redirect=redirect)
        elements = remaining if remaining[-1] else remaining[:-1]
        name, *rest = elements
        endpoints = self._of(entry, name)
        if endpoints and name != ANY:
            return Route(entry, name, endpoints, tuple(rest))
        endpoints = self._of(entry, ANY)
        return Route(entry, ANY, endpoints, elements) if endpoints else None

    def _of(self, entry: ToolEntry, name: str) -> dict[str, Endpoint]:
        found: dict[str, Endpoint] | None = entry.endpoints.get(name)
        if found is None:
            found = _endpoints(entry, name)
            if found:
                entry.endpoints[name] = found
        return found


def _passes(entry: ToolEntry, route: Route | None) -> bool:
    """Whether what was found for a path may be another thing soon."""
    return entry.is_transient or (route is None and isinstance(entry, FactoryEntry))


def _endpoints(entry: ToolEntry, name: str) -> dict[str, Endpoint]:
    found: dict[str, Endpoint] = {}
    target = entry.methods.get(name)
    if target is not None and target.exported:
        is_safe = target.spec.is_read_only or name == INDEX
        for verb in _verbs(target, entry.wrappers):
            found[verb] = Endpoint(
                target,
                is_rest=False,
                is_safe=is_safe,
                parser=_most_specific(entry.wrappers, "parser", target, verb),
                generators=_generators(entry.wrappers, target, verb),
                on_error=_most_specific(entry.wrappers, "on_error", target, verb),
            )
    for verb, rest_target in entry.rest_methods.get(name, {}).items():
        is_safe = verb in ("GET", "HEAD") or rest_target.spec.is_read_only
        found[verb] = Endpoint(
            rest_target,
            is_rest=True,
            is_safe=is_safe,
            generators=_generators(entry.wrappers, rest_target, verb),
            on_error=_most_specific(entry.wrappers, "on_error", rest_target, verb),
        )
    if "GET" in found:
        found.setdefault("HEAD", found["GET"])
    return found


def _verbs(target: Target, wrappers: Iterable[BoundWrapper]) -> tuple[str, ...]:
    named = [
        verb
        for bound in wrappers
        if bound.wrapper.method == target.spec.attribute
        for verb in bound.wrapper.verbs
    ]
    return (*_USUAL, *named)


def _applying(
    wrappers: Iterable[BoundWrapper], role: str, target: Target, verb: str
) -> list[BoundWrapper]:
    """The wrappers of a role for a method and a verb, the most specific one first."""
    applying = [
        bound
        for bound in wrappers
        if bound.wrapper.role == role
        and bound.wrapper.method in (target.spec.attribute, "")
        # What is there for GET serves HEAD, which differs by its body only.
        and (
            not bound.wrapper.verbs
            or verb in bound.wrapper.verbs
            or (verb == "HEAD" and "GET" in bound.wrapper.verbs)
        )
    ]
    applying.sort(key=_specificity, reverse=True)
    return applying


def _specificity(bound: BoundWrapper) -> tuple[bool, bool, bool]:
    wrapper = bound.wrapper
    return bool(wrapper.method), bool(wrapper.verbs), bool(wrapper.content_type)


def _most_specific(
    wrappers: Iterable[BoundWrapper], role: str, target: Target, verb: str
) -> Callable[..., Any] | None:
    applying = _applying(wrappers, role, target, verb)
    return applying[0].function if applying else None


def _generators(
    wrappers: Iterable[BoundWrapper], target: Target, verb: str
) -> tuple[Generator, ...]:
    """One generator per media type, the most specific one."""
    found: dict[str, Generator] = {}
    for bound in _applying(wrappers, "generator", target, verb):
        wrapper = bound.wrapper
        made = Generator(bound.function, wrapper.content_type, wrapper.compress)
        found.setdefault(wrapper.content_type, made)
    return tuple(found.values())
