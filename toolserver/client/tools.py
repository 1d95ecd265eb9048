"""Objects that stand for remote tools and their methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from toolserver.client.jobs import RemoteJob, when_text
from toolserver.client.typed import Hints

__all__ = ["Caller", "RemoteMethod", "RemoteTool"]

#: Names behind that of a method by which calls of it do not wait.
_WAYS = frozenset({"start", "enqueue", "schedule"})
#: The one by which a call is made once, however often that is done.
_ONCE = "once"


class Caller(Protocol):
    """What makes the calls of a remote tool."""

    def __call__(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """Make a call.

        Args:
            name: Full name of the method.
            args: Positional arguments.
            kwargs: Named arguments.
        """

    def once(
        self,
        key: str | None,
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """Make a call once, however often this is done.

        Args:
            key: What names the call; None for a random name.
            name: Full name of the method.
            args: Positional arguments.
            kwargs: Named arguments.
        """

    def names(self, namespace: str) -> list[str]:
        """What is below a namespace: methods, and tools further down.

        Args:
            namespace: Its dotted name.
        """

    def is_method(self, name: str) -> bool:
        """Whether a full name is that of a method.

        Args:
            name: The name.
        """

    def start(
        self,
        way: str,
        how: Sequence[Any],
        name: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> RemoteJob[Any]:
        """Have a method called without waiting for it.

        Args:
            way: ``"start"``, ``"enqueue"`` or ``"schedule"``.
            how: What goes with it: nothing, a priority, or a time.
            name: Full name of the method.
            args: Positional arguments.
            kwargs: Named arguments.
        """


class _Named:
    """Something remote, with a name, and more of it behind each dot.

    All names that begin without an underscore belong to the remote side.
    """

    __slots__ = ("_caller", "_hints", "_name")

    def __init__(self, caller: Caller, name: str, hints: Hints | None = None) -> None:
        self._caller = caller
        self._name = name
        self._hints = hints

    def __getattr__(self, name: str) -> RemoteMethod:
        if name.startswith("_"):
            # No remote name does; copying and inspecting ask for many of these.
            raise AttributeError(name)
        if self._hints is not None:
            name = self._hints.wire_name(name)
        return RemoteMethod(self._caller, _join(self._name, name), self._hints)

    def __getitem__(self, key: str) -> RemoteTool:
        """The tool that a factory makes for a key."""
        if not isinstance(key, str):
            raise TypeError(f"key: got {key!r}, expected text")
        return RemoteTool(self._caller, _join(self._name, key))

    # With keys that are text there is nothing to count through.
    __iter__ = None

    def __dir__(self) -> list[str]:
        return sorted(self._caller.names(self._name))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name}>"


class RemoteTool(_Named):
    """A tool of a remote server; its attributes are its methods.

    ``tool["key"]`` is the tool that a factory makes for a key, ``dir(tool)`` what the
    server tells of its methods.

    Args:
        caller: Makes the calls.
        name: Dotted name of the tool.
        hints: Types of the results; by default they stay plain.
    """

    __slots__ = ()


class RemoteMethod(_Named):
    """A method of a remote tool, or a namespace on the way to one.

    Args:
        caller: Makes the calls.
        name: Full name.
        hints: Types of the results of the tool's methods.
    """

    __slots__ = ()

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the method.

        Args:
            *args: Positional arguments.
            **kwargs: Named arguments.

        Returns:
            The result.

        Raises:
            ToolserverError: The call has failed; of a class of `toolserver.errors`.
            TransportError: There was no answer.
        """
        result = self._caller(self._name, args, kwargs)
        if self._hints is None:
            return result
        return self._hints.convert(self._name.rpartition(".")[2], result)

    def __getattr__(self, name: str) -> RemoteMethod:
        found = super().__getattr__(name)
        # What is further down is no method of the class.
        found._hints = None
        if name in _WAYS:
            return _Starter(self._caller, found._name, self._hints)
        if name == _ONCE:
            return _Once(self._caller, found._name, self._hints)
        return found


class _Once(RemoteMethod):
    """``place.once``: a call with a key, which is made once however often it is sent.

    Where ``place`` is no method but a tool that has one of that name, that is called.
    """

    __slots__ = ()

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        name = self._name.rpartition(".")[0]
        if not self._caller.is_method(name):
            return self._caller(self._name, args, kwargs)
        if not args:
            raise TypeError(f"{self._name}: expected a key before the arguments")
        result = self._caller.once(args[0], name, args[1:], kwargs)
        if self._hints is None:
            return result
        return self._hints.convert(name.rpartition(".")[2], result)

    def __getattr__(self, name: str) -> RemoteMethod:
        found = super().__getattr__(name)
        found._hints = None
        return found


class _Starter(RemoteMethod):
    """``place.enqueue`` and the like: a call that does not wait.

    Where ``place`` is no method but a tool that has one of that name, that is called.
    """

    __slots__ = ()

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        name, _, way = self._name.rpartition(".")
        if not self._caller.is_method(name):
            return self._caller(self._name, args, kwargs)
        how: list[Any] = []
        if way != "start":
            if not args:
                what = "a priority" if way == "enqueue" else "a time"
                raise TypeError(f"{self._name}: expected {what} before the arguments")
            how = [when_text(args[0]) if way == "schedule" else args[0]]
            args = args[1:]
        job = self._caller.start(way, how, name, args, kwargs)
        hints, method = self._hints, name.rpartition(".")[2]
        if hints is not None:
            job._convert = lambda value: hints.convert(method, value)
        return job

    def __getattr__(self, name: str) -> RemoteMethod:
        found = super().__getattr__(name)
        found._hints = None
        return found


def _join(namespace: str, name: str) -> str:
    return f"{namespace}.{name}" if namespace else name
