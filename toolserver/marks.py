"""What the author of a tool says of a method, by decorators that change nothing else.

A mark is kept with the function; `toolserver.toolspecs` reads it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, overload

from toolserver.cron import Rule
from toolserver.methods import Cached, Limit, ResourceMark, Retry

__all__ = [
    "cached",
    "destructive",
    "every",
    "expose",
    "hidden",
    "idempotent",
    "inherited_marks",
    "limit",
    "marks_of",
    "prompt",
    "read_only",
    "resource",
    "retry",
    "threaded",
]

F = TypeVar("F", bound=Callable[..., Any])

#: Attribute of a function that holds its marks.
_MARKS = "__toolserver_marks__"


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
    *,
    timeout: float | None = None,
    max_body: int | None = None,
    calls: int | None = None,
    seconds: float = 1.0,
    concurrency: int | None = None,
) -> Callable[[F], F]:
    """Give a method bounds of its own.

    Those of calls hold for calls from outside, in each worker process by itself.

    Args:
        timeout: Seconds after which a call is ended.
        max_body: Size of a request body, bytes.
        calls: Calls of one caller in a period (429). A caller is a client, or the
            address of an anonymous one.
        seconds: The period.
        concurrency: Calls that run at once (503).

    Raises:
        ValueError: A bound of calls is out of range.
    """
    for name, bound in (("calls", calls), ("concurrency", concurrency)):
        if bound is not None and bound < 1:
            raise ValueError(f"@limit: got {name}={bound!r}, expected at least one")
    if not 0 < seconds < float("inf"):
        raise ValueError(f"@limit: got seconds={seconds!r}, expected some seconds")
    bounds = Limit(timeout, max_body, calls, seconds, concurrency)
    return lambda method: _mark(method, limit=bounds)


def cached(seconds: float, *, per_client: bool = True) -> Callable[[F], F]:
    """Keep what a method returns for a while, for calls with the same arguments.

    The method has to be `read_only`. Who may call it is judged at each call. It holds
    for calls from outside; nobody may change a result that was returned.

    Args:
        seconds: For how long a result is kept.
        per_client: Whether each client, with its groups, has results of its own; False
            where the result depends on the arguments alone.

    Raises:
        ValueError: It is to be kept for no time.
    """
    if not 0 < seconds < float("inf"):
        raise ValueError(f"@cached: got seconds={seconds!r}, expected some seconds")
    return lambda method: _mark(method, cached=Cached(seconds, per_client))


def retry(*, times: int, backoff: float = 2.0) -> Callable[[F], F]:
    """Try jobs of a method again that have failed.

    What keeps a call from being made at all, such as a wrong argument or a missing
    right, is not tried again.

    Args:
        times: How often a job is tried again after it has failed, 1 or more.
        backoff: Seconds before the first of these; each further pause is twice as long.

    Raises:
        ValueError: One of them is out of range.
    """
    if times < 1 or not 0 <= backoff < float("inf"):
        raise ValueError(
            f"@retry: got times={times!r}, backoff={backoff!r}, expected at least one "
            "try and a pause in seconds"
        )
    return lambda method: _mark(method, retry=Retry(times, backoff))


def every(expression: str, *, tz: str = "UTC", priority: int = 0) -> Callable[[F], F]:
    """Call a method again and again, by a rule as of cron.

    When it is due, the call goes into the queue of the tool, so it never overlaps
    itself; what fell due while the server was down is made up for once. Several rules
    may be set on one method, which takes no arguments.

    Args:
        expression: The rule: minute, hour, day of month, month and day of week; with
            six fields the first one is the second.
        tz: The zone whose clock is meant, as ``"Europe/Berlin"``.
        priority: The priority in the queue.

    Raises:
        ValueError: The rule cannot be read, never comes true, or there is no such zone.
        TypeError: The method asks for arguments.
    """
    rule = Rule(expression, tz, priority)

    def decorate(method: F) -> F:
        plain = getattr(method, "__func__", method)
        own = list(inspect.signature(plain).parameters.values())
        if not isinstance(method, staticmethod):
            del own[0]
        asked = [
            parameter.name
            for parameter in own
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ]
        if asked:
            raise TypeError(
                f"@every: {plain.__qualname__} asks for {', '.join(asked)}, expected "
                "a method that can be called without arguments"
            )
        return _mark(method, every=(*marks_of(method).get("every", ()), rule))

    return decorate


def prompt(function: F) -> F:
    """Offer a method to agents as a prompt, which people choose by its name.

    What it returns is the prompt: text, or a list of texts, pictures, sounds and
    documents. It stays a method for all other protocols.

    Args:
        function: The method; its parameters are those of the prompt.
    """
    return _mark(function, is_prompt=True)


def resource(uri: str, *, media_type: str = "text/plain") -> Callable[[F], F]:
    """Offer a method to agents as a resource, which they read by its URI.

    Args:
        uri: The URI; ``{name}`` in it stands for the method's parameter of that name
            (RFC 6570, level 1), and makes it a template.
        media_type: What the method returns: text, or bytes.
    """
    mark = ResourceMark(uri, media_type)
    return lambda method: _mark(method, resource=mark)


def marks_of(function: Any) -> dict[str, Any]:
    """The marks of a method.

    Args:
        function: The method, as it is found in its class or bound.

    Returns:
        A copy of its marks, which are arguments of `MethodSpec`.
    """
    return dict(getattr(getattr(function, "__func__", function), _MARKS, {}))


def inherited_marks(cls: type[Any], attribute: str) -> dict[str, Any]:
    """The marks of a method, with those of the methods that it overrides.

    Args:
        cls: The class.
        attribute: The method's name in the class.

    Returns:
        Its marks; empty where there is no such method.
    """
    marks: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        value = vars(base).get(attribute)
        if callable(value) or isinstance(value, (staticmethod, classmethod)):
            own = getattr(getattr(value, "__func__", value), _MARKS, None)
            if isinstance(own, dict):
                marks.update(own)
    return marks
