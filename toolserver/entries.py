"""What the registry holds of a tool: its entry, and what each name leads to.

Everything about a method that does not change from call to call is prepared here once,
when its tool is added.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from toolserver.childcache import ChildCache, Population
from toolserver.contractchecks import checked
from toolserver.contracts import invariant_texts
from toolserver.cors import CORS
from toolserver.factories import (
    FactoryTool,
    TransientTool,
    close_child,
    factories_below,
    transaction_of,
)
from toolserver.marks import inherited_marks
from toolserver.methods import MethodSpec, describe_method
from toolserver.tools import Tool
from toolserver.toolspecs import describe_rest_method, describe_tool, wrappers_of
from toolserver.wrappers import Wrapper

if TYPE_CHECKING:
    from toolserver.resultcache import TargetCache
    from toolserver.throttles import Throttle

__all__ = [
    "BoundWrapper",
    "FactoryEntry",
    "Target",
    "ToolEntry",
    "inner_target",
    "make_entry",
]


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
        is_threaded: Whether it runs in a native thread.
        check_token: Checks the token that callers send; None where they need none.
        throttle: Bounds how often it is called from outside, and how many calls run at
            once; None for no bound.
        cache: Keeps results of calls from outside; None where none are kept.
        is_guarded: Whether any of the last eight is there.
    """

    __slots__ = (
        "cache",
        "check_token",
        "exported",
        "function",
        "is_guarded",
        "is_threaded",
        "method_validators",
        "name",
        "spec",
        "throttle",
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
        self.is_threaded = spec.is_threaded
        self.check_token: Callable[[Any], None] | None = None
        if spec.unlocked is not None:
            self.check_token = cast(Any, tool).check_token
        # Given to it later, where it has one.
        self.throttle: Throttle | None = None
        self.cache: TargetCache | None = None
        self.is_guarded = bool(
            validators
            or self.timeout is not None
            or self.transaction is not None
            or self.is_threaded
            or self.check_token is not None
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
        is_builtin: Whether it is a part of the server.
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
    is_builtin: bool = False
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
    def cors(self) -> CORS | None:
        """Which web pages of other origins may call the tool."""
        found = self.tool.cors
        # A tool may have a method of that name.
        return found if isinstance(found, CORS) else None

    @property
    def fixed_paths(self) -> list[str]:
        """The paths of the server that it answers wherever it is."""
        return [name for name in self.rest_methods if name.startswith("/")]

    @property
    def invariants(self) -> tuple[str, ...]:
        """Texts of what always holds for the tool."""
        return invariant_texts(type(self.tool))

    @property
    def tool_validators(self) -> list[BoundWrapper]:
        """What guards the whole tool in every protocol, a base's first."""
        return [
            bound
            for bound in reversed(self.wrappers)
            if bound.wrapper.role == "validate"
            and not bound.wrapper.method
            and not bound.wrapper.protocol
            and not bound.wrapper.verbs
        ]

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


def make_entry(
    tool: Tool,
    *,
    source: str,
    options: dict[str, Any] | None = None,
    is_builtin: bool = False,
    call_timeout: float | None = None,
    checks_contracts: bool = False,
    population: Population | None = None,
) -> ToolEntry:
    """Make the entry of a tool and prepare its methods.

    Args:
        tool: The tool; it has its namespace.
        source: Where it was registered.
        options: What its `on_start` is given.
        is_builtin: Whether it is a part of the server.
        call_timeout: Seconds after which a call is ended where its method says
            nothing else; None for no bound.
        checks_contracts: Whether the contracts of the tool are checked.
        population: A bound for what a factory makes, shared with others.

    Returns:
        The entry.

    Raises:
        StartError: A signature of the tool cannot be used.
    """
    facts: dict[str, Any] = {
        "source": source,
        "options": options or {},
        "is_builtin": is_builtin,
    }
    if isinstance(tool, FactoryTool):
        children = tool._children = ChildCache(tool, _close, population=population)
        entry: ToolEntry = FactoryEntry(
            tool.namespace, tool, factory=tool, children=children, **facts
        )
    else:
        entry = ToolEntry(tool.namespace, tool, **facts)
    _fill(entry, call_timeout, checks_contracts)
    return entry


def _fill(entry: ToolEntry, call_timeout: float | None, checks: bool) -> None:
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

    def target(spec: MethodSpec, function: Callable[..., Any] | None = None) -> Target:
        own = [v for v in validators if v.wrapper.method in ("", spec.attribute)]
        made = Target(tool, spec, own, call_timeout, function)
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


def inner_target(
    entry: ToolEntry, attribute: str, call_timeout: float | None, checks: bool
) -> Target | None:
    """Prepare a method that only the tool itself calls, such as an underscored one.

    Args:
        entry: The tool.
        attribute: The method's name in the class.
        call_timeout: Seconds after which a call is ended where its method says
            nothing else; None for no bound.
        checks: Whether the contracts of the tool are checked.

    Returns:
        What is called; None if the class has no such method.
    """
    cls = type(entry.tool)
    function = getattr(cls, attribute, None)
    if not inspect.isroutine(function) or attribute.startswith("__"):
        return None
    facts = {**inherited_marks(cls, attribute), "exported": False}
    facts.pop("name", None)
    source = f"{cls.__module__}.{cls.__qualname__}.{attribute}"
    spec = describe_method(
        function, name=attribute, attribute=attribute, source=source, **facts
    )
    made = Target(entry.tool, spec, [], call_timeout)
    if checks:
        made.function = checked(made.function, entry.tool, attribute, made.name)
    return made


def _close(entry: ToolEntry) -> None:
    if isinstance(entry, FactoryEntry):
        entry.children.clear()
    close_child(entry.tool)
