"""The command that looks for what is wrong: ``doctor``."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from toolserver.cli.group import FAILED
from toolserver.doctor.examination import examine
from toolserver.home import Home

__all__ = ["doctor"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Look for what is wrong with a home, and tell what to do.

    Run it as the user of the server. The exit code is 1 where there is a problem;
    warnings alone are none.
    """
    home = Home.find(ctx.obj)
    report = []
    has_problem = False
    for name, findings in examine(home):
        has_problem = has_problem or any(each.is_problem for each in findings)
        report.append({"check": name, "findings": [asdict(each) for each in findings]})
        if as_json:
            continue
        if not findings:
            click.echo(f"{'ok':<8} {name}")
        for each in findings:
            kind = "PROBLEM" if each.is_problem else "warning"
            click.echo(f"{kind:<8} {name}: {each.message}")
            click.echo(f"{'':<8} -> {each.advice}")
    if as_json:
        facts = {"home": str(home.path), "healthy": not has_problem, "checks": report}
        click.echo(json.dumps(facts, indent=2))
    ctx.exit(FAILED if has_problem else 0)
