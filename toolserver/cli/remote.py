"""The commands that ask a running server: ``call`` and ``tools``."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import click

from toolserver.cli.group import NOT_RUNNING, Fail
from toolserver.client import (
    PROTOCOLS,
    Protocol,
    RemoteFault,
    RemoteToolserver,
    TransportError,
)
from toolserver.client.failures import one_line
from toolserver.errors import ToolserverError
from toolserver.home import Home
from toolserver.pidfile import find_server

__all__ = ["asking", "ca_option", "call", "timeout_option", "tools", "url_option"]

_NAMED = re.compile(r"([^\W\d]\w*)=(.*)", re.DOTALL)

url_option = click.option("--url", help="The server; by default that of the home.")
ca_option = click.option(
    "--ca", metavar="FILE", default="", help="Certificates to trust, as PEM."
)
timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    metavar="SECONDS",
    help="Time to wait for the answer; 60 by default.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@click.argument("arguments", nargs=-1, metavar="[[NAME=]VALUE]...")
@click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS, case_sensitive=False),
    help="RPC mechanism; JSONRPC by default.",
)
@url_option
@ca_option
@timeout_option
@_json
@click.pass_obj
def call(
    given: str | None,
    /,
    name: str,
    arguments: tuple[str, ...],
    protocol: Protocol | None,
    url: str | None,
    ca: str,
    timeout: float,
    as_json: bool,
) -> None:
    """Call a method of a running server.

    NAME is the full name, such as shop.orders.place. An argument is given by
    position, or by name as NAME=VALUE. A value is JSON if it can be read as such
    (3, true, [1, 2], "3"), else text.

    The result is printed: text as it is, other values as JSON. A failure of the
    call is one line on standard error, and the exit code 1.
    """
    named: dict[str, Any] = {}
    args = []
    for argument in arguments:
        found = _NAMED.fullmatch(argument)
        if found is None:
            args.append(_value(argument))
        elif found[1] in named:
            raise click.UsageError(f"{found[1]}: given twice")
        else:
            named[found[1]] = _value(found[2])
    with asking(given, url, protocol or "JSONRPC", ca=ca, timeout=timeout) as server:
        result = server.call(name, *args, **named)
    if as_json or not isinstance(result, str):
        if result is not None or as_json:
            click.echo(json.dumps(result, ensure_ascii=False, default=_plain, indent=2))
    else:
        click.echo(result, nl=not result.endswith("\n"))


@click.command()
@click.argument("namespace", required=False)
@url_option
@ca_option
@timeout_option
@_json
@click.pass_obj
def tools(
    given: str | None,
    /,
    namespace: str | None,
    url: str | None,
    ca: str,
    timeout: float,
    as_json: bool,
) -> None:
    """List the tools of the running server.

    Each with its methods and their signatures; with NAMESPACE only that tool, and
    what its methods are for.
    """
    with asking(given, url, ca=ca, timeout=timeout) as server:
        names = [namespace] if namespace is not None else server.tools()
        found = {name: server.describe(name) for name in names}
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    for name, methods in found.items():
        click.echo(name or "(root)")
        for method in methods:
            click.echo(f"  {method['name']}{method['signature']}")
            if namespace is not None and method["summary"]:
                click.echo(f"      {method['summary']}")


@contextmanager
def asking(
    given: str | None,
    url: str | None,
    protocol: Protocol = "JSONRPC",
    *,
    ca: str = "",
    timeout: float = 60.0,
) -> Iterator[RemoteToolserver]:
    """Ask a server, and tell of failures as commands do.

    Args:
        given: The home as it was named on the command line, or None.
        url: Address of the server; by default that of the home.
        protocol: How calls are sent.
        ca: File with the certificates of who is trusted; the system's by default.
        timeout: Seconds to wait for an answer.

    Yields:
        The server.

    Raises:
        Fail: It does not run, or what was asked of it has failed.
    """
    try:
        server = RemoteToolserver(
            url or _local_url(given),
            protocol,
            timeout=timeout,
            # Who sees the failure decides whether to try again.
            retries=0,
            verify=ca or True,
            # The way to this machine's own server leads over no proxy.
            proxies=None if url else {},
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


def _told(error: ToolserverError) -> str:
    """What a server tells of a failure, on one line."""
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


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _plain(value: Any) -> Any:
    """What other protocols have and JSON has not."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return str(value) if isinstance(value, Decimal) else value.isoformat()
