"""The members of records and of named tuples, read from their classes."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from typing import Any, NamedTuple

import msgspec

from toolserver.hints import is_named_tuple

__all__ = ["Member", "members_of", "tag_of"]


class Member(NamedTuple):
    """One member of a record.

    Attributes:
        name: Its name on the wire.
        hint: Its type hint.
        required: Whether it has to be given.
        default: What it is when it is not given; `inspect.Parameter.empty` where
            that is unknown or made anew each time.
        attribute: Its name in the class, where that is another.
    """

    name: str
    hint: Any
    required: bool
    default: Any = inspect.Parameter.empty
    attribute: str = ""


def members_of(hint: Any) -> tuple[Member, ...]:
    """Read the members of a class.

    Args:
        hint: A dataclass, a struct, a typed dictionary or a named tuple, or a generic
            one of these with its parameters.

    Returns:
        Those that can be given, in order.

    Raises:
        NameError: A hint of a member cannot be resolved.
    """
    record = typing.get_origin(hint) or hint
    hints = typing.get_type_hints(record, include_extras=True)
    arguments = dict(
        zip(getattr(record, "__parameters__", ()), typing.get_args(hint), strict=False)
    )
    if arguments:
        hints = {name: _filled(member, arguments) for name, member in hints.items()}
    empty = inspect.Parameter.empty
    if issubclass(record, msgspec.Struct):
        return tuple(
            Member(
                info.encode_name,
                hints[info.name],
                info.required,
                empty if info.default is msgspec.NODEFAULT else info.default,
                info.name,
            )
            for info in msgspec.structs.fields(record)
        )
    if dataclasses.is_dataclass(record):
        missing = dataclasses.MISSING
        return tuple(
            Member(
                info.name,
                hints[info.name],
                info.default is missing and info.default_factory is missing,
                empty if info.default is missing else info.default,
            )
            for info in dataclasses.fields(record)
            if info.init
        )
    if is_named_tuple(record):
        defaults = record._field_defaults
        return tuple(
            Member(
                name,
                hints.get(name, Any),
                name not in defaults,
                defaults.get(name, empty),
            )
            for name in record._fields
        )
    return tuple(
        Member(name, member, _is_required(record, name, member))
        for name, member in hints.items()
    )


def tag_of(hint: Any) -> tuple[str, str | int] | None:
    """The member that tells a struct from others, and its value.

    Args:
        hint: A record, or a generic one with its parameters.

    Returns:
        Name and value; None where there is no such member.
    """
    record = typing.get_origin(hint) or hint
    if not issubclass(record, msgspec.Struct):
        return None
    config = record.__struct_config__
    if config.array_like or config.tag is None or config.tag_field is None:
        return None
    return config.tag_field, config.tag


def _is_required(record: Any, name: str, member: Any) -> bool:
    # Where annotations are kept as text, Python does not see the qualifiers in them.
    qualifier = typing.get_origin(member)
    while qualifier is typing.Annotated:
        member = member.__origin__
        qualifier = typing.get_origin(member)
    if qualifier in (typing.Required, typing.NotRequired):
        return qualifier is typing.Required
    return name in record.__required_keys__


def _filled(hint: Any, arguments: dict[Any, Any]) -> Any:
    """A hint with the type variables of a generic class filled in."""
    if isinstance(hint, typing.TypeVar):
        return arguments.get(hint, hint)
    variables = getattr(hint, "__parameters__", ())
    if isinstance(hint, type) or not variables:
        return hint
    return hint[tuple(arguments.get(variable, variable) for variable in variables)]
