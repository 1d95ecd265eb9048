"""The stages of a tool's life, each over all tools before the next begins.

settings, `on_setup` (outside a transaction), `on_start` (inside one), serving,
`on_stop` (inside), `on_close` (outside).
"""

from __future__ import annotations

import fcntl
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gevent import GreenletExit

from toolserver.contexts import Context, bind
from toolserver.entries import ToolEntry
from toolserver.errors import StartError
from toolserver.failures import text_of
from toolserver.nativethreads import offload
from toolserver.registry import Registry
from toolserver.tools import has_transaction, overrides

__all__ = ["Lifecycle"]

log = logging.getLogger("toolserver.lifecycle")


class Lifecycle:
    """Takes the tools of a registry through their stages.

    Args:
        registry: The tools.
        services: What the tools' contexts offer them.
        lock_file: File whose lock makes `on_setup` run in one process at a time;
            None for no lock.
    """

    def __init__(
        self, registry: Registry, services: Any, lock_file: Path | None = None
    ) -> None:
        self._registry = registry
        self._services = services
        self._lock_file = lock_file
        self._set_up: list[ToolEntry] = []
        self._started: list[ToolEntry] = []

    def start(self) -> None:
        """Run `on_setup` and `on_start` of all tools.

        Raises:
            StartError: A hook failed; the tools that had come as far were stopped.
        """
        self.start_tools(list(self._registry))

    def start_tools(self, entries: Sequence[ToolEntry]) -> None:
        """Run `on_setup` and `on_start` of some tools.

        Args:
            entries: The tools.

        Raises:
            StartError: A hook failed; those of the tools that had come as far were
                stopped.
        """
        try:
            with self._locked():
                for entry in entries:
                    self._set_up.append(entry)
                    self._run(entry, "on_setup", StartError)
            for entry in entries:
                self._started.append(entry)
                self._run(entry, "on_start", StartError, **entry.options)
        except BaseException:
            self.stop_tools(entries)
            raise

    def stop_tools(self, entries: Sequence[ToolEntry]) -> None:
        """Run `on_stop` and `on_close` of some tools, last first.

        Args:
            entries: The tools; failures of their hooks are logged.
        """
        with bind(Context(services=self._services)):
            for entry in entries:
                entry.forget_children()
        for running, hook in ((self._started, "on_stop"), (self._set_up, "on_close")):
            for entry in reversed(entries):
                if entry in running:
                    running.remove(entry)
                    self._run(entry, hook, None)

    def stop(self) -> None:
        """Run `on_stop` of the started tools, last first; failures are logged."""
        while self._started:
            self._run(self._started.pop(), "on_stop", None)

    def close(self) -> None:
        """Run `on_close` of all tools, last first; failures are logged."""
        with bind(Context(services=self._services)):
            self._registry.forget_children()
        while self._set_up:
            self._run(self._set_up.pop(), "on_close", None)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._lock_file is None:
            yield
            return
        with self._lock_file.open("w") as file:
            # In a server that runs, calls go on while another process has the lock.
            offload(fcntl.flock, file, fcntl.LOCK_EX)
            yield

    def _run(
        self,
        entry: ToolEntry,
        hook: str,
        failure: type[StartError] | None,
        **options: Any,
    ) -> None:
        tool = entry.tool
        if not overrides(type(tool), hook) and not options:
            return
        function: Callable[..., None] = getattr(tool, hook)
        in_transaction = hook in ("on_start", "on_stop")
        context = Context(services=self._services).nested(tool, hook)
        try:
            with bind(context):
                if in_transaction and has_transaction(type(tool)):
                    with tool.transaction():
                        function(**options)
                else:
                    function(**options)
        except GreenletExit:
            raise
        except BaseException as error:  # a tool may raise SystemExit, too
            name = entry.namespace or "the root tool"
            kind = type(error).__name__
            told = f"{kind}: {text}" if (text := text_of(error)) else kind
            text = f"{name}: {hook} failed: {told}"
            if failure is None:
                log.exception("%s", text)
                return
            last = traceback.extract_tb(error.__traceback__)[-1]
            raise failure(f"{text} ({last.filename}:{last.lineno})") from error
