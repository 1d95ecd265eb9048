"""The command that writes modules for editors and type checkers: ``stubs``."""

from __future__ import annotations

from pathlib import Path

import click

from toolserver.cli.asking import Asked, asking, server_options
from toolserver.cli.completing import complete_namespaces
from toolserver.cli.group import Fail
from toolserver.client.stubs import module_name, write_stub

__all__ = ["stubs"]

#: Tools of the server's own, of which a program rarely wants classes.
_OWN = frozenset(
    {
        *("system", "system.jobs", "jobs", "mcp", "rpc", "WSDL", "API", "openapi"),
        *("metrics", "health", "system.status"),
    }
)


@click.command()
@click.argument("namespace", required=False, shell_complete=complete_namespaces)
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write a module for each tool there instead of printing one.",
)
@server_options
def stubs(
    asked: Asked,
    /,
    namespace: str | None,
    output: Path | None,
) -> None:
    """Write Python classes for the tools of a running server.

    Given to get_tool, such a class lets editors complete the tool's methods, lets type
    checkers check calls, and turns results into what the methods return. Without
    NAMESPACE there is a module for each tool but the server's own.
    """
    if namespace is None and output is None:
        raise Fail("NAMESPACE or --output is needed", 2)
    written = {}
    with asking(asked) as server:
        names = [namespace] if namespace is not None else server.tools()
        for name in names:
            if name in _OWN and name != namespace:
                continue
            methods, types = server.describe(name), server.call("system.types", name)
            try:
                written[module_name(name)] = write_stub(name, methods, types)
            except ValueError as error:
                raise Fail(f"{name}: {error}") from error
    if output is None:
        click.echo("".join(written.values()), nl=False)
        return
    output.mkdir(parents=True, exist_ok=True)
    for module, text in written.items():
        path = output / f"{module}.py"
        path.write_text(text, encoding="utf-8")
        click.echo(path)
