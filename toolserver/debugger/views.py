"""What the names of the prompt show when they are typed by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from toolserver.debugger.changes import Changes
from toolserver.debugger.evaluation import Detach
from toolserver.debugger.listings import Listing
from toolserver.errors import ToolNotFound
from toolserver.plain import to_plain
from toolserver.registry import Registry
from toolserver.settings import Settings
from toolserver.tools import Tool

__all__ = ["Config", "Leave", "Text", "Tools"]


class Text(str):
    """Text that is shown as it is, not as Python writes it."""

    __slots__ = ()

    __repr__ = str.__str__


@dataclass(frozen=True)
class _ToolRow:
    namespace: str
    cls: str
    methods: int
    swapped: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class _SettingRow:
    name: str
    value: str


class Tools(Mapping[str, Tool]):
    """The tools of the server: ``tools["shop.orders"]``.

    Args:
        registry: The tools.
        changes: What was done to their methods.
    """

    def __init__(self, registry: Registry, changes: Changes) -> None:
        self._registry = registry
        self._changes = changes

    def __getitem__(self, namespace: str) -> Tool:
        try:
            return self._registry.entry(namespace).tool
        except ToolNotFound as error:
            # As a mapping has to tell it.
            raise KeyError(error.message) from None

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(entry.namespace for entry in self._registry))

    def __len__(self) -> int:
        return sum(1 for _ in self._registry)

    def __wire__(self) -> Any:
        """What JSON has of it."""
        return self._rows

    @property
    def _rows(self) -> Listing[_ToolRow]:
        swapped = self._changes.swapped
        return Listing(
            _ToolRow(
                entry.namespace,
                type(entry.tool).__name__,
                sum(target.exported for target in entry.methods.values()),
                tuple(
                    name
                    for name, target in entry.methods.items()
                    if target.name in swapped
                ),
                entry.source,
            )
            for entry in sorted(self._registry, key=lambda entry: entry.namespace)
        )

    def __repr__(self) -> str:
        return repr(self._rows)


class Config:
    """The settings in force, by their sections: ``config.server.port``.

    Args:
        settings: The settings.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        return getattr(self._settings, name)

    def __dir__(self) -> list[str]:
        return list(self._settings.__struct_fields__)

    def __wire__(self) -> Any:
        """What JSON has of it."""
        return to_plain(self._settings)

    def __repr__(self) -> str:
        rows: Listing[_SettingRow] = Listing()
        for section, values in to_plain(self._settings).items():
            rows += [
                _SettingRow(f"{section}.{name}", repr(value))
                for name, value in values.items()
            ]
        return repr(rows)


class Leave:
    """Ends the session: ``exit`` or ``exit()``."""

    def __call__(self) -> None:
        """End the session."""
        raise Detach

    def __repr__(self) -> str:
        raise Detach
