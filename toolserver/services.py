"""What a running server offers to its tools, and how tools call each other."""

from __future__ import annotations

from typing import Any, TypeVar, overload

from toolserver.calls import Call
from toolserver.contexts import current
from toolserver.dispatcher import Dispatcher
from toolserver.entries import Target, ToolEntry
from toolserver.errors import MethodNotFound
from toolserver.home import Home
from toolserver.nativethreads import in_loop, in_native_thread
from toolserver.registry import Registry
from toolserver.settings import Settings

__all__ = ["Services", "call", "install", "proxy", "running", "services", "tool"]

T = TypeVar("T")

_installed: list[Services] = []


class Services:
    """The parts of one server that tools may use.

    Attributes:
        registry: The tools.
        dispatcher: The door for calls.
        settings: The settings of the server.
        home: The folders of the server; None where it has none.
        prefixes: Prefixes of the protocols that it speaks; set once it knows them.
    """

    __slots__ = ("_parts", "dispatcher", "home", "prefixes", "registry", "settings")

    def __init__(
        self,
        registry: Registry,
        dispatcher: Dispatcher,
        settings: Settings | None = None,
        home: Home | None = None,
    ) -> None:
        self.registry = registry
        self.dispatcher = dispatcher
        self.settings = settings or Settings()
        self.home = home
        self.prefixes: tuple[str, ...] = ()
        self._parts: dict[type, Any] = {}

    def part(self, kind: type[T]) -> T:
        """The one instance of a class that this server has of its own.

        Args:
            kind: The class; it is made without arguments when first asked for.

        Returns:
            Always the same object.
        """
        found = self._parts.get(kind)
        if found is None:
            found = self._parts[kind] = kind()
        return found

    def provide(self, kind: type, part: Any) -> None:
        """Set what is used in the place of an instance of a class.

        Args:
            kind: The class, of which none was asked for yet.
            part: Offers the same.
        """
        self._parts[kind] = part

    def close(self) -> None:
        """Close those parts that hold something: that have a method `close`."""
        for part in self._parts.values():
            close = getattr(part, "close", None)
            if close is not None:
                close()

    @property
    def url(self) -> str:
        """The address of the server as the caller knows it, with a slash at its end.

        Raises:
            RuntimeError: Neither the settings nor a request tell one.
        """
        public = self.settings.server.public_url
        if public:
            return public.rstrip("/") + "/"
        context = current()
        request = context.request if context is not None else None
        if request is None:
            raise RuntimeError("server.public_url is not set and there is no request")
        return f"{request.scheme}://{request.host}/"


def install(offered: Services | None, instead_of: Services | None = None) -> None:
    """Make a server's services those of the process, for work outside of any call.

    Args:
        offered: The services of a server that starts, or None.
        instead_of: The services of a server that has stopped, or None.
    """
    if instead_of is not None and instead_of in _installed:
        _installed.remove(instead_of)
    if offered is not None:
        _installed.append(offered)


def services() -> Services:
    """The services of the server that makes the running call.

    Raises:
        RuntimeError: No server runs in this process.
    """
    found = running()
    if found is None:
        raise RuntimeError("no server runs in this process; see toolserver.testing")
    return found


def running() -> Services | None:
    """The services of the server that makes the running call, or None without one."""
    context = current()
    if context is not None and context.services is not None:
        return context.services  # type: ignore[no-any-return]  # by the worker
    return _installed[-1] if _installed else None


@overload
def tool(namespace: str) -> Any: ...
@overload
def tool(namespace: str, cls: type[T]) -> T: ...
def tool(namespace: str, cls: type[Any] | None = None) -> Any:
    """Find a tool of this server, to use it as a plain object.

    Its methods run as plain calls, in the caller's context and transaction.

    Args:
        namespace: Its dotted name.
        cls: The class that it is expected to be of.

    Returns:
        The tool.

    Raises:
        ToolNotFound: There is none of that name.
        TypeError: It is of another class.
    """
    found = _find(namespace).tool
    if cls is not None and not isinstance(found, cls):
        got = type(found).__name__
        raise TypeError(f"tool {namespace!r}: got a {got}, expected a {cls.__name__}")
    return found


@in_loop
def _find(namespace: str) -> ToolEntry:
    # A factory may have to make the tool.
    return services().registry.entry(namespace)


@in_loop
def _target(name: str) -> Target:
    return services().registry.target(name)


@in_loop
def _invoke_in_loop(target: Target, call: Call, checked: bool) -> Any:
    return services().dispatcher.invoke(target, call, inside=True, checked=checked)


def call(name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call a method of a tool of this server through the call path.

    Validators, conversion and the tool's own transaction apply as they do from
    outside.

    Args:
        name: Full name of the method, exported or hidden.
        *args: Positional arguments.
        **kwargs: Named arguments.

    Returns:
        What the method returns.

    Raises:
        ToolNotFound: No tool has the namespace.
        MethodNotFound: The tool has no such method.
        InvalidParams: An argument does not fit.
        Exception: Whatever the method raises.
    """
    if in_native_thread():
        return _invoke_in_loop(_target(name), Call(name, args, kwargs), True)
    offered = services()
    target = offered.registry.target(name)
    return offered.dispatcher.invoke(target, Call(name, args, kwargs), inside=True)


class _Proxy:
    """Stands for a tool; each of its methods goes through the call path."""

    __slots__ = ("_checked", "_namespace")

    def __init__(self, namespace: str, checked: bool) -> None:
        self._namespace = namespace
        self._checked = checked

    def __getattr__(self, attribute: str) -> Any:
        offered = services()
        entry = _find(self._namespace)
        for target in entry.methods.values():
            if target.spec.attribute == attribute:
                break
        else:
            raise MethodNotFound(f"no method {attribute!r} in {self._namespace!r}")

        def method(*args: Any, **kwargs: Any) -> Any:
            made, checked = Call(target.name, args, kwargs), self._checked
            if in_native_thread():
                return _invoke_in_loop(target, made, checked)
            return offered.dispatcher.invoke(target, made, inside=True, checked=checked)

        return method

    def __repr__(self) -> str:
        return f"<proxy of {self._namespace}>"


@overload
def proxy(namespace: str, *, validate: bool = True) -> Any: ...
@overload
def proxy(namespace: str, cls: type[T], *, validate: bool = True) -> T: ...
def proxy(
    namespace: str, cls: type[Any] | None = None, *, validate: bool = True
) -> Any:
    """Stand in for a tool of this server, so that calls go through the call path.

    Args:
        namespace: Its dotted name.
        cls: The class that it is expected to be of, for editors and type checkers.
        validate: Whether validators run and arguments are converted.

    Returns:
        An object with the tool's methods, exported and hidden.

    Raises:
        ToolNotFound: There is none of that name.
        TypeError: It is of another class.
    """
    tool(namespace, cls or object)
    return _Proxy(namespace, validate)
