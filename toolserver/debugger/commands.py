"""What the prompt offers besides Python itself."""

from __future__ import annotations

import inspect
import logging
import pydoc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import gevent
from greenlet import greenlet

from toolserver.chains import Chains
from toolserver.debugger.calls import RunningCall, RunningCalls
from toolserver.debugger.changes import Changes
from toolserver.debugger.listings import Listing
from toolserver.debugger.stacks import (
    all_greenlets,
    format_origin,
    format_stack,
    frames_of,
    locals_of,
    place_of,
)
from toolserver.debugger.temporary import Temporary
from toolserver.debugger.tracing import Trace
from toolserver.debugger.views import Config, Leave, Text, Tools
from toolserver.entries import Target, ToolEntry
from toolserver.home import Home
from toolserver.jobs.records import JobState
from toolserver.jobs.scheduler import Scheduler
from toolserver.jobs.telling import JobInfo, describe_job
from toolserver.loader import tool_files
from toolserver.services import Services
from toolserver.settings import Settings
from toolserver.tools import Tool

__all__ = ["Commands", "DebuggedServer"]

#: What holds by default: seconds that a call gets to end, calls and seconds of a trace,
#: seconds for which a log level is another one.
_END_S, _TRACED, _TRACE_S, _LEVEL_S = 5.0, 100, 60.0, 600.0


class DebuggedServer(Protocol):
    """What the debugger knows of a server process."""

    settings: Settings
    home: Home
    services: Services
    jobs: Scheduler

    @property
    def folders(self) -> list[Path]:
        """The folders of tools."""

    def reload(self, file: Path) -> list[str]:
        """Load a changed file of tools."""


@dataclass(frozen=True)
class _GreenletRow:
    id: str
    kind: str
    call: int | None
    at: str


@dataclass(frozen=True)
class _QueueRow:
    queue: str
    waiting: int
    running: str


@dataclass(frozen=True)
class _ChainRow:
    chain: str
    handler: str
    failures: int


class Commands:
    """What one session may do, by the names of its prompt.

    Args:
        server: The server process.
        changes: What was done to its methods, by all sessions.
        tell: Told lines of text that nobody waits for; must not wait.
    """

    def __init__(
        self, server: DebuggedServer, changes: Changes, tell: Callable[[str], None]
    ) -> None:
        self._server = server
        self._changes = changes
        self._tell = tell
        self._registry = server.services.registry
        self._calls = RunningCalls(server.jobs)
        self._temporary: list[Temporary] = []
        self._greenlets: dict[str, greenlet] = {}

    def names(self) -> dict[str, Any]:
        """The names of the prompt."""
        found = {
            "tools": Tools(self._registry, self._changes),
            "config": Config(self._server.settings),
            "server": self._server,
            "gevent": gevent,
            "exit": Leave(),
            "quit": Leave(),
        }
        for command in self._commands():
            found[command.__name__] = command
        return found

    def close(self) -> None:
        """Undo what ends with the session."""
        for each in self._temporary:
            each.stop("its session has ended")
        self._calls.close()

    def _commands(self) -> list[Callable[..., Any]]:
        return [
            *(self.help, self.calls, self.stack, self.locals_of, self.kill),
            *(self.greenlets, self.queues, self.jobs, self.chains),
            *(self.trace, self.log_level, self.swap, self.undo, self.reload),
        ]

    def help(self, thing: Any = None) -> Text:
        """Show what there is, or tell of something."""
        if thing is not None:
            return Text(pydoc.plain(pydoc.render_doc(thing)))
        rows = [
            ("tools", 'The tools: tools["shop.orders"].depot = "south"'),
            ("config", "The settings in force"),
            ("server", "All of the server process, for who knows it"),
        ]
        for command in self._commands():
            parameters = ", ".join(inspect.signature(command).parameters)
            text = (command.__doc__ or "").partition("\n")[0].rstrip(".")
            rows.append((f"{command.__name__}({parameters})", text))
        rows.append(("exit", "Leave; what was swapped or set stays"))
        width = max(len(name) for name, _ in rows)
        return Text("\n".join(f"{name:<{width}}  {text}" for name, text in rows))

    def calls(self, method: str = "") -> Listing[RunningCall]:
        """List the calls that run, the longest first; a begin of their names picks."""
        return Listing(
            call for call in self._calls.running() if call.method.startswith(method)
        )

    def stack(self, of: RunningCall | greenlet | int | str) -> Text:
        """Show where a call or a greenlet stands, the innermost line last."""
        text = format_stack(self._frames(of))
        task = self._greenlets.get(of) if isinstance(of, str) else of
        origin = format_origin(task) if isinstance(task, greenlet) else ""
        if origin:
            text = f"spawned by\n{origin}stands at\n{text}"
        return Text(text.rstrip())

    def locals_of(
        self, of: RunningCall | greenlet | int | str, depth: int = 0
    ) -> dict[str, Any]:
        """Get the variables of a call or a greenlet: of its own innermost code."""
        return locals_of(self._frames(of), depth)

    def kill(self, call: RunningCall | int, timeout: float = _END_S) -> bool:
        """End a call: its caller gets an error, its transaction is aborted."""
        return self._calls.kill(call, timeout)

    def greenlets(self) -> Listing[Any]:
        """List all greenlets that wait, each with the call that it makes."""
        calls = self._calls.by_greenlet()
        numbered = {f"g{n}": task for n, task in enumerate(all_greenlets(), 1)}
        self._greenlets = numbered
        return Listing(
            _GreenletRow(
                id_, type(task).__name__, calls.get(task), place_of(frames_of(task))
            )
            for id_, task in numbered.items()
        )

    def queues(self) -> Listing[Any]:
        """List the queues of jobs: how many wait, and which runs."""
        engine = self._server.jobs.engine
        waiting = engine.counts().waiting
        running: dict[str | None, list[str]] = {}
        for status in engine.find(state=JobState.RUNNING, limit=1000):
            running.setdefault(status.job.queue, []).append(status.job.id)
        names = sorted({*waiting, *running}, key=lambda name: name or "")
        return Listing(
            _QueueRow(
                name or "(none)", waiting.get(name, 0), ", ".join(running.get(name, []))
            )
            for name in names
        )

    def jobs(
        self, state: str = "", queue: str | None = None, limit: int = 20
    ) -> Listing[JobInfo]:
        """List jobs, the newest first."""
        jobs = self._server.jobs
        found = jobs.engine.find(
            state=JobState(state) if state else None, queue=queue, limit=limit
        )
        return Listing(describe_job(status, jobs.clock) for status in found)

    def chains(self) -> Listing[Any]:
        """List the chains with their handlers, and how often those have failed."""
        chains = self._server.services.part(Chains)
        return Listing(
            _ChainRow(name, link.name, chains.links(name).failures.get(link.name, 0))
            for name, links in sorted(chains.snapshot().items())
            for link in links
        )

    def trace(
        self,
        method: str,
        seconds: float = _TRACE_S,
        limit: int = _TRACED,
        when: Callable[..., object] | None = None,
    ) -> Trace:
        """Show the calls of a method for a while; its stop() ends it, wait() waits."""
        target = self._target(method)
        trace = Trace(target.name, self._tell, seconds=seconds, limit=limit, when=when)
        self._changes.trace(target, trace)
        self._keep(trace)
        return trace

    def log_level(
        self, name: str, level: str = "DEBUG", seconds: float = _LEVEL_S
    ) -> Temporary:
        """Log more, or less, of a tool or of a logger for a while, as trace() does."""
        is_tool = name in Tools(self._registry, self._changes)
        logger = logging.getLogger(f"toolserver.tool.{name}" if is_tool else name)
        changed = Temporary(logger.name, "log level", self._tell, seconds)
        self._changes.set_level(logger, level, changed)
        self._keep(changed)
        return changed

    def swap(self, method: str, function: Callable[..., Any]) -> None:
        """Run a function in the place of a method, from the next call on; it stays."""
        self._changes.swap(self._target(method), function)

    def undo(self, method: str) -> bool:
        """Run a method's own code again; whether it was swapped."""
        return self._changes.undo(self._target(method))

    def reload(self, tool: str | Tool) -> list[str]:
        """Load the file of a tool again; calls that run end on the old code."""
        namespace = tool.namespace if isinstance(tool, Tool) else tool
        entry: ToolEntry = self._registry.entry(namespace)
        module = type(entry.tool).__module__.partition(".")[0]
        file = tool_files(self._server.folders).get(module)
        if file is None:
            raise LookupError(
                f"{namespace}: is from {entry.source or module!r}, which is no file of "
                "a folder of tools"
            )
        # In a greenlet of its own: half of it must not be done.
        return gevent.spawn(self._server.reload, file).get()

    def _keep(self, begun: Temporary) -> None:
        self._temporary = [each for each in self._temporary if each.is_on]
        self._temporary.append(begun)

    def _frames(self, of: RunningCall | greenlet | int | str) -> list[FrameType]:
        if isinstance(of, str):
            of = self._greenlets[of]
        return frames_of(of) if isinstance(of, greenlet) else self._calls.frames(of)

    def _target(self, method: str) -> Target:
        return self._registry.target(method)
