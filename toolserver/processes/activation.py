"""The listening socket that a service manager has opened for the server.

The service manager listens before the server runs and while it does not: who connects
then waits. It may open ports that the server's own user may not.

Spec: sd_listen_fds(3) of systemd.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from toolserver.errors import StartError

__all__ = ["take_activated"]

#: The descriptor of the first socket.
_FIRST = 3
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")


def take_activated(environment: MutableMapping[str, str]) -> socket.socket | None:
    """Take the socket that was opened for this process.

    Args:
        environment: Variables of the process; those that tell of the socket are taken
            out, so that no process that it starts takes them for its own.

    Returns:
        The listening socket, or None where there is none for this process.

    Raises:
        StartError: There are several, or it is no socket to accept from.
    """
    told = {name: environment.pop(name, "") for name in _VARIABLES}
    if told["LISTEN_PID"] != str(os.getpid()) or told["LISTEN_FDS"] in ("", "0"):
        return None
    if told["LISTEN_FDS"] != "1":
        raise StartError(
            f"LISTEN_FDS: got {told['LISTEN_FDS']!r}, expected one socket: the server "
            "listens in one place"
        )
    try:
        listener = socket.socket(fileno=_FIRST)
    except OSError as error:
        raise StartError(
            f"LISTEN_FDS: descriptor {_FIRST} is no socket: {error.strerror}"
        ) from error
    os.set_inheritable(_FIRST, False)
    is_listening = listener.type == socket.SOCK_STREAM and listener.getsockopt(
        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
    )
    if not is_listening:
        raise StartError(
            "LISTEN_FDS: got a socket that does not listen, expected ListenStream= and "
            "Accept=no"
        )
    return listener
