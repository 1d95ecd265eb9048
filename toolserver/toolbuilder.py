"""From the files of tools to a registry of tools, with their settings.

It makes the tools, and runs none of their hooks.
"""

from __future__ import annotations

import difflib
import logging
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gevent import GreenletExit

from toolserver import loader
from toolserver.builtin.catalog import BUILTIN
from toolserver.configuration import Configuration
from toolserver.declarations import Declaration
from toolserver.entries import ToolEntry
from toolserver.errors import StartError
from toolserver.failures import text_of
from toolserver.home import Home
from toolserver.registry import Registry
from toolserver.resultcache import ResultCache
from toolserver.settings import Settings
from toolserver.throttles import Throttles
from toolserver.tools import Tool
from toolserver.toolsettings import tool_settings

if TYPE_CHECKING:
    from toolserver.jobs.handles import Starter

__all__ = ["ToolBuilder"]


class ToolBuilder:
    """Loads the tools of one server and makes them.

    Args:
        settings: The settings in force.
        home: The folders of the server.
        configuration: Where the settings came from, for the tools' own.

    Attributes:
        registry: The tools that were added.
        starter: Starts the jobs of the tools; None where there are no jobs.
    """

    def __init__(
        self, settings: Settings, home: Home, configuration: Configuration | None
    ) -> None:
        self._settings = settings
        self._home = home
        self.starter: Starter | None = None
        self._configuration = configuration
        limits = settings.limits
        self._throttles = Throttles(limits)
        self._results = ResultCache(limits.cached_results, limits.cached_size)
        self.registry = Registry(
            call_timeout=settings.server.call_timeout or None,
            max_children=settings.tools.max_children,
            checks_contracts=self._checks_contracts,
            fit=self._fit,
        )

    @property
    def folders(self) -> list[Path]:
        """The folders of tools, the first one going before the others."""
        settings = self._settings.tools
        found = [self._home.tools]
        found += [self._home.path / folder for folder in settings.folders]
        return [*found, Path(settings.shared)] if settings.shared else found

    def load(self) -> None:
        """Import what the home and the settings name, so that it declares its tools.

        Raises:
            StartError: Something cannot be imported.
        """
        settings = self._settings.tools
        loader.load_tools(self.folders, library=self._home.lib)
        if self._home.wsgi.is_dir():
            loader.load_tools([self._home.wsgi], library=self._home.lib)
        loader.load_modules(settings.modules, entry_points=settings.entry_points)

    def add(self, declarations: Iterable[Declaration]) -> None:
        """Put declared tools into the registry, and the server's own ones.

        Args:
            declarations: All that are to be served.

        Raises:
            StartError: A tool cannot be made, or the settings name none that is there.
        """
        for declaration in self._with_builtin(list(declarations)):
            self.registry.add(
                self._make_tool(declaration),
                declaration.namespace,
                source=declaration.source,
                options=declaration.options,
                is_builtin=_is_builtin(declaration),
            )
        self._check_contracts_only()
        self._check_sections()
        self._throttles.check(self.registry)

    def make_entry(self, declaration: Declaration) -> ToolEntry:
        """Make a tool that the registry does not know yet.

        Args:
            declaration: What was declared of it.

        Returns:
            Its entry.

        Raises:
            StartError: It cannot be made.
        """
        return self.registry.prepare(
            self._make_tool(declaration),
            declaration.namespace,
            source=declaration.source,
            options=declaration.options,
            is_builtin=_is_builtin(declaration),
        )

    def _fit(self, entry: ToolEntry) -> None:
        self._throttles.fit(entry)
        self._results.fit(entry)

    def _with_builtin(self, declarations: list[Declaration]) -> list[Declaration]:
        """Add the server's own tools, as far as nothing takes their place."""
        omitted = self._settings.tools.omit
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
        except GreenletExit:
            raise
        except BaseException as error:  # a tool may raise SystemExit, too
            last = traceback.extract_tb(error.__traceback__)[-1]
            raise StartError(
                f"{declaration.source}: {cls.__name__} cannot be made: "
                f"{type(error).__name__}: {text_of(error)} "
                f"({last.filename}:{last.lineno})"
            ) from error
        tool.log = logging.getLogger(f"toolserver.tool.{namespace or 'root'}")
        tool._home = self._home
        tool._starter = self.starter
        tool.settings = self._settings_of(cls.settings, namespace)
        # Some tell which section of the configuration is theirs.
        tool.namespace = namespace
        tool._check_settings()
        return tool

    def _settings_of(self, declared_settings: Any, namespace: str) -> Any:
        if declared_settings is None and namespace not in self._settings.tool:
            return None
        return tool_settings(
            declared_settings,
            namespace,
            self._settings.tool.get(namespace, {}),
            self._configuration,
        )

    def _checks_contracts(self, namespace: str) -> bool:
        server = self._settings.server
        if not server.contracts_only:
            return server.contracts
        return server.contracts and any(
            _is_below(namespace, only) for only in server.contracts_only
        )

    def _check_contracts_only(self) -> None:
        known = [entry.namespace for entry in self.registry]
        for only in self._settings.server.contracts_only:
            # What a factory makes later is below the factory.
            if not any(_is_below(n, only) or _is_below(only, n) for n in known):
                raise StartError(
                    f"server.contracts_only: {only!r} is the name of no tool, and "
                    "none is below it"
                )

    def _check_sections(self) -> None:
        known = {entry.namespace for entry in self.registry}
        for namespace in self._settings.tool:
            if namespace not in known:
                likely = difflib.get_close_matches(namespace, known, 1)
                hint = f", did you mean {likely[0]!r}?" if likely else ""
                where = ""
                if self._configuration is not None:
                    where = f"{self._configuration.origin('tool', namespace)}: "
                raise StartError(f'{where}[tool."{namespace}"]: no such tool{hint}')


def _is_builtin(declaration: Declaration) -> bool:
    """Whether a tool is one of the server's own, or takes the place of one."""
    own = BUILTIN.get(declaration.namespace)
    return own is not None and issubclass(declaration.cls, own)


def _is_below(namespace: str, top: str) -> bool:
    return namespace == top or namespace.startswith(f"{top}.")
