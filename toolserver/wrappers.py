"""Decorators that fit a method to REST and guard it, without changing the method.

Each returns the function that it decorates and only notes what it is for. A wrapper
names the method that it serves; the most specific one is used: method and verb
before method, method before the whole tool, a subclass before its base.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

__all__ = ["VERBS", "Wrapper", "generator", "on_error", "parser", "rest", "validate"]

F = TypeVar("F", bound=Callable[..., Any])

Role = Literal["parser", "generator", "on_error", "validate", "rest"]

#: The HTTP methods that a tool can answer.
VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_FIXED_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
#: The attribute of a function under which its wrapper is noted.
NOTE = "__toolserver_wrapper__"


@dataclass(frozen=True)
class Wrapper:
    """What a decorated function is for.

    Attributes:
        role: Which decorator it was.
        method: Name of the method that it serves; empty for the whole tool.
        verbs: The HTTP methods that it serves; empty for all.
        protocol: The protocol that a validator guards; empty for all.
        content_type: Media type that a generator makes; empty for any.
        compress: Whether what a generator makes may be compressed.
        name: Name in the path of a method for REST alone; empty for its own.
    """

    role: Role
    method: str = ""
    verbs: tuple[str, ...] = ()
    protocol: str = ""
    content_type: str = ""
    compress: bool = True
    name: str = ""


def _note(wrapper: Wrapper) -> Callable[[F], F]:
    for verb in wrapper.verbs:
        if verb not in VERBS:
            expected = ", ".join(VERBS)
            raise TypeError(f"@{wrapper.role}: got verb {verb!r}, expected {expected}")

    def decorate(function: F) -> F:
        setattr(function, NOTE, wrapper)
        return function

    return decorate


def _name_of(method: Callable[..., Any] | str, role: str) -> str:
    name = method if isinstance(method, str) else getattr(method, "__name__", "")
    if not name:
        raise TypeError(f"@{role}: got {method!r}, expected a method or its name")
    return name


def parser(method: Callable[..., Any] | str, *verbs: str) -> Callable[[F], F]:
    """Mark what makes the arguments of a method out of a REST request.

    The decorated method takes the `Request` and returns a mapping of named
    arguments, which are then converted to the types of the method.

    Args:
        method: The method, or its name.
        *verbs: HTTP methods to which it applies; all if none is given.
    """
    return _note(Wrapper("parser", _name_of(method, "parser"), verbs))


def generator(
    method: Callable[..., Any] | str,
    *verbs: str,
    content_type: str = "",
    compress: bool = True,
) -> Callable[[F], F]:
    """Mark what renders the result of a method for REST.

    The decorated method takes the `Request` and the result, and returns anything
    that a method may return. Where several make different media types, the
    caller's ``Accept`` chooses.

    Args:
        method: The method, or its name.
        *verbs: HTTP methods to which it applies; all if none is given.
        content_type: Media type that it makes.
        compress: Whether the answer may be compressed.
    """
    name = _name_of(method, "generator")
    return _note(
        Wrapper("generator", name, verbs, content_type=content_type, compress=compress)
    )


def on_error(
    method: Callable[..., Any] | str | None = None, *verbs: str
) -> Callable[[F], F]:
    """Mark what answers REST requests whose call has failed.

    The decorated method takes the `Request` and the exception. Its result is sent
    with the exception's status, unless it is a `Response`.

    Args:
        method: The method, or its name; the whole tool if it is left out.
        *verbs: HTTP methods to which it applies; all if none is given.
    """
    name = "" if method is None else _name_of(method, "on_error")
    return _note(Wrapper("on_error", name, verbs))


def validate(
    method: Callable[..., Any] | str | None = None, *verbs: str, protocol: str = ""
) -> Callable[[F], F]:
    """Mark what decides whether a call may be made.

    The decorated method takes the `Call` and raises what refuses it, such as
    `Forbidden`. Those of a method see the converted arguments; those of the whole
    tool run before anything is decoded and see none.

    Args:
        method: The method, or its name; the whole tool if it is left out.
        *verbs: HTTP methods to which it applies, for REST and static files only; all
            if none is given.
        protocol: ``"REST"`` or the prefix of a protocol that it guards, or
            ``"FILES"`` for the static files below the tool; all calls if left out.
    """
    name = "" if method is None else _name_of(method, "validate")
    return _note(Wrapper("validate", name, verbs, protocol=protocol))


def rest(*verbs: str, name: str = "") -> Callable[[F], F]:
    """Mark a method that answers REST requests itself and is no part of RPC.

    The decorated method takes the `Request` and returns anything that a method may
    return.

    Args:
        *verbs: HTTP methods that it answers; GET if none is given.
        name: Its name in the path, if it is not the method's own; ``"*"`` for all
            paths below the tool that nothing else answers; with a slash in front a
            path of the server, wherever the tool is: ``"/robots.txt"``.
    """
    if name.startswith("/") and _FIXED_PATH.fullmatch(name) is None:
        raise TypeError(f"@rest: got name {name!r}, expected a path such as '/a/b.txt'")
    return _note(Wrapper("rest", verbs=verbs or ("GET",), name=name))
