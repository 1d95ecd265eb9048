"""Starts the server as a process of its own, and stops it.

The server is executed afresh, in a new session: a fork of a process that has loaded
half of everything would inherit it. Through a pipe it says that it is ready, or why
it cannot start.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import toolserver
from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.pidfile import State, find_server, is_same, make_state

__all__ = [
    "Stopped",
    "check",
    "check_room",
    "ending",
    "reload",
    "server_command",
    "server_environment",
    "start",
    "stop",
]

#: Seconds in which a server has to be ready.
START_S = 300.0
#: Seconds beyond those of its running calls that a server gets to stop.
_GRACE_S = 10.0
#: Seconds that a server that is only starting gets to end.
_START_GRACE_S = 3.0
_STEP_S = 0.05
#: Bytes that a server writes as it starts: its state, and the files of its stores.
_ROOM = 256 * 1024


def server_command(home: Home, arguments: Sequence[str]) -> list[str]:
    """The command that executes the server.

    Args:
        home: The home.
        arguments: Further arguments of `toolserver.serve`.

    Returns:
        The words of the command.
    """
    # -P: the current folder must not hide modules, and a home has folders "tools"
    # and "config".
    return [
        *(sys.executable, "-P", "-m", "toolserver.serve"),
        *("--home", str(home.path), *arguments),
    ]


def server_environment() -> dict[str, str]:
    """The environment in which the server finds this very package."""
    source = str(Path(toolserver.__file__).parent.parent)
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if source in known or Path(source).name in ("site-packages", "dist-packages"):
        return dict(os.environ)
    path = os.pathsep.join([source, *filter(None, known)])
    return {**os.environ, "PYTHONPATH": path}


def check(home: Home, arguments: Sequence[str] = ()) -> None:
    """Try in a process of its own whether the server would load.

    Args:
        home: The home.
        arguments: Further arguments of `toolserver.serve`.

    Raises:
        StartError: It would not; says why, in the words of the server.
    """
    check_room(home)
    trial = subprocess.run(  # noqa: S603  # our own interpreter
        server_command(home, [*arguments, "--check"]),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        cwd=home.path,
        env=server_environment(),
    )
    if trial.returncode:
        text = trial.stderr.strip()
        if not text.startswith("Error: "):
            # It did not even come to its own words: the last ones say most.
            last = text.rpartition("\n")[2]
            raise StartError(f"cannot be loaded ({ending(trial.returncode)}): {last}")
        raise StartError(text.removeprefix("Error: "))


def check_room(home: Home) -> None:
    """See whether the disk has room for a server that starts.

    Whoever ends one server to start another asks before: a full disk keeps none from
    serving, but any from starting.

    Args:
        home: The home.

    Raises:
        StartError: It has none, or cannot be written to.
    """
    file = home.var / f"room.{os.getpid()}"
    try:
        file.write_bytes(bytes(_ROOM))
    except OSError as error:
        raise StartError(f"{home.var}: cannot be written: {error.strerror}") from error
    finally:
        file.unlink(missing_ok=True)


def start(home: Home, arguments: Sequence[str] = ()) -> State:
    """Start the server and wait until it answers.

    Args:
        home: The home.
        arguments: Further arguments of `toolserver.serve`.

    Returns:
        What the server tells of itself.

    Raises:
        StartError: It did not start; says why, in the words of the server.
    """
    home.prepare()
    error_log = home.log / "error.log"
    reader, writer = os.pipe()
    command = server_command(home, [*arguments, "--detached", f"--ready-fd={writer}"])
    with open(error_log, "ab", opener=_open_log) as log:
        begin = log.tell()
        try:
            process = subprocess.Popen(  # noqa: S603  # our own interpreter
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[writer],
                cwd=home.path,
                env=server_environment(),
            )
        finally:
            os.close(writer)
    try:
        told = _read_report(reader, START_S)
    except TimeoutError:
        raise StartError(
            f"not ready after {START_S:.0f} s, but still starting (pid {process.pid}); "
            f"see {error_log}"
        ) from None
    except BaseException:
        # The one who asked has gone; nobody would know of a server half started. One
        # that computes without end, as it imports, does not even notice.
        process.terminate()
        try:
            process.wait(_START_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
    finally:
        os.close(reader)
    if "error" in told:
        process.wait()
        raise StartError(told["error"])
    if "pid" not in told:
        raise StartError(
            f"the server ended before it was ready ({ending(process.wait())}); "
            f"see {error_log}:{_tail(error_log, begin)}"
        )
    # It goes on without us: nobody has to wait for it.
    process.returncode = 0
    return make_state(told)


def _open_log(path: str, flags: int) -> int:
    # Logs may tell what is nobody else's business.
    return os.open(path, flags, 0o640)


def _read_report(reader: int, timeout: float) -> Mapping[str, Any]:
    """What the server says through the pipe; nothing if it ended without a word."""
    deadline = time.monotonic() + timeout
    data = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reader], [], [], left)[0]:
            raise TimeoutError
        piece = os.read(reader, 65536)
        if not piece:
            break
        data += piece
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def ending(code: int) -> str:
    """How a process has ended, in words.

    Args:
        code: Its exit code; below zero the signal that has ended it.
    """
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _tail(file: Path, begin: int) -> str:
    """The last lines of what was added to a log, below each other."""
    with file.open("rb") as log:
        log.seek(begin)
        lines = log.read(1_000_000).decode("utf-8", "replace").splitlines()[-5:]
    return "".join(f"\n  {line}" for line in lines)


@dataclass(frozen=True)
class Stopped:
    """A server that has ended.

    Attributes:
        pid: What its process was.
        was_killed: Whether it had to be killed.
    """

    pid: int
    was_killed: bool = False

    def __str__(self) -> str:
        return f"{'killed' if self.was_killed else 'stopped'} (pid {self.pid})"


def reload(home: Home, *, timeout: float | None = None) -> State | None:
    """Have the server load everything anew, and wait until it has.

    Args:
        home: The home.
        timeout: Seconds to wait; by default until its running calls had their time.

    Returns:
        What the server tells of itself afterwards, or None where none runs.

    Raises:
        StartError: The new code cannot be loaded, and the old one goes on; or it takes
            too long.
    """
    before = find_server(home)
    if before is None:
        return None
    if before.phase not in ("running", "reloading"):
        raise StartError(f"the server is {before.phase} (pid {before.pid})")
    check_room(home)
    # What is being loaded already may be older than what is asked for.
    reloads = before.reloads + (2 if before.phase == "reloading" else 1)
    # A server at a terminal takes SIGHUP for the end of that.
    _signal(home, before.pid, signal.SIGUSR2)
    patience = START_S + before.stop_timeout if timeout is None else timeout
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found = find_server(home)
        if found is None or found.pid != before.pid:
            raise StartError(f"the server has ended; see {home.log / 'error.log'}")
        if found.reloads >= reloads and found.phase == "running":
            if found.reload_error:
                raise StartError(f"{found.reload_error}; the old code goes on serving")
            return found
        time.sleep(_STEP_S)
    raise StartError(
        f"still loading after {patience:g} s; see {home.log / 'error.log'}"
    )


def stop(
    home: Home, *, timeout: float | None = None, force: bool = False
) -> Stopped | None:
    """Stop the server and wait until it has ended.

    Args:
        home: The home.
        timeout: Seconds to wait; by default those that its running calls get, and
            ten more, or three for a server that is only starting.
        force: Whether a server that does not end in time is killed.

    Returns:
        Which server it was, or None where none ran.

    Raises:
        StartError: It cannot be stopped, or has not ended in time.
    """
    found = find_server(home)
    if found is None:
        return None
    _signal(home, found.pid, signal.SIGTERM)
    if timeout is None:
        # No call is running before it has started.
        is_starting = found.phase == "starting"
        timeout = _START_GRACE_S if is_starting else found.stop_timeout + _GRACE_S
    if _has_ended(home, found.pid, timeout):
        return Stopped(found.pid)
    if not force:
        raise StartError(
            f"still stopping after {timeout:g} s (pid {found.pid}); "
            "'tsctl stop --force' kills it"
        )
    _signal(home, found.pid, signal.SIGKILL)
    if not _has_ended(
        home, found.pid, _GRACE_S
    ):  # pragma: no cover - it hangs in a disk
        raise StartError(f"cannot be killed (pid {found.pid})")
    return Stopped(found.pid, was_killed=True)


def _signal(home: Home, pid: int, number: signal.Signals) -> None:
    try:
        if not hasattr(os, "pidfd_open"):
            os.kill(pid, number)
            return
        # A descriptor keeps the pid from becoming another process's meanwhile.
        descriptor = os.pidfd_open(pid)
        try:
            if is_same(home, pid):
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise StartError(
            f"the server (pid {pid}) belongs to another user, who has to stop it"
        ) from error


def _has_ended(home: Home, pid: int, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while True:
        # By its lock, not its pid: that may linger until somebody waits for it.
        found = find_server(home)
        if found is None or found.pid != pid:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_STEP_S)
