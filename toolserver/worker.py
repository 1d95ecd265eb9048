"""One server process: its parts are made, started in order, and stopped again."""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import gevent

from toolserver import loader
from toolserver.assembly import assemble
from toolserver.auth.access import Access
from toolserver.auth.base import registered as authenticators
from toolserver.auth.toolsecrets import ToolSecrets
from toolserver.builtin.api import API
from toolserver.chains import Chain, Chains, declared_chains
from toolserver.configuration import Configuration
from toolserver.contexts import Context, bind
from toolserver.debugger.calls import RunningCalls
from toolserver.debugger.listener import Debugger, make_debugger
from toolserver.declarations import Declaration, declared
from toolserver.endpoints import INDEX, endpoints_of
from toolserver.errors import StartError
from toolserver.health import Health
from toolserver.home import Home
from toolserver.http.certificates import Certificates, make_certificates
from toolserver.http.tally import Tally
from toolserver.http.transport import HTTPServer, is_local
from toolserver.jobs.engines import make_engine
from toolserver.jobs.scheduler import Scheduler
from toolserver.lifecycle import Lifecycle
from toolserver.measuring import make_dispatcher, make_metrics, watch_server
from toolserver.message import Request
from toolserver.metrics.counting import Metrics
from toolserver.metrics.sheets import GAUGE, CountSheet
from toolserver.pidfile import find_server
from toolserver.reloading import ToolReloader
from toolserver.serverspace import Universe
from toolserver.serverstatus import ServerStatus, WorkerFacts
from toolserver.services import Services, install
from toolserver.settings import Settings
from toolserver.sharing.joining import join
from toolserver.sharing.link import Link
from toolserver.subscribers import Subscribers
from toolserver.toolbuilder import ToolBuilder
from toolserver.watchdog import Watchdog
from toolserver.web.app import App

__all__ = ["Worker"]

log = logging.getLogger("toolserver")

#: Seconds between two looks at the files of certificates.
_CERTIFICATE_INTERVAL = 1.0

AccessLog = Callable[[Request, int, int, float], None]


class Worker:
    """A server in this process.

    Args:
        settings: The settings in force.
        home: The folders of the server.
        configuration: Where the settings came from, for the tools' own.
        access_log: Writes a line for each answer; None for no access log.
        tools: The tools to serve; by default all that the home loads.
        link: The connection to the hub, where there are other workers; it is closed
            with this one.
        listener: The listening socket that was inherited; by default one is opened as
            the settings say.
        tally: Where other processes accept from it, too: what each of them has.
        tells_start: Whether it is the one to tell that the server has started.
        number: Its place among the workers.
        sheet: Where it counts what it does; by default it has one of its own.
    """

    def __init__(
        self,
        settings: Settings,
        home: Home,
        *,
        configuration: Configuration | None = None,
        access_log: AccessLog | None = None,
        tools: Iterable[Declaration] | None = None,
        link: Link | None = None,
        listener: socket.socket | None = None,
        tally: Tally | None = None,
        tells_start: bool = True,
        number: int = 0,
        sheet: CountSheet | None = None,
    ) -> None:
        self.settings = settings
        self.home = home
        self._access_log = access_log
        self._tools = tools
        self._builder = ToolBuilder(settings, home, configuration)
        self.registry = self._builder.registry
        self._metrics: Metrics | None = None
        if settings.ops.metrics:
            self._metrics = make_metrics(sheet, link, number)
        self.dispatcher = make_dispatcher(settings, self.registry, self._metrics)
        self.services = Services(self.registry, self.dispatcher, settings, home)
        self._listener = listener
        self._tally = tally
        self._tells_start = tells_start
        self._number = number
        self._link = link
        if link is not None:
            join(self.services, link)
        self._lifecycle = Lifecycle(
            self.registry, self.services, home.var / "setup.lock"
        )
        self._access = Access(
            home,
            settings=settings.auth,
            authenticators=authenticators,
            secrets=ToolSecrets(self.registry),
        )
        self.jobs = Scheduler(
            self.services,
            make_engine(settings.jobs, home),
            self._access,
            settings.jobs,
            has_peers=link is not None,
        )
        self.services.provide(Scheduler, self.jobs)
        if self._metrics is not None:
            self.services.provide(Metrics, self._metrics)
            self.jobs.runner.on_begin = self._metrics.note_job
            self._metrics.watch(
                GAUGE, {"jobs_running": lambda: self.jobs.runner.running}
            )
        if settings.ops.status:
            running = RunningCalls(self.jobs).running
            self.services.provide(
                ServerStatus,
                ServerStatus(running, self._numbers, self._workers),
            )
        self._health = Health(home.var, self.jobs)
        self.services.provide(Health, self._health)
        self._builder.starter = self.jobs
        self._http: HTTPServer | None = None
        self._watchdog: Watchdog | None = None
        self._debugger: Debugger | None = None
        self._certificate_watch: gevent.Greenlet[..., None] | None = None
        self._has_started = False

    @property
    def http(self) -> HTTPServer:
        """The HTTP server; there is one once the worker was started.

        Raises:
            RuntimeError: It was not started.
        """
        if self._http is None:
            raise RuntimeError("the worker was not started")
        return self._http

    @property
    def url(self) -> str:
        """The address of the server, with a slash at its end."""
        url = self.settings.server.public_url or self.http.url
        scheme, is_unix, path = url.partition("+unix://")
        # Whoever asks for it may be in another folder.
        return f"{scheme}{is_unix}{os.path.abspath(path)}" if is_unix else url

    @property
    def urls(self) -> list[tuple[str, str]]:
        """What to show of the server when it has started: labels and addresses."""
        base = self.url.rstrip("/")
        rpc, gateway = self._assembly.rpc, self._assembly.gateway
        pages = self.registry.of_class(API)
        found = [("API", base + pages.path)] if pages is not None else []
        found += [
            (entry.namespace or "/", base + entry.path)
            for entry in sorted(self.registry, key=lambda entry: entry.namespace)
            # What answers nothing there is found among the pages.
            if not entry.is_builtin and (pages is None or endpoints_of(entry, INDEX))
        ]
        protocols = [(prefix, f"{base}/{prefix}") for prefix in rpc.prefixes]
        mounted = [(mount, f"{base}{mount}/") for mount in gateway.mounts]
        return [("server", f"{base}/"), *protocols, *found, *mounted]

    @property
    def folders(self) -> list[Path]:
        """The folders of tools, the first one going before the others."""
        return self._builder.folders

    def start(self) -> None:
        """Load the tools, run their hooks, and accept requests.

        Raises:
            StartError: What keeps the server from starting; what was started before
                is stopped.
        """
        app = self._build()
        self._warn()
        certificates = self._make_certificates()
        debugger = make_debugger(self, self._number)
        lists_calls = debugger is not None or self.settings.ops.status
        http = HTTPServer(
            app,
            settings=self.settings.server,
            limits=self.settings.limits,
            body_limit=app.body_limit,
            # Since when requests run is known only where somebody is told of it.
            on_reply=self._access_log or (_tell_nobody if lists_calls else None),
            on_failure=app.fail,
            tls=None if certificates is None else lambda: certificates.context,
            exempt=lambda peer: is_local(peer) or app.is_proxy(peer),
            proxies=app.is_proxy if self.settings.server.proxy_protocol else None,
        )
        # The port is taken before the tools are touched: a second server that is
        # started by mistake does no harm.
        http.listen(self._listener, tally=self._tally)
        self._http = http
        if self._metrics is not None:
            watch_server(self._metrics, http)
        install(self.services)
        try:
            if debugger is not None:
                # Before the tools' hooks, in which a server may hang.
                debugger.start()
            self.jobs.open()
            self._lifecycle.start()
        except BaseException:
            if debugger is not None:
                debugger.stop()
            http.stop(0)
            self.jobs.stop(0)
            self.services.close()
            install(None, self.services)
            raise
        self._debugger = debugger
        self._tell_started()
        self.jobs.start()
        http.start()
        self._health.begin()
        if certificates is not None:
            self._certificate_watch = gevent.spawn(_follow, certificates)
        if self.settings.server.loop_block_warn:
            self._watchdog = Watchdog(self.settings.server.loop_block_warn)
            self._watchdog.start()
        if self._tells_start:
            self._tell("system.server.start", self.url)

    def open(self) -> App:
        """Load the tools and run their hooks, for another server to bring requests.

        Returns:
            What answers requests.

        Raises:
            StartError: What keeps the tools from starting.
        """
        app = self._build()
        install(self.services)
        try:
            self.jobs.open()
            self._lifecycle.start()
        except BaseException:
            self.jobs.stop(0)
            self.services.close()
            install(None, self.services)
            raise
        self._tell_started()
        self.jobs.start()
        self._health.begin()
        return app

    def check(self) -> None:
        """Load the tools and build all parts, but run no hook and accept nothing.

        Raises:
            StartError: What would keep the server from starting.
        """
        self._build()
        make_debugger(self)

    def has_loaded(self, files: Iterable[Path]) -> bool:
        """Whether all of some files are files of tools, so that `reload` suffices.

        What else a file offers, a WSGI application or a protocol, does not change
        with its tools: such a file asks for a new start.

        Args:
            files: The files; of a package, its folder.
        """
        fixed = {name.partition(".")[0] for name in self._assembly.modules}
        loaded = {
            path.resolve()
            for name, path in loader.tool_files(self.folders).items()
            if name in sys.modules and name not in fixed
        }
        return all(file.resolve() in loaded for file in files)

    def reload(self, file: Path) -> list[str]:
        """Load a changed file of tools; calls that are running end on the old code.

        Args:
            file: The file.

        Returns:
            The namespaces of its tools.

        Raises:
            StartError: The server has not loaded the file, or it cannot be loaded
                again; then the old code goes on serving.
        """
        for name, known in loader.tool_files(self.folders).items():
            if known.resolve() == file.resolve() and name in sys.modules:
                break
        else:
            raise StartError(f"{file}: no file of tools that the server has loaded")
        timeout = self.settings.server.stop_timeout
        reloader = ToolReloader(
            self.registry,
            self._lifecycle,
            self.services.part(Chains),
            self._builder.make_entry,
            lambda: self.http.wait_for_running(timeout),
        )
        return reloader.reload(name, known)

    def retire(self, patience: float) -> None:
        """Leave new requests and jobs to another process, before `stop`.

        Args:
            patience: Seconds that clients get to go to the other one.
        """
        self._health.is_leaving = True
        self.jobs.hold()
        if self._debugger is not None:
            self._debugger.leave()
        self.http.retire(patience)

    def stop(self, timeout: float | None = None, *, tells_stop: bool = True) -> None:
        """Close the port, let running calls end, and run the tools' hooks.

        Args:
            timeout: Seconds that running calls get; by default as configured.
            tells_stop: Whether it is the one to tell that the server stops.
        """
        if timeout is None:
            timeout = self.settings.server.stop_timeout
        deadline = time.monotonic() + timeout
        if self._has_started and not self._health.is_leaving:
            self._health.is_leaving = True
            gevent.sleep(min(self.settings.ops.drain, timeout))
        universe = self.services.part(Universe)
        self.jobs.hold()
        if self._http is not None:
            if self._has_started and tells_stop:
                self._tell("system.server.stop", self.url)
            # Calls that wait for a tuple would hold up the end until the time-out,
            # and so would who waits for events.
            universe.close()
            self.services.part(Subscribers).close()
            self._http.stop(timeout)
        universe.close()
        self.jobs.stop(max(0.0, deadline - time.monotonic()))
        if self._has_started:
            self._has_started = False
            self._tell("system.worker.exit", os.getpid())
        self._lifecycle.stop()
        self._lifecycle.close()
        if self._watchdog is not None:
            self._watchdog.stop()
        if self._debugger is not None:
            self._debugger.stop()
        if self._certificate_watch is not None:
            self._certificate_watch.kill()
        self._access.close()
        self.services.close()
        self.dispatcher.threads.close()
        if self._link is not None:
            self._link.close()
        install(None, self.services)

    def _build(self) -> App:
        chains = self.services.part(Chains)
        if self._tools is None:
            self._builder.load()
            chains.adopt(declared_chains)
            self._builder.add(declared)
        else:
            given = list(self._tools)
            modules = {declaration.cls.__module__ for declaration in given}
            chains.adopt(declared_chains, modules)
            self._builder.add(given)
        self._access.load()
        self._assembly = assemble(self.services, self._access, self.home)
        return self._assembly.app

    def _make_certificates(self) -> Certificates | None:
        server = self.settings.server
        if self.settings.auth.certificate and server.tls_client_auth == "none":
            raise StartError(
                "auth.certificate: server.tls_client_auth has to ask clients for theirs"
            )
        return make_certificates(server, self.home.path)

    def _warn(self) -> None:
        server = self.settings.server
        loopback = server.host in ("127.0.0.1", "::1", "localhost")
        if not loopback and not server.hosts and not server.unix_socket:
            log.warning(
                "server.host is %s but server.hosts is empty: requests that name "
                "another host than it or a loopback name are refused",
                server.host,
            )
        if server.debug and not loopback:
            log.warning("server.debug shows tracebacks to everybody who asks")
        for mount in self._assembly.gateway.mounts:
            for entry in self.registry:
                if entry.path.startswith(f"{mount}/"):
                    log.warning(
                        "wsgi: the application at %s hides the tool %r over REST",
                        mount,
                        entry.namespace,
                    )

    def _numbers(self) -> dict[str, str]:
        """What the status page tells of the HTTP server."""
        http = self.http
        return {
            "Connections": str(http.connections),
            "Requests": (
                f"{http.busy} run, {http.waiting} wait, {http.pool.size} may run"
            ),
        }

    def _workers(self) -> list[WorkerFacts]:
        """The worker processes, as their master tells of them."""
        found = find_server(self.home) if self._link is not None else None
        return [
            WorkerFacts(each.pid, each.started, each.restarts)
            for each in (found.workers if found is not None else ())
        ]

    def _tell_started(self) -> None:
        self._access.watch()
        if self._metrics is not None:
            self._metrics.start()
        self._has_started = True
        self._tell("system.worker.start", os.getpid())

    def _tell(self, chain: str, value: str | int) -> None:
        """Run one of the server's own chains."""
        with bind(Context(services=self.services)):
            Chain(chain, type(value), self.services.part(Chains)).run(value)


def _tell_nobody(request: Request, status: int, sent: int, seconds: float) -> None:
    """Keep no access log."""


def _follow(certificates: Certificates) -> None:
    """Use new certificates as soon as they are there."""
    while True:
        gevent.sleep(_CERTIFICATE_INTERVAL)
        # Where no descriptor is left, the next look may find one.
        with suppress(OSError):
            certificates.refresh()
