"""The command that turns on completion in a shell: ``completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from toolserver.cli.group import tsctl

__all__ = ["completion"]

#: What click looks at to know that it is asked for words, not to run a command.
_VARIABLE = "_TSCTL_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what turns on completion in a shell.

    Save it where the shell looks for it, or read it at each start of the shell; the
    documentation tells where. Names of tools and methods are those of the running
    server.
    """
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101  # click has these from the beginning
    click.echo(found(tsctl, {}, "tsctl", _VARIABLE).source())
