"""The command about bearer tokens."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import click

from toolserver.auth.lines import NAME
from toolserver.auth.tokens import Token, make_token, parse_tokens
from toolserver.cli.files import locked, read_text, replace
from toolserver.errors import StartError
from toolserver.home import Home

__all__ = ["token"]

_DAY = 86400


@click.command()
@click.argument("client", required=False)
@click.option(
    "--for",
    "namespaces",
    multiple=True,
    metavar="TOOL",
    help="What it is for, with all tools below; may be repeated. By default all.",
)
@click.option(
    "--days",
    type=click.IntRange(min=1, max=36500),
    default=90,
    help="For how long it holds; 90 by default.",
)
@click.option("--revoke", metavar="ID", help="End a token now.")
@click.pass_obj
def token(
    given: str | None,
    client: str | None,
    namespaces: tuple[str, ...],
    days: int,
    revoke: str | None,
) -> None:
    """Make a bearer token for a client, or list the tokens.

    It is shown once; the file config/tokens of the home keeps its hash. Agents and
    programs send it as "Authorization: Bearer TOKEN".
    """
    home = Home.find(given)
    home.check()
    file = home.config / "tokens"
    if revoke is not None:
        _revoke(home, revoke)
        click.echo(f"revoked {revoke}")
        return
    if client is None:
        for kept in _kept(file).values():
            click.echo(_told(kept))
        return
    for name in (client, *namespaces):
        if NAME.fullmatch(name) is None:
            raise click.UsageError(
                f"got {name!r}, expected letters, digits and any of ._@+-"
            )
    made, kept = make_token(
        client, expires=int(time.time()) + days * _DAY, namespaces=namespaces
    )
    with _writing(home):
        replace(file, f"{read_text(file)}{kept.line()}\n", 0o600)
    click.echo(f"{_told(kept)}; it is shown this once:", err=True)
    click.echo(made)


def _writing(home: Home) -> AbstractContextManager[None]:
    home.create()
    return locked(home.var / "accounts.lock")


def _kept(file: Path) -> dict[str, Token]:
    try:
        return parse_tokens(read_text(file))
    except ValueError as error:
        raise StartError(f"{file}:{error}") from error


def _revoke(home: Home, id_: str) -> None:
    file = home.config / "tokens"
    with _writing(home):
        text = read_text(file)
        if id_ not in _kept(file):
            raise StartError(f"{file}: no token {id_!r}")
        lines = text.splitlines(keepends=True)
        left = [line for line in lines if not line.startswith(f"{id_}:")]
        replace(file, "".join(left), 0o600)


def _told(kept: Token) -> str:
    until = datetime.fromtimestamp(kept.expires, UTC).date() if kept.expires else "ever"
    scope = ", ".join(kept.namespaces) or "all tools"
    return f"{kept.id}  {kept.client}  until {until}  for {scope}"
