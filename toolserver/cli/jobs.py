"""The command about jobs: ``jobs``, with what is done with them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from toolserver.cli.asking import Asked, asking, server_options
from toolserver.cli.jobledgers import Ledger, ServerLedger, store_ledger
from toolserver.client.failures import one_line

__all__ = ["jobs"]

_STATES = ("waiting", "running", "done", "failed", "cancelled", "lost")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_COLUMNS = ("ID", "STATE", "QUEUE", "AGE", "DONE", "METHOD")


class _Age(click.ParamType[float]):
    """Seconds, or minutes, hours or days: ``90``, ``15m``, ``2h``, ``1d``."""

    name = "age"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        text = str(value)
        number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
        if not number.isdecimal() or len(number) > 9:
            self.fail(f"got {text!r}, expected an age such as 90, 15m, 2h or 1d")
        return float(number) * _UNITS[unit]


@click.command()
@click.argument(
    "action",
    type=click.Choice(["list", "show", "cancel", "retry", "purge"]),
    default="list",
)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--state", type=click.Choice(_STATES), help="List those in this state.")
@click.option("--queue", metavar="TOOL", help="List those in the queue of this tool.")
@click.option("--older", type=_Age(), help="List those started so long ago: 15m, 2h.")
@click.option("--newer", type=_Age(), help="List those started since then.")
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=100,
    help="List so many at most; 100 by default.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@server_options
def jobs(
    asked: Asked,
    /,
    action: str,
    ids: tuple[str, ...],
    state: str | None,
    queue: str | None,
    older: float | None,
    newer: float | None,
    limit: int,
    as_json: bool,
) -> None:
    """List jobs, the newest first, or show, cancel or retry some, or purge them.

    The jobs are those of the home, whether its server runs or not. With --url, --user
    or --privkey a running server is asked, which tells what that caller may see.

    "show" tells all of a job, with the traceback of its failure. "cancel" ends it: at
    once if it waits, else as soon as it lets itself be ended. "retry" has it made once
    more if it has failed, was lost or was cancelled. "purge" forgets the jobs whose
    results have been kept for long enough.
    """
    if bool(ids) != (action in ("show", "cancel", "retry")):
        raise click.UsageError(
            f"{action}: {'which ID?' if not ids else 'expected no ID'}"
        )
    with _ledger(asked) as ledger:
        match action:
            case "list":
                found = ledger.find(state, queue, limit)
                _list(list(_of_age(found, older, newer)), as_json=as_json)
            case "show":
                for id_ in ids:
                    _show(ledger.show(id_), as_json=as_json)
            case "cancel":
                _tell({id_: ledger.cancel(id_) for id_ in ids}, as_json=as_json)
            case "retry":
                _tell({id_: ledger.retry(id_) for id_ in ids}, as_json=as_json)
            case _:
                _tell({"purged": ledger.purge()}, as_json=as_json)


@contextmanager
def _ledger(asked: Asked) -> Iterator[Ledger]:
    if asked.url or asked.user or asked.privkey:
        with asking(asked) as server:
            yield ServerLedger(server)
    else:
        with store_ledger(asked.given) as ledger:
            yield ledger


def _of_age(
    found: list[dict[str, Any]], older: float | None, newer: float | None
) -> Iterator[dict[str, Any]]:
    for job in found:
        age = _age(job)
        if (older is None or age >= older) and (newer is None or age <= newer):
            yield job


def _age(job: dict[str, Any]) -> float:
    created = dt.datetime.fromisoformat(job["created"])
    return (dt.datetime.now(dt.UTC) - created).total_seconds()


def _list(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    rows = [_COLUMNS, *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())


def _row(job: dict[str, Any]) -> tuple[str, ...]:
    fraction = job["fraction"]
    return (
        job["id"],
        "cancelling" if job["is_cancelling"] else job["state"],
        job["queue"] if job["queue"] is not None else "-",
        _span(_age(job)),
        "-" if fraction is None else f"{fraction:.0%}",
        one_line(job["method"]),
    )


def _span(seconds: float) -> str:
    """An age in its largest unit."""
    for unit, length in reversed(_UNITS.items()):
        if seconds >= length:
            return f"{seconds / length:.0f}{unit}"
    return "0s"


def _show(job: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(job, ensure_ascii=False, indent=2))
        return
    trace = job.pop("traceback", "")
    for name, value in job.items():
        if value is None or value == "":
            continue
        if name == "error":
            value = ": ".join(filter(None, (value["type"], value["message"])))
        click.echo(f"{name + ':':<14} {one_line(str(value))}")
    if trace:
        click.echo(trace, nl=False)


def _tell(done: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(done, ensure_ascii=False))
    else:
        for name, value in done.items():
            click.echo(f"{name}: {value}")
