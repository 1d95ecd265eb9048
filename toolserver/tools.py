"""Tools: classes whose methods are called from outside.

What a class offers is read from it by `toolserver.toolspecs`.
"""

from __future__ import annotations

import logging
from abc import ABCMeta
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, ClassVar

from toolserver.contracts import check_contracts
from toolserver.cors import CORS
from toolserver.errors import Obsolete
from toolserver.home import Home
from toolserver.locks import RLock
from toolserver.marks import expose, read_only
from toolserver.methods import MethodSpec, Parameter
from toolserver.storage import Storage
from toolserver.toolspecs import describe_tool
from toolserver.transactions import HOOKS as TRANSACTION_HOOKS
from toolserver.transactions import hooked_transaction
from toolserver.types import Type
from toolserver.wrappers import NOTE, Wrapper

__all__ = [
    "InternalTool",
    "ObsoleteTool",
    "StandardTool",
    "Tool",
    "has_transaction",
    "overrides",
]

#: What the framework defines for tools and calls itself: final in tools.
_FINAL = frozenset(
    {"namespace", "log", "storage", "lock", "spawn", "enqueue", "schedule", "jobs"}
)


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

    @classmethod
    def _virtual_methods(cls) -> Iterable[MethodSpec]:
        """The methods that it has without an attribute of their name in the class."""
        return ()

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

    @classmethod
    def _virtual_methods(cls) -> Iterator[MethodSpec]:
        anything = Type(Any)
        for name, text in cls.obsolete.items():
            yield MethodSpec(
                name=name,
                attribute=name,
                parameters=(),
                positional=0,
                rest=Parameter("args", anything, required=True),
                extra=Parameter("kwargs", anything, required=True),
                returns=anything,
                doc=f"Obsolete: {text}",
            )

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
