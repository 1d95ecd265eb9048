"""Which process serves a home: a locked pid file, and what the server tells of itself.

The server holds a lock (``flock``) on ``var/toolserver.pid`` as long as it lives;
the system takes it off when the process ends, however it does, so a file that a
killed server left is no obstacle. The file names the process by its
pid and the time at which it started; a pid alone may have become another's.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolserver.errors import StartError
from toolserver.home import Home

__all__ = [
    "PidFile",
    "State",
    "WorkerState",
    "find_server",
    "has_orphans",
    "write_state",
]

#: Seconds for which the file may be locked by nobody that is known: long enough for
#: a process that only looks, or that is about to write its pid.
_UNCLEAR_S = 2.0
_STEP_S = 0.02


@dataclass(frozen=True)
class WorkerState:
    """What the master of a server tells of a worker.

    Attributes:
        pid: Its process.
        started: When it was started, seconds since 1970.
        restarts: How often a worker in its place has died.
    """

    pid: int
    started: float
    restarts: int = 0


@dataclass(frozen=True)
class State:
    """What a server tells of itself.

    Attributes:
        pid: Its process.
        phase: ``"starting"``, ``"running"``, ``"reloading"`` or ``"stopping"``.
        url: Its address, once it is known.
        urls: Labels and addresses of what it serves.
        started: When it started to serve, seconds since 1970.
        version: Its version.
        stop_timeout: Seconds that its running calls get when it stops.
        port: The port on which it listens; 0 for none.
        workers: Its worker processes, where there are several.
        reloads: How often it was told to load everything anew.
        reload_error: Why it could not at the last time; empty if it could.
    """

    pid: int
    phase: str = "starting"
    url: str | None = None
    urls: tuple[tuple[str, str], ...] = ()
    started: float | None = None
    version: str | None = None
    stop_timeout: float = 30.0
    port: int = 0
    workers: tuple[WorkerState, ...] = ()
    reloads: int = 0
    reload_error: str = ""

    def announcement(self) -> str:
        """What to show when it has started."""
        width = max((len(label) for label, _ in self.urls), default=0)
        rows = [f"  {label:<{width}}  {url}" for label, url in self.urls]
        with_workers = f", {len(self.workers)} workers" if self.workers else ""
        head = f"Toolserver is running (pid {self.pid}{with_workers})"
        return "\n".join([head, *rows])


class PidFile:
    """The lock that makes this process the server of a home.

    Args:
        home: The home.
        descriptor: The open and locked file, when the process that held it has
            become this one; else it is opened and locked.

    Attributes:
        descriptor: The open file.

    Raises:
        StartError: Another process serves the home.
    """

    def __init__(self, home: Home, descriptor: int | None = None) -> None:
        self._path = pid_path(home)
        if descriptor is not None:
            os.set_inheritable(descriptor, False)
            self.descriptor = descriptor
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self.descriptor = os.open(self._path, flags, 0o644)
        try:
            self._lock(home)
        except BaseException:
            os.close(self.descriptor)
            raise
        pid = os.getpid()
        try:
            os.ftruncate(self.descriptor, 0)
            os.pwrite(self.descriptor, f"{pid}\n{_start_time(pid)}\n".encode(), 0)
        except OSError as error:
            os.close(self.descriptor)
            raise StartError(f"{self._path}: {error.strerror}") from error

    def _lock(self, home: Home) -> None:
        deadline = time.monotonic() + _UNCLEAR_S
        while True:
            try:
                fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                pass
            pid = _pid_in(self._path)
            if pid is not None:
                raise StartError(_already_running(home, pid))
            if time.monotonic() > deadline:
                raise StartError(_unclear(self._path))
            time.sleep(_STEP_S)


def find_server(home: Home) -> State | None:
    """Find the process that serves a home.

    Args:
        home: The home.

    Returns:
        What is known of it, or None where none runs.

    Raises:
        StartError: The file is locked, but not by the process that it names.
    """
    path = pid_path(home)
    deadline = time.monotonic() + _UNCLEAR_S
    while True:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        except BlockingIOError:
            pass
        finally:
            os.close(descriptor)
        pid = _pid_in(path)
        if pid is not None:
            return _read_state(home, pid)
        if time.monotonic() > deadline:
            raise StartError(_unclear(path))
        time.sleep(_STEP_S)


def has_orphans(home: Home) -> bool:
    """Whether workers of the last server may run on without it, as it was killed.

    Called by the next server, before it tells anything of itself.

    Args:
        home: The home.
    """
    try:
        last = make_state(json.loads(_state_path(home).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
        return False
    # A pid may have become another process's, of which nothing is wanted here.
    return any(_start_time(worker.pid) for worker in last.workers)


def is_same(home: Home, pid: int) -> bool:
    """Whether a process still is the one that the pid file names.

    Args:
        home: The home.
        pid: The process.
    """
    return _pid_in(pid_path(home)) == pid


def write_state(home: Home, state: State) -> None:
    """Tell others how the server is; called by the server itself.

    Args:
        home: The home.
        state: What to tell.

    Raises:
        StartError: It cannot be written.
    """
    path = _state_path(home)
    draft = path.with_suffix(".new")
    try:
        draft.write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")
        os.replace(draft, path)
    except OSError as error:
        raise StartError(f"{draft}: {error.strerror}") from error


def make_state(facts: Mapping[str, Any]) -> State:
    """Make a state out of what was written of it.

    Args:
        facts: Its attributes as JSON has them.

    Raises:
        TypeError: They are not those of a state.
    """
    if not isinstance(facts, Mapping):
        raise TypeError("expected the attributes of a state")
    workers = tuple(WorkerState(**each) for each in facts.get("workers", ()))
    urls = tuple((label, url) for label, url in facts.get("urls", ()))
    return State(**{**facts, "urls": urls, "workers": workers})


def pid_path(home: Home) -> Path:
    """The pid file of a home."""
    return home.var / "toolserver.pid"


def _state_path(home: Home) -> Path:
    return home.var / "toolserver.json"


def _read_state(home: Home, pid: int) -> State:
    try:
        facts = json.loads(_state_path(home).read_text(encoding="utf-8"))
        state = make_state(facts)
    except (OSError, ValueError, TypeError, KeyError):
        return State(pid)
    # What an earlier server left says nothing of this one.
    return state if state.pid == pid else State(pid)


def _pid_in(path: Path) -> int | None:
    """The pid in a file, if it still is the process that wrote it."""
    try:
        pid_text, started = path.read_text(encoding="ascii").split("\n")[:2]
        pid = int(pid_text)
    except (OSError, ValueError):
        return None
    return pid if pid > 0 and started == _start_time(pid) else None


def _start_time(pid: int) -> str:
    """When a process started, in its system's own measure; empty where it is unknown.

    Spec: proc(5), field 22 of ``/proc/PID/stat``.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "" if os.path.isdir("/proc/self") else "unknown"
    # The name of the program, in parentheses, may hold anything.
    return stat.rpartition(")")[2].split()[19]


def _already_running(home: Home, pid: int) -> str:
    # The address is known once the other has started.
    deadline = time.monotonic() + _UNCLEAR_S
    state = _read_state(home, pid)
    while state.url is None and time.monotonic() < deadline and is_same(home, pid):
        time.sleep(_STEP_S)
        state = _read_state(home, pid)
    where = f" on {state.url}" if state.url else ", it is still starting"
    return f"already running (pid {pid}){where}"


def _unclear(path: Path) -> str:
    return (
        f"{path}: locked by a process other than the one that it names; "
        "end that process, or remove the file"
    )
