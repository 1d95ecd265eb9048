"""The commands that start and stop a server, and tell how it is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from toolserver import daemon
from toolserver.cli.group import NOT_RUNNING, Fail
from toolserver.home import Home
from toolserver.pidfile import State, find_server
from toolserver.switches import SET, SWITCHES, Given, arguments

__all__ = ["reload", "restart", "start", "status", "stop"]

_force = click.option(
    "--force", is_flag=True, help="Kill the server if it does not end in time."
)
_patience = click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Time to wait for its end; by default 10 more than running calls get.",
)


def _assignment(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    for assignment in value:
        key, separator, _ = assignment.partition("=")
        if not separator or "." not in key:
            raise click.BadParameter(f"got {assignment!r}, expected SECTION.NAME=VALUE")
    return value


def _setting_switches(command: Callable[..., None]) -> Callable[..., None]:
    """Add the switches that stand for settings, and ``--reload``."""
    options = [
        click.option(
            switch.name,
            metavar=switch.metavar or None,
            is_flag=not switch.metavar,
            help=switch.text,
        )
        for switch in SWITCHES
    ]
    options += [
        click.option(
            SET,
            "assignments",
            multiple=True,
            metavar="SECTION.NAME=VALUE",
            callback=_assignment,
            help="Any setting; may be repeated.",
        ),
        click.option(
            "--reload",
            "reloads",
            is_flag=True,
            help="Load changed tools again, start anew on other changes; a change that "
            "cannot be loaded is reported, and the old code goes on serving.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _arguments(
    assignments: tuple[str, ...], reloads: bool, switches: dict[str, Any]
) -> list[str]:
    given = []
    for assignment in assignments:
        key, _, value = assignment.partition("=")
        given.append(Given(SET, key, value))
    for switch in SWITCHES:
        value = switches[switch.name.removeprefix("--").replace("-", "_")]
        if value:
            given.append(Given(switch.name, switch.key, switch.value or value))
    return [*arguments(given), *(["--reload"] if reloads else [])]


@click.command()
@click.option("--foreground", is_flag=True, help="Stay here, show the error log.")
@_setting_switches
@click.pass_obj
def start(
    given: str | None,
    /,
    foreground: bool,
    assignments: tuple[str, ...],
    reloads: bool,
    **switches: Any,
) -> None:
    """Start the server and wait until it answers.

    It runs on by itself, unless --foreground; its addresses are printed.
    """
    home = Home.find(given)
    words = _arguments(assignments, reloads, switches)
    if foreground:
        home.prepare()
        command = daemon.server_command(home, words)
        # In place of this process: signals then reach the server itself.
        os.execve(command[0], command, daemon.server_environment())  # noqa: S606
    click.echo(daemon.start(home, words).announcement())


@click.command()
@_force
@_patience
@click.pass_obj
def stop(given: str | None, /, force: bool, timeout: float | None) -> None:
    """Stop the server and wait until it has ended.

    Running calls get the time of the setting server.stop_timeout. Where no server
    runs there is nothing to do, and that is no failure.
    """
    found = daemon.stop(Home.find(given), timeout=timeout, force=force)
    click.echo("not running" if found is None else str(found))


@click.command()
@_patience
@click.pass_obj
def reload(given: str | None, /, timeout: float | None) -> None:
    """Load everything anew, refusing no connection.

    Several workers are replaced one by one; a server of one process lets running
    calls end and starts anew, while who connects waits. What cannot be loaded is
    reported, and the old code goes on.
    """
    found = daemon.reload(Home.find(given), timeout=timeout)
    if found is None:
        raise Fail("not running", NOT_RUNNING)
    click.echo(found.announcement())


@click.command()
@_setting_switches
@_force
@_patience
@click.pass_obj
def restart(
    given: str | None,
    /,
    force: bool,
    timeout: float | None,
    assignments: tuple[str, ...],
    reloads: bool,
    **switches: Any,
) -> None:
    """Stop the server and start it again.

    The switches are those of the new server; the old one's are forgotten. A new
    server that cannot be loaded is reported, and the old one goes on.
    """
    home = Home.find(given)
    home.prepare()
    words = _arguments(assignments, reloads, switches)
    daemon.check(home, words)
    found = daemon.stop(home, timeout=timeout, force=force)
    if found is not None:
        click.echo(str(found))
    click.echo(daemon.start(home, words).announcement())


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Tell whether the server runs, and where.

    Without --json the exit code is 3 when no server runs. With --json the answer is
    in the member "running", and the exit code is 0.
    """
    home = Home.find(ctx.obj)
    found = find_server(home)
    if as_json:
        click.echo(json.dumps(_facts(home, found), indent=2))
        return
    if found is None:
        click.echo("not running")
        ctx.exit(NOT_RUNNING)
    since = f" since {_moment(found.started)}" if found.started is not None else ""
    where = f" on {found.url}" if found.url else ""
    click.echo(f"{found.phase}{since}{where} (pid {found.pid})")
    for worker in found.workers:
        died = f", after {worker.restarts} that died" if worker.restarts else ""
        click.echo(f"  worker {worker.pid} since {_moment(worker.started)}{died}")
    if found.reload_error:
        click.echo(f"  not reloaded: {found.reload_error}")


def _facts(home: Home, found: State | None) -> dict[str, Any]:
    """What ``--json`` prints; a server that does not answer yet is not running."""
    is_running = found is not None and found.phase != "starting"
    return {
        "running": is_running,
        "phase": "stopped" if found is None else found.phase,
        "pid": None if found is None else found.pid,
        "url": None if found is None else found.url,
        "since": None if found is None else _moment(found.started),
        "version": None if found is None else found.version,
        "home": str(home.path),
        "workers": []
        if found is None
        else [
            {
                "pid": worker.pid,
                "since": _moment(worker.started),
                "restarts": worker.restarts,
            }
            for worker in found.workers
        ],
    }


def _moment(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
