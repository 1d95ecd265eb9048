"""What answers over REST: a method, with all that its wrappers say of it.

Everything about a method that does not change from request to request is prepared
once, in an `Endpoint`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from toolserver.entries import BoundWrapper, Target, ToolEntry

__all__ = ["ANY", "INDEX", "Endpoint", "Generator", "endpoints_of"]

#: The method that a tool's own path leads to.
INDEX = "index"
#: The name under which a method for REST alone answers all other paths of its tool.
ANY = "*"
#: What an exported method answers without further ado.
_USUAL = ("GET", "HEAD", "POST")


@dataclass(frozen=True)
class Generator:
    """What renders a result.

    Attributes:
        function: The bound method.
        content_type: Media type that it makes; empty for any.
        compress: Whether the answer may be compressed.
    """

    function: Callable[..., Any]
    content_type: str
    compress: bool


@dataclass(frozen=True)
class Endpoint:
    """What answers one verb of one path.

    Attributes:
        target: What is called.
        is_rest: Whether it takes the request itself.
        is_safe: Whether pages of strangers may make their visitors call it.
        parser: Makes the arguments, or None for the usual way.
        generators: Render the result, the preferred one first.
        on_error: Answers when the call has failed, or None for the usual way.
    """

    target: Target
    is_rest: bool
    is_safe: bool
    parser: Callable[..., Any] | None = None
    generators: tuple[Generator, ...] = ()
    on_error: Callable[..., Any] | None = None

    @cached_property
    def varies(self) -> bool:
        """Whether the caller's ``Accept`` chooses between the generators."""
        return any(generator.content_type for generator in self.generators)


def endpoints_of(entry: ToolEntry, name: str) -> dict[str, Endpoint]:
    """What answers under a name of a tool.

    Args:
        entry: The tool.
        name: The name of a method, as it stands in the path.

    Returns:
        What answers, by verb; nothing where there is no such method.
    """
    found: dict[str, Endpoint] = {}
    target = entry.methods.get(name)
    if target is not None and target.exported:
        is_safe = target.spec.is_read_only or name == INDEX
        for verb in _verbs(target, entry.wrappers):
            found[verb] = Endpoint(
                target,
                is_rest=False,
                is_safe=is_safe,
                parser=_most_specific(entry.wrappers, "parser", target, verb),
                generators=_generators(entry.wrappers, target, verb),
                on_error=_most_specific(entry.wrappers, "on_error", target, verb),
            )
    for verb, rest_target in entry.rest_methods.get(name, {}).items():
        spec = rest_target.spec
        is_safe = spec.is_read_only or (
            verb in ("GET", "HEAD") and not spec.is_destructive
        )
        found[verb] = Endpoint(
            rest_target,
            is_rest=True,
            is_safe=is_safe,
            generators=_generators(entry.wrappers, rest_target, verb),
            on_error=_most_specific(entry.wrappers, "on_error", rest_target, verb),
        )
    if "GET" in found:
        found.setdefault("HEAD", found["GET"])
    return found


def _verbs(target: Target, wrappers: Iterable[BoundWrapper]) -> tuple[str, ...]:
    named = [
        verb
        for bound in wrappers
        if bound.wrapper.method == target.spec.attribute
        for verb in bound.wrapper.verbs
    ]
    return (*_USUAL, *named)


def _applying(
    wrappers: Iterable[BoundWrapper], role: str, target: Target, verb: str
) -> list[BoundWrapper]:
    """The wrappers of a role for a method and a verb, the most specific one first."""
    applying = [
        bound
        for bound in wrappers
        if bound.wrapper.role == role
        and bound.wrapper.method in (target.spec.attribute, "")
        # What is there for GET serves HEAD, which differs by its body only.
        and (
            not bound.wrapper.verbs
            or verb in bound.wrapper.verbs
            or (verb == "HEAD" and "GET" in bound.wrapper.verbs)
        )
    ]
    applying.sort(key=_specificity, reverse=True)
    return applying


def _specificity(bound: BoundWrapper) -> tuple[bool, bool, bool]:
    wrapper = bound.wrapper
    return bool(wrapper.method), bool(wrapper.verbs), bool(wrapper.content_type)


def _most_specific(
    wrappers: Iterable[BoundWrapper], role: str, target: Target, verb: str
) -> Callable[..., Any] | None:
    applying = _applying(wrappers, role, target, verb)
    return applying[0].function if applying else None


def _generators(
    wrappers: Iterable[BoundWrapper], target: Target, verb: str
) -> tuple[Generator, ...]:
    """One generator per media type, the most specific one."""
    found: dict[str, Generator] = {}
    for bound in _applying(wrappers, "generator", target, verb):
        wrapper = bound.wrapper
        made = Generator(bound.function, wrapper.content_type, wrapper.compress)
        found.setdefault(wrapper.content_type, made)
    return tuple(found.values())
