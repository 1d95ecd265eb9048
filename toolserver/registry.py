"""Namespaces to tools, and full names to what is called.

``"shop.orders.place"`` is looked up, never walked: what is not in the table made
when a tool was added cannot be reached, however its name is spelt.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import gevent

from toolserver.childcache import Population
from toolserver.entries import (
    FactoryEntry,
    Target,
    ToolEntry,
    inner_target,
    make_entry,
)
from toolserver.errors import (
    CallTimeout,
    MethodNotFound,
    NotFound,
    StartError,
    ToolNotFound,
)
from toolserver.factories import (
    FactoryTool,
    TransientTool,
    check_factory,
    listed_keys,
    make_child,
)
from toolserver.tools import Tool

__all__ = ["Registry"]

log = logging.getLogger("toolserver.registry")

_NAMESPACE = re.compile(r"(?:[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*)?")
#: First elements of paths that belong to the server itself.
RESERVED = frozenset(
    {
        *("RPC2", "SOAP", "WSDL", "API", "JSONRPC", "MCP", "mcp", "PYRPC", "WSGI"),
        *("jobs", "metrics", "health", "openapi", "rpc", "system"),
    }
)
#: How many tools of one factory, and of all, are listed; listing makes them.
_LISTED_PER_FACTORY = 100
_LISTED = 1000
#: Keys in one name: each level of a factory of factories costs memory.
_DEEPEST = 64


class Registry:
    """The tools of one server.

    Args:
        call_timeout: Seconds after which a call is ended where its method says
            nothing else; None for no bound.
        checks_contracts: Says of a namespace whether the contracts of its tool are
            checked; None for no tool.
        max_children: How many tools of factories are kept, of all factories together;
            None for no bound.
        fit: Told of each entry that is made, to bound its methods and the like.
    """

    def __init__(
        self,
        *,
        call_timeout: float | None = None,
        checks_contracts: Callable[[str], bool] | None = None,
        max_children: int | None = None,
        fit: Callable[[ToolEntry], object] | None = None,
    ) -> None:
        self._population = Population(max_children)
        self._call_timeout = call_timeout
        self._checks_contracts = checks_contracts
        self._fit = fit
        self._entries: dict[str, ToolEntry] = {}
        self._targets: dict[str, Target] = {}
        #: Tools by the paths that they answer wherever they are.
        self._fixed: dict[str, ToolEntry] = {}
        #: Grows with each change: what was made of the tools may be out of date.
        self.generation = 0
        self._depth = 0
        self._has_factories = False
        #: Called when tools were replaced: what remembers paths forgets them.
        self.on_swap: list[Callable[[], None]] = []

    def __iter__(self) -> Iterator[ToolEntry]:
        return iter(self._entries.values())

    def listed(self) -> Iterator[ToolEntry]:
        """All tools that lists show: the registered ones, and some of factories.

        Yields:
            Their entries; of factories those for the first of their `child_keys`.
        """
        found = list(self._entries.values())
        count = len(found)
        # Grows while it is run through: children may be factories themselves.
        for entry in found:
            yield entry
            if isinstance(entry, FactoryEntry) and len(found) < count + _LISTED:
                found += self._listed_children(entry)

    def _listed_children(self, entry: FactoryEntry) -> Iterator[ToolEntry]:
        # What fails here is no reason to hide everything else from everybody.
        try:
            for key in listed_keys(entry.factory, _LISTED_PER_FACTORY):
                # Keys may go while they are listed.
                with suppress(NotFound):
                    yield self._child(entry, key)
        except Exception:
            where = entry.namespace or "the root tool"
            log.exception("%s: its tools cannot be listed", where)

    def of_class(self, cls: type[Tool]) -> ToolEntry | None:
        """Find a tool by its class, wherever its user has put it.

        Args:
            cls: The class; a subclass will do.

        Returns:
            The first registered tool of the class, or None.
        """
        return next((each for each in self if isinstance(each.tool, cls)), None)

    def forget_children(self) -> None:
        """Forget the tools of all factories."""
        for entry in self._entries.values():
            entry.forget_children()

    def add(
        self,
        tool: Tool,
        namespace: str,
        *,
        source: str = "",
        options: dict[str, Any] | None = None,
        is_builtin: bool = False,
    ) -> ToolEntry:
        """Add a tool.

        Args:
            tool: The tool; its namespace is set.
            namespace: Its dotted name; empty for the root.
            source: Where it was registered, for error messages.
            options: What its `on_start` is given.
            is_builtin: Whether it is a part of the server, and may have one of the
                server's names.

        Returns:
            Its entry.

        Raises:
            StartError: The name is malformed, reserved or taken, or a signature of
                the tool cannot be used.
        """
        entry = self.prepare(
            tool, namespace, source=source, options=options, is_builtin=is_builtin
        )
        taken = self._entries.get(namespace)
        if taken is not None:
            where = f"{source}: " if source else ""
            raise StartError(
                f"{where}namespace {namespace!r} is taken by a tool from {taken.source}"
            )
        self._insert(entry)
        return entry

    def prepare(
        self,
        tool: Tool,
        namespace: str,
        *,
        source: str = "",
        options: dict[str, Any] | None = None,
        is_builtin: bool = False,
    ) -> ToolEntry:
        """Make the entry of a tool that is not to be found yet.

        Args:
            tool: The tool; its namespace is set.
            namespace: Its dotted name; empty for the root.
            source: Where it was registered, for error messages.
            options: What its `on_start` is given.
            is_builtin: Whether it is a part of the server, and may have one of the
                server's names.

        Returns:
            Its entry, for `swap`.

        Raises:
            StartError: The name is malformed or reserved, or a signature of the tool
                cannot be used.
        """
        where = f"{source}: " if source else ""
        if _NAMESPACE.fullmatch(namespace) is None:
            raise StartError(
                f"{where}namespace {namespace!r}: expected letters, digits and "
                "underscores, in parts joined by dots"
            )
        first = namespace.partition(".")[0]
        if first in RESERVED and not is_builtin:
            raise StartError(
                f"{where}namespace {namespace!r}: {first!r} belongs to the server"
            )
        if isinstance(tool, TransientTool):
            raise StartError(
                f"{where}namespace {namespace!r}: a {type(tool).__name__} is made by a "
                "factory, it cannot be registered"
            )
        if isinstance(tool, FactoryTool):
            check_factory(type(tool))
        tool.namespace = namespace
        entry = self._entry_of(tool, source, options, is_builtin=is_builtin)
        for path in entry.fixed_paths:
            other = self._fixed.get(path)
            if other is not None and other.namespace != namespace:
                raise StartError(
                    f"{where}path {path!r} is taken by a tool from {other.source}"
                )
        return entry

    def _insert(self, entry: ToolEntry) -> None:
        self.generation += 1
        self._entries[entry.namespace] = entry
        self._fixed.update(dict.fromkeys(entry.fixed_paths, entry))
        self._depth = max(self._depth, len(_parts(entry)))
        self._targets.update((target.name, target) for target in entry.methods.values())
        self._has_factories = self._has_factories or isinstance(entry.tool, FactoryTool)

    def swap(self, old: Iterable[ToolEntry], new: Iterable[ToolEntry]) -> None:
        """Put tools in the place of others, from one moment to the next.

        Calls that run in the old ones are not touched.

        Args:
            old: The tools to take out.
            new: The tools to put in.
        """
        for entry in old:
            self.generation += 1
            del self._entries[entry.namespace]
            for path in entry.fixed_paths:
                del self._fixed[path]
            for target in entry.methods.values():
                del self._targets[target.name]
        for entry in new:
            self._insert(entry)
        for forget in self.on_swap:
            forget()

    def _entry_of(
        self,
        tool: Tool,
        source: str,
        options: dict[str, Any] | None = None,
        *,
        is_builtin: bool = False,
    ) -> ToolEntry:
        check = self._checks_contracts
        entry = make_entry(
            tool,
            source=source,
            options=options,
            is_builtin=is_builtin,
            call_timeout=self._call_timeout,
            checks_contracts=check is not None and check(tool.namespace),
            population=self._population,
        )
        if self._fit is not None:
            self._fit(entry)
        return entry

    def entry(self, namespace: str) -> ToolEntry:
        """Find a tool.

        Args:
            namespace: Its dotted name.

        Returns:
            Its entry.

        Raises:
            ToolNotFound: There is none; the message may name a similar one.
            NotFound: Its name is below that of a factory, which has no such key.
        """
        try:
            return self._entries[namespace]
        except KeyError:
            if self._has_factories:
                transient = self._transient(namespace)
                if transient is not None:
                    return transient
            known = [
                name for name, entry in self._entries.items() if not entry.is_builtin
            ]
            likely = difflib.get_close_matches(namespace, known, 1)
            hint = f", did you mean {likely[0]!r}?" if likely else ""
            raise ToolNotFound(f"no tool {namespace!r}{hint}") from None

    def tell_forgotten(self, tell: Callable[[str, str], object]) -> None:
        """Have other processes told what factories are told to forget.

        Args:
            tell: Gets the namespace of a factory and a key.
        """
        self._population.tell_forgotten = tell

    def forget(self, namespace: str, key: str) -> None:
        """Forget the tool that a factory has made for a key, telling nobody.

        Args:
            namespace: The name of the factory, which may be a transient one; where it
                is not kept nothing is to be done.
            key: The key.
        """
        entry = self._kept(namespace)
        if isinstance(entry, FactoryEntry):
            entry.children.forget(key)

    def _kept(self, namespace: str) -> ToolEntry | None:
        """Find a tool where it is there; none is made."""
        found = self._entries.get(namespace)
        if found is not None or not namespace:
            return found
        above, _, key = namespace.rpartition(".")
        factory = self._kept(above)
        return factory.children.peek(key) if isinstance(factory, FactoryEntry) else None

    def fixed(self, path: str) -> ToolEntry | None:
        """Find the tool that answers a path of the server wherever the tool is.

        Args:
            path: The path, decoded.

        Returns:
            Its entry; `ToolEntry.rest_methods` has what answers under that path.
        """
        return self._fixed.get(path)

    def target(self, name: str) -> Target:
        """Find what a full name leads to, exported or not.

        Args:
            name: Namespace and method, joined by a dot.

        Returns:
            What is called.

        Raises:
            ToolNotFound: No tool has the namespace.
            MethodNotFound: The tool has no such method.
            NotFound: The tool would be one of a factory, which has no such key.
        """
        try:
            return self._targets[name]
        except KeyError:
            if name in self._entries:
                raise MethodNotFound(
                    f"no method {name!r}: it is a tool, add the name of a method"
                ) from None
            namespace, _, method = name.rpartition(".")
            entry = self.entry(namespace)
            if entry.is_transient and method in entry.methods:
                return entry.methods[method]
            known = [each.spec.name for each in entry.methods.values() if each.exported]
            likely = difflib.get_close_matches(method, known, 1)
            hint = f", did you mean {likely[0]!r}?" if likely else ""
            raise MethodNotFound(f"no method {name!r}{hint}") from None

    def inner_target(self, tool: Tool, attribute: str) -> Target:
        """Find what a name leads to for the tool itself, also an underscored method.

        Args:
            tool: The tool.
            attribute: The method's name in its class.

        Returns:
            What is called.

        Raises:
            ToolNotFound: The tool is not registered here.
            MethodNotFound: It has no such method.
        """
        entry = self.entry(tool.namespace)
        for target in entry.methods.values():
            if target.spec.attribute == attribute:
                return target
        checks = self._checks_contracts is not None and self._checks_contracts(
            tool.namespace
        )
        found = inner_target(entry, attribute, self._call_timeout, checks)
        if found is None:
            raise MethodNotFound(f"no method {attribute!r} in {tool.namespace!r}")
        return found

    def nearest(
        self, parts: tuple[str, ...]
    ) -> tuple[ToolEntry, tuple[str, ...]] | None:
        """Find the tool that is nearest to the end of a path.

        Elements after a factory's own that are no methods of it are tried as keys.

        Args:
            parts: Elements of the path.

        Returns:
            Its entry and the elements that remain, or None where not even the root
            is a tool.
        """
        found = self._nearest_registered(parts)
        if found is None or not isinstance(found[0], FactoryEntry):
            return found
        entry: ToolEntry
        entry, remaining = found
        for key in remaining[:_DEEPEST]:
            if not key or not isinstance(entry, FactoryEntry):
                break
            try:
                entry = self._child(entry, key)
            except NotFound:
                break
            remaining = remaining[1:]
        return entry, remaining

    def _nearest_registered(
        self, parts: tuple[str, ...]
    ) -> tuple[ToolEntry, tuple[str, ...]] | None:
        # No deeper than tools are: each prefix of a long path would cost its length.
        for end in range(min(len(parts), self._depth), -1, -1):
            entry = self._entries.get(".".join(parts[:end]))
            # Neither an element with a dot in it nor an empty one names a tool.
            if entry is not None and (
                not end or (all(parts[:end]) and _parts(entry) == parts[:end])
            ):
                return entry, parts[end:]
        return None

    def _transient(self, namespace: str) -> ToolEntry | None:
        """Find a tool that a factory makes; None where no factory is above it."""
        found = self._nearest_registered(tuple(namespace.split(".")))
        if found is None or not isinstance(found[0], FactoryEntry):
            return None
        entry: ToolEntry
        entry, keys = found
        if len(keys) > _DEEPEST:
            return None
        for key in keys:
            if not isinstance(entry, FactoryEntry):
                return None
            entry = self._child(entry, key)
        return entry

    def _child(self, entry: FactoryEntry, key: str) -> ToolEntry:
        make = partial(self._make_child, entry, key)
        return entry.children.get(key, make, timeout=self._call_timeout)

    def _make_child(self, entry: FactoryEntry, key: str) -> ToolEntry:
        method = entry.methods.get(key)
        if key in entry.rest_methods or (method is not None and method.exported):
            where = entry.namespace or "the root tool"
            raise NotFound(f"{where}: {key!r} is a method, not a key")
        with gevent.Timeout(self._call_timeout) as timer:
            try:
                child = make_child(entry.factory, key)
            except gevent.Timeout as expired:
                if expired is not timer:
                    raise
                name = f"{entry.namespace}.{key}".lstrip(".")
                raise CallTimeout(
                    f"{name}: not made within {self._call_timeout:g} seconds"
                ) from None
        return self._entry_of(child, entry.source, is_builtin=entry.is_builtin)


def _parts(entry: ToolEntry) -> tuple[str, ...]:
    return tuple(entry.namespace.split("."))
