"""The commands about a home and its settings: ``init`` and ``config``."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from toolserver import samplefile
from toolserver.cli.files import read_text, replace
from toolserver.configuration import load
from toolserver.errors import StartError
from toolserver.home import Home

__all__ = ["config", "init"]


@click.command()
@click.pass_obj
def init(given: str | None) -> None:
    """Make a home for a server, or bring it up to date.

    In a home that exists values, comments and files stay as they are; folders and
    settings that are missing are added, and all changes are told.
    """
    home = Home.find(given)
    existed = home.settings_file.exists()
    changes = [f"made {folder}" for folder in home.create() if folder != home.path]
    if not existed:
        replace(home.settings_file, samplefile.render())
        changes.append(f"wrote {home.settings_file}")
    else:
        changes += _update(home.settings_file)
    if not changes:
        click.echo(f"{home.path}: nothing to do")
        return
    click.echo(f"{home.path}: {'brought up to date' if existed else 'a new home'}")
    for change in changes:
        click.echo(f"  {change}")
    try:
        load(home.settings_file)
    except StartError as error:
        click.echo(f"Warning: {error}", err=True)


def _update(file: Path) -> list[str]:
    merged = samplefile.merge(read_text(file), str(file))
    for section in merged.left:
        click.echo(
            f"Note: {file}: {section} is not written as a section; its new settings "
            "are not added, 'tsctl config' lists them",
            err=True,
        )
    if not merged.added:
        return []
    replace(file, merged.text)
    return [f"added {added} to {file}" for added in merged.added]


@click.command()
@click.argument("key", required=False, metavar="[SECTION[.KEY]]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--sample", is_flag=True, help="Print the sample file instead.")
@click.pass_obj
def config(given: str | None, key: str | None, as_json: bool, sample: bool) -> None:
    """Show the settings in force and where they were set.

    The settings are those that a server would have that is started now, from this
    shell, without switches. A single value is printed bare.
    """
    if sample:
        click.echo(samplefile.render(), nl=False)
        return
    home = Home.find(given)
    home.check()
    configuration = load(home.settings_file, environment=os.environ)
    rows = [
        (_dotted(path), value, origin)
        for path, value, origin in configuration
        if not key or _dotted(path) == key or _dotted(path).startswith(f"{key}.")
    ]
    if not rows:
        raise click.UsageError(f"no setting {key!r}; 'tsctl config' lists them")
    if as_json:
        found = {name: {"value": v, "origin": o} for name, v, o in rows}
        click.echo(json.dumps(found, indent=2, default=str))
    elif len(rows) == 1 and rows[0][0] == key:
        value = rows[0][1]
        click.echo(value if isinstance(value, str) else _shown(value))
    else:
        width = max(len(f"{name} = {_shown(value)}") for name, value, _ in rows)
        for name, value, origin in rows:
            left = f"{name} = {_shown(value)}"
            click.echo(f"{left:<{min(width, 50)}}  # {origin}")


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(f'"{part}"' if "." in part else part for part in path)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
