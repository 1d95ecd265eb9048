"""The command that fetches WSDL: ``wsdl``."""

from __future__ import annotations

from pathlib import Path

import click

from toolserver.cli.asking import Asked, asking, server_options
from toolserver.cli.completing import complete_namespaces
from toolserver.cli.group import Fail

__all__ = ["wsdl"]


@click.command()
@click.argument("namespace", default="", shell_complete=complete_namespaces)
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the document there instead of printing it.",
)
@server_options
def wsdl(
    asked: Asked,
    /,
    namespace: str,
    output: Path | None,
) -> None:
    """Print the WSDL document of a tool.

    NAMESPACE is its dotted name, such as shop.orders; the root tool's is empty.
    """
    with asking(asked) as server:
        if not namespace and "" not in (names := server.tools()):
            raise Fail(
                f"there is no root tool; NAMESPACE is one of {', '.join(names)}", 2
            )
        path = f"/SOAP/{namespace.replace('.', '/')}".rstrip("/")
        document = server.fetch(path, {"wsdl": ""})
    if output is None:
        click.echo(document, nl=False)
    else:
        output.write_bytes(document)
