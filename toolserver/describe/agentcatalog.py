"""Which methods agents are offered, and under which names.

Names are full ones, ``shop.orders.place``. Clients of revisions before 2025-11-25 may
take no dots; for them ``_`` stands in their place.

Spec: Model Context Protocol, revision 2025-11-25, tools, tool names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from toolserver.entries import Target, ToolEntry
from toolserver.errors import NotFound, StartError, ToolserverError
from toolserver.methods import ResourceMark
from toolserver.registry import Registry
from toolserver.tools import Tool
from toolserver.visibility import visible

__all__ = ["AgentCatalog"]

_LONGEST = 128
_DOTTED = re.compile(rf"[A-Za-z0-9_.-]{{1,{_LONGEST}}}")
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")


class AgentCatalog:
    """The methods that agents are offered.

    Args:
        registry: All tools.
        exposed: Namespaces that are offered with all below them; if empty all but the
            tools of the server itself.
    """

    def __init__(self, registry: Registry, exposed: Iterable[str] = ()) -> None:
        self._registry = registry
        self._exposed = tuple(exposed)
        self._by_plain_name: dict[str, str] = {}
        self._generation = -1

    def check(self) -> None:
        """Make sure that names without dots are distinct.

        Raises:
            StartError: Two methods would get the same.
        """
        found: dict[str, str] = {}
        for target in self._targets(self._registry):
            plain = self.name_of(target, dotted=False)
            other = found.setdefault(plain, target.name)
            if other != target.name:
                raise StartError(
                    f"MCP: {target.name} and {other} would both be {plain!r} for "
                    "agents that take no dots; rename one, or narrow mcp.expose"
                )

    def entries(self) -> list[ToolEntry]:
        """The tools that the caller is told of, in the order of their names."""
        listed = filter(self.offers, self._registry.listed())
        return sorted(visible(listed), key=lambda entry: entry.namespace)

    def tools(self) -> Iterator[Target]:
        """The methods that the caller may call as tools."""
        for target in self._targets(self.entries()):
            if not target.spec.is_prompt and target.spec.resource is None:
                yield target

    def prompts(self) -> Iterator[Target]:
        """The methods that make prompts for the caller."""
        return (each for each in self._targets(self.entries()) if each.spec.is_prompt)

    def resources(self) -> Iterator[tuple[Target, ResourceMark]]:
        """The methods that the caller may read, each with its mark."""
        for target in self._targets(self.entries()):
            if target.spec.resource is not None:
                yield target, target.spec.resource

    def find(self, name: str) -> Target | None:
        """Find a method by the name that an agent knows.

        Args:
            name: The name, with dots or without.

        Returns:
            The method; None if there is none, or none that is offered.
        """
        try:
            target = self._registry.target(self._full_name(name))
            entry = self._registry.entry(target.tool.namespace)
        except (NotFound, ToolserverError):
            return None
        return target if target.exported and self.offers(entry) else None

    def name_of(self, target: Target, *, dotted: bool) -> str:
        """What agents call a method.

        Args:
            target: The method.
            dotted: Whether the agent takes dots.
        """
        if dotted and _DOTTED.fullmatch(target.name):
            return target.name
        return _FOREIGN.sub("_", target.name)[-_LONGEST:]

    def _full_name(self, name: str) -> str:
        if self._generation != self._registry.generation:
            self._by_plain_name = {
                self.name_of(target, dotted=False): target.name
                for target in self._targets(self._registry.listed())
            }
            self._generation = self._registry.generation
        return self._by_plain_name.get(name, name)

    def _targets(self, entries: Iterable[ToolEntry]) -> Iterator[Target]:
        for entry in entries:
            if self.offers(entry):
                for _, target in sorted(entry.methods.items()):
                    if target.exported and not _is_introspection(target):
                        yield target

    def offers(self, entry: ToolEntry) -> bool:
        """Whether agents are offered a tool at all."""
        if not self._exposed:
            return not entry.is_builtin
        namespace = entry.namespace
        return any(
            namespace == each or namespace.startswith(f"{each}.")
            for each in self._exposed
        )


def _is_introspection(target: Target) -> bool:
    """Whether a method tells what an agent has just been told."""
    method = getattr(type(target.tool), target.spec.attribute, None)
    return method is Tool.list_methods
