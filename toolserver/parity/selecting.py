"""Which methods may be called again and again, to see whether doors agree."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from toolserver.describe.agents import tells_result
from toolserver.entries import Target, ToolEntry
from toolserver.errors import StartError
from toolserver.registry import Registry
from toolserver.types import Kind

__all__ = ["Selection", "select"]


@dataclass(frozen=True)
class Selection:
    """What is called, and what is not.

    Attributes:
        methods: The methods with their tools.
        skipped: Why others are left out, by their full names.
    """

    methods: list[tuple[ToolEntry, Target]]
    skipped: dict[str, str]


def select(
    registry: Registry, names: Sequence[str] = (), *, idempotent: bool = False
) -> Selection:
    """Choose methods: those that change nothing, and those that are named.

    Args:
        registry: The tools.
        names: Full names of methods, which are called whatever they do, and namespaces,
            which stand for all tools there and below; by default all but the server's
            own.
        idempotent: Whether methods are called, too, of which further calls change
            nothing.

    Returns:
        The methods.

    Raises:
        StartError: A name is that of nothing.
    """
    entries = list(registry.listed())
    _check(entries, names)
    methods: list[tuple[ToolEntry, Target]] = []
    skipped: dict[str, str] = {}
    for entry in sorted(entries, key=lambda each: each.namespace):
        for _, target in sorted(entry.methods.items()):
            is_named = target.name in names
            if not target.exported or not (is_named or _is_meant(entry, target, names)):
                continue
            reason = _hindrance(target)
            if not reason and not is_named:
                reason = _danger(target, idempotent)
            if reason:
                skipped[target.name] = reason
            else:
                methods.append((entry, target))
    return Selection(methods, skipped)


def _is_meant(entry: ToolEntry, target: Target, names: Sequence[str]) -> bool:
    if not entry.is_builtin and _is_inherited(target):
        return False
    if not names:
        return not entry.is_builtin
    namespace = entry.namespace
    return any(namespace == name or namespace.startswith(f"{name}.") for name in names)


def _is_inherited(target: Target) -> bool:
    """Whether a method comes from a base class of the framework."""
    method = getattr(type(target.tool), target.spec.attribute, None)
    return getattr(method, "__module__", "").partition(".")[0] == "toolserver"


def _danger(target: Target, idempotent: bool) -> str:
    """Why a method must not be called because somebody asks for a test."""
    spec = target.spec
    if spec.is_read_only or (idempotent and spec.is_idempotent):
        return ""
    if spec.is_idempotent:
        return "only @idempotent: --idempotent calls it"
    return "not @read_only: its full name calls it"


def _hindrance(target: Target) -> str:
    """Why a method cannot be called at all, or its results not be compared."""
    spec = target.spec
    if spec.unlocked is not None:
        return "asks for the answer to a challenge"
    returns = spec.returns
    is_plain = returns.kind in (Kind.NONE, Kind.ANY) or tells_result(spec)
    if not is_plain or Kind.OBJECT in returns.kinds:
        return f"returns {returns.name}, which each protocol has in its own way"
    return ""


def _check(entries: Iterable[ToolEntry], names: Sequence[str]) -> None:
    known = set(_known(entries))
    for name in names:
        if name not in known:
            likely = difflib.get_close_matches(name, known, 1)
            hint = f", did you mean {likely[0]!r}?" if likely else ""
            raise StartError(f"no tool and no method {name!r}{hint}")


def _known(entries: Iterable[ToolEntry]) -> Iterator[str]:
    for entry in entries:
        parts = entry.namespace.split(".")
        yield from (".".join(parts[: end + 1]) for end in range(len(parts)))
        yield from (each.name for each in entry.methods.values() if each.exported)
