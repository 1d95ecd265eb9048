"""When two results are the same: by their types, and as exactly as these allow."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

__all__ = ["same"]


def same(one: Any, other: Any) -> bool:
    """Compare two results.

    Unlike ``==`` it tells ``1`` from ``True`` and from ``1.0``, zero from its negative
    and times from the same instants elsewhere; NaN is the same as NaN, and of decimal
    numbers only the amount counts, as XML Schema has no exponents (part 2, 3.2.3).

    Args:
        one: A result, converted to its type.
        other: Another one.
    """
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return one == other
    if type(one) is not type(other):
        return False
    match one:
        case float():
            if math.isnan(one) or math.isnan(other):
                return math.isnan(one) and math.isnan(other)
            return one == other and math.copysign(1, one) == math.copysign(1, other)
        case dt.datetime() | dt.time():
            return bool(
                one.replace(tzinfo=None) == other.replace(tzinfo=None)
                and one.utcoffset() == other.utcoffset()
            )
        case list() | tuple():
            return len(one) == len(other) and all(map(same, one, other))
        case set() | frozenset():
            return bool(one == other)
        case Mapping():
            return one.keys() == other.keys() and all(
                same(one[key], other[key]) for key in one
            )
        case msgspec.Struct():
            return all(
                same(getattr(one, name), getattr(other, name))
                for name in one.__struct_fields__
            )
    if dataclasses.is_dataclass(one):
        return all(
            same(getattr(one, field.name, None), getattr(other, field.name, None))
            for field in dataclasses.fields(one)
        )
    return bool(one == other)
