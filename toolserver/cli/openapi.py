"""The command that fetches the OpenAPI document: ``openapi``."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlencode

import click

from toolserver.cli.group import Fail
from toolserver.cli.remote import ca_option, local_url, timeout_option, url_option
from toolserver.cli.wire import Server

__all__ = ["openapi"]


@click.command()
@click.argument("namespace", required=False)
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the document there instead of printing it.",
)
@url_option
@ca_option
@timeout_option
@click.pass_obj
def openapi(
    given: str | None,
    /,
    namespace: str | None,
    output: Path | None,
    url: str | None,
    ca: str,
    timeout: float,
) -> None:
    """Print the OpenAPI document of a running server.

    With NAMESPACE, such as shop.orders, only that of one tool. The server's own tools
    are described only if they are named.
    """
    server = Server(url or local_url(given), timeout=timeout, ca=ca)
    query = "" if namespace is None else urlencode({"tool": namespace})
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
