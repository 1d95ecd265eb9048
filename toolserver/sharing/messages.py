"""What a worker and the hub say to each other; see `toolserver.sharing.frames`.

A worker asks for a tuple under a number of its own, the *ask*. The hub knows plain
values and their classes. Where the pattern has more in it, such as a predicate, the
hub sends what may fit and the worker judges it. What was granted is the worker's when
it has said so: until then it can go back.

================ ======================================== ===========================
to the hub       parts                                    answered by
================ ======================================== ===========================
``PUBLISH``      topic, value                             ``PUBLISHED`` to the others
``OUT``          request, values, lifetime or None        ``DONE`` or ``FULL``
``COUNT``        request                                  ``DONE``
``NOTIFY``       request, topic, value                    ``DONE``
``ASK``          ask, what is asked for, see `Asked`      the next four
``VERDICT``      ask, number of the tuple, whether it fits
``CONFIRM``      ask: what was granted has arrived
``CANCEL``       ask: nobody waits for it any more
``LISTEN``       ask, topic                               ``TOLD``
``SURVEY``       request                                  ``SURVEYED``
================ ======================================== ===========================

============= ==========================================================
to the worker parts
============= ==========================================================
``DONE``      request, a number
``FULL``      request, how many tuples the space holds
``OFFER``     ask, number of the tuple, values
``GRANT``     ask, values
``NONE``      ask: there is no such tuple
``TOLD``      ask, value
``PUBLISHED`` topic, value
``EXPIRED``   values that have outlived their time; told to one worker
``SURVEYED``  request, the sums of what the workers have counted
============= ==========================================================

Values and topics' values are packed by `toolserver.sharing.values`.
"""

from __future__ import annotations

import datetime as dt
import types
from dataclasses import dataclass
from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import UUID

from toolserver.tuplepatterns import Pattern

__all__ = ["Asked", "Kind", "described"]


class Kind(IntEnum):
    """What a message is for."""

    PUBLISH = 1
    OUT = 2
    COUNT = 3
    NOTIFY = 4
    ASK = 5
    VERDICT = 6
    CONFIRM = 7
    CANCEL = 8
    LISTEN = 9
    SURVEY = 10

    DONE = 20
    FULL = 21
    OFFER = 22
    GRANT = 23
    NONE = 24
    TOLD = 25
    PUBLISHED = 26
    EXPIRED = 27
    SURVEYED = 28


#: The classes that the hub knows.
_CLASSES: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        *(bool, int, float, str, bytes, list, dict, tuple, set, frozenset),
        *(Decimal, UUID, dt.datetime, dt.date, dt.time, dt.timedelta),
        types.NoneType,
        object,
    )
}
_NAMES = {cls: name for name, cls in _CLASSES.items()}
_CONSTANTS = (str, int, float, bytes, types.NoneType)
#: Elements of a pattern: what is fine as anything, and what the worker judges.
_ANYTHING, _UNKNOWN = 0, 1
_CONSTANT, _ONE_OF = 0, 1
_LEAST_INT, _MOST_INT = -(2**63), 2**64 - 1


@dataclass(frozen=True)
class Asked:
    """What a worker asks for.

    Attributes:
        pattern: What the tuple has to look like, as far as the hub can tell.
        is_exact: Whether the hub can tell all of it.
        takes: Whether the tuple is taken out of the space.
        reader: The name under which each tuple is had once, or the empty text.
        waits: Whether the worker waits for a tuple that is not there yet.
    """

    pattern: Pattern
    is_exact: bool
    takes: bool
    reader: str
    waits: bool

    @classmethod
    def read(cls, parts: list[Any]) -> Asked:
        """Read what `described` and the other parts of a message say.

        Args:
            parts: The description of the pattern, and the other three.

        Raises:
            ValueError: They say nothing that can be asked for.
        """
        try:
            elements, takes, reader, waits = parts
            pattern = tuple(map(_element, elements))
            is_exact = _UNKNOWN not in elements
        except (ValueError, TypeError, LookupError) as error:
            raise ValueError(f"got {parts!r:.60}, expected a pattern") from error
        return cls(pattern, is_exact, bool(takes), str(reader), bool(waits))


def described(pattern: Pattern) -> list[Any]:
    """Describe a pattern as far as the hub can know it.

    Args:
        pattern: The pattern.
    """
    return [_describe(element) for element in pattern]


def _describe(element: Any) -> Any:
    if element is ... or element is object:
        return _ANYTHING
    if isinstance(element, type):
        return [_ONE_OF, _NAMES[element]] if element in _NAMES else _UNKNOWN
    if isinstance(element, types.UnionType):
        classes = element.__args__
        if all(cls in _NAMES for cls in classes):
            return [_ONE_OF, *(_NAMES[cls] for cls in classes)]
        return _UNKNOWN
    for base in _CONSTANTS:
        # A member of an enumeration that is a text compares like that text.
        if isinstance(element, base) and type(element).__eq__ is base.__eq__:
            return _constant(base, element)
    return _UNKNOWN


def _constant(base: type, element: Any) -> Any:
    if base is int and not _LEAST_INT <= element <= _MOST_INT:
        return _UNKNOWN
    if base is str:
        element = str.__str__(element)
        return [_CONSTANT, element] if _is_unicode(element) else _UNKNOWN
    return [_CONSTANT, element if element is None else base(element)]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _element(described: Any) -> Any:
    if described in (_ANYTHING, _UNKNOWN):
        return ...
    kind, *values = described
    if kind == _CONSTANT:
        (constant,) = values
        return constant
    found = _CLASSES[values[0]]
    for name in values[1:]:
        found = found | _CLASSES[name]  # type: ignore[assignment]  # a union of them
    return found
