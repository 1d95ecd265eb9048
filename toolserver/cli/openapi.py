"""The command that fetches the OpenAPI document: ``openapi``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from toolserver.cli.asking import Asked, asking, server_options
from toolserver.cli.completing import complete_namespaces
from toolserver.cli.group import Fail

__all__ = ["openapi"]


@click.command()
@click.argument("namespace", required=False, shell_complete=complete_namespaces)
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the document there instead of printing it.",
)
@server_options
def openapi(
    asked: Asked,
    /,
    namespace: str | None,
    output: Path | None,
) -> None:
    """Print the OpenAPI document of a running server.

    With NAMESPACE, such as shop.orders, only that of one tool. The server's own tools
    are described only if they are named.
    """
    query = None if namespace is None else {"tool": namespace}
    with asking(asked) as server:
        sent = server.fetch("/openapi.json", query)
    try:
        document = json.loads(sent)
    except ValueError as error:
        raise Fail(f"/openapi.json: got no JSON: {error}") from error
    text = json.dumps(document, ensure_ascii=False, indent=2) + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
