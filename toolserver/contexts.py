"""The variables that live as long as one call.

A `Context` is bound around the work and always taken off again: worker greenlets
are reused, so what stayed would be inherited by the next caller. A nested call is
bound inside its caller's and sees its values; its own changes end with it.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from toolserver.message import Request

__all__ = [
    "Context",
    "CurrentContext",
    "Var",
    "bind",
    "bind_lastingly",
    "context",
    "current",
    "next_number",
    "request_id_text",
]

T = TypeVar("T")

_bound: ContextVar[Context] = ContextVar("toolserver.context")
_MISSING: Any = object()
_NO_VALUES: Mapping[Var[Any], Any] = {}

_process = os.urandom(6).hex()
_numbers = itertools.count(1)
#: The number of a request, or of what begins by itself; its id is made from it.
next_number = partial(next, _numbers)


def request_id_text(number: str | int) -> str:
    """The text that names a request in every log, here and elsewhere.

    Args:
        number: What `Context.number` holds.
    """
    return f"{_process}-{number:x}" if isinstance(number, int) else number


class Context:
    """The values of one call; tools read them through `toolserver.context`.

    Attributes:
        request: The HTTP request that led to the call, or None.
        client: Name of the caller, or None for an anonymous one.
        groups: Groups of the caller.
        auth_type: How the caller proved its name, such as ``"Basic"``, or None.
        tool: The tool that is called, or None outside of a call.
        method: Name of the method that is called.
        protocol: How the call arrived: ``"REST"``, ``"RPC2"``, …; empty inside.
        number: The request's id, or the number from which it is made.
        job: The job that makes the call, or None.
        deadline: Time by `time.monotonic` at which the call is ended, or None.
        services: What the running server offers to tools.
    """

    __slots__ = (
        "auth_type",
        "client",
        "deadline",
        "groups",
        "job",
        "method",
        "number",
        "protocol",
        "request",
        "services",
        "tool",
        "values",
    )

    def __init__(
        self,
        *,
        services: Any = None,
        request: Request | None = None,
        client: str | None = None,
        groups: frozenset[str] = frozenset(),
        auth_type: str | None = None,
        protocol: str = "",
        request_id: str = "",
    ) -> None:
        self.services = services
        self.request = request
        self.client = client
        self.groups = groups
        self.auth_type = auth_type
        self.protocol = protocol
        self.tool: Any = None
        self.method = ""
        self.job: Any = None
        self.deadline: float | None = None
        # Never changed in place: `Var.set` binds a new one, so that a nested call's
        # changes end with it.
        self.values: Mapping[Var[Any], Any] = _NO_VALUES
        # Only a number until somebody asks for it: most requests leave no trace.
        self.number: str | int = request_id or next_number()

    @property
    def request_id(self) -> str:
        """The text that names the request in every log, here and elsewhere."""
        return request_id_text(self.number)

    @property
    def job_id(self) -> str | None:
        """Id of the job that makes the call, or None."""
        # Made only where somebody asks for it: most jobs are asked by nobody.
        return None if self.job is None else self.job.id

    def nested(self, tool: Any, method: str) -> Context:
        """A context for a call made inside this one.

        Args:
            tool: The tool that is called.
            method: The name of its method.

        Returns:
            A new context with the same values.
        """
        inner = Context.__new__(Context)
        inner.services = self.services
        inner.request = self.request
        inner.client = self.client
        inner.groups = self.groups
        inner.auth_type = self.auth_type
        inner.protocol = self.protocol
        inner.tool = tool
        inner.method = method
        inner.job = self.job
        inner.deadline = self.deadline
        inner.values = self.values
        inner.number = self.number
        return inner

    def apart(self, tool: Any, method: str, job: Any) -> Context:
        """A context for a call that this one starts and does not wait for.

        Args:
            tool: The tool that is called, or None.
            method: The name of its method.
            job: The job that makes the call.

        Returns:
            A new context of the same client, without the request and its values.
        """
        inner = Context.__new__(Context)
        inner.services = self.services
        inner.request = None
        inner.client = self.client
        inner.groups = self.groups
        inner.auth_type = self.auth_type
        inner.protocol = ""
        inner.tool = tool
        inner.method = method
        inner.job = job
        inner.deadline = None
        inner.values = _NO_VALUES
        inner.number = self.number
        return inner


def current() -> Context | None:
    """The bound context, or None outside of any call."""
    return _bound.get(None)


class bind:  # noqa: N801, RUF100  # reads as a verb: `with bind(context):`
    """Bind a context around some work: ``with bind(inner): ...``.

    Args:
        inner: The context to bind.
    """

    __slots__ = ("_inner", "_token")

    def __init__(self, inner: Context) -> None:
        self._inner = inner

    def __enter__(self) -> Context:
        self._token = _bound.set(self._inner)
        return self._inner

    def __exit__(self, *exc_info: object) -> None:
        _bound.reset(self._token)


#: Binds a context for as long as the `contextvars.Context` lasts that is the running
#: greenlet's: for greenlets that have one of their own for each piece of work.
bind_lastingly = _bound.set


class CurrentContext:
    """Reads the context of the running call; outside of one everything is empty."""

    __slots__ = ()

    @property
    def request(self) -> Request | None:
        """The HTTP request that led to the call, or None."""
        found = _bound.get(None)
        return None if found is None else found.request

    @property
    def client(self) -> str | None:
        """Name of the caller, or None for an anonymous one."""
        found = _bound.get(None)
        return None if found is None else found.client

    @property
    def groups(self) -> frozenset[str]:
        """Groups of the caller."""
        found = _bound.get(None)
        return frozenset() if found is None else found.groups

    @property
    def auth_type(self) -> str | None:
        """How the caller proved its name, or None."""
        found = _bound.get(None)
        return None if found is None else found.auth_type

    @property
    def tool(self) -> Any:
        """The tool that is called, or None."""
        found = _bound.get(None)
        return None if found is None else found.tool

    @property
    def method(self) -> str:
        """Name of the method that is called."""
        found = _bound.get(None)
        return "" if found is None else found.method

    @property
    def protocol(self) -> str:
        """How the call arrived: ``"REST"``, ``"RPC2"``, …; empty inside."""
        found = _bound.get(None)
        return "" if found is None else found.protocol

    @property
    def request_id(self) -> str:
        """The text that names the request in the logs."""
        found = _bound.get(None)
        return "" if found is None else found.request_id

    @property
    def job_id(self) -> str | None:
        """Id of the job that makes the call, or None."""
        found = _bound.get(None)
        return None if found is None else found.job_id

    @property
    def deadline(self) -> float | None:
        """Time by `time.monotonic` at which the call is ended, or None."""
        found = _bound.get(None)
        return None if found is None else found.deadline

    def remaining(self) -> float | None:
        """Seconds until the deadline, at least 0; None without a deadline."""
        deadline = self.deadline
        return None if deadline is None else max(0.0, deadline - time.monotonic())


#: The context of the running call, for tools.
context = CurrentContext()


class Var(Generic[T]):
    """A variable of a tool's own that lives as long as one call.

    A nested call sees the value of its caller; what it sets itself ends with it.

    Args:
        name: What error messages call it.
        default: Value where none was set.
        default_factory: Makes that value anew for each context instead.
    """

    __slots__ = ("_default", "_factory", "name")

    def __init__(
        self,
        name: str,
        default: T = _MISSING,
        *,
        default_factory: Callable[[], T] | None = None,
    ) -> None:
        self.name = name
        self._default = default
        self._factory = default_factory

    def get(self) -> T:
        """The value in the running call.

        Raises:
            LookupError: None was set and there is no default.
        """
        bound = _bound.get(None)
        values = _NO_VALUES if bound is None else bound.values
        if self in values:
            return values[self]  # type: ignore[no-any-return]  # values hold anything
        if self._factory is not None:
            value = self._factory()
            if bound is not None:
                self.set(value)
            return value
        if self._default is _MISSING:
            raise LookupError(f"context variable {self.name!r}: not set in this call")
        return self._default

    def set(self, value: T) -> None:
        """Set the value for the rest of the running call and calls inside it.

        Raises:
            LookupError: No call is running.
        """
        bound = _bound.get(None)
        if bound is None:
            raise LookupError(f"context variable {self.name!r}: no call is running")
        bound.values = {**bound.values, self: value}
