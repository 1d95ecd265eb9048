"""What a client knows of remote methods: names of parameters, and what calls may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from toolserver.client.codecs import Style
from toolserver.errors import InvalidParams

__all__ = ["Described", "arrange", "read_description"]


@dataclass(frozen=True)
class Described:
    """A remote method.

    Attributes:
        names: The parameters that may be given by position.
        defaults: The defaults of those that have one.
        is_repeatable: Whether a repeated call does no harm.
    """

    names: tuple[str, ...] = ()
    defaults: Mapping[str, Any] | None = None
    is_repeatable: bool = False

    @property
    def takes_token(self) -> bool:
        """Whether it is called with the answer to a challenge."""
        return self.names[:1] == ("token",)

    def without_token(self) -> Described:
        """The method as it is called by a request that is signed with the secret."""
        # Where it may be left out it is a parameter of the method's own.
        if not self.takes_token or "token" in (self.defaults or {}):
            return self
        return replace(self, names=self.names[1:])


def read_description(methods: Any) -> dict[str, Described]:
    """Read what ``system.describe`` tells.

    Args:
        methods: Its result, plain.

    Returns:
        The methods of the tool by name.

    Raises:
        ValueError: It is none.
    """
    try:
        return {str(method["name"]): _read_method(method) for method in methods}
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError("system.describe: got no description") from error


def _read_method(method: Mapping[str, Any]) -> Described:
    parameters = [
        parameter
        for parameter in method["parameters"]
        if parameter.get("kind", "positional") == "positional"
    ]
    return Described(
        names=tuple(str(parameter["name"]) for parameter in parameters),
        # None may be left out on its way.
        defaults={
            str(parameter["name"]): parameter.get("default")
            for parameter in parameters
            if not parameter["required"]
        },
        is_repeatable=bool(method["read_only"] or method.get("idempotent")),
    )


def arrange(
    args: Sequence[Any], kwargs: Mapping[str, Any], style: Style, known: Described
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Give arguments the form that a protocol has for them.

    Args:
        args: Positional arguments.
        kwargs: Named arguments.
        style: How the protocol takes arguments.
        known: The method.

    Returns:
        Positional and named arguments.

    Raises:
        InvalidParams: They cannot have that form, or one is given twice.
    """
    names = known.names
    for name in names[: len(args)]:
        if name in kwargs:
            raise InvalidParams(f"{name}: given twice, by position and by name")
    if style in (Style.EITHER, Style.NAMED) and len(args) <= len(names):
        return (), {**dict(zip(names, args, strict=False)), **kwargs}
    if style is Style.NAMED:
        raise InvalidParams(
            f"got {len(args)} positional arguments, but the protocol sends arguments "
            f"by name, and the method takes {', '.join(names) or 'none'}"
        )
    unplaced = [name for name in kwargs if name not in names]
    if unplaced:
        raise InvalidParams(
            f"{unplaced[0]}: given by name, but the protocol sends arguments by "
            f"position, and the method takes {', '.join(names) or 'none'}"
        )
    placed = list(args)
    last = max((names.index(name) for name in kwargs), default=-1)
    defaults = known.defaults or {}
    for name in names[len(args) : last + 1]:
        if name in kwargs:
            placed.append(kwargs[name])
        elif name in defaults:
            placed.append(defaults[name])
        else:
            raise InvalidParams(f"{name}: missing")
    return placed, {}
