"""Values of any type that a tool can name, made from the type model by a seed.

The values at the edges come first: nothing, the smallest, the largest, what is easily
lost on the way. What follows is random, and the same for the same seed. Each value was
converted to its type, so whatever is made is what a caller may send.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from decimal import Decimal
from random import Random
from typing import Any

from toolserver.conversion import convert
from toolserver.errors import ToolserverError
from toolserver.parity.scalars import EDGES, random_scalar, random_text
from toolserver.plain import to_plain
from toolserver.types import Field, Kind, Type

__all__ = ["NoValues", "values_of"]

#: How deep values are nested by choice; types that have no shorter values go deeper.
_DEEPEST, _NEVER_DEEPER = 4, 30
#: Attempts for each value that is asked for: bounds may refuse most of them.
_ATTEMPTS = 30
#: Elements of a container at most, where its bounds do not ask for more.
_MOST = 5
_NAMES = ("", "key", "a b", "ä", "𝄞", "<&>", "1", "item", "x:y", "_x0041_", "__class__")
#: What may stand where there is no hint: what all protocols tell apart.
_FREE = (Kind.NONE, Kind.BOOL, Kind.INT, Kind.FLOAT, Kind.STR)


class NoValues(ValueError):
    """No value of a type could be made, as its bounds refuse all that was tried."""


def values_of(type_: Type, count: int, random: Random) -> list[Any]:
    """Make values of a type.

    Args:
        type_: The type.
        count: How many are wanted.
        random: Where the random ones come from.

    Returns:
        That many values, or all that there are of a type of few.

    Raises:
        NoValues: None could be made.
    """
    found: list[Any] = []
    seen: set[str] = set()
    maker = _Maker(random)
    for made in itertools.islice(maker.values(type_), _ATTEMPTS * count + 100):
        try:
            value = convert(type_, made, "value")
            key = repr(to_plain(made))
        except (ToolserverError, OverflowError, ValueError):
            continue
        if key not in seen:
            seen.add(key)
            found.append(value)
            if len(found) >= count:
                break
    if not found:
        raise NoValues(f"no value of type {type_.name} could be made")
    return found


class _Maker:
    """Makes values whose parts are plain, to be converted as a whole."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def values(self, type_: Type) -> Iterator[Any]:
        """Those at the edges, then random ones without end."""
        yield from self._edges(type_, 0)
        while True:
            yield self._random_value(type_, 0)

    def _edges(self, type_: Type, depth: int) -> Iterator[Any]:
        if type_.nullable:
            yield None
        yield from _examples(type_)
        yield from _bounding(type_)
        kind = type_.kind
        if kind in EDGES:
            yield from EDGES[kind]
        elif kind in (Kind.ENUM, Kind.LITERAL):
            yield from type_.values
        elif kind is Kind.ANY:
            yield from itertools.chain.from_iterable(EDGES[each] for each in _FREE)
            yield from ([], {}, [[]], [{}], {"a": {}}, [None], {"a": None})
        elif depth >= _DEEPEST:
            yield self._random_value(type_, depth)
        elif kind is Kind.UNION:
            # In turn, so that each choice is among the first.
            edges = (self._edges(item, depth + 1) for item in type_.items)
            for round_ in itertools.zip_longest(*edges, fillvalue=_END):
                yield from (value for value in round_ if value is not _END)
        else:
            yield from self._container_edges(type_, depth + 1)

    def _container_edges(self, type_: Type, depth: int) -> Iterator[Any]:
        match type_.kind:
            case Kind.RECORD:
                yield from self._record_edges(type_.fields, depth)
            case Kind.TUPLE if type_.places:
                for made in self._record_edges(type_.places, depth):
                    if len(made) == len(type_.places):
                        yield list(made.values())
            case Kind.TUPLE if not type_.variadic:
                columns = [list(self._edges(item, depth)) for item in type_.items]
                yield from _rows(columns)
            case Kind.MAP:
                yield {}
                value = _last(type_)
                yield from ({"key": edge} for edge in self._edges(value, depth))
                for name in _NAMES:
                    yield {name: self._random_value(value, depth)}
            case _:
                yield []
                item = _last(type_)
                yield from ([edge] for edge in self._edges(item, depth))
                yield [self._random_value(item, depth) for _ in range(20)]

    def _record_edges(
        self, fields: tuple[Field, ...], depth: int
    ) -> Iterator[dict[str, Any]]:
        # As little as may be given, and then one member after the other.
        yield {
            field.name: self._random_value(field.type, depth)
            for field in fields
            if field.required
        }
        for field in fields:
            for edge in self._edges(field.type, depth):
                yield {
                    other.name: edge
                    if other is field
                    else self._random_value(other.type, depth)
                    for other in fields
                }

    def _random_value(self, type_: Type, depth: int) -> Any:
        random = self._random
        if type_.nullable and (random.random() < 0.2 or depth >= _DEEPEST):
            return None
        depth += 1
        if depth > _NEVER_DEEPER:
            return None
        kind = type_.kind
        if kind in (Kind.ENUM, Kind.LITERAL):
            return random.choice(type_.values)
        if kind is Kind.ANY:
            return self._free_value(depth)
        if kind is Kind.UNION:
            return self._random_value(random.choice(type_.items), depth)
        if kind in (Kind.RECORD, Kind.TUPLE, Kind.MAP, Kind.LIST, Kind.SET):
            return self._container(type_, depth)
        if random.random() < 0.1 and kind in EDGES:
            return random.choice(EDGES[kind])
        return random_scalar(type_, random)

    def _free_value(self, depth: int) -> Any:
        random = self._random
        if depth <= 3 and random.random() < 0.4:
            size = random.randrange(_MOST)
            if random.random() < 0.5:
                return [self._free_value(depth + 1) for _ in range(size)]
            return {
                random_text(random, 8): self._free_value(depth + 1) for _ in range(size)
            }
        return random.choice(EDGES[random.choice(_FREE)])

    def _container(self, type_: Type, depth: int) -> Any:
        random = self._random
        match type_.kind:
            case Kind.RECORD:
                return {
                    field.name: self._random_value(field.type, depth)
                    for field in type_.fields
                    if field.required or (depth < _DEEPEST and random.random() < 0.7)
                }
            case Kind.TUPLE if type_.places:
                return [self._random_value(each.type, depth) for each in type_.places]
            case Kind.TUPLE if not type_.variadic:
                return [self._random_value(item, depth) for item in type_.items]
        low, high = _sizes(type_)
        # The deeper, the shorter: values are to be many, and not large.
        size = random.randint(low, max(low, min(high, _DEEPEST + 1 - depth)))
        item = _last(type_)
        if type_.kind is not Kind.MAP:
            return [self._random_value(item, depth) for _ in range(size)]
        if len(type_.items) == 2 and type_.items[0].kind is not Kind.STR:
            keys = [self._random_value(type_.items[0], depth) for _ in range(size)]
            return {to_plain(key): self._random_value(item, depth) for key in keys}
        return {
            random_text(random, 8): self._random_value(item, depth) for _ in range(size)
        }


_END: Any = object()
_ANY = Type(Any)


def _last(type_: Type) -> Type:
    return type_.items[-1] if type_.items else _ANY


def _rows(columns: list[list[Any]]) -> Iterator[list[Any]]:
    """Rows in which each value of each column occurs."""
    for index in range(max(map(len, columns), default=1)):
        yield [column[index % len(column)] for column in columns]


def _examples(type_: Type) -> Iterator[Any]:
    """What the author of a tool says that values look like."""
    notes = getattr(type_.hint, "__metadata__", ())
    for note in notes:
        yield from getattr(note, "examples", None) or ()


def _bounding(type_: Type) -> Iterator[Any]:
    """The numbers at bounds, and the texts and bytes that are as long as they may be.

    What lies beyond a bound is refused when it is converted.
    """
    for meta in type_.bounds:
        for bound in (meta.ge, meta.gt, meta.le, meta.lt):
            if bound is not None:
                step = meta.multiple_of or 1
                near = (0, step, -step)
                if type_.kind is Kind.DECIMAL:
                    exact = Decimal(str(bound))
                    yield from (exact + Decimal(str(each)) for each in near)
                else:
                    yield from (bound + each for each in near)
        for length in (meta.min_length, meta.max_length):
            if length is not None and type_.kind is Kind.STR:
                yield from ("x" * length, "𝄞" * length)
            elif length is not None and type_.kind is Kind.BYTES:
                yield bytes(length)


def _sizes(type_: Type) -> tuple[int, int]:
    low = max([0, *(meta.min_length or 0 for meta in type_.bounds)])
    most = [meta.max_length for meta in type_.bounds if meta.max_length is not None]
    return low, min([max(low, _MOST), *most])
