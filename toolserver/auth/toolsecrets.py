"""The secrets that tools share with their callers, who may sign requests by them."""

from __future__ import annotations

from toolserver.auth.cram import CRAMTool
from toolserver.entries import ToolEntry
from toolserver.errors import StartError, ToolserverError
from toolserver.factories import FactoryTool, factories_below
from toolserver.registry import Registry

__all__ = ["ToolSecrets"]

#: No tool has a longer name; it bounds what is looked for on behalf of strangers.
_LONGEST_NAME = 512


class ToolSecrets:
    """Finds the secret of a tool; true where some tool has one or may have.

    Args:
        registry: The tools.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def __bool__(self) -> bool:
        return any(map(_may_have, self._registry))

    def find(self, namespace: str) -> bytes | None:
        """The secret of a tool.

        Args:
            namespace: Its dotted name, as it was sent.

        Returns:
            The secret; None if there is no such tool, or if it has none.
        """
        if len(namespace) > _LONGEST_NAME:
            return None
        try:
            tool = self._registry.entry(namespace).tool
        except (ToolserverError, StartError):
            return None
        return tool.settings.secret.encode() if isinstance(tool, CRAMTool) else None


def _may_have(entry: ToolEntry) -> bool:
    """Whether a tool has a secret, or may make one that has."""
    if isinstance(entry.tool, CRAMTool):
        return True
    return isinstance(entry.tool, FactoryTool) and any(
        issubclass(child, CRAMTool)
        for factory in factories_below(type(entry.tool))
        for child in factory.children
    )
