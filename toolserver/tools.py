"""Tools: classes whose methods are called from outside.

What a class offers is read from it by `toolserver.toolspecs`.
"""

from __future__ import annotations

import logging
from abc import ABCMeta
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar, final

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

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from toolserver.jobs.handles import Job, Jobs, Starter

__all__ = [
    "InternalTool",
    "ObsoleteTool",
    "StandardTool",
    "Tool",
    "has_transaction",
    "overrides",
]

P = ParamSpec("P")
R = TypeVar("R")

#: What the framework defines for tools and calls itself: final in tools.
_FINAL = frozenset(
    {"namespace", "log", "storage", "lock", "spawn", "enqueue", "schedule", "jobs"}
)


class _ClassBody(dict[str, Any]):
    """The body of a tool class; keeps wrappers apart that share a name like ``_``."""

    def __init__(self, members: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__()
        self.wrappers: list[tuple[str, Wrapper, Callable[..., Any]]] = []
        for name, value in members.items():
            self[name] = value

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
        members: dict[str, Any],
        /,
        framework: bool = False,
    ) -> ToolMeta:
        """Make a class.

        Args:
            name: Its name.
            bases: Its bases.
            members: What its body defines, or what ``type`` was given.
            framework: Whether it is one of the framework's own base classes, which
                export only what they expose themselves.
        """
        body = members if isinstance(members, _ClassBody) else _ClassBody(members)
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
    #: Starts its jobs; set by the server before the first hook.
    _starter: Starter | None = None
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

    @final
    def spawn(
        self, method: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> Job[R]:
        """Run a call at once in this process, without waiting for it.

        Args:
            method: A method of a tool, or anything else that can be called.
            *args: Its positional arguments.
            **kwargs: Its named arguments.

        Returns:
            The job, which is lost with the process.
        """
        return self._job_starter().spawn(method, args, kwargs, None)

    @final
    def enqueue(
        self,
        priority: int,
        method: Callable[P, R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Job[R]:
        """Put a call into the queue of this tool.

        Of one queue at most one call runs at a time, in all processes of the server:
        that with the highest priority, of several the one that came first.

        Args:
            priority: The priority.
            method: A method of a registered tool.
            *args: Its positional arguments.
            **kwargs: Its named arguments.

        Returns:
            The job, which is not lost any more.

        Raises:
            TypeError: It is no method of a registered tool.
            InvalidParams: An argument does not fit, or cannot be stored.
            Overload: Too many jobs are kept, or it could not be stored.
        """
        starter = self._job_starter()
        return starter.enqueue(self, priority, method, args, kwargs, None)

    @final
    def schedule(
        self,
        when: float | datetime | timedelta,
        method: Callable[P, R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Job[R]:
        """Have a call made at a time, beside everything else.

        Args:
            when: Seconds since the epoch, a time with a zone, or the time from now.
            method: A method of a registered tool.
            *args: Its positional arguments.
            **kwargs: Its named arguments.

        Returns:
            The job, which is not lost any more.

        Raises:
            TypeError: It is no method of a registered tool.
            ValueError: The time has no zone, or is none.
            InvalidParams: An argument does not fit, or cannot be stored.
            Overload: Too many jobs are kept, or it could not be stored.
        """
        return self._job_starter().schedule(when, method, args, kwargs, None)

    @final
    def jobs(
        self,
        *,
        keep_result: bool = True,
        once: bool = False,
        timeout: float | None = None,
    ) -> Jobs:
        """Start jobs in a way of their own: it has the same three methods.

        Args:
            keep_result: Whether results are kept at all.
            once: Whether a result is forgotten when it was handed out.
            timeout: Seconds that one run may take.

        Returns:
            What starts the jobs.
        """
        return self._job_starter().with_options(
            self, keep_result=keep_result, once=once, timeout=timeout
        )

    def _job_starter(self) -> Starter:
        if self._starter is None:
            raise RuntimeError(
                f"{type(self).__name__}: the tool belongs to no server; see "
                "toolserver.testing"
            )
        return self._starter

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
