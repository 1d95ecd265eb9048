"""Reads the settings: a file, above it the environment, above that the switches.

Each value is checked where it was set, and where it was set is kept: a line of the
file, a variable, a switch. ``[server] port`` of the file is the variable
``TOOLSERVER_SERVER__PORT``. Variables without a double underscore
are not ours: other programs set ``TOOLSERVER_PORT`` and the like by themselves.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from toolserver.errors import SettingsError
from toolserver.expectations import Unfit, checked
from toolserver.settings import Settings
from toolserver.switches import Given
from toolserver.tomllines import statements

__all__ = [
    "Configuration",
    "likely",
    "load",
    "parse_toml",
    "quoted",
    "sections",
]

PREFIX = "TOOLSERVER_"
TOOL_PREFIX = f"{PREFIX}TOOL__"
_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.S)

Fields = Mapping[str, msgspec.structs.FieldInfo]


@dataclass(frozen=True)
class Configuration:
    """The settings in force, and where each was set.

    Attributes:
        settings: The settings.
        file: The file that was read, or None.
        origins: By section and name: ``FILE:LINE``, a variable or a switch. What
            is missing has its default.
        environment: The variables that were given.
    """

    settings: Settings
    file: Path | None
    origins: Mapping[tuple[str, ...], str]
    environment: Mapping[str, str]

    def origin(self, *path: str) -> str:
        """Where something was set.

        Args:
            *path: Section and name, or ``"tool"``, namespace and name.

        Returns:
            ``FILE:LINE`` (of the nearest thing around it that has one), a variable,
            a switch or ``"default"``.
        """
        for end in range(len(path), 0, -1):
            if path[:end] in self.origins:
                return self.origins[path[:end]]
        return "default"

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], Any, str]]:
        """All settings: path, value and where it was set; those of tools as set."""
        for section in sections():
            values = getattr(self.settings, section)
            for name in values.__struct_fields__:
                path = (section, name)
                origin = self.origins.get(path, "default")
                yield path, getattr(values, name), origin
        for namespace, table in self.settings.tool.items():
            for name, value in table.items():
                yield (
                    ("tool", namespace, name),
                    value,
                    self.origin("tool", namespace, name),
                )


def sections() -> dict[str, type[msgspec.Struct]]:
    """The classes of the sections, by their names; the tools' own are not among them.

    Returns:
        Classes, in the order in which the file shows them.
    """
    fields = msgspec.structs.fields(Settings)
    return {field.name: field.type for field in fields if field.name != "tool"}


def load(
    file: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    switches: Sequence[Given] = (),
) -> Configuration:
    """Read the settings.

    Args:
        file: The configuration file, or None for none.
        environment: Variables, by name.
        switches: What was given on the command line.

    Returns:
        The settings with their origins.

    Raises:
        SettingsError: Something is unknown, ill-typed or out of range, or the file
            cannot be read.
    """
    environment = environment or {}
    reader = _Reader()
    if file is not None:
        reader.read_file(file)
    reader.read_environment(environment)
    reader.read_switches(switches)
    made: dict[str, Any] = {
        name: cls(**reader.values[name]) for name, cls in reader.classes.items()
    }
    settings = Settings(tool=reader.tools, **made)
    return Configuration(settings, file, reader.origins, environment)


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Read TOML.

    Args:
        text: The text.
        source: What messages call it.

    Returns:
        Its values.

    Raises:
        SettingsError: It is not well-formed; names line and column.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise SettingsError(f"{source}: not valid TOML: nested too deep") from error
    except ValueError as error:
        where, message = source, str(error)
        found = _PLACE.fullmatch(message)
        if found is not None:
            message = found[1]
            end = (str(text.count("\n") + 1), str(len(text) - text.rfind("\n")))
            line, column = (found[2], found[3]) if found[2] else end
            where = f"{source}:{line}:{column}"
        message = message[:1].lower() + message[1:]
        raise SettingsError(f"{where}: not valid TOML: {message}") from error


class _Reader:
    """Collects checked values from their three sources."""

    def __init__(self) -> None:
        self.classes = sections()
        self.fields: dict[str, Fields] = {
            name: {field.name: field for field in msgspec.structs.fields(cls)}
            for name, cls in self.classes.items()
        }
        self.values: dict[str, dict[str, Any]] = {name: {} for name in self.classes}
        self.tools: dict[str, dict[str, Any]] = {}
        self.origins: dict[tuple[str, ...], str] = {}

    def read_file(self, file: Path) -> None:
        try:
            text = file.read_bytes().decode("utf-8").replace("\r\n", "\n")
        except OSError as error:
            raise SettingsError(f"{file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise SettingsError(f"{file}:{line}: not valid UTF-8") from error
        data = parse_toml(text, str(file))
        for statement in statements(text):
            place = f"{file}:{statement.line}"
            # A header may follow the tables below it; the first place is enough.
            for end in range(1, len(statement.path)):
                self.origins.setdefault(statement.path[:end], place)
            self.origins.setdefault(statement.path, place)
        for section, table in data.items():
            place = self.origins.get((section,), str(file))
            if section != "tool" and section not in self.classes:
                raise SettingsError(f"{place}: {self._unknown(section, table)}")
            if not isinstance(table, dict):
                raise SettingsError(
                    f"{place}: {section}: got a value, expected the section [{section}]"
                )
            if section == "tool":
                self._keep_tools(table)
                continue
            for name, value in table.items():
                place = self.origins.get((section, name), place)
                self._set(section, name, value, place)

    def read_environment(self, environment: Mapping[str, str]) -> None:
        for variable in sorted(environment):
            if not variable.startswith(PREFIX) or variable.startswith(TOOL_PREFIX):
                continue
            section, separator, name = (
                variable.removeprefix(PREFIX).lower().partition("__")
            )
            if separator:
                value = environment[variable]
                self._set(section, name, value, variable, from_text=True)

    def read_switches(self, switches: Sequence[Given]) -> None:
        for given in switches:
            section, _, name = given.key.partition(".")
            self._set(section, name, given.value, given.name, from_text=True)

    def _set(
        self,
        section: str,
        name: str,
        value: Any,
        place: str,
        *,
        from_text: bool = False,
    ) -> None:
        fields = self.fields.get(section)
        if fields is None:
            hint = likely(section, self.fields)
            raise SettingsError(f"{place}: unknown section {section!r}{hint}")
        field = fields.get(name)
        if field is None:
            hint = likely(name, fields) or self._elsewhere(name)
            raise SettingsError(f"{place}: unknown setting {section}.{name}{hint}")
        try:
            self.values[section][name] = checked(field.type, value, from_text=from_text)
        except Unfit as error:
            raise SettingsError(f"{place}: {section}.{name}: {error}") from error
        self.origins[section, name] = place

    def _unknown(self, section: str, table: Any) -> str:
        if isinstance(table, dict):
            hint = likely(section, [*self.classes, "tool"])
            return f"unknown section [{quoted(section)}]{hint}"
        hint = self._elsewhere(section)
        return f"setting {quoted(section)} outside of any section{hint}"

    def _elsewhere(self, name: str) -> str:
        owners = [owner for owner, fields in self.fields.items() if name in fields]
        return f", did you mean {owners[0]}.{name}?" if owners else ""

    def _keep_tools(self, table: dict[str, Any]) -> None:
        for namespace, values in table.items():
            if not isinstance(values, dict):
                place = self.origins.get(("tool", namespace), "")
                raise SettingsError(
                    f"{place}: tool.{quoted(namespace)}: got a value, expected the "
                    f'section [tool."{namespace}"]'
                )
            self.tools[namespace] = values


def likely(name: str, known: Collection[str]) -> str:
    """The end of a message about an unknown name: what was meant, perhaps.

    Args:
        name: The name.
        known: The names that there are.
    """
    found = difflib.get_close_matches(name, known, 1)
    return f", did you mean {found[0]}?" if found else ""


def quoted(name: str) -> str:
    """A name as messages show it: bare, or in quotes where it is an odd one.

    Args:
        name: The name.
    """
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else repr(name)
