"""Who may see how the server is: its operators.

They are the members of the group ``admin``, and who asks from the networks that the
settings name; by default from the machine itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from toolserver.auth.hosts import HostList, parse_hosts
from toolserver.contexts import context
from toolserver.errors import StartError
from toolserver.guards import require_group
from toolserver.message import Request

__all__ = ["ADMIN", "Networks", "check_operator", "is_operator"]

#: The group of those who operate the server.
ADMIN = "admin"
#: Stands in a setting for whoever comes by the Unix socket.
_UNIX = "unix"
_FORWARDED = ("forwarded", "x-forwarded-for", "via")


class Networks:
    """Networks from which something may be asked.

    Args:
        setting: The name of the setting that lists them.
        listed: Addresses and networks; ``"unix"`` for who comes by the Unix socket.

    Raises:
        StartError: One is no address.
    """

    def __init__(self, setting: str, listed: Iterable[str]) -> None:
        words = list(listed)
        self._has_unix = _UNIX in words
        lines = "\n".join(f"network:{each}" for each in words if each != _UNIX)
        try:
            self._list: HostList = parse_hosts(lines)
        except ValueError as error:
            raise StartError(f"{setting}: {str(error).partition(': ')[2]}") from error

    def have(self, request: Request | None) -> bool:
        """Whether a request comes from them.

        Args:
            request: The request; None for a call from inside.
        """
        if request is None:
            return False
        if not request.peer:
            return self._has_unix
        # A proxy that the settings do not name is near, and its clients may be far.
        # One that they name has put its client in its place, which has no port.
        if request.peer_port and any(name in request.headers for name in _FORWARDED):
            return False
        return self._list.find(request.peer) is not None


def is_operator(networks: Networks) -> bool:
    """Whether who makes the running call may see how the server is.

    Args:
        networks: From where anybody may.
    """
    return ADMIN in context.groups or networks.have(context.request)


def check_operator(networks: Networks) -> None:
    """Refuse who may not see how the server is.

    Args:
        networks: From where anybody may.

    Raises:
        Unauthenticated: The caller has no name.
        Forbidden: It is not in the group ``admin``.
    """
    if not networks.have(context.request):
        require_group(ADMIN)
