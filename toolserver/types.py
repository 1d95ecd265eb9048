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
import types
import typing
import uuid
from typing import Any

import msgspec
from markupsafe import Markup

__all__ = ["Field", "Kind", "Type", "is_native"]


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


@dataclasses.dataclass(frozen=True)
class Field:
    """One member of a record type.

    Attributes:
        name: Its name on the wire.
        type: Its type.
        required: Whether it has to be given.
        default: What it is when it is not given; `inspect.Parameter.empty` where
            that is unknown or made anew each time.
    """

    name: str
    type: Type
    required: bool
    default: Any = inspect.Parameter.empty


class Type:
    """The neutral model of one type hint.

    Args:
        hint: The hint, with forward references resolved.

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
    """

    kind: Kind
    name: str

    __slots__ = (
        "_fields",
        "_kinds",
        "bare",
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

    def __init__(self, hint: Any) -> None:
        self.hint = hint
        self.items: tuple[Type, ...] = ()
        self.values: tuple[Any, ...] = ()
        self.variadic = False
        self.nullable = False
        self._fields: tuple[Field, ...] | None = None
        self._kinds: frozenset[Kind] | None = None
        self.exact: type | None = None
        bare, constrained = _without_annotations(hint)
        self.bare = bare
        origin = typing.get_origin(bare)
        if origin in (typing.Union, types.UnionType):
            self._init_union(bare)
        else:
            self._init_single(bare, origin)
            self.exact = _EXACT.get(self.kind)
        if constrained:
            self.exact = None
        self.native = self.kind is not Kind.OBJECT and is_native(hint)

    def _init_union(self, hint: Any) -> None:
        choices = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        self.nullable = len(choices) < len(typing.get_args(hint))
        if len(choices) == 1:
            only = Type(choices[0])
            self.bare = only.bare
            self.kind = only.kind
            self.items = only.items
            self.values = only.values
            self.variadic = only.variadic
            self.exact = only.exact
            self._fields = only._fields
            self.hint = only.hint if only.kind is Kind.RECORD else self.hint
            self.name = f"{only.name} | None"
        else:
            self.kind = Kind.UNION
            self.items = tuple(map(Type, choices))
            names = [item.name for item in self.items] + ["None"] * self.nullable
            self.name = " | ".join(names)

    def _init_single(self, hint: Any, origin: Any) -> None:
        self.name = _name_of(hint)
        if origin is typing.Literal:
            self.kind = Kind.LITERAL
            self.values = typing.get_args(hint)
            self.name = " | ".join(map(repr, self.values))
        elif _is_hashable(hint) and hint in _SCALARS:
            self.kind = _SCALARS[hint]
        elif (origin or hint) in _CONTAINERS:
            self._init_container(origin or hint, typing.get_args(hint))
        elif isinstance(hint, type) and issubclass(hint, enum.Enum):
            self.kind = Kind.ENUM
            self.values = tuple(member.value for member in hint)
        elif _is_named_tuple(origin or hint):
            # On the wire an array, as msgspec has it.
            self.kind = Kind.TUPLE
        elif _is_record(origin or hint):
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
        self.items = tuple(map(Type, args))
        if self.items:
            inner = ", ".join(item.name for item in self.items)
            dots = ", ..." if self.variadic else ""
            self.name = f"{_name_of(container)}[{inner}{dots}]"

    def __repr__(self) -> str:
        return f"<Type {self.name}>"

    @property
    def fields(self) -> tuple[Field, ...]:
        """The members of a record type; empty for other kinds."""
        # Read late, because a record may contain itself.
        if self._fields is None:
            is_record = self.kind is Kind.RECORD
            self._fields = _record_fields(self.bare) if is_record else ()
        return self._fields

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of the type and of all that its values may hold."""
        if self._kinds is None:
            parts = [self]
            seen = []
            # Grows while it is run through; a record may contain itself.
            for part in parts:
                if part.kind is Kind.RECORD and part.bare in seen:
                    continue
                seen.append(part.bare)
                parts += part.items
                parts += [field.type for field in part.fields]
                if _is_named_tuple(part.bare):
                    parts += map(Type, typing.get_type_hints(part.bare).values())
            self._kinds = frozenset(part.kind for part in parts)
        return self._kinds


def _is_hashable(hint: Any) -> bool:
    try:
        hash(hint)
    except TypeError:
        return False
    return True


def _without_annotations(hint: Any) -> tuple[Any, bool]:
    """The hint inside `Annotated`, `Required` and the like; whether constrained."""
    constrained = False
    while True:
        origin = typing.get_origin(hint)
        if origin is typing.Annotated:
            hint, *notes = typing.get_args(hint)
            constrained = constrained or any(
                isinstance(note, msgspec.Meta) for note in notes
            )
        elif origin in (typing.Required, typing.NotRequired, typing.Final):
            (hint,) = typing.get_args(hint)
        elif isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        else:
            return hint, constrained


def _name_of(hint: Any) -> str:
    if hint is Any or hint is object:
        return "Any"
    if hint is None or hint is type(None):
        return "None"
    if isinstance(hint, type) and typing.get_origin(hint) is None:
        return hint.__name__
    name = getattr(hint, "__name__", None) or str(hint)
    args = typing.get_args(hint)
    return f"{name}[{', '.join(map(_name_of, args))}]" if args else str(name)


def _is_record(hint: Any) -> bool:
    return isinstance(hint, type) and (
        dataclasses.is_dataclass(hint)
        or issubclass(hint, msgspec.Struct)
        or typing.is_typeddict(hint)
    )


def _is_named_tuple(hint: Any) -> bool:
    return (
        isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields")
    )


def is_native(hint: Any) -> bool:
    """Whether msgspec converts to a hint by itself.

    Args:
        hint: A type hint.
    """
    try:
        msgspec.json.Decoder(hint)
    except TypeError:
        return False
    return True


def _filled(hint: Any, arguments: dict[Any, Any]) -> Any:
    """A hint with the type variables of a generic class filled in."""
    if isinstance(hint, typing.TypeVar):
        return arguments.get(hint, hint)
    variables = getattr(hint, "__parameters__", ())
    if isinstance(hint, type) or not variables:
        return hint
    return hint[tuple(arguments.get(variable, variable) for variable in variables)]


def _record_fields(hint: Any) -> tuple[Field, ...]:
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
            Field(
                info.encode_name,
                Type(hints[info.name]),
                info.required,
                empty if info.default is msgspec.NODEFAULT else info.default,
            )
            for info in msgspec.structs.fields(record)
        )
    if dataclasses.is_dataclass(record):
        missing = dataclasses.MISSING
        return tuple(
            Field(
                info.name,
                Type(hints[info.name]),
                info.default is missing and info.default_factory is missing,
                empty if info.default is missing else info.default,
            )
            for info in dataclasses.fields(record)
            if info.init
        )
    return tuple(
        Field(name, Type(member), _is_required(record, name, member))
        for name, member in hints.items()
    )


def _is_required(record: Any, name: str, member: Any) -> bool:
    # Where annotations are kept as text, Python does not see the qualifiers in them.
    qualifier = typing.get_origin(member)
    if qualifier in (typing.Required, typing.NotRequired):
        return qualifier is typing.Required
    return name in record.__required_keys__
