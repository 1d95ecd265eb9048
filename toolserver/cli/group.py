"""The command group: finds commands when they are used, and reports failures.

Nothing is imported here but click, so that help and completion are quick.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from toolserver import __version__
from toolserver.errors import StartError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["COMMANDS", "NOT_RUNNING", "Fail", "main", "run", "tsctl"]

#: Exit codes.
FAILED = 1
NOT_RUNNING = 3
INTERRUPTED = 130

#: Commands: the module that holds each, and what it does.
COMMANDS = {
    "init": ("homes", "Make a home for a server, or bring it up to date."),
    "new": ("new", "Write a starter tool and its test."),
    "start": ("lifecycle", "Start the server and wait until it answers."),
    "stop": ("lifecycle", "Stop the server and wait until it has ended."),
    "restart": ("lifecycle", "Stop the server and start it again."),
    "reload": ("lifecycle", "Load everything anew, refusing no connection."),
    "status": ("lifecycle", "Tell whether the server runs, and where."),
    "tools": ("remote", "List the tools of the running server."),
    "call": ("remote", "Call a method of a running server."),
    "test": ("test", "Call methods through every protocol, and compare results."),
    "jobs": (
        "jobs",
        "List jobs, the newest first, or show, cancel or retry some, or purge them.",
    ),
    "mcp": ("mcp", "Let an agent of this machine use the tools of a running server."),
    "stubs": ("stubs", "Write Python classes for the tools of a running server."),
    "openapi": ("openapi", "Print the OpenAPI document of a running server."),
    "wsdl": ("wsdl", "Print the WSDL document of a tool."),
    "passwd": ("accounts", "Set the password of an account, or list the accounts."),
    "token": ("tokens", "Make a bearer token for a client, or list the tokens."),
    "groups": ("accounts", "List the groups and their members, or change them."),
    "keygen": ("keys", "Make a key pair for a client, or for the server."),
    "debug": ("debug", "Open a prompt inside the running server."),
    "doctor": ("doctor", "Look for what is wrong with a home, and tell what to do."),
    "config": ("homes", "Show the settings in force and where they were set."),
    "completion": ("completion", "Print what turns on completion in a shell."),
}


class Fail(click.ClickException):
    """A failure with an exit code of its own.

    Args:
        message: What to print.
        code: The exit code.
    """

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]  # as click itself does it


class LazyGroup(click.Group):
    """A group that imports the module of a command when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order of help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"toolserver.cli.{COMMANDS[cmd_name][0]}")
        found: click.Command = getattr(module, cmd_name)
        return found

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """Complete a command without importing it, or an option of the group."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=text)
            for name, (_, text) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the server is not running."
    ),
)
@click.option(
    "--home",
    metavar="DIR",
    help="Folder of the server. Else $TOOLSERVER_HOME, the current folder if it is "
    "one, or ~/.toolserver.",
)
@click.version_option(__version__, prog_name="tsctl")
@click.pass_context
def tsctl(ctx: click.Context, home: str | None) -> None:
    """Make, run and ask a server of typed Python classes."""
    ctx.obj = home


def main() -> NoReturn:
    """Run the command line and end the process."""
    sys.exit(run())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the one place where failures are reported.

    Args:
        arguments: The words after ``tsctl``; by default those of the process.

    Returns:
        The exit code.
    """
    try:
        code: Any = tsctl.main(arguments, prog_name="tsctl", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    except StartError as error:
        return _failed(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _failed(f"{where}{error.strerror or error}")
    return code if isinstance(code, int) else 0


def _failed(message: str) -> int:
    click.echo(f"Error: {message}", err=True)
    return FAILED
