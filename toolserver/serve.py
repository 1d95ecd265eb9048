"""The server process: what ``tsctl start`` executes.

``python -m toolserver.serve --home DIR`` serves in the foreground until SIGTERM or
SIGINT; SIGUSR1 reopens the logs, SIGHUP loads everything anew. With ``server.workers``
above 1 this process is the master of several others, which it executes with
``--worker``; else it answers by itself.
"""

# Patched before anything else is imported that could keep an unpatched name.
from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402  # see above
import argparse
import sys
from collections.abc import Sequence

from toolserver.errors import StartError
from toolserver.processes.common import ServerProcess
from toolserver.processes.leader import Leader
from toolserver.processes.main import MainProcess, ServerClass
from toolserver.settings import ServerSettings
from toolserver.switches import SET, SWITCHES

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Serve a home until a signal ends it.

    Args:
        argv: The arguments; by default those of the process.

    Returns:
        The exit code.
    """
    process = _make_process(_parser().parse_args(argv))
    try:
        process.run()
    except StartError as error:
        return process.fail(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return process.fail(f"{where}{error.strerror or error}")
    return 0


def _make_process(options: argparse.Namespace) -> ServerProcess:
    # What answers requests is imported where it is needed: a master stays small.
    if options.worker is not None:
        from toolserver.processes.worker import WorkerProcess

        return WorkerProcess(options)
    if options.check:
        from toolserver.processes.trial import TrialProcess

        return TrialProcess(options)
    return MainProcess(options, _choose)


def _choose(settings: ServerSettings) -> ServerClass:
    if settings.workers > 1:
        return Leader
    from toolserver.processes.alone import Alone

    return Alone


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("toolserver.serve", allow_abbrev=False)
    parser.add_argument("--home", help="the folder of the server")
    parser.add_argument(SET, action="append", default=[], metavar="SECTION.NAME=VALUE")
    for switch in SWITCHES:
        action = "store" if switch.metavar else "store_true"
        parser.add_argument(
            switch.name, dest=switch.name, action=action, help=switch.text
        )
    parser.add_argument("--reload", action="store_true", help="watch the files")
    parser.add_argument("--check", action="store_true", help="load all, then end")
    # How the processes of a server speak to each other.
    for flag in ("--detached", "--first", "--activated"):
        parser.add_argument(flag, action="store_true", help=argparse.SUPPRESS)
    descriptors = ("ready", "lock", "listen", "hub", "tally", "counts")
    for name in ("--worker", *(f"--{each}-fd" for each in descriptors)):
        parser.add_argument(name, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--reloads", type=int, default=0, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
