"""Sockets to listen on, and what keeps a server from having them."""

from __future__ import annotations

import errno
import os
import socket
import stat

from toolserver.errors import StartError
from toolserver.settings import ServerSettings

__all__ = ["open_listener", "remove_unix_socket"]


def open_listener(settings: ServerSettings) -> socket.socket:
    """Open the socket that the settings name.

    Raises:
        StartError: It cannot be had; says why and what to do.
    """
    if settings.unix_socket:
        return _open_unix(settings.unix_socket, settings.backlog)
    return _open_tcp(settings.host, settings.port, settings.backlog)


def _open_tcp(host: str, port: int, backlog: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise StartError(
            f"server.host: {host!r} is not an address or a known name"
        ) from error
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # "::" means all addresses, also those of IPv4.
            listener.setsockopt(
                socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::")
            )
        listener.bind(address)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise StartError(_explain(error, host, port)) from error
    return listener


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is taken: another server is running there; "
            "stop it or set server.port to another port"
        )
    if error.errno == errno.EACCES:
        return (
            f"port {port} of {host} is forbidden: ports below 1024 need a privilege; "
            "set server.port to a higher one"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"server.host: {host!r} is not an address of this machine; "
            "set it to one, or to 0.0.0.0 for all"
        )
    return f"cannot listen on port {port} of {host}: {error.strerror or error}"


def _open_unix(path: str, backlog: int) -> socket.socket:
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(path)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise StartError(
            f"server.unix_socket: cannot listen on {path!r}: {error.strerror or error}"
        ) from error
    return listener


def _remove_stale(path: str) -> None:
    """Remove what a server that did not end well has left behind."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise StartError(
            f"server.unix_socket: {path!r} exists and is no socket; "
            "move it away or choose another path"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError as error:
            raise StartError(
                f"server.unix_socket: cannot use {path!r}: {error.strerror or error}"
            ) from error
        else:
            raise StartError(
                f"server.unix_socket: {path!r} is taken: another server is running "
                "there; stop it or choose another path"
            )


def remove_unix_socket(path: str, inode: int) -> None:
    """Remove our own socket, but not one that another server has put there."""
    try:
        if os.stat(path).st_ino == inode:
            os.unlink(path)
    except OSError:
        pass
