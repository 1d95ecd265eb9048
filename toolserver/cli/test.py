"""The command that calls methods through every protocol: ``test``."""

from __future__ import annotations

import os
import sys

import click

from toolserver.daemon import server_environment
from toolserver.home import Home

__all__ = ["test"]


@click.command(
    epilog=(
        "Exit codes: 0 all agree, 1 some differ or the tools cannot be loaded, 2 wrong "
        "usage, 4 there was no method to call."
    )
)
@click.argument("names", nargs=-1, metavar="[NAMESPACE[.METHOD]]...")
@click.option(
    "--count",
    type=click.IntRange(min=1, max=100_000),
    default=200,
    show_default=True,
    help="Calls of each method through each protocol.",
)
@click.option(
    "--seed",
    type=int,
    default=1,
    show_default=True,
    help="What the values come from; another one makes other values.",
)
@click.option(
    "--idempotent", is_flag=True, help="Call methods marked @idempotent, too."
)
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="GROUP",
    help="A group of who calls, for tools that ask for one; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--verbose", is_flag=True, help="Show the log, and what tools print.")
@click.pass_obj
def test(
    given: str | None,
    /,
    names: tuple[str, ...],
    count: int,
    seed: int,
    idempotent: bool,
    groups: tuple[str, ...],
    as_json: bool,
    verbose: bool,
) -> None:
    """Call methods through every protocol, and compare results.

    Made-up values of the parameters' types, and calls that have to fail, go through
    REST, JSON-RPC, XML-RPC, SOAP, MCP and PickleRPC, and are made as jobs. What comes
    back has to be what the method itself returns, and errors have to be the same.

    Only methods marked @read_only are called, and those that are named in full. They
    run in a server of their own, with the home's tools and settings, but without its
    files: a running server is not asked.
    """
    home = Home.find(given)
    home.check()
    words = ["--home", str(home.path), f"--count={count}", f"--seed={seed}"]
    words += [f"--group={group}" for group in groups]
    flags = {"--idempotent": idempotent, "--json": as_json, "--verbose": verbose}
    words += [flag for flag, is_set in flags.items() if is_set]
    # -P: the current folder must not hide modules. In place of this process, which
    # must not be patched for gevent.
    command = [sys.executable, "-P", "-m", "toolserver.parity", *words, *names]
    sys.stdout.flush()
    os.execve(command[0], command, server_environment())  # noqa: S606
