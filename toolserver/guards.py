"""Who may use a tool: by its groups and clients, and by what its methods ask for."""

from __future__ import annotations

from typing import Any, ClassVar

from toolserver.contexts import context
from toolserver.errors import Forbidden, Unauthenticated
from toolserver.tools import StandardTool
from toolserver.wrappers import validate

__all__ = ["AuthenticatedTool", "require_client", "require_group"]

Names = str | tuple[str, ...] | None


def require_client(*clients: str) -> None:
    """Refuse who is none of some clients.

    Args:
        *clients: Names of clients; none, or ``"*"``, for any that has a name.

    Raises:
        Unauthenticated: The caller has no name.
        Forbidden: It has another one.
    """
    client = context.client
    if client is None:
        raise Unauthenticated
    if clients and "*" not in clients and client not in clients:
        raise Forbidden(f"{client} may not do this")


def require_group(*groups: str) -> None:
    """Refuse who is in none of some groups.

    Args:
        *groups: Names of groups; ``"*"`` for anybody who has a name.

    Raises:
        Unauthenticated: The caller has no name.
        Forbidden: It is in none of the groups.
    """
    client = context.client
    if client is None:
        raise Unauthenticated
    if "*" not in groups and context.groups.isdisjoint(groups):
        raise Forbidden(f"{client} may not do this")


class AuthenticatedTool(StandardTool, framework=True):
    """A tool for some groups and clients; by default it is for everybody.

    Both kinds suffice: who is in one of the groups may use the tool, and so may who is
    one of the clients. That holds for all protocols and for the static files below the
    tool.

    Attributes:
        groups: Groups that may use the tool: a name or several, ``"*"`` for any client
            that has a name, None for no check.
        clients: Clients that may use it, likewise.
    """

    groups: ClassVar[Names] = None
    clients: ClassVar[Names] = None

    @validate()
    def _check_caller(self, call: Any) -> None:
        groups, clients = _names(self.groups), _names(self.clients)
        if groups is None and clients is None:
            return
        client = context.client
        if client is None:
            raise Unauthenticated
        allowed = {*(groups or ()), *(clients or ())}
        if "*" in allowed or client in (clients or ()):
            return
        if groups is None or context.groups.isdisjoint(groups):
            raise Forbidden(f"{client} may not use this tool")

    @validate(protocol="FILES")
    def _check_reader(self, call: Any) -> None:
        self._check_caller(call)


def _names(names: Names) -> tuple[str, ...] | None:
    # A bare text is one name, not its letters.
    return (names,) if isinstance(names, str) else names
