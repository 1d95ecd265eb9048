"""The commands that ask a running server: ``call`` and ``tools``."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import json
import os
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from toolserver.cli.asking import Asked, asking, server_options
from toolserver.cli.completing import complete_methods, complete_namespaces
from toolserver.media import Media

if TYPE_CHECKING:
    from toolserver.client import Protocol, RemoteMethod, RemoteToolserver
    from toolserver.client.jobs import When

__all__ = ["call", "tools"]

_NAMED = re.compile(r"([^\W\d]\w*)=(.*)", re.DOTALL)

_SECRET = "TOOLSERVER_SECRET"  # noqa: S105 - the name of a variable

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class _ProtocolName(click.ParamType[str]):
    """One of the client's protocols, which completion need not wait for."""

    name = "name"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        return self._choice().convert(value, param, ctx)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        return self._choice().get_metavar(param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return self._choice().shell_complete(ctx, param, incomplete)

    @staticmethod
    def _choice() -> click.Choice[str]:
        from toolserver.client import PROTOCOLS

        return click.Choice(PROTOCOLS, case_sensitive=False)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name", shell_complete=complete_methods)
@click.argument("arguments", nargs=-1, metavar="[[NAME=]VALUE]...")
@click.option(
    "--protocol",
    type=_ProtocolName(),
    help="RPC mechanism; JSONRPC by default.",
)
@click.option(
    "--async", "is_async", is_flag=True, help="Do not wait; print the job's id."
)
@click.option(
    "--priority",
    type=int,
    metavar="N",
    help="Put it into the tool's queue; print the job's id.",
)
@click.option(
    "--at",
    metavar="TIME",
    help="Make it then, such as 2026-12-24T18:00+01:00, or +90 for seconds from now; "
    "print the job's id.",
)
@click.option(
    "--idempotency-key",
    "key",
    metavar="KEY",
    help="Make the call once, however often it is sent with this key.",
)
@click.option(
    "--secret-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help=f"What is shared with the tool, to answer its challenges; or ${_SECRET}.",
)
@click.option(
    "--sign",
    "signs",
    is_flag=True,
    help="Sign the whole call with that, and answer no challenge.",
)
@_json
@server_options
def call(
    asked: Asked,
    /,
    name: str,
    arguments: tuple[str, ...],
    protocol: Protocol | None,
    is_async: bool,
    priority: int | None,
    at: str | None,
    key: str | None,
    secret_file: Path | None,
    signs: bool,
    as_json: bool,
) -> None:
    """Call a method of a running server.

    NAME is the full name, such as shop.orders.place. An argument is given by
    position, or by name as NAME=VALUE. A value is JSON if it can be read as such
    (3, true, [1, 2], "3"), else text.

    The result is printed: text as it is, other values as JSON. A failure of the
    call is one line on standard error, and the exit code 1.

    With --async, --priority or --at the call becomes a job; see tsctl jobs. With
    --idempotency-key a call that was made before gives its result again.
    """
    if is_async + (priority is not None) + (at is not None) > 1:
        raise click.UsageError("--async, --priority and --at exclude each other")
    if key is not None and (is_async or priority is not None or at is not None):
        raise click.UsageError("--idempotency-key: expected no job with it")
    when = None if at is None else _time(at)
    secret, secrets = _secret(secret_file), None
    if signs:
        if secret is None:
            raise click.UsageError(f"--sign: expected --secret-file or ${_SECRET}")
        secrets, secret = {name.rpartition(".")[0]: secret}, None
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
    with asking(asked, protocol or "JSONRPC", secrets=secrets) as server:
        if secret is not None:
            method = _method(server, name, secret)
            if when is not None:
                result = method.schedule(when, *args, **named).id
            elif priority is not None:
                result = method.enqueue(priority, *args, **named).id
            elif is_async:
                result = method.start(*args, **named).id
            elif key is not None:
                result = _once(method.once, [key, *args], named)
            else:
                result = method(*args, **named)
        elif when is not None:
            result = server.schedule(when, name, *args, **named).id
        elif priority is not None:
            result = server.enqueue(priority, name, *args, **named).id
        elif is_async:
            result = server.start(name, *args, **named).id
        elif key is not None:
            result = _once(server.once, [key, name, *args], named)
        else:
            result = server.call(name, *args, **named)
    if as_json or not isinstance(result, str):
        if result is not None or as_json:
            click.echo(json.dumps(result, ensure_ascii=False, default=_plain, indent=2))
    else:
        click.echo(result, nl=not result.endswith("\n"))


@click.command()
@click.argument("namespace", required=False, shell_complete=complete_namespaces)
@_json
@server_options
def tools(
    asked: Asked,
    /,
    namespace: str | None,
    as_json: bool,
) -> None:
    """List the tools of the running server.

    Each with its methods and their signatures; with NAMESPACE only that tool, and
    what its methods are for.
    """
    with asking(asked) as server:
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


def _secret(file: Path | None) -> str | None:
    """What is shared with the tool; never a word of the command line, which all see."""
    if file is None:
        return os.environ.get(_SECRET)
    try:
        return file.read_text("utf-8").strip()
    except (OSError, ValueError) as error:
        raise click.UsageError(f"--secret-file: {file}: {error}") from error


def _method(server: RemoteToolserver, name: str, secret: str) -> RemoteMethod:
    namespace, _, leaf = name.rpartition(".")
    if not leaf or leaf.startswith("_"):
        raise click.UsageError(f"{name}: expected the full name of a method")
    found: RemoteMethod = getattr(server.get_tool(namespace, secret=secret), leaf)
    return found


def _once(make: Callable[..., Any], args: list[Any], named: dict[str, Any]) -> Any:
    try:
        return make(*args, **named)
    except ValueError as error:
        raise click.UsageError(f"--idempotency-key: {error}") from error


def _time(text: str) -> When:
    """When a call is to be made."""
    try:
        if text.startswith("+"):
            return dt.timedelta(seconds=float(text))
        # What has no zone is this machine's time.
        return dt.datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError) as error:
        raise click.UsageError(
            f"--at: got {text!r}, expected a time such as 2026-12-24T18:00, or +90"
        ) from error


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
        # Python reads NaN and the like as numbers, which JSON does not have.
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return text
    return value


def _plain(value: Any) -> Any:
    """What other protocols have and JSON has not."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Media):
        return dataclasses.asdict(value)
    return str(value) if isinstance(value, Decimal) else value.isoformat()
