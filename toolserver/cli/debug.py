"""The command ``debug``: a prompt inside the running server."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from toolserver.cli.group import FAILED, INTERRUPTED, NOT_RUNNING, Fail
from toolserver.debugger.client import (
    Abandoned,
    Attachment,
    Detached,
    attach_over_tcp,
    attach_to_socket,
)
from toolserver.debugger.messages import Done
from toolserver.debugger.places import loopback_address, socket_of, workers_of
from toolserver.debugger.terminal import Terminal
from toolserver.home import Home
from toolserver.pidfile import find_server

__all__ = ["debug"]


@click.command()
@click.option("-c", "--command", metavar="CODE", help="Run this and leave.")
@click.option("--json", "as_json", is_flag=True, help="Print its value as JSON.")
@click.option(
    "--worker",
    type=click.IntRange(min=0),
    metavar="NUMBER",
    help="Attach to this worker process; the first one is 0.",
)
@click.option("--all", "all_workers", is_flag=True, help="Run the code in all of them.")
@click.option(
    "--connect",
    metavar="ADDRESS:PORT",
    help="Attach over TCP, by the password; see debugger.address.",
)
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the password; else it is asked for.",
)
@click.pass_context
def debug(
    ctx: click.Context,
    command: str | None,
    as_json: bool,
    worker: int | None,
    all_workers: bool,
    connect: str | None,
    password_file: Path | None,
) -> None:
    """Open a prompt inside the running server.

    The setting debugger.enabled has to be on. Type help() for what there is besides
    Python itself. Whoever is attached can change and break anything.
    """
    if command is None and (as_json or all_workers):
        raise click.UsageError("--json and --all need the code to run, -c CODE")
    if connect is not None and (worker is not None or all_workers):
        raise click.UsageError("--connect names one worker by its port")
    terminal = Terminal()
    show = _show_aside if as_json else terminal.show
    attachments = (
        [_attach_by_password(connect, password_file, show)]
        if connect is not None
        else _attach_to_workers(Home.find(ctx.obj), worker, all_workers, show)
    )
    try:
        if command is None:
            _greet(attachments[0])
            terminal.run(attachments[0])
        elif not _run(attachments, command, as_json=as_json, named=all_workers):
            ctx.exit(FAILED)
    except Detached:
        raise Fail("the session has ended before the code") from None
    except (Abandoned, KeyboardInterrupt):
        click.echo("left while the code was being ended", err=True)
        ctx.exit(INTERRUPTED)
    finally:
        for attachment in attachments:
            attachment.close()


def _show_aside(text: str) -> None:
    """Show what is printed, where the value alone is to be read."""
    click.echo(text, nl=False, err=True)


def _attach_by_password(
    address: str, password_file: Path | None, show: Callable[[str], None]
) -> Attachment:
    place = loopback_address(address)
    if password_file is not None:
        password = password_file.read_bytes().strip()
    else:
        password = getpass.getpass().encode()
    return attach_over_tcp(place, password, show)


def _attach_to_workers(
    home: Home, worker: int | None, all_workers: bool, show: Callable[[str], None]
) -> list[Attachment]:
    if find_server(home) is None:
        raise Fail("not running", NOT_RUNNING)
    known = workers_of(home)
    if not known:
        raise Fail(
            "the debugger is off: set debugger.enabled = true and 'tsctl reload'"
        )
    if worker is not None and worker not in known:
        raise Fail(f"no worker {worker}, expected one of {', '.join(map(str, known))}")
    wanted = known if all_workers else [known[0] if worker is None else worker]
    return [attach_to_socket(socket_of(home, each), show) for each in wanted]


def _greet(attachment: Attachment) -> None:
    if sys.stdin.isatty():
        welcome = attachment.welcome
        click.echo(
            f"Toolserver {welcome.version}, worker {welcome.worker} (pid {welcome.pid})"
            "; help() tells what there is, Ctrl-D leaves"
        )


def _run(
    attachments: list[Attachment], source: str, *, as_json: bool, named: bool
) -> bool:
    """Run some code; whether it succeeded everywhere."""
    outcomes: list[dict[str, Any]] = []
    succeeded = True
    for attachment in attachments:
        welcome = attachment.welcome
        if named and not as_json:
            click.echo(f"worker {welcome.worker} (pid {welcome.pid})")
        done = attachment.run(source, as_json=as_json)
        succeeded = succeeded and not done.error
        click.echo(done.error, nl=False, err=True)
        if as_json:
            value = json.loads(done.value) if done.value else None
            facts = {"worker": welcome.worker, "pid": welcome.pid, "value": value}
            outcomes.append({**facts, "error": _last_line(done)})
        elif done.value:
            click.echo(done.value)
    if as_json and named:
        click.echo(json.dumps(outcomes))
    elif as_json and succeeded:
        click.echo(json.dumps(outcomes[0]["value"]))
    return succeeded


def _last_line(done: Done) -> str | None:
    return done.error.rstrip().rpartition("\n")[2] or None
