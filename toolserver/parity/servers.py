"""A server to be asked through all doors, in a home of its own.

It stands beside every other server: on a free port of this machine, with jobs in
memory, keys that were made for it, and files of its own, which go with it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from toolserver.auth.throwaway import make_keys
from toolserver.builtin.mcp import MCPTool
from toolserver.client import RemoteToolserver
from toolserver.configuration import Configuration
from toolserver.declarations import Declaration
from toolserver.describe.agentcatalog import AgentCatalog
from toolserver.home import Home
from toolserver.parity.batchdoors import (
    BatchDoor,
    JobDoor,
    MulticallDoor,
    PickleDoor,
)
from toolserver.parity.doors import Door, InsideDoor
from toolserver.parity.wiredoors import AgentDoor, LiteralDoor, RESTDoor, SOAPDoor
from toolserver.settings import DebuggerSettings, JobSettings, Settings
from toolserver.worker import Worker

__all__ = ["CLIENT", "open_doors", "serve_home", "settings_for_parity"]

#: Who calls, by the address and by the key.
CLIENT = "parity"


def settings_for_parity(settings: Settings, home: Home | None = None) -> Settings:
    """Change settings so far that all doors are open, and nobody else is disturbed.

    Args:
        settings: Those of a home.
        home: The home, from which relative folders are meant; None for none.

    Returns:
        The same tools and bounds behind other doors.
    """
    replace = msgspec.structs.replace
    server = replace(
        settings.server,
        **{
            "host": "127.0.0.1",
            "port": 0,
            "unix_socket": "",
            "public_url": "",
            "workers": 1,
            "tls_certificate": "",
            "tls_key": "",
            "tls_client_ca": "",
            "tls_client_auth": "none",
            "contracts": True,
            "stop_timeout": 5.0,
            "loop_block_warn": 0.0,
        },
    )
    auth = replace(
        settings.auth,
        basic=False,
        certificate=False,
        jwt_issuer="",
        authorization_servers=(),
        # PickleRPC itself asks for a signature; all else is told by the address.
        rsa_authenticate=True,
        unsigned_paths=("/",),
    )
    tools = settings.tools
    if home is not None:
        folders = tuple(str(home.path / folder) for folder in tools.folders)
        tools = replace(tools, folders=folders)
    return replace(
        settings,
        server=server,
        auth=auth,
        tools=tools,
        # Each door has a connection, which waits until the others have been through.
        limits=replace(
            settings.limits,
            keep_alive_idle=3600.0,
            keep_alive_requests=10_000_000,
            connections=max(100, settings.limits.connections),
        ),
        debugger=DebuggerSettings(),
        picklerpc=replace(settings.picklerpc, enabled=True),
        jobs=replace(JobSettings(), engine="memory"),
    )


@contextmanager
def serve_home(
    settings: Settings,
    *,
    original: Home | None = None,
    configuration: Configuration | None = None,
    tools: Iterable[Declaration] | None = None,
    groups: Iterable[str] = (),
) -> Iterator[tuple[Worker, Path]]:
    """Run a server.

    Args:
        settings: Its settings, see `settings_for_parity`.
        original: The home whose tools it has; None for none.
        configuration: Where the settings come from.
        tools: The tools to serve; by default those of the home.
        groups: The groups of who calls.

    Yields:
        The server, and the folder with the keys of who calls.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        home = _make_home(folder / "home", original, groups)
        keys = folder / "keys"
        make_keys(home, [CLIENT], keys)
        worker = Worker(settings, home, configuration=configuration, tools=tools)
        worker.start()
        stack.callback(worker.stop, 1.0)
        yield worker, keys


def open_doors(
    worker: Worker, keys: Path, groups: Iterable[str] = ()
) -> tuple[InsideDoor, list[Door]]:
    """Open all ways into a server.

    Args:
        worker: The server.
        keys: The folder with the keys of who calls.
        groups: The groups of who calls.

    Returns:
        The call path itself, to which the others are compared, and the others.
    """
    url, most = worker.url, worker.settings.limits.batch
    remote = RemoteToolserver(
        url,
        "PYRPC",
        privkey=str(keys / f"{CLIENT}.pem"),
        pubkey=str(keys / "server.pem"),
        proxies={},
    )
    doors: list[Door] = [
        RESTDoor(url),
        BatchDoor(url, most),
        MulticallDoor(url, most),
        SOAPDoor(url),
        LiteralDoor(url),
        PickleDoor(remote, most),
        JobDoor(url, most),
    ]
    entry = worker.registry.of_class(MCPTool)
    if entry is not None:
        exposed = entry.tool.settings.expose
        doors.append(AgentDoor(url, AgentCatalog(worker.registry, exposed)))
    return InsideDoor(worker, CLIENT, tuple(groups)), doors


def _make_home(path: Path, original: Home | None, groups: Iterable[str]) -> Home:
    home = Home(path)
    path.mkdir()
    if original is not None:
        for name in ("tools", "lib", "wsgi"):
            if (original.path / name).is_dir():
                (path / name).symlink_to(original.path / name)
    home.create()
    (home.config / "hosts.allow").write_text(f"{CLIENT}:127.0.0.1\n")
    lines = "".join(f"{group}:{CLIENT}\n" for group in groups)
    (home.config / "groups").write_text(lines)
    return home
