"""A call that is made through all doors, and what comes of it, told in one way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from toolserver.client.faults import RemoteFault
from toolserver.entries import Target
from toolserver.errors import ApplicationError, ToolFault, ToolserverError

__all__ = ["Asked", "Failure", "Told", "failure_of"]

#: Each failure of the server itself has a reference of its own.
_REFERENCE = re.compile(r"reference \S+")


@dataclass(frozen=True)
class Asked:
    """A call, the same for all doors.

    Attributes:
        name: Full name of the method.
        args: Positional arguments, as values of their types.
        kwargs: Named arguments.
        target: What it leads to; None where there is no such method.
    """

    name: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    target: Target | None = None

    @property
    def values(self) -> list[Any]:
        """All arguments."""
        return [*self.args, *self.kwargs.values()]

    def in_form(self, *, positions: bool = True, names: bool = True) -> Asked | None:
        """Give the call another form of arguments.

        Args:
            positions: Whether they may be given by position.
            names: Whether they may be given by name.

        Returns:
            The same call; None if it cannot have that form.
        """
        if self.target is None:
            return self
        spec = self.target.spec
        known = [parameter.name for parameter in spec.parameters]
        if self.args and not positions:
            if len(self.args) > spec.positional:
                return None
            named = dict(zip(known, self.args, strict=False))
            return replace(self, args=(), kwargs={**named, **self.kwargs})
        if self.kwargs and not names:
            placed = list(self.args)
            for name in known[len(placed) : spec.positional]:
                if name not in self.kwargs:
                    break
                placed.append(self.kwargs[name])
            if len(placed) < len(self.args) + len(self.kwargs):
                return None
            return replace(self, args=tuple(placed), kwargs={})
        return self

    def __str__(self) -> str:
        shown = [repr(value) for value in self.args]
        shown += [f"{name}={value!r}" for name, value in self.kwargs.items()]
        return f"{self.name}({', '.join(shown)})"


@dataclass(frozen=True)
class Failure:
    """What a door tells of a call that has failed.

    Attributes:
        kind: The class of the error; None where the protocol does not tell it.
        code: Its number; None where the protocol has none.
        text: What was wrong, without the class and without what differs each time.
        status: The HTTP status; None where nothing came over HTTP.
    """

    kind: str | None
    code: int | None
    text: str
    status: int | None = None

    def __str__(self) -> str:
        parts = [self.kind or "an error"]
        if self.code is not None:
            parts.append(str(self.code))
        if self.status is not None:
            parts.append(f"HTTP {self.status}")
        return f"{' '.join(parts)}: {self.text}"


@dataclass(frozen=True)
class Told:
    """What came of a call.

    Attributes:
        value: The result: plain as its protocol has it, or that of the method itself.
        failure: Why there is none.
    """

    value: Any = None
    failure: Failure | None = None

    def __str__(self) -> str:
        return repr(self.value) if self.failure is None else str(self.failure)


def failure_of(
    error: BaseException,
    *,
    status: int | None = None,
    tells_kind: bool = True,
    tells_code: bool = True,
) -> Failure:
    """Tell of an exception as all doors do.

    Args:
        error: What a client raised, or what the call path made of an exception.
        status: The HTTP status of the answer.
        tells_kind: Whether the class came with it, and was not guessed.
        tells_code: Whether the number came with it.

    Returns:
        What can be compared.
    """
    code = None
    if isinstance(error, RemoteFault):
        kind, code, text = error.kind, error.code, error.message
    elif isinstance(error, ToolFault):
        facts = error.data if isinstance(error.data, dict) else {}
        # Nothing is known of it but that it is one.
        kind = str(facts.get("type") or ToolFault.__name__)
        code, text = error.code, error.message
    elif isinstance(error, ToolserverError):
        kind, code, text = type(error).__name__, error.code, error.message
        if type(error) is ApplicationError and isinstance(error.data, dict):
            # Of an answer that only REST can express its class is told.
            kind = str(error.data.get("type", kind))
    else:
        # PickleRPC brings the exceptions of a tool themselves.
        kind, code, text = type(error).__name__, ToolFault.code, str(error)
    return Failure(
        kind if tells_kind else None,
        code if tells_code else None,
        _REFERENCE.sub("reference", text.removeprefix(kind).removeprefix(": ")),
        status,
    )
