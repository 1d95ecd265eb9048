"""Processes that run jobs, and whether they still live.

A runner is named by its process, the time at which that started, and random digits: a
pid alone may have become another process's.
"""

from __future__ import annotations

import os
import secrets
import signal
from pathlib import Path

from gevent import select

__all__ = ["end_runner", "is_alive", "name_runner"]

#: Seconds in which a process that was killed has to be gone.
_DEATH_S = 5.0


def name_runner(pid: int = 0) -> str:
    """A name for a runner.

    Args:
        pid: Its process; by default this one.
    """
    pid = pid or os.getpid()
    return f"{pid}-{_start_time(pid)}-{secrets.token_hex(4)}"


def is_alive(runner: str) -> bool:
    """Whether the process of a runner still lives; True where that cannot be known.

    Args:
        runner: Its name.
    """
    pid, started = _parts(runner)
    now = _start_time(pid)
    if now:
        return now == started
    if not os.path.isdir("/proc/self"):
        return _exists(pid)
    return False


def end_runner(runner: str) -> bool:
    """End the process of a runner that shows no life, so that it runs nothing any more.

    Args:
        runner: Its name.

    Returns:
        Whether it has ended; one that cannot be ended may run on.
    """
    pid, started = _parts(runner)
    if pid == os.getpid():
        # Of an earlier life of this process, which has executed itself anew since.
        return True
    if not hasattr(os, "pidfd_open"):
        return False
    try:
        # A descriptor keeps the pid from becoming another process's meanwhile.
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    try:
        if _start_time(pid) == started:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            # A descriptor of a process can be read from when that has ended.
            return bool(select.select([descriptor], [], [], _DEATH_S)[0])
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    finally:
        os.close(descriptor)
    return True


def _parts(runner: str) -> tuple[int, str]:
    pid, _, rest = runner.partition("-")
    return int(pid), rest.rpartition("-")[0]


def _start_time(pid: int) -> str:
    """When a process started, in its system's own measure; empty where it is gone.

    Spec: proc(5), fields 3 and 22 of ``/proc/PID/stat``.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    # The name of the program, in parentheses, may hold anything.
    fields = stat.rpartition(")")[2].split()
    # A zombie runs nothing any more, though nobody has taken note of its end.
    return "" if fields[0] in ("Z", "X") else fields[19]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
