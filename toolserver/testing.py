"""For authors of tools: run them in a test as a real server would.

A test may look like this::

    with toolserver.testing.serve(Greeting) as server:
        assert server.call("greeting.greet", "Ann") == "Hello Ann!"
        assert server.http.get("/greeting/greet?name=Ann").text == "Hello Ann!"
        assert server.remote("SOAP").call("greeting.greet", "Ann") == "Hello Ann!"

The server runs in the process of the test, which has to be patched for gevent before
anything else is imported: ``pytest -p toolserver.pytest_plugin`` does so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import requests
from gevent.monkey import is_module_patched

from toolserver.calls import Call
from toolserver.client import Protocol, RemoteToolserver
from toolserver.contexts import Context, bind
from toolserver.declarations import Declaration, declared
from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.settings import Settings
from toolserver.tools import Tool
from toolserver.worker import Worker

__all__ = ["Client", "TestServer", "serve"]


class _Session(requests.Session):
    """A requests session that completes paths to URLs of the server."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base
        # The test's server is near; what the machine uses for far ones is not.
        self.trust_env = False

    def request(
        self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """Send a request to a path of the server, or to a whole URL."""
        text = url.decode() if isinstance(url, bytes) else url
        whole = text if "://" in text else self._base + text
        return super().request(method, whole, *args, **kwargs)


class Client:
    """Calls methods in the test's own process, as somebody.

    Args:
        worker: The server.
        name: The client's name; None for an anonymous one.
        groups: Its groups.
    """

    def __init__(
        self, worker: Worker, name: str | None = None, groups: Iterable[str] = ()
    ) -> None:
        self._worker = worker
        self._name = name
        self._groups = frozenset(groups)

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call an exported method through the call path.

        Args:
            name: Its full name.
            *args: Positional arguments.
            **kwargs: Named arguments.

        Returns:
            What the method returns.

        Raises:
            Exception: What the method raises, or why it could not be called.
        """
        context = Context(
            services=self._worker.services, client=self._name, groups=self._groups
        )
        with bind(context):
            outcome = self._worker.dispatcher.call(Call(name, args, kwargs))
        if outcome.error is not None:
            # A tool's own exception is of more use to its author than its outside.
            raise getattr(outcome.error, "exception", outcome.error)
        return outcome.value


class TestServer(Client):
    """A running server.

    Args:
        worker: The server.
        keys: The private keys of clients by their names.
        pubkey: The server's public key.

    Attributes:
        worker: The server itself.
        http: A requests session whose URLs may be paths of the server.
    """

    __test__ = False  # no test class, whatever its name

    def __init__(
        self,
        worker: Worker,
        keys: Mapping[str, Path] | None = None,
        pubkey: Path | None = None,
    ) -> None:
        super().__init__(worker)
        self.worker = worker
        self._keys = dict(keys or {})
        self._pubkey = pubkey
        self.http = _Session(worker.url.rstrip("/"))
        self._remotes: list[RemoteToolserver] = []

    def url(self, path: str = "/") -> str:
        """The URL of a path of the server.

        Args:
            path: The path, with a slash in front.
        """
        return self.worker.url.rstrip("/") + path

    def remote(
        self, protocol: Protocol = "JSONRPC", client: str = "", **options: Any
    ) -> RemoteToolserver:
        """A client that calls over the network; it is closed with the server.

        Args:
            protocol: How calls are sent.
            client: Who signs them, one of the clients that `serve` was given; by
                default nobody, and for ``"PYRPC"`` the first of them.
            **options: Those of `toolserver.client.RemoteToolserver`.

        Returns:
            The client.

        Raises:
            ValueError: Nobody of that name has a key.
        """
        options.setdefault("proxies", {})
        if protocol == "PYRPC" and not client and "privkey" not in options:
            client = next(iter(self._keys), "somebody")
        if client:
            if client not in self._keys:
                raise ValueError(
                    f"{client!r} has no key: expected serve(..., "
                    f"clients={{{client!r}: ()}})"
                )
            options["privkey"] = str(self._keys[client])
            options["pubkey"] = str(self._pubkey)
        remote = RemoteToolserver(self.url(), protocol, **options)
        self._remotes.append(remote)
        return remote

    def close(self) -> None:
        """Close the connections to the server."""
        self.http.close()
        for remote in self._remotes:
            remote.close()

    def as_client(self, name: str | None, groups: Iterable[str] = ()) -> Client:
        """Call methods as somebody.

        Args:
            name: The client's name; None for an anonymous one.
            groups: Its groups.

        Returns:
            What makes the calls.
        """
        return Client(self.worker, name, groups)

    def run_jobs(self, advance: float = 0.0, *, timeout: float = 30.0) -> int:
        """Run the jobs that are due, and those that they lead to, to their ends.

        Time that is to pass does so at once and step by step: calls that are due
        meanwhile are made one after the other, each with the jobs' clock at its time.
        The clock of the machine is left alone.

        Args:
            advance: Seconds that pass for jobs.
            timeout: Seconds that they may really take each time.

        Returns:
            How many were run, those that were spawned not counted.

        Raises:
            TimeoutError: Some take longer.
        """
        jobs = self.worker.jobs
        before = jobs.runner.served
        end = jobs.clock.now() + advance
        jobs.settle(timeout)
        due = jobs.engine.next_due(jobs.clock.now())
        while due is not None and due <= end:
            jobs.clock.advance(max(0.0, due - jobs.clock.now()))
            jobs.settle(timeout)
            due = jobs.engine.next_due(jobs.clock.now())
        jobs.clock.advance(max(0.0, end - jobs.clock.now()))
        jobs.settle(timeout)
        return jobs.runner.served - before

    def tool(self, namespace: str) -> Any:
        """The instance of a tool that the server uses.

        Args:
            namespace: Its dotted name.
        """
        return self.worker.registry.entry(namespace).tool


@contextmanager
def serve(
    *classes: type[Tool],
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    config: Mapping[str, Mapping[str, Any]] | None = None,
    home: Path | None = None,
    clients: Mapping[str, Iterable[str]] | None = None,
    contracts: bool = True,
) -> Iterator[TestServer]:
    """Run a server with some tools on a free port of this machine.

    Args:
        *classes: Registered tool classes.
        settings: Settings of the tools by namespace.
        config: Settings of the server by section: ``{"limits": {"body": 100}}``.
        home: A home for the server; by default an empty one that goes with it.
        clients: Who has a key to sign calls with, and the groups of each, as in
            ``{"ann": {"editors"}}``; turns PickleRPC on. Needs a home of the test's
            own.
        contracts: Whether the contracts of the tools are checked.

    Yields:
        The running server.

    Raises:
        StartError: A class is not registered, the server cannot start, or the process
            is not patched for gevent.
        ValueError: There are clients, and a home that may have others.
    """
    if clients and home is not None:
        raise ValueError("clients: expected no home with them")
    if not is_module_patched("socket"):
        # The server would wait in its own way: no request would ever be answered.
        raise StartError(
            "the process is not patched for gevent: run pytest with "
            "'-p toolserver.pytest_plugin', or import toolserver.pytest_plugin first "
            "in conftest.py"
        )
    sections: dict[str, Any] = {
        key: dict(value) for key, value in (config or {}).items()
    }
    sections["server"] = {
        "port": 0,
        "stop_timeout": 5.0,
        "contracts": contracts,
        # A test that is debugged holds up the loop for long.
        "loop_block_warn": 0.0,
        **sections.get("server", {}),
    }
    for namespace, values in (settings or {}).items():
        sections.setdefault("tool", {})[namespace] = dict(values)
    # What a test leaves behind is nobody's business.
    sections["jobs"] = {"engine": "memory", **sections.get("jobs", {})}
    keys: dict[str, Path] = {}
    with ExitStack() as stack:
        if home is None:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folders = Home(home)
        folders.create()
        pubkey = home / "keys" / "server.pem"
        if clients:
            keys = {name: pubkey.with_name(f"{name}.pem") for name in clients}
            _let_in(clients, folders, pubkey.parent)
            # PickleRPC asks for a signature itself; all else is for strangers, too.
            signed = {"rsa_authenticate": True, "unsigned_paths": ["/"]}
            sections["auth"] = {**signed, **sections.get("auth", {})}
            sections["picklerpc"] = {"enabled": True, **sections.get("picklerpc", {})}
        worker = Worker(
            msgspec.convert(sections, Settings),
            folders,
            tools=[declaration for cls in classes for declaration in _declared(cls)],
        )
        worker.start()
        stack.callback(worker.stop, 1.0)
        server = TestServer(worker, keys, pubkey)
        stack.callback(server.close)
        yield server


def _declared(cls: type[Tool]) -> list[Declaration]:
    found = [declaration for declaration in declared if declaration.cls is cls]
    if not found:
        raise StartError(f"{cls.__qualname__}: not registered; see toolserver.register")
    return found


def _let_in(clients: Mapping[str, Iterable[str]], home: Home, keys: Path) -> None:
    # Only servers with keys wait for the library to be imported.
    from toolserver.auth.throwaway import make_keys

    make_keys(home, clients, keys)
    members: dict[str, list[str]] = {}
    for name, groups in clients.items():
        for group in groups:
            members.setdefault(group, []).append(name)
    lines = [f"{group}:{','.join(names)}\n" for group, names in members.items()]
    (home.config / "groups").write_text("".join(lines))
