"""How commands ask a running server: where it is, who asks, and what goes wrong."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from toolserver.cli.group import NOT_RUNNING, Fail
from toolserver.errors import ToolserverError
from toolserver.home import Home
from toolserver.pidfile import find_server

if TYPE_CHECKING:
    from toolserver.client import Protocol, RemoteToolserver

__all__ = ["Asked", "account_of", "address_of", "asking", "server_options"]

_PASSWORD = "TOOLSERVER_PASSWORD"  # noqa: S105 - the name of a variable


_TOKEN = "TOOLSERVER_TOKEN"  # noqa: S105 - the name of a variable


@dataclass(frozen=True)
class Asked:
    """Which server is asked, and by whom: the values of `server_options`.

    Attributes:
        given: The home as it was named on the command line, or None.
        url: Address of the server; None for that of the home.
        ca: File with the certificates of who is trusted; empty for the system's.
        cert: File with the caller's certificate and its key.
        timeout: Seconds to wait for an answer.
        user: Name for Basic authentication.
        privkey: File with the caller's private key.
        pubkey: File with the server's public key.
        localname: The name by which the server knows the key.
    """

    given: str | None
    url: str | None
    ca: str
    cert: str | None
    timeout: float
    user: str | None
    privkey: str | None
    pubkey: str | None
    localname: str | None


_OPTIONS = (
    click.option("--url", help="The server; by default that of the home."),
    click.option(
        "--ca", metavar="FILE", default="", help="Certificates to trust, as PEM."
    ),
    click.option(
        "--cert", metavar="FILE", help="Your certificate with its key, as PEM."
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=60.0,
        metavar="SECONDS",
        help="Time to wait for the answer; 60 by default.",
    ),
    click.option(
        "--user",
        metavar="NAME",
        help=f"Account to use; its password is in ${_PASSWORD}, or asked for.",
    ),
    click.option(
        "--privkey", metavar="FILE", help="Private key to sign requests with."
    ),
    click.option(
        "--pubkey", metavar="FILE", help="The server's key; answers have to be signed."
    ),
    click.option(
        "--localname", metavar="NAME", help="Name of the private key; that of its file."
    ),
)


def server_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that tell which server is asked, and by whom.

    Args:
        function: The command; its first argument becomes what they say.

    Returns:
        What `click.command` takes.
    """

    @click.pass_obj
    @functools.wraps(function)
    def asked(given: str | None, /, *args: Any, **options: Any) -> None:
        told = {name: options.pop(name) for name in _NAMES}
        function(Asked(given, **told), *args, **options)

    made: Callable[..., None] = asked
    for option in reversed(_OPTIONS):
        made = option(made)
    return made


_NAMES = ("url", "ca", "cert", "timeout", "user", "privkey", "pubkey", "localname")


@contextmanager
def asking(
    asked: Asked,
    protocol: Protocol = "JSONRPC",
    *,
    secrets: Mapping[str, str] | None = None,
) -> Iterator[RemoteToolserver]:
    """Ask a server, and tell of failures as commands do.

    Args:
        asked: Which server, and who asks.
        protocol: How calls are sent.
        secrets: Those with which calls of tools are signed, by namespace.

    Yields:
        The server.

    Raises:
        Fail: It does not run, or what was asked of it has failed.
    """
    # Help and completion need not wait for it.
    from toolserver.client import RemoteToolserver, TransportError

    try:
        server = RemoteToolserver(
            address_of(asked),
            protocol,
            basic=account_of(asked.user),
            token=os.environ.get(_TOKEN) if asked.user is None else None,
            privkey=asked.privkey,
            pubkey=asked.pubkey,
            localname=asked.localname,
            secrets=secrets,
            timeout=asked.timeout,
            # Who sees the failure decides whether to try again.
            retries=0,
            verify=asked.ca or True,
            cert=asked.cert,
            # The way to this machine's own server leads over no proxy.
            proxies=None if asked.url else {},
        )
    except ValueError as error:
        raise Fail(str(error), 2) from error
    with server:
        try:
            yield server
        except TransportError as error:
            raise Fail(str(error)) from error
        except ToolserverError as error:
            raise Fail(_told(error)) from error


def address_of(asked: Asked) -> str:
    """The address of the server that is asked.

    Args:
        asked: Which server.

    Raises:
        Fail: It is that of the home, which does not run.
    """
    return asked.url or _local_url(asked.given)


def account_of(user: str | None) -> tuple[str, str] | None:
    """Name and password of an account.

    Args:
        user: The name, or None for no account.
    """
    if user is None:
        return None
    password = os.environ.get(_PASSWORD)
    if password is None:
        password = click.prompt(f"Password of {user}", hide_input=True, err=True)
    return user, password


def _told(error: ToolserverError) -> str:
    """What a server tells of a failure, on one line."""
    from toolserver.client import RemoteFault
    from toolserver.client.failures import one_line

    kind = type(error).__name__
    if isinstance(error, RemoteFault):
        kind = one_line(error.kind) or "error"
    text = one_line(error.message).removeprefix(f"{kind}: ")
    return f"{kind} ({error.code}): {text}"


def _local_url(given: str | None) -> str:
    """The address of the running server of a home."""
    home = Home.find(given)
    found = find_server(home)
    if found is None or found.url is None:
        raise Fail(
            f"not running: no server of {home.path}; start it, or give --url",
            NOT_RUNNING,
        )
    return found.url
