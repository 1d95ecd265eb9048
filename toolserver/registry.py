"""Namespaces to tools, and full names to what is called.

``"shop.orders.place"`` is looked up, never walked: what is not in the table made
when a tool was added cannot be reached, however its name is spelt.
"""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote

from toolserver.childcache import ChildCache
from toolserver.contractchecks import checked
from toolserver.contracts import invariant_texts
from toolserver.errors import MethodNotFound, NotFound, StartError, ToolNotFound
from toolserver.factories import (
    FactoryTool,
    TransientTool,
    check_factory,
    close_child,
    factories_below,
    listed_keys,
    make_child,
    transaction_of,
)
from toolserver.methods import MethodSpec
from toolserver.tools import (
    Tool,
    describe_rest_method,
    describe_tool,
    wrappers_of,
)
from toolserver.wrappers import Wrapper

__all__ = ["BoundWrapper", "FactoryEntry", "Registry", "Target", "ToolEntry"]

log = logging.getLogger("toolserver.registry")

_NAMESPACE = re.compile(r"(?:[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*)?")
#: First elements of paths that belong to the server itself.
RESERVED = frozenset(
    {
        *("RPC2", "SOAP", "WSDL", "API", "JSONRPC", "MCP", "mcp", "PYRPC", "WSGI"),
        *("jobs", "metrics", "health", "system"),
    }
)
#: How many tools of one factory, and of all, are listed; listing makes them.
_LISTED_PER_FACTORY = 100
_LISTED = 1000
#: Keys in one name: each level of a factory of factories costs memory.
_DEEPEST = 64


@dataclass(frozen=True)
class BoundWrapper:
    """A wrapper of one tool, ready to be called.

    Attributes:
        wrapper: What it is for.
        function: The bound method.
    """

    wrapper: Wrapper
    function: Callable[..., Any]


class Target:
    """One method of one tool: what a full name leads to.

    Attributes:
        name: The full name.
        tool: The tool.
        spec: What is known of the method.
        function: The bound method, between the checks of its contracts where the
            server checks them.
        exported: Whether it may be called from outside the process.
        tool_validators: Validators of the whole tool.
        method_validators: Validators of the method.
        timeout: Seconds after which a call is ended; None for no bound.
        transaction: Makes the context manager of a transaction; None if the tool
            has none.
        is_guarded: Whether any of the last four is there.
    """

    __slots__ = (
        "exported",
        "function",
        "is_guarded",
        "method_validators",
        "name",
        "spec",
        "timeout",
        "tool",
        "tool_validators",
        "transaction",
    )

    def __init__(
        self,
        tool: Tool,
        spec: MethodSpec,
        validators: list[BoundWrapper],
        call_timeout: float | None,
        function: Callable[..., Any] | None = None,
    ) -> None:
        self.tool = tool
        self.spec = spec
        self.name = f"{tool.namespace}.{spec.name}" if tool.namespace else spec.name
        self.function: Callable[..., Any] = function or getattr(tool, spec.attribute)
        self.exported = spec.exported
        self.tool_validators = [v for v in validators if not v.wrapper.method]
        self.method_validators = [
            v for v in validators if v.wrapper.method == spec.attribute
        ]
        own = spec.limit.timeout
        self.timeout = call_timeout if own is None else own
        self.transaction: Callable[[], AbstractContextManager[None]] | None = (
            transaction_of(tool)
        )
        self.is_guarded = bool(
            validators or self.timeout is not None or self.transaction is not None
        )

    def __repr__(self) -> str:
        return f"<Target {self.name}>"


@dataclass(frozen=True)
class ToolEntry:
    """A tool in the registry.

    Attributes:
        namespace: Its dotted name.
        tool: The tool.
        source: Where it was registered, ``file:line``.
        options: What its `on_start` is given.
        methods: What can be called, by name.
        wrappers: Its wrappers, the most specific class first.
        rest_methods: Methods for REST alone, by name and verb.
        endpoints: What answers over REST, by name; filled by the routes. It is here
            so that it goes with the tool.
    """

    namespace: str
    tool: Tool
    source: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    methods: dict[str, Target] = field(default_factory=dict)
    wrappers: list[BoundWrapper] = field(default_factory=list)
    rest_methods: dict[str, dict[str, Target]] = field(default_factory=dict)
    endpoints: dict[str, Any] = field(default_factory=dict)

    @property
    def is_transient(self) -> bool:
        """Whether a factory made the tool, so that nothing may hold on to it."""
        return isinstance(self.tool, TransientTool)

    def forget_children(self) -> None:
        """Forget what a factory has made; other tools have nothing to forget."""

    @property
    def invariants(self) -> tuple[str, ...]:
        """Texts of what always holds for the tool."""
        return invariant_texts(type(self.tool))

    @property
    def file_validators(self) -> list[BoundWrapper]:
        """What guards the static files below the tool's path."""
        return [bound for bound in self.wrappers if bound.wrapper.protocol == "FILES"]

    @property
    def guards_files(self) -> bool:
        """Whether the tool, or one that it may make, guards static files."""
        return bool(self.file_validators)

    @property
    def path(self) -> str:
        """The path of the tool's URL, with a slash at its end."""
        parts = [part for part in self.namespace.split(".") if part]
        # Keys may hold what names of registered tools may not.
        return "/" + "".join(f"{quote(part)}/" for part in parts)


@dataclass(frozen=True, kw_only=True)
class FactoryEntry(ToolEntry):
    """A factory in the registry.

    Attributes:
        factory: The tool.
        children: The tools that it has made, by key.
    """

    factory: FactoryTool
    children: ChildCache[ToolEntry]

    def forget_children(self) -> None:
        """Forget the tools that it has made."""
        self.children.clear()

    @property
    def guards_files(self) -> bool:
        """Whether the tool, or one that it may make, guards static files."""
        return bool(self.file_validators) or any(
            wrapper.protocol == "FILES"
            for factory in factories_below(type(self.factory))
            for child in factory.children
            for wrapper, _, _ in wrappers_of(child)
        )


class Registry:
    """The tools of one server.

    Args:
        call_timeout: Seconds after which a call is ended where its method says
            nothing else; None for no bound.
        checks_contracts: Says of a namespace whether the contracts of its tool are
            checked; None for no tool.
    """

    def __init__(
        self,
        *,
        call_timeout: float | None = None,
        checks_contracts: Callable[[str], bool] | None = None,
    ) -> None:
        self._call_timeout = call_timeout
        self._checks_contracts = checks_contracts
        self._entries: dict[str, ToolEntry] = {}
        self._targets: dict[str, Target] = {}
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
        builtin: bool = False,
    ) -> ToolEntry:
        """Add a tool.

        Args:
            tool: The tool; its namespace is set.
            namespace: Its dotted name; empty for the root.
            source: Where it was registered, for error messages.
            options: What its `on_start` is given.
            builtin: Whether it may take a name that belongs to the server.

        Returns:
            Its entry.

        Raises:
            StartError: The name is malformed, reserved or taken, or a signature of
                the tool cannot be used.
        """
        entry = self.prepare(
            tool, namespace, source=source, options=options, builtin=builtin
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
        builtin: bool = False,
    ) -> ToolEntry:
        """Make the entry of a tool that is not to be found yet.

        Args:
            tool: The tool; its namespace is set.
            namespace: Its dotted name; empty for the root.
            source: Where it was registered, for error messages.
            options: What its `on_start` is given.
            builtin: Whether it may take a name that belongs to the server.

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
        if first in RESERVED and not builtin:
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
        return self._entry_of(tool, source=source, options=options or {})

    def _insert(self, entry: ToolEntry) -> None:
        self._entries[entry.namespace] = entry
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
            del self._entries[entry.namespace]
            for target in entry.methods.values():
                del self._targets[target.name]
        for entry in new:
            self._insert(entry)
        for forget in self.on_swap:
            forget()

    def _entry_of(self, tool: Tool, **facts: Any) -> ToolEntry:
        if isinstance(tool, FactoryTool):
            children = tool._children = ChildCache(tool, _close)
            entry: ToolEntry = FactoryEntry(
                tool.namespace, tool, factory=tool, children=children, **facts
            )
        else:
            entry = ToolEntry(tool.namespace, tool, **facts)
        self._fill(entry)
        return entry

    def _fill(self, entry: ToolEntry) -> None:
        tool = entry.tool
        for_rest = []
        for wrapper, function, name in wrappers_of(type(tool)):
            # From a static method's function to a bound one alike.
            bound = BoundWrapper(wrapper, function.__get__(tool, type(tool)))
            if wrapper.role == "rest":
                for_rest.append((bound, name))
            else:
                entry.wrappers.append(bound)
        # Unlike the other wrappers all of them apply: as written, a base's first.
        validators = [
            bound
            for bound in reversed(entry.wrappers)
            if bound.wrapper.role == "validate" and bound.wrapper.protocol != "FILES"
        ]

        check = self._checks_contracts
        checks = check is not None and check(tool.namespace)

        def target(
            spec: MethodSpec, function: Callable[..., Any] | None = None
        ) -> Target:
            own = [v for v in validators if v.wrapper.method in ("", spec.attribute)]
            made = Target(tool, spec, own, self._call_timeout, function)
            if checks:
                made.function = checked(made.function, tool, spec.attribute, made.name)
            return made

        for name, spec in describe_tool(type(tool)).items():
            entry.methods[name] = target(spec)
        for bound, name in for_rest:
            verbs = entry.rest_methods.setdefault(bound.wrapper.name or name, {})
            spec = describe_rest_method(bound.function, name)
            for verb in bound.wrapper.verbs:
                verbs.setdefault(verb, target(spec, bound.function))

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
            known = [name for name in self._entries if name != "system"]
            likely = difflib.get_close_matches(namespace, known, 1)
            hint = f", did you mean {likely[0]!r}?" if likely else ""
            raise ToolNotFound(f"no tool {namespace!r}{hint}") from None

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
            namespace, _, method = name.rpartition(".")
            entry = self.entry(namespace)
            if entry.is_transient and method in entry.methods:
                return entry.methods[method]
            known = [each.spec.name for each in entry.methods.values() if each.exported]
            likely = difflib.get_close_matches(method, known, 1)
            hint = f", did you mean {likely[0]!r}?" if likely else ""
            raise MethodNotFound(f"no method {name!r}{hint}") from None

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
        return entry.children.get(key, partial(self._make_child, entry, key))

    def _make_child(self, entry: FactoryEntry, key: str) -> ToolEntry:
        method = entry.methods.get(key)
        if key in entry.rest_methods or (method is not None and method.exported):
            where = entry.namespace or "the root tool"
            raise NotFound(f"{where}: {key!r} is a method, not a key")
        return self._entry_of(make_child(entry.factory, key), source=entry.source)


def _close(entry: ToolEntry) -> None:
    if isinstance(entry, FactoryEntry):
        entry.children.clear()
    close_child(entry.tool)


def _parts(entry: ToolEntry) -> tuple[str, ...]:
    return tuple(entry.namespace.split("."))
