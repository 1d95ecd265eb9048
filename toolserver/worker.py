"""One server process: the only module that knows all the parts.

It builds them from the settings, joins them, starts and stops them.
"""

from __future__ import annotations

import difflib
import logging
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from toolserver import loader
from toolserver.auth.access import Access
from toolserver.auth.base import registered as authenticators
from toolserver.builtin.api import API
from toolserver.builtin.catalog import BUILTIN
from toolserver.builtin.wsdl import WSDLTool
from toolserver.chains import Chain, Chains, declared_chains
from toolserver.configuration import Configuration
from toolserver.contexts import Context, bind
from toolserver.declarations import Declaration, declared
from toolserver.dispatcher import Dispatcher
from toolserver.entries import ToolEntry
from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.http.certificates import server_context
from toolserver.http.transport import HTTPServer
from toolserver.lifecycle import Lifecycle
from toolserver.message import Request
from toolserver.protocols.base import RPCProtocol
from toolserver.protocols.base import registered as codecs
from toolserver.protocols.jsonrpc import JSONRPC
from toolserver.protocols.soap import SOAP
from toolserver.protocols.xmlrpc import XMLRPC
from toolserver.registry import Registry
from toolserver.reloading import ToolReloader
from toolserver.serverspace import Universe
from toolserver.services import Services, install
from toolserver.settings import Settings
from toolserver.tools import Tool
from toolserver.toolsettings import tool_settings
from toolserver.watchdog import Watchdog
from toolserver.web.app import App
from toolserver.web.gateway import Gateway, configured
from toolserver.web.gateway import registered as applications
from toolserver.web.hosts import HostCheck
from toolserver.web.proxies import Proxies
from toolserver.web.rest import REST
from toolserver.web.rpc import RPC
from toolserver.web.static import StaticFiles

__all__ = ["Worker"]

log = logging.getLogger("toolserver")

AccessLog = Callable[[Request, int, int, float], None]


class Worker:
    """A server in this process.

    Args:
        settings: The settings in force.
        home: The folders of the server.
        configuration: Where the settings came from, for the tools' own.
        access_log: Writes a line for each answer; None for no access log.
        tools: The tools to serve; by default all that the home loads.
    """

    def __init__(
        self,
        settings: Settings,
        home: Home,
        *,
        configuration: Configuration | None = None,
        access_log: AccessLog | None = None,
        tools: Iterable[Declaration] | None = None,
    ) -> None:
        self.settings = settings
        self.home = home
        self._configuration = configuration
        self._access_log = access_log
        self._tools = tools
        self.registry = Registry(
            call_timeout=settings.server.call_timeout or None,
            checks_contracts=self._checks_contracts,
        )
        self.dispatcher = Dispatcher(
            self.registry,
            tells_exceptions=settings.errors.detail == "message",
            threads=settings.server.threads,
        )
        self.services = Services(self.registry, self.dispatcher, settings, home)
        self._lifecycle = Lifecycle(
            self.registry, self.services, home.var / "setup.lock"
        )
        self._access = Access(
            home, basic=settings.auth.basic, authenticators=authenticators
        )
        self._http: HTTPServer | None = None
        self._watchdog: Watchdog | None = None
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
        return self.settings.server.public_url or self.http.url

    @property
    def urls(self) -> list[tuple[str, str]]:
        """What to show of the server when it has started: labels and addresses."""
        base = self.url.rstrip("/")
        found = [
            (entry.namespace or "/", base + entry.path)
            for entry in sorted(self.registry, key=lambda entry: entry.namespace)
            if not entry.is_builtin
        ]
        protocols = [(prefix, f"{base}/{prefix}") for prefix in self._rpc.prefixes]
        mounted = [(mount, f"{base}{mount}/") for mount in self._gateway.mounts]
        return [("server", f"{base}/"), *protocols, *found, *mounted]

    def start(self) -> None:
        """Load the tools, run their hooks, and accept requests.

        Raises:
            StartError: What keeps the server from starting; what was started before
                is stopped.
        """
        app = self._build()
        self._warn()
        http = HTTPServer(
            app,
            settings=self.settings.server,
            limits=self.settings.limits,
            body_limit=app.body_limit,
            on_reply=self._access_log,
            tls=server_context(self.settings.server, self.home.path),
        )
        # The port is taken before the tools are touched: a second server that is
        # started by mistake does no harm.
        http.listen()
        self._http = http
        install(self.services)
        try:
            self._lifecycle.start()
        except BaseException:
            http.stop(0)
            self.services.close()
            install(None, self.services)
            raise
        self._tell_started()
        http.start()
        if self.settings.server.loop_block_warn:
            self._watchdog = Watchdog(self.settings.server.loop_block_warn)
            self._watchdog.start()
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
            self._lifecycle.start()
        except BaseException:
            self.services.close()
            install(None, self.services)
            raise
        self._tell_started()
        return app

    def check(self) -> None:
        """Load the tools and build all parts, but run no hook and accept nothing.

        Raises:
            StartError: What would keep the server from starting.
        """
        self._build()

    def has_loaded(self, files: Iterable[Path]) -> bool:
        """Whether all of some files are files of tools, so that `reload` suffices.

        What else a file offers, a WSGI application or a protocol, does not change
        with its tools: such a file asks for a new start.

        Args:
            files: The files; of a package, its folder.
        """
        offering = self._gateway.modules | {type(codec).__module__ for codec in codecs}
        fixed = {name.partition(".")[0] for name in offering}
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
            self._make_entry,
            lambda: self.http.wait_for_running(timeout),
        )
        return reloader.reload(name, known)

    def stop(self, timeout: float | None = None) -> None:
        """Close the port, let running calls end, and run the tools' hooks.

        Args:
            timeout: Seconds that running calls get; by default as configured.
        """
        if timeout is None:
            timeout = self.settings.server.stop_timeout
        universe = self.services.part(Universe)
        if self._http is not None:
            if self._has_started:
                self._tell("system.server.stop", self.url)
            # Calls that wait for a tuple would hold up the end until the time-out.
            universe.close()
            self._http.stop(timeout)
        universe.close()
        if self._has_started:
            self._has_started = False
            self._tell("system.worker.exit", os.getpid())
        self._lifecycle.stop()
        self._lifecycle.close()
        if self._watchdog is not None:
            self._watchdog.stop()
        self._access.close()
        self.services.close()
        self.dispatcher.threads.close()
        install(None, self.services)

    @property
    def folders(self) -> list[Path]:
        """The folders of tools, the first one going before the others."""
        settings = self.settings.tools
        found = [self.home.tools]
        found += [self.home.path / folder for folder in settings.folders]
        return [*found, Path(settings.shared)] if settings.shared else found

    def _build(self) -> App:
        if self._tools is None:
            settings = self.settings.tools
            loader.load_tools(self.folders, library=self.home.lib)
            if self.home.wsgi.is_dir():
                loader.load_tools([self.home.wsgi], library=self.home.lib)
            loader.load_modules(settings.modules, entry_points=settings.entry_points)
        if self._tools is None:
            self.services.part(Chains).adopt(declared_chains)
            self._fill_registry(declared)
        else:
            given = list(self._tools)
            modules = {declaration.cls.__module__ for declaration in given}
            self.services.part(Chains).adopt(declared_chains, modules)
            self._fill_registry(given)
        return self._build_app()

    def _tell_started(self) -> None:
        self._access.watch()
        self._has_started = True
        self._tell("system.worker.start", os.getpid())

    def _tell(self, chain: str, value: str | int) -> None:
        """Run one of the server's own chains."""
        with bind(Context(services=self.services)):
            Chain(chain, type(value), self.services.part(Chains)).run(value)

    def _fill_registry(self, declarations: Iterable[Declaration]) -> None:
        for declaration in self._with_builtin(list(declarations)):
            self.registry.add(
                self._make_tool(declaration),
                declaration.namespace,
                source=declaration.source,
                options=declaration.options,
                is_builtin=_is_builtin(declaration),
            )
        self._check_contracts_only()
        known = {entry.namespace for entry in self.registry}
        for namespace in self.settings.tool:
            if namespace not in known:
                likely = difflib.get_close_matches(namespace, known, 1)
                hint = f", did you mean {likely[0]!r}?" if likely else ""
                where = ""
                if self._configuration is not None:
                    where = f"{self._configuration.origin('tool', namespace)}: "
                raise StartError(f'{where}[tool."{namespace}"]: no such tool{hint}')

    def _with_builtin(self, declarations: list[Declaration]) -> list[Declaration]:
        """Add the server's own tools, as far as nothing takes their place."""
        omitted = self.settings.tools.omit
        for namespace in omitted:
            if namespace not in BUILTIN:
                raise StartError(
                    f"tools.omit: got {namespace!r}, expected one of "
                    f"{', '.join(sorted(BUILTIN))}"
                )
        replaced = {each.namespace for each in declarations if _is_builtin(each)}
        own = [
            Declaration(cls, namespace, {}, "the server")
            for namespace, cls in BUILTIN.items()
            if namespace not in replaced and namespace not in omitted
        ]
        return own + declarations

    def _make_tool(self, declaration: Declaration) -> Tool:
        cls, namespace = declaration.cls, declaration.namespace
        try:
            tool = cls()
        except TypeError as error:
            raise StartError(
                f"{declaration.source}: {cls.__name__} cannot be made: {error}"
            ) from error
        tool.log = logging.getLogger(f"toolserver.tool.{namespace or 'root'}")
        tool._home = self.home
        tool.settings = self._settings_of(cls.settings, namespace)
        # Some tell which section of the configuration is theirs.
        tool.namespace = namespace
        tool._check_settings()
        return tool

    def _make_entry(self, declaration: Declaration) -> ToolEntry:
        return self.registry.prepare(
            self._make_tool(declaration),
            declaration.namespace,
            source=declaration.source,
            options=declaration.options,
            is_builtin=_is_builtin(declaration),
        )

    def _checks_contracts(self, namespace: str) -> bool:
        server = self.settings.server
        if not server.contracts_only:
            return server.contracts
        return server.contracts and any(
            _is_below(namespace, only) for only in server.contracts_only
        )

    def _check_contracts_only(self) -> None:
        known = [entry.namespace for entry in self.registry]
        for only in self.settings.server.contracts_only:
            # What a factory makes later is below the factory.
            if not any(_is_below(n, only) or _is_below(only, n) for n in known):
                raise StartError(
                    f"server.contracts_only: {only!r} is the name of no tool, and "
                    "none is below it"
                )

    def _settings_of(self, declared_settings: Any, namespace: str) -> Any:
        if declared_settings is None and namespace not in self.settings.tool:
            return None
        return tool_settings(
            declared_settings,
            namespace,
            self.settings.tool.get(namespace, {}),
            self._configuration,
        )

    def _build_app(self) -> App:
        settings = self.settings
        self._access.load()
        wsdl = self.registry.of_class(WSDLTool)
        pages = self.registry.of_class(API)
        protocols: list[RPCProtocol] = [
            XMLRPC(settings.limits, settings.xmlrpc),
            SOAP(
                settings.limits,
                self.registry.target,
                wsdl.namespace if wsdl is not None else None,
            ),
            JSONRPC(settings.limits),
            *codecs,
        ]
        self._rpc = RPC(
            self.dispatcher,
            protocols,
            max_calls=settings.limits.batch,
            logs_calls=settings.log.rpc,
        )
        self.services.prefixes = self._rpc.prefixes
        static = settings.static
        self._gateway = Gateway(
            [*applications, *configured(settings.wsgi.applications)]
        )
        return App(
            self.services,
            access=self._access,
            proxies=Proxies(settings.server.trusted_proxies),
            hosts=HostCheck(settings.server),
            rpc=self._rpc,
            rest=REST(self.registry, self.dispatcher, settings=settings),
            static=StaticFiles(self.home.www, static) if static.enabled else None,
            gateway=self._gateway or None,
            start=pages.path if pages is not None else "",
        )

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


def _is_builtin(declaration: Declaration) -> bool:
    """Whether a tool is one of the server's own, or takes the place of one."""
    own = BUILTIN.get(declaration.namespace)
    return own is not None and issubclass(declaration.cls, own)


def _is_below(namespace: str, top: str) -> bool:
    return namespace == top or namespace.startswith(f"{top}.")
