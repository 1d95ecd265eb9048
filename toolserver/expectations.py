"""What a setting's type expects, in words, and the check of a value against it."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

__all__ = ["Unfit", "checked", "expected"]

_PLAIN: dict[type[inspect.Type], str] = {
    inspect.BoolType: "true or false",
    inspect.BytesType: "text in base64",
    inspect.DateTimeType: "a date with a time",
    inspect.DateType: "a date",
    inspect.TimeType: "a time of day",
    inspect.TimeDeltaType: "a duration, in seconds or in the form of ISO 8601",
    inspect.UUIDType: "a UUID",
    inspect.DecimalType: "a decimal number",
    inspect.NoneType: "nothing",
}
_LISTS = (
    inspect.VarTupleType,
    inspect.ListType,
    inspect.SetType,
    inspect.FrozenSetType,
)
_TABLES = (
    inspect.DictType,
    inspect.StructType,
    inspect.DataclassType,
    inspect.TypedDictType,
)
_ALTERNATIVES = re.compile(r"\^\(([\w|-]+)\)\$")


class Unfit(ValueError):
    """A value does not fit a type; the message says what was expected."""


def checked(type_: Any, value: Any, *, from_text: bool = False) -> Any:
    """Check a value and make it one of a type.

    Args:
        type_: The type, with its bounds.
        value: A plain value, such as TOML has.
        from_text: Whether the value is text that stands for others: numbers, true
            and false, lists with their items between commas.

    Returns:
        The value, converted.

    Raises:
        Unfit: It does not fit.
        TypeError: Nothing can be converted to such a type.
    """
    info = _bare(inspect.type_info(type_))
    if from_text and isinstance(info, _LISTS):
        value = _list_of(value)
    try:
        found = msgspec.convert(
            value, type_, strict=not from_text, dec_hook=_convert_further
        )
    except msgspec.ValidationError as error:
        got = _shown(value)
        words = expected(type_)
        if words:
            raise Unfit(f"got {got}, expected {words}") from error
        raise Unfit(f"got {got}: {_lowered(str(error))}") from error
    except NotImplementedError as error:
        raise TypeError(str(error)) from error
    # Neither is a length of time nor a size, and JSON has neither.
    if isinstance(found, float) and not math.isfinite(found):
        raise Unfit(f"got {found}, expected {expected(type_)}")
    return found


def _list_of(text: str) -> Any:
    """A list as TOML and JSON write it, or its items between commas."""
    if text.lstrip().startswith("["):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            raise Unfit(f"got {_shown(text)}, which is no JSON") from error
    return [item.strip() for item in text.split(",") if item.strip()]


def expected(type_: Any) -> str:
    """What a type expects, in words.

    Args:
        type_: The type, with its bounds.

    Returns:
        Words with an article, such as ``"an integer from 0 to 65535"``; empty for a
        type that no few words describe.
    """
    return _words(_bare(inspect.type_info(type_)))


def _words(info: inspect.Type) -> str:
    if isinstance(info, inspect.IntType):
        return "an integer" + _bounds(info)
    if isinstance(info, inspect.FloatType):
        return "a number" + _bounds(info)
    if isinstance(info, inspect.StrType):
        alternatives = _ALTERNATIVES.fullmatch(info.pattern or "")
        if alternatives:
            return _one_of(alternatives[1].split("|"))
        return f"text that matches {info.pattern}" if info.pattern else "text"
    if isinstance(info, inspect.LiteralType):
        return _one_of(list(info.values))
    if isinstance(info, inspect.EnumType):
        return _one_of([member.value for member in info.cls])
    if isinstance(info, inspect.UnionType):
        words = [_words(_bare(each)) for each in info.types]
        return " or ".join(words) if all(words) else ""
    if isinstance(info, inspect.CustomType) and info.cls is Path:
        return "text: a path"
    if isinstance(info, _LISTS):
        item = _words(_bare(info.item_type)).removeprefix("a ").removeprefix("an ")
        return f"a list, each item {item}" if item else "a list"
    if isinstance(info, _TABLES):
        return "a table"
    return _PLAIN.get(type(info), "")


def _bare(info: inspect.Type) -> inspect.Type:
    while isinstance(info, inspect.Metadata):
        info = info.type
    return info


def _bounds(info: inspect.IntType | inspect.FloatType) -> str:
    if info.ge is not None and info.le is not None:
        return f" from {info.ge} to {info.le}"
    parts = []
    if info.ge is not None:
        parts.append(f"{info.ge} or more")
    if info.gt is not None:
        parts.append(f"above {info.gt}")
    if info.le is not None:
        parts.append(f"{info.le} or less")
    if info.lt is not None:
        parts.append(f"below {info.lt}")
    return f", {' and '.join(parts)}" if parts else ""


def _one_of(values: list[Any]) -> str:
    shown = [f'"{value}"' if isinstance(value, str) else str(value) for value in values]
    return " or ".join(shown)


def _shown(value: Any) -> str:
    """The value as a message shows it: cut, for nobody reads on."""
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        text = repr(value)
    except ValueError:  # an integer of too many digits
        return "a huge number"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _lowered(text: str) -> str:
    return (text[:1].lower() + text[1:]).replace("`", "")


def _convert_further(type_: type, value: Any) -> Any:
    if isinstance(value, type_):
        return value
    if type_ is not Path:
        raise NotImplementedError(f"nothing is converted to {type_.__name__}")
    if not isinstance(value, str):
        raise ValueError("expected text")
    return Path(value)
