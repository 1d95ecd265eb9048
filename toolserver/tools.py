"""Tools: classes whose methods are called from outside.

Which methods are exported is decided here and nowhere else. Roles go by the name of
a method through the whole line of classes: what a base class hides stays hidden
when a subclass overrides it without a word.
"""

from __future__ import annotations

import inspect
import logging
from abc import ABCMeta
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, ClassVar, TypeVar, overload

from toolserver.contracts import (
    check_contracts,
    ensure_texts,
    is_invariant,
    require_texts,
)
from toolserver.cors import CORS
from toolserver.errors import Obsolete, StartError
from toolserver.home import Home
from toolserver.locks import RLock
from toolserver.methods import Limit, MethodSpec, Parameter, describe_method
from toolserver.storage import Storage
from toolserver.transactions import HOOKS as TRANSACTION_HOOKS
from toolserver.transactions import hooked_transaction
from toolserver.types import Type
from toolserver.wrappers import NOTE, Wrapper

__all__ = [
    "InternalTool",
    "ObsoleteTool",
    "StandardTool",
    "Tool",
    "describe_tool",
    "destructive",
    "expose",
    "hidden",
    "idempotent",
    "limit",
    "read_only",
    "threaded",
]

F = TypeVar("F", bound=Callable[..., Any])

#: Attribute of a function that holds its marks.
_MARKS = "__toolserver_marks__"
#: What the framework defines for tools and calls itself: final in tools.
_FINAL = frozenset(
    {"namespace", "log", "storage", "lock", "spawn", "enqueue", "schedule", "jobs"}
)
#: What tools override and only the framework calls: never exported.
HOOKS = frozenset(
    {
        "on_setup",
        "on_start",
        "on_stop",
        "on_close",
        "transaction",
        "begin",
        "commit",
        "abort",
    }
)


def _mark(function: F, **marks: Any) -> F:
    if not callable(getattr(function, "__func__", function)):
        names = ", ".join(f"@{name}" for name in marks)
        raise TypeError(f"{names}: got {function!r}, expected a method")
    plain = getattr(function, "__func__", function)
    setattr(plain, _MARKS, {**getattr(plain, _MARKS, {}), **marks})
    return function


@overload
def expose(function: F, /) -> F: ...
@overload
def expose(name: str = "", /) -> Callable[[F], F]: ...
@overload
def expose(*, name: str) -> Callable[[F], F]: ...
def expose(function: Any = "", /, *, name: str = "") -> Any:
    """Export a method, under another name if one is given.

    Args:
        function: The method, where it is used without parentheses, or the name.
        name: The name under which it is exported.
    """
    if callable(function):
        return _mark(function, exported=True, name="")
    wire_name = name or function
    return lambda method: _mark(method, exported=True, name=wire_name)


def hidden(function: F) -> F:
    """Keep a method of a `StandardTool` from being exported."""
    return _mark(function, exported=False)


def read_only(function: F) -> F:
    """Say that calls of a method change nothing."""
    return _mark(function, is_read_only=True)


def destructive(function: F) -> F:
    """Say that calls of a method may destroy something."""
    return _mark(function, is_destructive=True)


def idempotent(function: F) -> F:
    """Say that a repeated call of a method with the same arguments changes nothing."""
    return _mark(function, is_idempotent=True)


def threaded(function: F) -> F:
    """Let calls of a method run in a native thread, so that they hold up no others.

    For long computations and for libraries that wait without gevent. It is for calls
    through the call path; plain calls stay plain.

    Args:
        function: The method; no generator, as what it yields is fetched by the loop.

    Raises:
        TypeError: It is a generator, or a coroutine.
    """
    plain = getattr(function, "__func__", function)
    if inspect.isgeneratorfunction(plain) or inspect.iscoroutinefunction(plain):
        raise TypeError(
            f"@threaded: got {plain.__qualname__}, which returns no result but a "
            "generator or a coroutine"
        )
    return _mark(function, is_threaded=True)


def limit(
    *, timeout: float | None = None, max_body: int | None = None
) -> Callable[[F], F]:
    """Give a method bounds of its own.

    Args:
        timeout: Seconds after which a call is ended.
        max_body: Size of a request body, bytes.
    """
    bounds = Limit(timeout=timeout, max_body=max_body)
    return lambda method: _mark(method, limit=bounds)


class _ClassBody(dict[str, Any]):
    """The body of a tool class; keeps wrappers apart that share a name like ``_``."""

    def __init__(self) -> None:
        super().__init__()
        self.wrappers: list[tuple[str, Wrapper, Callable[..., Any]]] = []

    def __setitem__(self, name: str, value: Any) -> None:
        wrapper = getattr(value, NOTE, None)
        if isinstance(wrapper, Wrapper):
            self.wrappers.append((name, wrapper, value))
        super().__setitem__(name, value)


class ToolMeta(ABCMeta):
    """Collects the wrappers of a class and checks it when it is made."""

    _own_wrappers: tuple[tuple[str, Wrapper, Callable[..., Any]], ...]
    _is_framework: bool

    @classmethod
    def __prepare__(
        metacls, name: str, bases: tuple[type, ...], /, **options: Any
    ) -> _ClassBody:
        return _ClassBody()

    def __new__(
        metacls,
        name: str,
        bases: tuple[type, ...],
        body: _ClassBody,
        /,
        framework: bool = False,
    ) -> ToolMeta:
        """Make a class.

        Args:
            name: Its name.
            bases: Its bases.
            body: What its body defines.
            framework: Whether it is one of the framework's own base classes, which
                export only what they expose themselves.
        """
        cls = super().__new__(metacls, name, bases, dict(body))
        cls._own_wrappers = tuple(body.wrappers)
        cls._is_framework = framework
        if not framework:
            _check(cls, body)
        return cls


def _check(cls: ToolMeta, body: _ClassBody) -> None:
    for name in _FINAL.intersection(body):
        raise TypeError(
            f"{cls.__name__}.{name}: belongs to the framework; give the method "
            f'another name and export it with @expose("{name}")'
        )
    for name, wrapper, _ in body.wrappers:
        target = wrapper.method
        if target and not callable(getattr(cls, target, None)):
            raise TypeError(
                f"{cls.__name__}.{name}: @{wrapper.role} names {target!r}, which is "
                "no method of the tool"
            )
    check_contracts(cls)


class Tool(metaclass=ToolMeta, framework=True):
    """The common base of all tools; subclass `StandardTool` or `InternalTool`.

    One instance serves all calls of a server process at the same time. What belongs
    to one call is kept in local variables or in a `Var`, not on the instance.

    Attributes:
        settings: Settings of the tool: an instance of a frozen dataclass with
            defaults, which the section ``[tool."<namespace>"]`` may override.
        namespace: The dotted name under which it is registered.
        log: The logger of the tool.
        cors: Which web pages of other origins may call it; None for none. It may be
            set in `on_start`.
    """

    settings: Any = None
    namespace: str = ""
    cors: CORS | None = None
    log: logging.Logger = logging.getLogger("toolserver.tool")

    #: Where its files are; set by the server before the first hook.
    _home: Home | None = None
    #: Whether public methods are exported without further marks.
    _exports_all: ClassVar[bool] = False
    #: Whether callers put a token in front of the arguments of each method.
    _takes_token: ClassVar[bool] = False

    @cached_property
    def storage(self) -> Storage:
        """The tool's own files, and as ``storage.public`` those that are served.

        Raises:
            RuntimeError: The tool belongs to no server.
        """
        if self._home is None:
            raise RuntimeError(
                f"{type(self).__name__}.storage: the tool belongs to no server; see "
                "toolserver.testing"
            )
        return Storage(self._home, self.namespace)

    @cached_property
    def lock(self) -> RLock:
        """A re-entrant lock of this tool, for ``with self.lock:``.

        It holds within this process only: the other processes of a server have locks
        of their own. A tool that was loaded again has a new one.
        """
        return RLock(self.namespace or "the root tool", self.log)

    def _check_settings(self) -> None:
        """Refuse settings without which the tool cannot work, with a `StartError`."""

    @expose
    @read_only
    def list_methods(self) -> list[str]:
        """List the methods that may be called.

        Returns:
            Their names, sorted.
        """
        found = describe_tool(type(self)).values()
        return sorted(method.name for method in found if method.exported)

    def on_setup(self) -> None:
        """Prepare what outlives the process, such as tables.

        Runs first, outside a transaction; a lock of the home makes sure that no
        two processes run it at once. It has to stand being run again.
        """

    # Declared so that a tool may name its options, or have none.
    def on_start(self, *args: Any, **options: Any) -> None:
        """Prepare the tool; every other tool may be called from here.

        Args:
            *args: Nothing.
            **options: What was given to `register`.
        """

    def on_stop(self) -> None:
        """End the tool's work; every other tool may be called from here."""

    def on_close(self) -> None:
        """Let go of what the tool holds; runs last, outside a transaction."""

    def transaction(self) -> AbstractContextManager[None]:
        """A context manager around each call: it commits, or aborts on an exception.

        By default it calls `begin`, `commit` and `abort`. One instance serves many
        calls at once: what belongs to one of them is kept in a local variable or in a
        `Var`, not on the instance.
        """
        return hooked_transaction(self)

    def begin(self) -> None:
        """Begin the transaction of a call."""

    def commit(self) -> None:
        """Keep what the call has done; what it raises is the call's failure."""

    def abort(self) -> None:
        """Undo what the call has done."""


class StandardTool(Tool, framework=True):
    """A tool that exports each public method that its own classes define."""

    _exports_all = True


class InternalTool(Tool, framework=True):
    """A tool for other tools: it exports only what is marked with `expose`."""


class ObsoleteTool(StandardTool, framework=True):
    """Stands where a tool was: each call of its old methods says that they are gone.

    Attributes:
        obsolete: The names of the methods, and what to tell callers: the successor.
    """

    obsolete: ClassVar[Mapping[str, str]] = {}

    def __getattr__(self, name: str) -> Callable[..., None]:
        text = type(self).obsolete.get(name)
        if text is None:
            raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

        def gone(*args: Any, **kwargs: Any) -> None:
            where = f"{self.namespace}.{name}" if self.namespace else name
            raise Obsolete(f"{where} is obsolete: {text}")

        return gone


def overrides(cls: type[Tool], hook: str) -> bool:
    """Whether a tool class defines a hook itself.

    Args:
        cls: The class.
        hook: Name of a method of `Tool`.
    """
    return getattr(cls, hook) is not getattr(Tool, hook)


def has_transaction(cls: type[Tool]) -> bool:
    """Whether calls of a tool run in a transaction of its own.

    Args:
        cls: The tool's class.
    """
    return any(overrides(cls, hook) for hook in TRANSACTION_HOOKS)


def wrappers_of(cls: type[Tool]) -> Iterator[tuple[Wrapper, Callable[..., Any], str]]:
    """The wrappers of a tool class, those of the most derived class first.

    Args:
        cls: The class.

    Yields:
        Each wrapper, the function that it decorates or that overrides it in a
        subclass, and the attribute under which it was defined.
    """
    for base in cls.__mro__:
        if not isinstance(base, ToolMeta):
            continue
        # Of two for the same purpose in one class the later one holds.
        for name, wrapper, function in reversed(base._own_wrappers):
            if vars(base).get(name) is function:
                current = getattr(cls, name)
                if current is not function and hasattr(current, NOTE):
                    continue
                yield wrapper, current, name
            else:
                yield wrapper, function, name


def describe_tool(cls: type[Tool]) -> dict[str, MethodSpec]:
    """Find and read the methods of a tool class.

    Args:
        cls: The class.

    Returns:
        Exported and hidden public methods by their names on the wire.

    Raises:
        StartError: A signature cannot be used, or two methods have one name.
    """
    known = cls.__dict__.get("_described")
    if known is not None:
        return known  # type: ignore[no-any-return]  # set below
    methods: dict[str, MethodSpec] = {}
    for attribute in sorted(set().union(*(vars(base) for base in cls.__mro__))):
        spec = _describe_attribute(cls, attribute)
        if spec is None:
            continue
        if spec.name in methods:
            other = methods[spec.name].attribute
            raise StartError(
                f"{cls.__module__}.{cls.__qualname__}: {other} and {attribute} are "
                f"both exported as {spec.name!r}"
            )
        methods[spec.name] = spec
    if cls._takes_token:
        methods = {
            name: spec if _is_framework(cls, spec) else spec.locked()
            for name, spec in methods.items()
        }
    if issubclass(cls, ObsoleteTool):
        for name, text in cls.obsolete.items():
            methods[name] = _describe_obsolete(name, text)
    cls._described = methods  # type: ignore[attr-defined]  # a cache of this function
    return methods


def _is_framework(cls: type[Tool], spec: MethodSpec) -> bool:
    """Whether a method is the framework's own, and no subclass has overridden it."""
    owner = next(base for base in cls.__mro__ if spec.attribute in vars(base))
    return isinstance(owner, ToolMeta) and owner._is_framework


def _describe_obsolete(name: str, text: str) -> MethodSpec:
    """What is known of a method that is gone: it takes whatever it is given."""
    anything = Type(Any)
    return MethodSpec(
        name=name,
        attribute=name,
        parameters=(),
        positional=0,
        rest=Parameter("args", anything, required=True),
        extra=Parameter("kwargs", anything, required=True),
        returns=anything,
        doc=f"Obsolete: {text}",
    )


def describe_rest_method(function: Callable[..., Any], attribute: str) -> MethodSpec:
    """Read what is known of a method for REST alone.

    Args:
        function: The method, bound.
        attribute: Its name in the class.

    Returns:
        What is known of it: it takes a request, as it is.
    """
    marks = dict(getattr(function, _MARKS, {}))
    marks.pop("name", None)
    return MethodSpec(
        name=attribute,
        attribute=attribute,
        parameters=(Parameter("request", Type(Any), required=True),),
        positional=1,
        rest=None,
        extra=None,
        returns=Type(Any),
        doc=inspect.getdoc(function) or "",
        **{**marks, "exported": True},
    )


def _describe_attribute(cls: type[Tool], attribute: str) -> MethodSpec | None:
    """The method behind an attribute, or None where there is no public one."""
    definitions = [base for base in cls.__mro__ if attribute in vars(base)]
    value = vars(definitions[0])[attribute]
    plain = getattr(value, "__func__", value)
    if attribute.startswith("_") or attribute in HOOKS or not _is_method(value):
        return None
    values = [vars(base)[attribute] for base in definitions]
    if any(isinstance(getattr(each, NOTE, None), Wrapper) for each in values):
        return None
    if any(map(is_invariant, values)):
        return None
    marks: dict[str, Any] = {}
    for each in reversed(values):
        marks.update(getattr(getattr(each, "__func__", each), _MARKS, {}))
    own = any(not getattr(base, "_is_framework", False) for base in definitions)
    if "exported" not in marks and not own:
        return None
    exported = marks.pop("exported", cls._exports_all)
    name = marks.pop("name", "") or attribute
    source = f"{plain.__module__}.{plain.__qualname__}"
    return describe_method(
        value,
        name=name,
        attribute=attribute,
        source=source,
        exported=exported,
        requires=require_texts(cls, attribute),
        ensures=ensure_texts(cls, attribute),
        **marks,
    )


def _is_method(value: Any) -> bool:
    return isinstance(value, (staticmethod, classmethod)) or (
        callable(value) and hasattr(value, "__get__") and not isinstance(value, type)
    )
