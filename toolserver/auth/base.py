"""The plug point of authentication: who tells from a request who is calling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from toolserver.message import BodyReader, Request, Response

__all__ = ["Authenticator", "Identity", "register_authenticator", "registered"]


@dataclass(frozen=True)
class Identity:
    """Who is calling, and how that is known.

    Attributes:
        client: The name; None where the proof tells of a right and of no name.
        auth_type: How it was proved, such as ``"Basic"``.
        groups: Groups that the proof itself tells, besides those of the file.
        content: The body, where it had to be read for the proof: it is used in place
            of the request's own.
        namespaces: The tools that the proof is for, with all below them; None for all.
        scope_prefix: What scopes that name tools begin with; empty where there is no
            such scope.
        unlocks: The tool whose shared secret was proved: it asks for no token.
        seal: Adds to the answer what proves that it comes from this server.
    """

    client: str | None
    auth_type: str
    groups: frozenset[str] = frozenset()
    content: bytes | BodyReader | None = None
    namespaces: tuple[str, ...] | None = None
    scope_prefix: str = ""
    unlocks: str | None = None
    seal: Callable[[Response], Response] | None = None


@runtime_checkable
class Authenticator(Protocol):
    """Tells from the credentials of a request who is calling."""

    def authenticate(self, request: Request) -> Identity | None:
        """Judge the credentials of one kind.

        Args:
            request: The request as it was sent. Its body may still be arriving: only
                who has to should read it.

        Returns:
            Who is calling, or None where the request has no such credentials.

        Raises:
            Unauthenticated: The credentials are wrong; its `challenge` tells what
                would be right.
            Forbidden: They are right, and do not suffice.
        """
        ...


#: The authenticators that were registered in this process, in order.
registered: list[Authenticator] = []


def register_authenticator(authenticator: Authenticator) -> None:
    """Add an authenticator of your own; it is asked after the server's.

    Where a request has credentials of several kinds, all have to hold and to name the
    same client.

    Args:
        authenticator: The authenticator.

    Raises:
        TypeError: It has no method `authenticate`.
    """
    if not isinstance(authenticator, Authenticator):
        raise TypeError(
            f"register_authenticator: got {authenticator!r}, expected an object with "
            "a method authenticate"
        )
    registered.append(authenticator)
