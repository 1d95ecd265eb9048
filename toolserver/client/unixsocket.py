"""Unix sockets for sessions of requests."""

from __future__ import annotations

import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import NewConnectionError

__all__ = ["UnixAdapter"]

_KEPT = 256


class _UnixConnection(HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, *args: Any, path: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self._path = path

    def _new_conn(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(self._path)
        except OSError as error:
            sock.close()
            raise NewConnectionError(self, f"{self._path}: {error}") from error
        return sock


class _UnixPool(HTTPConnectionPool):
    """Connections to one Unix socket."""

    ConnectionCls = _UnixConnection


class UnixAdapter(HTTPAdapter):
    """Sends all requests to a Unix socket.

    Args:
        path: Its path.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._pool = _UnixPool("localhost", maxsize=_KEPT, path=path)

    def get_connection_with_tls_context(
        self, *args: Any, **options: Any
    ) -> HTTPConnectionPool:
        """The connections; there are no others."""
        return self._pool

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()
        super().close()
