"""The command line: ``python -m benchmarks --rows hello,xmlrpc --rounds 9``."""

from __future__ import annotations

import argparse
import datetime
import importlib
import os
import pkgutil
import platform
import signal
import subprocess
import sys
from pathlib import Path

from benchmarks import commits, environment, load, machine, rows, servers
from benchmarks.report import Line, Missing, measures_table, results_table
from benchmarks.rounds import Run, say

HERE = Path(__file__).parent
#: What `--readme` replaces, with all that follows.
HEADING = "## Last run\n"


def main() -> None:
    """Measure the rows that were asked for, and show the tables."""
    known = sorted(each.name for each in pkgutil.iter_modules(rows.__path__))
    options = parse(known)
    unknown = set(options.rows) - set(known)
    if unknown:
        sys.exit(f"no row {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    # A run that is ended from outside ends its servers, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    environment.prepare()
    machine.raise_file_limit()
    run = Run(options.rounds, options.seconds, options.connections)
    os.sched_setaffinity(0, run.cpus.load)
    about = describe(run)
    lines: list[Line | Missing] = []
    if options.against is not None:
        lines += commits.measure(run, options.against)
    else:
        for name in options.rows:
            say(f"{name}:")
            lines += importlib.import_module(f"benchmarks.rows.{name}").measure(run)
    text = f"{about}\n{results_table(lines)}"
    if run.measures:
        text += f"\n{measures_table(run.measures)}"
    print(text)
    publish(text, readme=options.readme)


def parse(known: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument(
        "--rows",
        type=lambda text: text.split(","),
        default=known,
        help=f"which of {', '.join(known)}; all by default",
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument(
        "--seconds", type=int, default=1, help="of each round; default: 1"
    )
    parser.add_argument("--connections", type=int, default=32, help="default: 32")
    parser.add_argument(
        "--against",
        metavar="COMMIT",
        help="compare with an earlier commit instead of with the peers",
    )
    parser.add_argument(
        "--readme", action="store_true", help="show the result in README.md, too"
    )
    return parser.parse_args()


def describe(run: Run) -> str:
    """When, where and with what it was measured."""
    peers = environment.versions(environment.PYTHON, "gevent", "uvicorn", "fastapi")
    ours = environment.versions(sys.executable, "gevent", "httptools", "msgspec")
    revision = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        cwd=HERE,
    ).stdout.strip()
    facts = {
        "When": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        "Machine": f"{machine.describe()}; {run.cpus.note}; "
        f"load average {os.getloadavg()[0]:.2f} at the start",
        "Toolserver": f"{revision or 'unversioned'} on "
        f"{platform.python_implementation()} {platform.python_version()}, "
        + ", ".join(f"{name} {version}" for name, version in ours.items()),
        "Peers": ", ".join(f"{name} {version}" for name, version in peers.items())
        + f", {servers.nginx_version()}",
        "Load": f"{load.name()}, {run.connections} connections, "
        f"{run.rounds} interleaved rounds of {run.seconds} s",
    }
    return "".join(f"- {name}: {fact}\n" for name, fact in facts.items())


def publish(text: str, *, readme: bool) -> None:
    """Keep the result, and show it where it was asked for."""
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    stamp = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}"
    (folder / f"{stamp}.md").write_text(text)
    if readme:
        page = HERE / "README.md"
        before = page.read_text().partition(HEADING)[0]
        page.write_text(f"{before.rstrip()}\n\n{HEADING}\n{text}")


if __name__ == "__main__":
    main()
