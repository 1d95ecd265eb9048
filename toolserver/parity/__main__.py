"""The process of ``tsctl test``, which serves and calls at once.

``python -m toolserver.parity --home DIR [NAME]...``; the options are those of the
command.
"""

# Patched before anything else is imported that could keep an unpatched name.
from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402  # see above
import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout

from toolserver.configuration import load
from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.parity.trial import try_home

__all__ = ["main"]

#: Exit codes.
DIFFERENT, NOTHING, INTERRUPTED = 1, 4, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Test the tools of a home, and print the report.

    Args:
        argv: The arguments; by default those of the process.

    Returns:
        The exit code: 0 where all doors agree, 1 where some differ or nothing could be
        started, 4 where no method could be called.
    """
    options = _parser().parse_args(argv)
    if not options.verbose:
        # What the tools' own failures log is no part of the report.
        logging.getLogger().addHandler(logging.NullHandler())
    home = Home.find(options.home)
    try:
        home.check()
        configuration = load(home.settings_file, environment=os.environ)
        # What tools print must not get into the report, and nobody would read it.
        with (
            open(os.devnull, "w") as nowhere,
            redirect_stdout(sys.stderr if options.verbose else nowhere),
        ):
            report = try_home(
                home,
                configuration,
                options.names,
                count=options.count,
                seed=options.seed,
                idempotent=options.idempotent,
                groups=options.group,
            )
    except StartError as error:
        print(f"Error: {error}", file=sys.stderr)
        return DIFFERENT
    except KeyboardInterrupt:
        return INTERRUPTED
    if options.json:
        print(json.dumps(report.as_json(), ensure_ascii=False, indent=2))
    else:
        print("\n".join(report.lines()))
    if report.has_faults:
        return DIFFERENT
    return 0 if report.methods else NOTHING


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("toolserver.parity", allow_abbrev=False)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--home")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--group", action="append", default=[])
    for flag in ("--idempotent", "--json", "--verbose"):
        parser.add_argument(flag, action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
