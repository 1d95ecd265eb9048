"""The settings of a single tool: its section of the file, and its variables.

The setting ``currency`` of the tool ``shop.orders`` is in ``[tool."shop.orders"]``,
or in ``TOOLSERVER_TOOL__SHOP__ORDERS__CURRENCY``, which goes before the file.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from toolserver.configuration import TOOL_PREFIX, Configuration, likely, quoted
from toolserver.errors import SettingsError
from toolserver.expectations import Unfit, checked

__all__ = ["tool_settings"]

T = TypeVar("T")


def tool_settings(
    declared: T,
    namespace: str,
    given: Mapping[str, Any],
    configuration: Configuration | None = None,
) -> T:
    """Make the settings of a tool out of its section of the file.

    Args:
        declared: What the tool declares: an instance of a frozen dataclass or of a
            `msgspec.Struct`, with the defaults; None if it declares nothing.
        namespace: The namespace of the tool.
        given: The raw values of its section.
        configuration: Tells where they were set, and has the environment.

    Returns:
        An instance of the same class.

    Raises:
        SettingsError: A value is unknown, ill-typed or out of range; or the class of
            `declared` cannot be one of settings.
    """
    types = _types_of(declared, namespace)
    section = f'[tool."{namespace}"]'
    origins = dict.fromkeys(given, section)
    if configuration is not None:
        for name in given:
            origin = configuration.origin("tool", namespace, name)
            origins[name] = f"{origin}: {section}"
    values = dict(given)
    prefix = TOOL_PREFIX + "".join(f"{p.upper()}__" for p in namespace.split(".") if p)
    for name in types:
        variable = prefix + name.upper()
        if configuration is not None and variable in configuration.environment:
            values[name] = configuration.environment[variable]
            origins[name] = variable
    changes = {}
    for name, value in values.items():
        place = origins[name]
        if name not in types:
            hint = likely(name, types)
            if not types:
                hint = ", the tool has no settings"
            elif isinstance(value, dict):
                hint = f', did you mean the section [tool."{namespace}.{name}"]?'
            raise SettingsError(f"{place}: unknown setting {quoted(name)}{hint}")
        from_text = place.startswith(TOOL_PREFIX)
        try:
            changes[name] = checked(types[name], value, from_text=from_text)
        except Unfit as error:
            raise SettingsError(f"{place}: {name}: {error}") from error
        except TypeError as error:
            raise SettingsError(
                f"{type(declared).__qualname__}.{name}: a setting cannot have the "
                f"type {types[name]!r}"
            ) from error
    if not changes:
        return declared
    replace: Any = (
        msgspec.structs.replace
        if isinstance(declared, msgspec.Struct)
        else dataclasses.replace
    )
    try:
        return replace(declared, **changes)  # type: ignore[no-any-return]  # a T
    except (TypeError, ValueError) as error:
        # The class checks its values itself.
        place = next(iter(origins.values()))
        raise SettingsError(f"{place}: {error}") from error


def _types_of(declared: Any, namespace: str) -> dict[str, Any]:
    if declared is None:
        return {}
    cls = type(declared)
    if isinstance(declared, msgspec.Struct):
        return {field.name: field.type for field in msgspec.structs.fields(cls)}
    if not dataclasses.is_dataclass(cls):
        raise SettingsError(
            f"tool {namespace!r}: settings is {declared!r}, expected an instance of a "
            "frozen dataclass: settings = MySettings()"
        )
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise SettingsError(
            f"tool {namespace!r}: {cls.__qualname__}: {error}"
        ) from error
    return {
        field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init
    }
