"""Keys of factories, as agents name them in URIs and as arguments.

The place ``{key}`` in the URI of a transient tool's resource stands for the key of the
tool, so that one template leads to the tools of all keys. Where an argument is called
``key``, the keys of the factory are its completions.

Spec: Model Context Protocol, revision 2026-07-28, resources and completion.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from toolserver.describe.agentresources import places_of
from toolserver.entries import Target, ToolEntry
from toolserver.errors import NotFound, ToolNotFound
from toolserver.factories import FactoryTool, TransientTool, listed_keys
from toolserver.methods import ResourceMark
from toolserver.registry import Registry
from toolserver.visibility import visible

__all__ = ["KEY", "choices_of_keys", "has_key_place", "target_of_key"]

#: What the place, and the argument, is called.
KEY = "key"
#: Keys that are looked through, and of those that fit how many are told.
_MOST, _TOLD = 1000, 100

log = logging.getLogger(__name__)


def has_key_place(target: Target, mark: ResourceMark) -> bool:
    """Whether the URI of a resource tells of which tool it is.

    Args:
        target: The method.
        mark: Its mark as a resource.
    """
    return (
        isinstance(target.tool, TransientTool)
        and KEY in places_of(mark.uri)
        and not _takes_key(target)
    )


def target_of_key(registry: Registry, target: Target, key: str) -> Target | None:
    """Find the same method of the tool of another key.

    Args:
        registry: All tools.
        target: The method of a transient tool.
        key: The key, as an agent has sent it.

    Returns:
        The method; None if there is no such key, or the caller may not use its tool.
    """
    parent = target.tool.parent if isinstance(target.tool, TransientTool) else None
    if parent is None or "." in key:
        return None
    name = f"{parent.namespace}.{key}" if parent.namespace else key
    for entry in _known(registry, [name]):
        found = entry.methods.get(target.spec.name)
        if found is not None and found.spec.resource == target.spec.resource:
            return found
    return None


def choices_of_keys(registry: Registry, target: Target, begun: str) -> list[str]:
    """The keys that an argument called ``key`` could have.

    Args:
        registry: All tools.
        target: The method: one of a factory's own, or of a tool that a factory made.
        begun: What there is of the key.

    Returns:
        Those of tools that the caller may use.
    """
    tool = target.tool
    factory = tool
    if isinstance(tool, TransientTool) and not (
        isinstance(tool, FactoryTool) and _takes_key(target)
    ):
        factory = tool.parent
    if not isinstance(factory, FactoryTool):
        return []
    try:
        keys = listed_keys(factory, _MOST)
    except Exception:
        log.exception("%s: its keys cannot be listed", factory.namespace)
        return []
    below = f"{factory.namespace}." if factory.namespace else ""
    fitting = [key for key in keys if key.lower().startswith(begun.lower())][:_TOLD]
    known = _known(registry, [f"{below}{key}" for key in fitting])
    return [entry.namespace.removeprefix(below) for entry in known]


def _takes_key(target: Target) -> bool:
    return any(each.name == KEY for each in target.spec.parameters)


def _known(registry: Registry, namespaces: Iterable[str]) -> Iterator[ToolEntry]:
    """The tools that are there and that the caller may use."""
    for namespace in namespaces:
        try:
            yield from visible([registry.entry(namespace)])
        except (NotFound, ToolNotFound):
            # Keys may go while they are listed.
            continue
