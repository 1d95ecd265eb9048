"""Where the sockets of the debugger are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

from toolserver.errors import StartError
from toolserver.home import Home

__all__ = ["folder_of", "loopback_address", "short_path", "socket_of", "workers_of"]

#: Bytes of the path of a Unix socket at most; systems differ.
_LONGEST = 100
_DESCRIPTORS = "/proc/self/fd"
_NAME = re.compile(r"debug-(\d+)\.sock")


def folder_of(home: Home) -> Path:
    """The folder of the sockets, which nobody but the owner may enter.

    Args:
        home: The home of the server.
    """
    return home.var / "debug"


def socket_of(home: Home, worker: int) -> Path:
    """The socket of a worker process.

    Args:
        home: The home of the server.
        worker: The number of the worker; 0 for a server of one process.
    """
    return folder_of(home) / f"debug-{worker}.sock"


def workers_of(home: Home) -> list[int]:
    """The numbers of the workers that have sockets.

    Args:
        home: The home of the server.
    """
    try:
        names = os.listdir(folder_of(home))
    except FileNotFoundError:
        return []
    return sorted(int(found[1]) for name in names if (found := _NAME.fullmatch(name)))


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A path that is short enough for a Unix socket, of a home that is deep below.

    Args:
        path: The socket.

    Yields:
        Another path to it, where its own is too long.
    """
    if len(os.fsencode(path)) <= _LONGEST or not os.path.isdir(_DESCRIPTORS):
        yield str(path)
        return
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"{_DESCRIPTORS}/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


def loopback_address(text: str) -> tuple[str, int]:
    """Read an address of this machine.

    Args:
        text: Such as ``"127.0.0.1:4335"`` or ``"[::1]:4335"``.

    Returns:
        The address and the port.

    Raises:
        StartError: It is none, or other machines can reach it.
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        is_loopback = ip_address("127.0.0.1" if host == "localhost" else host)
        number = int(port) if port.isascii() and port.isdigit() else -1
    except ValueError:
        is_loopback, number = None, -1
    if is_loopback is None or not 0 <= number <= 65535:
        raise StartError(
            f"debugger: got the address {text!r}, expected one such as '127.0.0.1:4335'"
        )
    if not is_loopback.is_loopback:
        raise StartError(
            f"debugger: {text!r} can be reached from other machines, expected a "
            "loopback address; from elsewhere come by 'ssh -L'"
        )
    return ("127.0.0.1" if host == "localhost" else host), number
