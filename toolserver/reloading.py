"""Loads a changed file of tools into the running server.

Calls that are running end on the old code; new ones get the new code from one moment
to the next. If the new code cannot be loaded, or a hook of its tools fails, the old
code goes on serving as if nothing had been tried.

Settings, storage and what other tools hold stay as they are. The attributes of the old
tool go with it: the new one starts as at the start of the server. Other modules that
have imported from the file keep what they have imported.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from toolserver.chains import Chains
from toolserver.declarations import Declaration, declared
from toolserver.entries import ToolEntry
from toolserver.errors import StartError
from toolserver.lifecycle import Lifecycle
from toolserver.loader import import_again
from toolserver.registry import Registry

__all__ = ["ToolReloader"]

log = logging.getLogger("toolserver.reload")


class ToolReloader:
    """Replaces the tools of a file.

    Args:
        registry: The tools of the server.
        lifecycle: Runs their hooks.
        chains: The chains, to which they may add handlers.
        make_entry: Makes a tool, with its settings, out of its declaration; the
            registry does not know it yet.
        wait_for_running: Waits until the requests that are running now have ended,
            or for a bounded time.
    """

    def __init__(
        self,
        registry: Registry,
        lifecycle: Lifecycle,
        chains: Chains,
        make_entry: Callable[[Declaration], ToolEntry],
        wait_for_running: Callable[[], None],
    ) -> None:
        self._registry = registry
        self._lifecycle = lifecycle
        self._chains = chains
        self._make_entry = make_entry
        self._wait_for_running = wait_for_running

    def reload(self, name: str, file: Path) -> list[str]:
        """Load a file again.

        Args:
            name: Name of its module.
            file: The file of tools, which the server has loaded.

        Returns:
            The namespaces of its tools.

        Raises:
            StartError: It cannot be loaded, or a hook of its tools failed; the old
                code goes on serving.
        """
        before = list(declared)
        module = sys.modules[name]
        gone = [d for d in before if d.cls.__module__ == name]
        old = [self._registry.entry(declaration.namespace) for declaration in gone]
        # So that what the new file does not register any more is gone.
        declared[:] = [d for d in before if d.cls.__module__ != name]
        handlers = self._chains.snapshot()
        try:
            import_again(name, file)
            new = self._make_entries([d for d in declared if d.cls.__module__ == name])
            self._check_names(old, new)
            self._lifecycle.start_tools(new)
        except BaseException:
            declared[:] = before
            self._chains.restore(handlers)
            sys.modules[name] = module
            raise
        self._registry.swap(old, new)
        self._chains.drop_unrenewed(handlers, name)
        namespaces = sorted(entry.namespace for entry in new)
        log.info("%s: loaded again: %s", file, ", ".join(namespaces) or "no tools")
        self._wait_for_running()
        self._lifecycle.stop_tools(old)
        return namespaces

    def _make_entries(self, declarations: Iterable[Declaration]) -> list[ToolEntry]:
        return [self._make_entry(declaration) for declaration in declarations]

    def _check_names(self, old: list[ToolEntry], new: list[ToolEntry]) -> None:
        free = {entry.namespace for entry in old}
        taken = {entry.namespace: entry for entry in self._registry}
        for entry in new:
            other = taken.get(entry.namespace)
            if other is not None and entry.namespace not in free:
                raise StartError(
                    f"{entry.source}: namespace {entry.namespace!r} is taken by a tool "
                    f"from {other.source}"
                )
            free.discard(entry.namespace)
            taken[entry.namespace] = entry
