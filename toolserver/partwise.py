"""From plain values to values of a type, part by part.

For what msgspec does not know, such as unions of several record types, and for what it
has refused as a whole: then the part is found that does not fit, and some values are
taken that msgspec takes for wrong.

Inside a union each value is converted to each type once, and what came of it is
remembered: to try the choices of unions inside unions anew would take twice as long
with each level.
"""

from __future__ import annotations

import typing
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from toolserver.complaints import complain, shorten
from toolserver.errors import InvalidParams
from toolserver.singles import convert_single, has_nonfinite
from toolserver.types import Field, Kind, Type

__all__ = ["Partwise"]

_CONTAINERS = frozenset(
    {Kind.LIST, Kind.SET, Kind.TUPLE, Kind.MAP, Kind.RECORD, Kind.UNION}
)
_ANYTHING = Type(Any)
_SEQUENCES = (list, tuple, set, frozenset)
#: Characters of what the choices of a union have to say together.
_MAX_COMPLAINT = 1000


class Partwise:
    """One conversion, part by part.

    Args:
        lax: Whether text may stand for numbers and the like.
    """

    def __init__(self, *, lax: bool = False) -> None:
        self._lax = lax
        self._unions = 0
        #: By value and type: the converted value, or why there is none. All values
        #: are parts of what is converted, so their ids stay theirs.
        self._known: dict[tuple[int, int], tuple[Any, str | None]] = {}

    def convert(
        self, type_: Type, value: Any, path: str, *, refused: bool = False
    ) -> Any:
        """Convert a value.

        Args:
            type_: The type.
            value: What arrived.
            path: What the value is, for error messages.
            refused: Whether msgspec has refused the value, or one that it is in.

        Returns:
            The converted value.

        Raises:
            InvalidParams: The value does not fit.
        """
        if value.__class__ is type_.exact or (value is None and type_.nullable):
            return value
        if type_.kind is Kind.ANY:
            return value
        if type_.kind not in _CONTAINERS:
            return convert_single(type_, value, path, lax=self._lax)
        if not self._unions or value.__class__ not in (dict, list):
            return self._convert_container(type_, value, path, refused)
        key = id(value), id(type_)
        known = self._known.get(key)
        if known is None:
            try:
                known = self._convert_container(type_, value, path, refused), None
            except InvalidParams as error:
                known = None, error.message
            self._known[key] = known
        found, message = known
        if message is not None:
            raise InvalidParams(message)
        return found

    def _convert_container(
        self, type_: Type, value: Any, path: str, refused: bool
    ) -> Any:
        if type_.native and not refused:
            try:
                found = msgspec.convert(value, type_.hint, strict=not self._lax)
            except (msgspec.ValidationError, RecursionError, TypeError, UnicodeError):
                refused = True
            else:
                if not type_.reads_numbers[self._lax] or not has_nonfinite(value):
                    return found
                refused = True
        if self._lax and value == "" and type_.nullable:
            return None
        kind = type_.kind
        if kind is Kind.UNION:
            return self._convert_union(type_, value, path, refused)
        if kind is Kind.RECORD:
            return self._convert_record(type_, value, path, refused)
        if kind is Kind.MAP:
            return self._convert_mapping(type_, value, path, refused)
        if isinstance(value, _SEQUENCES):
            return self._convert_sequence(type_, value, path, refused)
        raise InvalidParams(f"{path}: {complain(type_, value)}")

    def _convert_union(self, type_: Type, value: Any, path: str, refused: bool) -> Any:
        complaints = []
        self._unions += 1
        try:
            for choice in type_.items:
                if choice.kind is Kind.RECORD and value.__class__ is dict:
                    # Seen at once, and tells most records apart.
                    missing = _first_missing(choice, value)
                    if missing is not None:
                        complaints.append(f"{path}.{missing}: missing")
                        continue
                try:
                    return self.convert(choice, value, path, refused=refused)
                except InvalidParams as error:
                    complaints.append(error.message)
        finally:
            self._unions -= 1
        if not isinstance(value, dict):
            raise InvalidParams(f"{path}: {complain(type_, value)}")
        message = "; or ".join(dict.fromkeys(complaints))
        if len(message) > _MAX_COMPLAINT:
            message = f"{message[:_MAX_COMPLAINT]}…"
        raise InvalidParams(message)

    def _convert_mapping(
        self, type_: Type, value: Any, path: str, refused: bool
    ) -> Any:
        found = _as_mapping(value)
        if found is None:
            raise InvalidParams(f"{path}: {complain(type_, value)}")
        if len(type_.items) == 2:
            keys, members = type_.items
            # Keys that are always text may stand for what they are.
            from_key = Partwise(lax=True)
            found = {
                from_key.convert(keys, key, f"key of {path}"): self.convert(
                    members, member, f"{path}[{shorten(key)}]", refused=refused
                )
                for key, member in found.items()
            }
        return self._check_length(type_, found, value, dict, path)

    def _convert_sequence(
        self, type_: Type, value: Collection[Any], path: str, refused: bool
    ) -> Any:
        if type_.places:
            return self._convert_named_tuple(type_, value, path, refused)
        if not type_.items:
            types = (_ANYTHING,) * len(value)
        elif type_.kind is not Kind.TUPLE or type_.variadic:
            types = type_.items * len(value)
        elif len(value) == len(type_.items):
            types = type_.items
        else:
            raise InvalidParams(f"{path}: {complain(type_, value)}")
        elements = [
            self.convert(element_type, element, f"{path}[{index}]", refused=refused)
            for index, (element_type, element) in enumerate(
                zip(types, value, strict=True)
            )
        ]
        cls: type = tuple if type_.kind is Kind.TUPLE else list
        if type_.kind is Kind.SET:
            is_frozen = (typing.get_origin(type_.bare) or type_.bare) is frozenset
            cls = frozenset if is_frozen else set
        try:
            found = cls(elements)
        except TypeError as error:
            text = f"expected {type_.name}, got an element that no set can hold"
            raise InvalidParams(f"{path}: {text}") from error
        return self._check_length(type_, found, value, cls, path)

    def _convert_named_tuple(
        self, type_: Type, value: Collection[Any], path: str, refused: bool
    ) -> Any:
        places = type_.places
        least = sum(place.required for place in places)
        if not least <= len(value) <= len(places):
            raise InvalidParams(f"{path}: {complain(type_, value)}")
        elements = [
            self.convert(place.type, element, f"{path}[{index}]", refused=refused)
            for index, (place, element) in enumerate(zip(places, value, strict=False))
        ]
        cls = typing.get_origin(type_.bare) or type_.bare
        return cls(*elements)

    def _convert_record(self, type_: Type, value: Any, path: str, refused: bool) -> Any:
        cls = typing.get_origin(type_.bare) or type_.bare
        if not typing.is_typeddict(cls) and isinstance(value, cls):
            return value
        config = getattr(cls, "__struct_config__", None)
        if config is not None and config.array_like:
            given = _by_name(type_, config, value)
        else:
            given = _as_mapping(value)
        if given is None:
            raise InvalidParams(f"{path}: {complain(type_, value)}")
        if config is not None:
            _check_struct(config, type_.fields, given, path)
        missing = _first_missing(type_, given)
        if missing is not None:
            raise InvalidParams(f"{path}.{missing}: missing")
        members = {
            field.attribute or field.name: self.convert(
                field.type, given[field.name], f"{path}.{field.name}", refused=refused
            )
            for field in type_.fields
            if field.name in given
        }
        if typing.is_typeddict(cls):
            return members
        try:
            if config is None and type_.native:
                # As where msgspec takes the whole: without `__init__`.
                return msgspec.convert(members, type_.hint)
            return cls(**members)
        except (msgspec.ValidationError, ValueError, TypeError) as error:
            text = complain(type_, value, str(error))
            raise InvalidParams(f"{path}: {text}") from error

    def _check_length(
        self, type_: Type, found: Any, value: Any, cls: type, path: str
    ) -> Any:
        if type_.bounds:
            try:
                msgspec.convert(found, typing.Annotated[(cls, *type_.bounds)])
            except msgspec.ValidationError as error:
                text = complain(type_, value, str(error))
                raise InvalidParams(f"{path}: {text}") from error
        return found


def _as_mapping(value: Any) -> dict[Any, Any] | None:
    # PHP knows no other empty mapping.
    if isinstance(value, list) and not value:
        return {}
    return value if isinstance(value, dict) else None


def _first_missing(type_: Type, given: dict[Any, Any]) -> str | None:
    for field in type_.fields:
        if field.required and field.name not in given:
            return field.name
    return None


def _by_name(type_: Type, config: Any, value: Any) -> dict[str, Any] | None:
    """The members of a struct that is sent as an array; None if it does not fit."""
    if not isinstance(value, (list, tuple)):
        return None
    names = [field.name for field in type_.fields]
    if config.tag is not None:
        names = [config.tag_field, *names]
    if config.forbid_unknown_fields and len(value) > len(names):
        return None
    return dict(zip(names, value, strict=False))


def _check_struct(
    config: Any, fields: Iterable[Field], given: dict[Any, Any], path: str
) -> None:
    """Refuse what a struct's class says that it refuses."""
    known = {field.name for field in fields}
    if config.tag is not None:
        known.add(config.tag_field)
        tag = given.get(config.tag_field, config.tag)
        if tag.__class__ is not config.tag.__class__ or tag != config.tag:
            raise InvalidParams(
                f"{path}.{config.tag_field}: expected {config.tag!r}, "
                f"got {shorten(tag)}"
            )
    if config.forbid_unknown_fields:
        for name in given:
            if name not in known:
                expected = ", ".join(sorted(known)) or "none"
                raise InvalidParams(
                    f"{path}: unknown member {shorten(name)}, expected {expected}"
                )
