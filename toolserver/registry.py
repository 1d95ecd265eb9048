"""Namespaces to tools, and full names to what is called.

``"shop.orders.place"`` is looked up, never walked: what is not in the table made
when a tool was added cannot be reached, however its name is spelt.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from toolserver.errors import MethodNotFound, StartError, ToolNotFound
from toolserver.methods import MethodSpec
from toolserver.tools import (
    Tool,
    describe_rest_method,
    describe_tool,
    overrides,
    wrappers_of,
)
from toolserver.wrappers import Wrapper

__all__ = ["BoundWrapper", "Registry", "Target", "ToolEntry"]

_NAMESPACE = re.compile(r"(?:[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*)?")
#: First elements of paths that belong to the server itself.
RESERVED = frozenset(
    {
        *("RPC2", "SOAP", "WSDL", "API", "JSONRPC", "MCP", "mcp", "PYRPC", "WSGI"),
        *("jobs", "metrics", "health", "system"),
    }
)


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
        function: The bound method.
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
            tool.transaction if overrides(type(tool), "transaction") else None
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
    """

    namespace: str
    tool: Tool
    source: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    methods: dict[str, Target] = field(default_factory=dict)
    wrappers: list[BoundWrapper] = field(default_factory=list)
    rest_methods: dict[str, dict[str, Target]] = field(default_factory=dict)

    @property
    def file_validators(self) -> list[BoundWrapper]:
        """What guards the static files below the tool's path."""
        return [bound for bound in self.wrappers if bound.wrapper.protocol == "FILES"]

    @property
    def path(self) -> str:
        """The path of the tool's URL, with a slash at its end."""
        return "/" + "".join(f"{part}/" for part in self.namespace.split(".") if part)


class Registry:
    """The tools of one server.

    Args:
        call_timeout: Seconds after which a call is ended where its method says
            nothing else; None for no bound.
    """

    def __init__(self, *, call_timeout: float | None = None) -> None:
        self._call_timeout = call_timeout
        self._entries: dict[str, ToolEntry] = {}
        self._targets: dict[str, Target] = {}
        self._depth = 0

    def __iter__(self) -> Iterator[ToolEntry]:
        return iter(self._entries.values())

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
        taken = self._entries.get(namespace)
        if taken is not None:
            raise StartError(
                f"{where}namespace {namespace!r} is taken by a tool from {taken.source}"
            )
        tool.namespace = namespace
        entry = ToolEntry(namespace, tool, source, options or {})
        self._fill(entry)
        self._entries[namespace] = entry
        self._depth = max(self._depth, len(_parts(entry)))
        self._targets.update((target.name, target) for target in entry.methods.values())
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

        def target(
            spec: MethodSpec, function: Callable[..., Any] | None = None
        ) -> Target:
            own = [v for v in validators if v.wrapper.method in ("", spec.attribute)]
            return Target(tool, spec, own, self._call_timeout, function)

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
        """
        try:
            return self._entries[namespace]
        except KeyError:
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
        """
        try:
            return self._targets[name]
        except KeyError:
            namespace, _, method = name.rpartition(".")
            entry = self.entry(namespace)
            known = [each.spec.name for each in entry.methods.values() if each.exported]
            likely = difflib.get_close_matches(method, known, 1)
            hint = f", did you mean {likely[0]!r}?" if likely else ""
            raise MethodNotFound(f"no method {name!r}{hint}") from None

    def nearest(
        self, parts: tuple[str, ...]
    ) -> tuple[ToolEntry, tuple[str, ...]] | None:
        """Find the tool that is nearest to the end of a path.

        Args:
            parts: Elements of the path.

        Returns:
            Its entry and the elements that remain, or None where not even the root
            is a tool.
        """
        # No deeper than tools are: each prefix of a long path would cost its length.
        for end in range(min(len(parts), self._depth), -1, -1):
            entry = self._entries.get(".".join(parts[:end]))
            # Neither an element with a dot in it nor an empty one names a tool.
            if entry is not None and (
                not end or (all(parts[:end]) and _parts(entry) == parts[:end])
            ):
                return entry, parts[end:]
        return None


def _parts(entry: ToolEntry) -> tuple[str, ...]:
    return tuple(entry.namespace.split("."))
