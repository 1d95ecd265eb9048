"""Which names in the ``Host`` field mean this server.

A page of a stranger can make a browser reach a server on the loopback address under
a name of its own (DNS rebinding); such a name is refused.

Spec: RFC 9110, section 7.4 (421 for a host that the server is not).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from toolserver.message import Request
from toolserver.settings import ServerSettings

__all__ = ["HostCheck"]

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_ANY_ADDRESS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104  # compared, not bound
#: Accepted authorities that are remembered.
_REMEMBERED = 256


class HostCheck:
    """Tells whether a request is meant for this server.

    Args:
        settings: The configured names.
    """

    def __init__(self, settings: ServerSettings) -> None:
        names = {name.lower() for name in settings.hosts}
        self._any = "*" in names
        names |= _LOOPBACK
        if settings.host not in _ANY_ADDRESS:
            host = settings.host.lower()
            names.add(f"[{host}]" if ":" in host else host)
        if settings.public_url:
            names.add(_name(urlsplit(settings.public_url).netloc))
        self._names = frozenset(names)
        # HTTP/1.0 knows requests without a host.
        self._accepted = {""}

    def is_ours(self, request: Request) -> bool:
        """Whether a request names this server.

        Args:
            request: The request.
        """
        host = request.host
        if host in self._accepted or self._any:
            return True
        if _name(host) not in self._names:
            return False
        if len(self._accepted) < _REMEMBERED:
            self._accepted.add(host)
        return True


def _name(authority: str) -> str:
    """The name in an authority, without user and port, in lower case."""
    host = authority.rpartition("@")[2].lower()
    name, colon, port = host.rpartition(":")
    if not colon or not (port.isdigit() or not port):
        name = host
    # A name that ends with a dot is the same name (RFC 3986, section 3.2.2).
    return name.removesuffix(".")
