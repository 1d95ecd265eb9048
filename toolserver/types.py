"""One neutral model of type hints, from which every view of a signature is made.

A `Type` is made once from a hint. It names the type for people, tells protocols its
kind, and is what `toolserver.conversion` converts to.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import inspect
import typing
import uuid
from typing import Any

import msgspec
from markupsafe import Markup

from toolserver.hints import (
    is_bound,
    is_hashable,
    is_named_tuple,
    is_native,
    is_record,
    is_union,
    name_of,
    with_bounds,
    without_annotations,
    without_qualifiers,
)
from toolserver.recordmembers import members_of

__all__ = ["Field", "Kind", "Type"]


class Kind(enum.Enum):
    """What sort of value a type holds."""

    ANY = "any"
    NONE = "none"
    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    DECIMAL = "decimal"
    STR = "str"
    BYTES = "bytes"
    DATETIME = "datetime"
    DATE = "date"
    TIME = "time"
    TIMEDELTA = "timedelta"
    UUID = "uuid"
    ENUM = "enum"
    LITERAL = "literal"
    LIST = "list"
    SET = "set"
    TUPLE = "tuple"
    MAP = "map"
    RECORD = "record"
    UNION = "union"
    OBJECT = "object"


_SCALARS: dict[Any, Kind] = {
    Any: Kind.ANY,
    object: Kind.ANY,
    None: Kind.NONE,
    type(None): Kind.NONE,
    bool: Kind.BOOL,
    int: Kind.INT,
    float: Kind.FLOAT,
    decimal.Decimal: Kind.DECIMAL,
    str: Kind.STR,
    Markup: Kind.STR,
    bytes: Kind.BYTES,
    datetime.datetime: Kind.DATETIME,
    datetime.date: Kind.DATE,
    datetime.time: Kind.TIME,
    datetime.timedelta: Kind.TIMEDELTA,
    uuid.UUID: Kind.UUID,
}
_CONTAINERS: dict[Any, Kind] = {
    list: Kind.LIST,
    collections.abc.Sequence: Kind.LIST,
    collections.abc.Collection: Kind.LIST,
    collections.abc.Iterable: Kind.LIST,
    collections.abc.Iterator: Kind.LIST,
    collections.abc.Generator: Kind.LIST,
    set: Kind.SET,
    frozenset: Kind.SET,
    collections.abc.Set: Kind.SET,
    tuple: Kind.TUPLE,
    dict: Kind.MAP,
    collections.abc.Mapping: Kind.MAP,
    collections.abc.MutableMapping: Kind.MAP,
}
#: Kinds whose values, when of exactly this class, need no conversion.
_EXACT: dict[Kind, type] = {
    Kind.BOOL: bool,
    Kind.INT: int,
    Kind.FLOAT: float,
    Kind.DECIMAL: decimal.Decimal,
    Kind.STR: str,
    Kind.BYTES: bytes,
    Kind.DATETIME: datetime.datetime,
    Kind.TIME: datetime.time,
    Kind.TIMEDELTA: datetime.timedelta,
    Kind.UUID: uuid.UUID,
}
#: What has the bounds that a kind may have.
_PLAIN: dict[Kind, type] = {
    Kind.DECIMAL: float,
    Kind.LIST: list,
    Kind.SET: set,
    Kind.TUPLE: tuple,
    Kind.MAP: dict,
}


@dataclasses.dataclass(frozen=True)
class Field:
    """One member of a record type.

    Attributes:
        name: Its name on the wire.
        type: Its type.
        required: Whether it has to be given.
        default: What it is when it is not given; `inspect.Parameter.empty` where
            that is unknown or made anew each time.
        attribute: Its name in the class, where that is another.
    """

    name: str
    type: Type
    required: bool
    default: Any = inspect.Parameter.empty
    attribute: str = ""


class Type:
    """The neutral model of one type hint.

    Args:
        hint: The hint, with forward references resolved.
        records: The members of records and of named tuples by their hints, which the
            types that were made from one hint share: a record that contains itself
            has one set of them, however deep it is looked into.

    Raises:
        TypeError: It holds values that nobody can make, as ``set[list]``, or bounds
            that do not go with the type.

    Attributes:
        hint: The same.
        bare: The hint without notes, and without None where it is nullable and has
            one type besides.
        kind: What sort of value it holds, apart from None.
        nullable: Whether None is allowed too.
        name: How people write it: ``"list[Order] | None"``.
        items: Types of the elements of a list, set or tuple, of the values of a
            map (the last one; keys are the first), of the choices of a union.
        values: The allowed values of an enumeration or a literal.
        variadic: Whether a tuple has any number of elements of one type.
        native: Whether msgspec converts to the hint by itself.
        exact: The class whose own values need no conversion, or None.
        bounds: The annotations that bound its values.
    """

    kind: Kind
    name: str

    __slots__ = (
        "_fields",
        "_kinds",
        "_reads_numbers",
        "_records",
        "bare",
        "bounds",
        "exact",
        "hint",
        "items",
        "kind",
        "name",
        "native",
        "nullable",
        "values",
        "variadic",
    )

    def __init__(
        self, hint: Any, records: dict[Any, tuple[Field, ...]] | None = None
    ) -> None:
        self._records = {} if records is None else records
        self._fields: tuple[Field, ...] | None = None
        self._kinds: frozenset[Kind] | None = None
        self._reads_numbers: tuple[bool, bool] | None = None
        self.items: tuple[Type, ...] = ()
        self.values: tuple[Any, ...] = ()
        self.variadic = False
        self.nullable = False
        self.exact: type | None = None
        # Those are said of a member, not of its type.
        hint = without_qualifiers(hint)
        bare, notes = without_annotations(hint)
        bounds = tuple(note for note in notes if is_bound(note))
        if bounds and is_union(bare) and not is_native(hint):
            # Bounds of a union are those of its choices.
            hint = bare = with_bounds(bare, bounds)
            notes, bounds = (), ()
        self.hint = hint
        self.bare = bare
        self.bounds: tuple[msgspec.Meta, ...] = bounds
        if is_union(bare):
            self._init_union(bare)
        else:
            self._init_single(bare, typing.get_origin(bare))
            self.exact = _EXACT.get(self.kind)
        if notes:
            self.exact = None
        self.native = self.kind is not Kind.OBJECT and is_native(self.hint)
        if bounds and not self.native:
            _check_bounds(self)

    def _init_union(self, hint: Any) -> None:
        choices = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        self.nullable = len(choices) < len(typing.get_args(hint))
        if len(choices) == 1:
            only = Type(choices[0], self._records)
            self.bare = only.bare
            self.kind = only.kind
            self.items = only.items
            self.values = only.values
            self.variadic = only.variadic
            self.exact = only.exact
            self.bounds = only.bounds
            self.hint = only.hint if only.kind is Kind.RECORD else self.hint
            self.name = f"{only.name} | None"
        else:
            self.kind = Kind.UNION
            self.items = tuple(Type(choice, self._records) for choice in choices)
            names = [item.name for item in self.items] + ["None"] * self.nullable
            self.name = " | ".join(names)

    def _init_single(self, hint: Any, origin: Any) -> None:
        self.name = name_of(hint)
        if origin is typing.Literal:
            self.kind = Kind.LITERAL
            self.values = typing.get_args(hint)
            self.name = " | ".join(map(repr, self.values))
        elif is_hashable(hint) and hint in _SCALARS:
            self.kind = _SCALARS[hint]
        elif (origin or hint) in _CONTAINERS:
            self._init_container(origin or hint, typing.get_args(hint))
        elif isinstance(hint, type) and issubclass(hint, enum.Enum):
            self.kind = Kind.ENUM
            self.values = tuple(member.value for member in hint)
        elif is_named_tuple(origin or hint):
            # On the wire an array, as msgspec has it.
            self.kind = Kind.TUPLE
        elif is_record(origin or hint):
            self.kind = Kind.RECORD
        elif isinstance(hint, typing.TypeVar):
            self.kind = Kind.ANY
        else:
            self.kind = Kind.OBJECT

    def _init_container(self, container: Any, args: tuple[Any, ...]) -> None:
        self.kind = _CONTAINERS[container]
        if self.kind is Kind.TUPLE:
            self.variadic = not args or args[-1] is Ellipsis
            args = tuple(arg for arg in args if arg is not Ellipsis)
        elif container is collections.abc.Generator:
            args = args[:1]
        self.items = tuple(Type(arg, self._records) for arg in args)
        if self.kind in (Kind.SET, Kind.MAP) and self.items:
            _check_hashable(self.items[0])
        if self.items:
            inner = ", ".join(item.name for item in self.items)
            dots = ", ..." if self.variadic else ""
            self.name = f"{name_of(container)}[{inner}{dots}]"

    def __repr__(self) -> str:
        return f"<Type {self.name}>"

    @property
    def fields(self) -> tuple[Field, ...]:
        """The members of a record type; empty for other kinds."""
        return self._read_fields() if self.kind is Kind.RECORD else ()

    @property
    def places(self) -> tuple[Field, ...]:
        """The elements of a named tuple; empty for other kinds, also other tuples."""
        is_named = is_named_tuple(typing.get_origin(self.bare) or self.bare)
        return self._read_fields() if is_named else ()

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of the type and of all that its values may hold."""
        if self._kinds is None:
            parts = [self]
            seen: set[int] = set()
            # Grows while it is run through; a record may contain itself.
            for part in parts:
                parts += part.items
                fields = part.fields or part.places
                if fields and id(fields) not in seen:
                    seen.add(id(fields))
                    parts += [field.type for field in fields]
            self._kinds = frozenset(part.kind for part in parts)
        return self._kinds

    @property
    def reads_numbers(self) -> tuple[bool, bool]:
        """Whether text becomes numbers that may be NaN; and when it is lax."""
        # Kept beside `kinds`, as each call asks for it.
        if self._reads_numbers is None:
            from_text = Kind.DECIMAL in self.kinds
            self._reads_numbers = from_text, from_text or Kind.FLOAT in self.kinds
        return self._reads_numbers

    def _read_fields(self) -> tuple[Field, ...]:
        # Read late, because a record may contain itself.
        if self._fields is None:
            key = self.bare if is_hashable(self.bare) else id(self)
            found = self._records.get(key)
            if found is None:
                found = self._records[key] = tuple(
                    Field(
                        member.name,
                        Type(member.hint, self._records),
                        member.required,
                        member.default,
                        member.attribute,
                    )
                    for member in members_of(self.bare)
                )
            self._fields = found
        return self._fields


def _check_bounds(type_: Type) -> None:
    """Refuse bounds that do not go with a type, as the length of a number."""
    # Of containers msgspec may not know what is inside, and of decimal numbers no
    # bounds at all.
    plain = _PLAIN.get(type_.kind, type_.bare)
    msgspec.json.Decoder(typing.Annotated[(plain, *type_.bounds)])


def _check_hashable(type_: Type) -> None:
    if not _can_be_hashed(type_):
        raise TypeError(
            f"{type_.name} can be no element of a set and no key of a mapping"
        )


def _can_be_hashed(type_: Type) -> bool:
    cls = typing.get_origin(type_.bare) or type_.bare
    match type_.kind:
        case Kind.LIST | Kind.MAP:
            return False
        case Kind.SET:
            return cls is frozenset
        case Kind.TUPLE | Kind.UNION:
            return all(map(_can_be_hashed, type_.items))
        case Kind.RECORD if issubclass(cls, msgspec.Struct):
            return cls.__struct_config__.frozen or not cls.__struct_config__.eq
    return cls.__hash__ is not None
