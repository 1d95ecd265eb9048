"""The server process: what ``tsctl start`` executes.

``python -m toolserver.serve --home DIR`` serves in the foreground until SIGTERM or
SIGINT; SIGUSR1 reopens the logs. With ``--reload`` it watches its files. Changed
files of tools are loaded again in this process. Any other change is tried in another
process first (``--check``): if it fails there, the old code goes on serving and the
error is shown; else this process ends its work and executes itself anew, so that pid
and lock stay.
"""

# Patched before anything else is imported that could keep an unpatched name.
from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402  # see above
import argparse
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

import gevent
from gevent.event import Event

import toolserver
from toolserver.configuration import Configuration, load
from toolserver.daemon import check, server_command
from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.http.descriptors import raise_bound
from toolserver.http.listeners import open_listener
from toolserver.linewriter import reopen_all
from toolserver.logs import Logs
from toolserver.pidfile import PidFile, State, find_server, write_state
from toolserver.reloader import Watch
from toolserver.settings import ServerSettings
from toolserver.switches import SET, SWITCHES, Given, arguments
from toolserver.worker import Worker

__all__ = ["main"]

log = logging.getLogger("toolserver.serve")


def main(argv: Sequence[str] | None = None) -> int:
    """Serve a home until a signal ends it.

    Args:
        argv: The arguments; by default those of the process.

    Returns:
        The exit code.
    """
    options = _parser().parse_args(argv)
    process = _ServerProcess(options)
    try:
        process.run()
    except StartError as error:
        return process.fail(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return process.fail(f"{where}{error.strerror or error}")
    return 0


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
    parser.add_argument("--detached", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--ready-fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--lock-fd", type=int, help=argparse.SUPPRESS)
    return parser


def _given(options: argparse.Namespace) -> list[Given]:
    found = []
    for assignment in options.set:
        key, _, value = assignment.partition("=")
        found.append(Given(SET, key, value))
    for switch in SWITCHES:
        value = vars(options)[switch.name]
        if value:
            found.append(Given(switch.name, switch.key, switch.value or value))
    return found


def _log_exception(context: object, kind: Any, value: Any, trace: Any) -> None:
    log.error("unhandled in %r", context, exc_info=(kind, value, trace))


class _ServerProcess:
    """This process, as the server of a home."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._given = _given(options)
        self._home = Home.find(options.home)
        self._only_checks: bool = options.check
        self._reloads: bool = options.reload
        self._is_detached: bool = options.detached
        self._ready_fd: int | None = options.ready_fd
        self._lock_fd: int | None = options.lock_fd
        self._stopping = Event()
        if self._ready_fd is not None:
            os.set_inheritable(self._ready_fd, False)

    def run(self) -> None:
        """Serve, or only check, as asked."""
        self._home.prepare()
        configuration = self._load()
        if self._only_checks:
            self._worker(configuration, None).check()
            self._check_port(configuration.settings.server)
            return
        raise_bound(configuration.settings.limits.connections)
        lock = PidFile(self._home, self._lock_fd)
        write_state(self._home, State(os.getpid()))
        logs = Logs(
            self._home.log,
            configuration.settings.log,
            to_terminal=not self._is_detached,
        )
        try:
            self._serve(configuration, logs)
        except StartError as error:
            if self._is_detached:
                log.error("not started: %s", error)
            raise
        except Exception as error:
            log.exception("the server failed")
            file = self._home.log / "error.log"
            raise StartError(
                f"internal error: {type(error).__name__}: {error}; see {file}"
            ) from error
        finally:
            logs.close()
        if not self._stopping.is_set():
            self._execute_anew(lock)

    def fail(self, message: str) -> int:
        """Tell who started the server why it does not run.

        Args:
            message: Why.

        Returns:
            The exit code.
        """
        self._report({"error": message})
        if not self._is_detached:
            print(f"Error: {message}", file=sys.stderr)
        return 1

    def _serve(self, configuration: Configuration, logs: Logs) -> None:
        """Serve until a signal, or until there is other code to serve."""
        # What ends a greenlet belongs into the log, not bare to standard error.
        hub = gevent.get_hub()
        hub.print_exception = _log_exception  # type: ignore[assignment, method-assign]  # gevent has no other way
        worker = self._worker(configuration, logs)
        # It looks before the code is loaded, so that no change is missed.
        watch = self._watch(worker) if self._reloads else None
        self._catch_signals(logs)
        try:
            worker.start()
        except StartError as error:
            if watch is None or self._lock_fd is None:
                raise
            # The code was tried and loads, but a hook fails: the next change may
            # mend it.
            log.error("not started: %s; waiting for a change", error)
            watch.wait(self._stopping)
            return
        state = self._announce(worker)
        if watch is None:
            self._stopping.wait()
        else:
            self._wait_for_good_change(watch, worker)
        # A full disk keeps no server from stopping.
        with suppress(StartError):
            write_state(self._home, replace(state, phase="stopping"))
        worker.stop()
        log.info("stopped")

    def _load(self) -> Configuration:
        return load(
            self._home.settings_file,
            environment=os.environ,
            switches=self._given,
        )

    def _worker(self, configuration: Configuration, logs: Logs | None) -> Worker:
        access = logs.access if logs is not None else None
        return Worker(
            configuration.settings,
            self._home,
            configuration=configuration,
            access_log=access.write if access is not None else None,
        )

    def _check_port(self, settings: ServerSettings) -> None:
        """Try whether the port can be had, unless the running server has it."""
        running = find_server(self._home)
        taken = running is not None and running.port == settings.port
        if settings.port and not settings.unix_socket and not taken:
            open_listener(settings).close()

    def _announce(self, worker: Worker) -> State:
        state = State(
            os.getpid(),
            phase="running",
            url=worker.url,
            urls=tuple(worker.urls),
            started=time.time(),
            version=toolserver.__version__,
            stop_timeout=worker.settings.server.stop_timeout,
            port=worker.http.local[1],
        )
        write_state(self._home, state)
        log.info("serving on %s", worker.url)
        self._report(asdict(state))
        if not self._is_detached:
            print(state.announcement(), flush=True)
        return state

    def _report(self, facts: dict[str, object]) -> None:
        """Tell it to who started this process and waits."""
        descriptor, self._ready_fd = self._ready_fd, None
        if descriptor is None:
            return
        try:
            with open(descriptor, "w", encoding="utf-8") as pipe:
                json.dump(facts, pipe)
        except BrokenPipeError:
            log.warning("who started the server has not waited for it")

    def _catch_signals(self, logs: Logs) -> None:
        gevent.signal_handler(signal.SIGTERM, self._stop)
        gevent.signal_handler(signal.SIGINT, self._interrupt, logs)
        gevent.signal_handler(signal.SIGUSR1, self._reopen_logs)
        if self._is_detached:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        else:
            # The terminal was closed.
            gevent.signal_handler(signal.SIGHUP, self._stop)

    def _stop(self) -> None:
        self._stopping.set()

    def _interrupt(self, logs: Logs) -> None:
        """Stop; at the second time, by an impatient hand, without ado."""
        if self._stopping.is_set():
            log.warning("interrupted again: running calls and hooks are cut off")
            logs.close()
            os._exit(1)
        self._stopping.set()

    def _reopen_logs(self) -> None:
        reopen_all()
        if self._is_detached:
            # What tools print goes there, too.
            with (self._home.log / "error.log").open("ab") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)

    def _watch(self, worker: Worker) -> Watch:
        home = self._home
        return Watch([home.settings_file, home.lib, home.wsgi, *worker.folders])

    def _wait_for_good_change(self, watch: Watch, worker: Worker) -> None:
        while changed := watch.wait(self._stopping):
            if worker.has_loaded(changed):
                for file in changed:
                    try:
                        worker.reload(file)
                    except StartError as error:
                        log.error("%s; the old code goes on serving", error)
                continue
            names = ", ".join(path.name for path in changed)
            try:
                check(self._home, arguments(self._given))
            except StartError as error:
                log.error("changed: %s; the old code goes on serving: %s", names, error)
            else:
                log.info("changed: %s; starting anew", names)
                return

    def _execute_anew(self, lock: PidFile) -> None:
        os.set_inheritable(lock.descriptor, True)
        options = [*arguments(self._given), "--reload"]
        if self._is_detached:
            options.append("--detached")
        options.append(f"--lock-fd={lock.descriptor}")
        command = server_command(self._home, options)
        os.execv(command[0], command)  # noqa: S606  # our own interpreter


if __name__ == "__main__":
    sys.exit(main())
