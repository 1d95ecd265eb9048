"""What is known of a method: its signature and doc string, read once.

Every description of a method, from introspection to generated documents, is a view
of its `MethodSpec`.
"""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from toolserver.conversion import convert
from toolserver.cron import Rule
from toolserver.errors import InvalidParams, StartError
from toolserver.types import Kind, Type

__all__ = [
    "Limit",
    "MethodSpec",
    "Parameter",
    "ResourceMark",
    "Retry",
    "describe_method",
]

_EMPTY = inspect.Parameter.empty


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method.

    Attributes:
        name: Its name.
        type: Its type.
        required: Whether it has no default.
        default: The default, or `inspect.Parameter.empty`.
    """

    name: str
    type: Type
    required: bool
    default: Any = _EMPTY

    def __str__(self) -> str:
        typed = "" if self.type.kind is Kind.ANY else f": {self.type.name}"
        if self.required:
            return self.name + typed
        return f"{self.name}{typed}{' = ' if typed else '='}{self.default!r}"


@dataclass(frozen=True)
class Limit:
    """Bounds of one method's own.

    Attributes:
        timeout: Seconds after which a call is ended; None for the server's bound.
        max_body: Size of a request body, bytes; None for the server's bound.
        calls: Calls of one caller in a period; None for no bound.
        seconds: The period.
        concurrency: Calls that run at once; None for no bound.
    """

    timeout: float | None = None
    max_body: int | None = None
    calls: int | None = None
    seconds: float = 1.0
    concurrency: int | None = None


@dataclass(frozen=True)
class Cached:
    """How long results of a method are kept.

    Attributes:
        seconds: For how long.
        per_client: Whether each client has results of its own.
    """

    seconds: float
    per_client: bool


@dataclass(frozen=True)
class Retry:
    """How often a job of a method is tried again, and when.

    Attributes:
        times: How often it is tried again after it has failed.
        backoff: Seconds before the first of these; each further pause is twice as long.
    """

    times: int
    backoff: float


@dataclass(frozen=True)
class ResourceMark:
    """Under which URI agents read what a method returns.

    Attributes:
        uri: The URI, or the template of one.
        media_type: What the method returns.
    """

    uri: str
    media_type: str


@dataclass(frozen=True)
class MethodSpec:
    """One method of a tool class.

    Attributes:
        name: Its name on the wire.
        attribute: Its name in the class.
        parameters: The parameters that have a name of their own, without ``self``.
        positional: How many of them may be given by position.
        rest: What takes further positional arguments (``*args``), or None.
        extra: What takes further named arguments (``**kwargs``), or None.
        returns: The type of the result.
        doc: The doc string, cleaned; may be empty.
        exported: Whether it may be called from outside the process.
        is_read_only: Whether calls change nothing.
        is_destructive: Whether calls may destroy something.
        is_idempotent: Whether a repeated call changes nothing more.
        is_threaded: Whether it runs in a native thread.
        retry: How often a job of it is tried again; None for not at all.
        every: When it is called again and again.
        is_prompt: Whether agents are offered it as a prompt.
        resource: The URI under which agents read it, or None.
        limit: Bounds of its own.
        cached: How long its results are kept; None for not at all.
        requires: Texts of its preconditions.
        ensures: Texts of its postconditions.
        unlocked: The same without the token that callers put in front of its
            arguments; None where they need none.
    """

    name: str
    attribute: str
    parameters: tuple[Parameter, ...]
    positional: int
    rest: Parameter | None
    extra: Parameter | None
    returns: Type
    doc: str
    exported: bool = True
    is_read_only: bool = False
    is_destructive: bool = False
    is_idempotent: bool = False
    is_threaded: bool = False
    retry: Retry | None = None
    every: tuple[Rule, ...] = ()
    is_prompt: bool = False
    resource: ResourceMark | None = None
    limit: Limit = Limit()
    cached: Cached | None = None
    requires: tuple[str, ...] = ()
    ensures: tuple[str, ...] = ()
    unlocked: MethodSpec | None = None

    @property
    def signature(self) -> str:
        """The signature as Python writes it, without ``self``."""
        parts = [str(parameter) for parameter in self.parameters[: self.positional]]
        if self.rest is not None:
            parts.append(f"*{self.rest}")
        elif len(self.parameters) > self.positional:
            parts.append("*")
        parts += [str(parameter) for parameter in self.parameters[self.positional :]]
        if self.extra is not None:
            parts.append(f"**{self.extra}")
        arrow = "" if self.returns.kind is Kind.ANY else f" -> {self.returns.name}"
        return f"({', '.join(parts)}){arrow}"

    @property
    def summary(self) -> str:
        """The first line of the doc string."""
        return self.doc.partition("\n")[0]

    @cached_property
    def _by_name(self) -> dict[str, Parameter]:
        return {parameter.name: parameter for parameter in self.parameters}

    def locked(self) -> MethodSpec:
        """The same method as callers see it who need a token."""
        token = Parameter("token", Type(tuple[str, str]), required=True)
        return replace(
            self,
            parameters=(token, *self.parameters),
            positional=self.positional + 1,
            unlocked=self,
        )

    def take_token(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Any, Sequence[Any], dict[str, Any]]:
        """Part the token from the arguments, of which nothing is converted.

        Args:
            args: Positional arguments.
            kwargs: Named arguments.

        Returns:
            The token, or None if there is none, and the others.
        """
        others = dict(kwargs)
        if "token" in others:
            return others.pop("token"), args, others
        return (args[0], args[1:], others) if args else (None, args, others)

    def convert(
        self, args: Sequence[Any], kwargs: Mapping[str, Any], *, lax: bool = False
    ) -> tuple[list[Any], dict[str, Any]]:
        """Make the method's arguments out of plain values.

        Args:
            args: Positional arguments.
            kwargs: Named arguments.
            lax: Whether text may stand for numbers and the like.

        Returns:
            Converted positional and named arguments; defaults are left to Python.

        Raises:
            InvalidParams: One is missing, unknown, given twice or of a wrong type.
        """
        parameters = self.parameters
        given = len(args)
        if given > self.positional and self.rest is None:
            at_most = f"at most {self.positional}" if self.positional else "no"
            raise InvalidParams(f"got {given} positional arguments, expected {at_most}")
        converted = []
        for index, value in enumerate(args):
            if index < self.positional:
                parameter = parameters[index]
                type_ = parameter.type
                if value.__class__ is not type_.exact:
                    value = convert(type_, value, parameter.name, lax=lax)
            elif self.rest is not None:  # pragma: no branch - else there are too many
                value = convert(self.rest.type, value, f"argument {index + 1}", lax=lax)
            converted.append(value)
        named = {}
        if kwargs:
            for name, value in kwargs.items():
                named[name] = self._convert_named(name, value, given, lax)
        if given < len(parameters):
            for parameter in parameters[min(given, self.positional) :]:
                if parameter.required and parameter.name not in named:
                    expected = f"expected {parameter.type.name}"
                    raise InvalidParams(f"{parameter.name}: missing, {expected}")
        return converted, named

    def _convert_named(self, name: str, value: Any, given: int, lax: bool) -> Any:
        parameter = self._by_name.get(name)
        if parameter is not None:
            if given and parameter in self.parameters[: min(given, self.positional)]:
                raise InvalidParams(f"{name}: given twice, by position and by name")
            type_ = parameter.type
        elif self.extra is not None:
            type_ = self.extra.type
        else:
            known = [parameter.name for parameter in self.parameters]
            likely = difflib.get_close_matches(name, known, 1)
            if likely:
                hint = f", did you mean {likely[0]!r}?"
            elif known:
                hint = f", expected {', '.join(known)}"
            else:
                hint = ", the method takes none"
            raise InvalidParams(f"unknown argument {name!r}{hint}")
        if value.__class__ is type_.exact:
            return value
        return convert(type_, value, name, lax=lax)


def describe_method(
    function: Callable[..., Any],
    *,
    name: str,
    attribute: str,
    source: str,
    **facts: Any,
) -> MethodSpec:
    """Read the signature and the doc string of a method.

    Args:
        function: The function of the class, or what binds like one.
        name: Its name on the wire.
        attribute: Its name in the class.
        source: What error messages call it: ``"shop.Orders.place"``.
        **facts: Further attributes of the `MethodSpec`.

    Returns:
        What is known of it.

    Raises:
        StartError: A hint cannot be resolved, or is of a type that no protocol
            can carry while the method is exported.
    """
    bound_to_class = isinstance(function, staticmethod)
    plain: Callable[..., Any] = getattr(function, "__func__", function)
    try:
        hints = typing.get_type_hints(plain, include_extras=True)
    except Exception as error:
        raise StartError(f"{source}: type hint cannot be resolved: {error}") from error
    signature = inspect.signature(plain)
    parameters = list(signature.parameters.values())[0 if bound_to_class else 1 :]
    is_exported = facts.get("exported", True)
    known: list[Parameter] = []
    positional = 0
    rest = extra = None
    for parameter in parameters:
        type_ = _type_of(hints.get(parameter.name, Any), source)
        if is_exported:
            _check_parts(type_, source)
        if is_exported and type_.kind is Kind.OBJECT:
            raise StartError(
                f"{source}: parameter {parameter.name}: values of type {type_.name} "
                "cannot come from outside; use a dataclass, or @hidden"
            )
        if parameter.kind is parameter.VAR_POSITIONAL:
            rest = Parameter(parameter.name, type_, required=True)
        elif parameter.kind is parameter.VAR_KEYWORD:
            extra = Parameter(parameter.name, type_, required=True)
        else:
            required = parameter.default is _EMPTY
            known.append(Parameter(parameter.name, type_, required, parameter.default))
            positional += parameter.kind is not parameter.KEYWORD_ONLY
    return MethodSpec(
        name=name,
        attribute=attribute,
        parameters=tuple(known),
        positional=positional,
        rest=rest,
        extra=extra,
        returns=_type_of(hints.get("return", Any), source),
        doc=inspect.getdoc(plain) or "",
        **facts,
    )


def _type_of(hint: Any, source: str) -> Type:
    try:
        return Type(hint)
    except Exception as error:  # hints inside the hint are evaluated here
        raise StartError(
            f"{source}: type hint {hint} cannot be used: {error}"
        ) from error


def _check_parts(type_: Type, source: str) -> None:
    """Look into records, whose members are else read when the first value comes."""
    try:
        _ = type_.kinds
    except Exception as error:  # hints of members are evaluated here
        raise StartError(
            f"{source}: type hint {type_.name} cannot be used: {error}"
        ) from error
