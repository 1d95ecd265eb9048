"""What keeps a server from starting: its port, extras that are missing, its tools."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from toolserver import __version__, daemon
from toolserver.doctor.findings import Case, Finding, problem, warning
from toolserver.errors import StartError
from toolserver.http.listeners import open_listener

__all__ = [
    "check_exposure",
    "check_extras",
    "check_port",
    "check_running",
    "check_tools",
]

_ANY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104  # compared, not bound
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def check_running(case: Case) -> Iterator[Finding]:
    """Find a running server that is not what was installed or asked for.

    Args:
        case: What is examined.
    """
    running = case.running
    if running is None:
        return
    if running.version not in (None, __version__):
        yield warning(
            f"the running server (pid {running.pid}) is of version {running.version}, "
            f"but {__version__} is installed",
            "run: tsctl restart",
        )
    if running.reload_error:
        yield problem(
            f"the running server (pid {running.pid}) serves old code: "
            f"{running.reload_error}",
            "put that right and run: tsctl reload",
        )


def check_port(case: Case) -> Iterator[Finding]:
    """Find out whether the server can have its port.

    Args:
        case: What is examined.
    """
    settings = case.configuration.settings.server
    if settings.unix_socket:
        yield from _check_unix(Path(settings.unix_socket), case)
        return
    if settings.port in (0, None if case.running is None else case.running.port):
        return
    try:
        open_listener(settings).close()
    except StartError as error:
        message, _, advice = str(error).partition("; ")
        yield problem(message, advice or "set server.host and server.port to others")


def _check_unix(path: Path, case: Case) -> Iterator[Finding]:
    if not os.access(path.parent, os.W_OK | os.X_OK):
        yield problem(
            f"server.unix_socket: {str(path.parent)!r} cannot be written",
            "make the folder, or choose another one",
        )
    elif path.exists() and not path.is_socket():
        yield problem(
            f"server.unix_socket: {str(path)!r} exists and is no socket",
            "move it away, or choose another path",
        )
    elif case.running is None and _answers(path):
        yield problem(
            f"server.unix_socket: {str(path)!r} is taken: another server is running "
            "there",
            "stop it, or choose another path",
        )


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex(str(path)) == 0


def check_exposure(case: Case) -> Iterator[Finding]:
    """Find settings that are unsafe, or useless, for a server that others reach.

    Args:
        case: What is examined.
    """
    server = case.configuration.settings.server
    is_open = not server.unix_socket and server.host not in _LOOPBACK
    if server.debug and (is_open or server.trusted_proxies):
        yield problem(
            "server.debug: others reach the server, and it shows them tracebacks",
            "set server.debug = false",
        )
    if is_open and server.host in _ANY_ADDRESS and not server.hosts:
        yield warning(
            "server.hosts: it is empty, so the server answers to loopback names alone",
            "set it to the names by which clients ask for the server",
        )
    for network in server.trusted_proxies:
        if network.endswith("/0"):
            yield problem(
                f"server.trusted_proxies: {network!r} lets everybody choose an address",
                "name the addresses of your proxies",
            )


def check_extras(case: Case) -> Iterator[Finding]:
    """Find settings that need libraries which are not installed.

    Args:
        case: What is examined.
    """
    settings = case.configuration.settings
    if settings.auth.jwt_issuer:
        yield from _missing("jwt", "jwt", "auth.jwt_issuer is set")
    passwd = case.home.config / "passwd"
    try:
        has_argon2 = "$argon2" in passwd.read_text(encoding="utf-8", errors="replace")
    except OSError:
        has_argon2 = False
    if has_argon2:
        yield from _missing("argon2", "argon2", f"{passwd} has passwords of Argon2")


def _missing(module: str, extra: str, why: str) -> Iterator[Finding]:
    if importlib.util.find_spec(module) is None:
        yield problem(
            f"{why}, but the extra {extra!r} is not installed",
            f"run: pip install 'toolserver[{extra}]'",
        )


def check_tools(case: Case) -> Iterator[Finding]:
    """Find out in a process of its own whether the tools would load.

    Args:
        case: What is examined.
    """
    try:
        # Any free port: the real one is judged by itself.
        daemon.check(case.home, ["--port=0"])
    except StartError as error:
        yield problem(str(error), "put that right; tsctl start would say the same")
