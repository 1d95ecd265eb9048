"""Results of methods that change nothing, kept for a while for who asks the same.

A result is known by the method, its converted arguments and, unless it is the same for
everybody, who asks. Of several who ask the same at once one makes the call, and the
others wait for its result. What fails is not kept.
"""

from __future__ import annotations

import dataclasses
import enum
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from gevent.event import Event

from toolserver import strictjson
from toolserver.contexts import current
from toolserver.entries import ToolEntry
from toolserver.errors import StartError
from toolserver.message import Response
from toolserver.methods import Cached, MethodSpec
from toolserver.plain import to_plain

__all__ = ["FRESH_FOR", "ResultCache", "TargetCache"]

#: The note of a request that has for how many seconds its result is still kept.
FRESH_FOR = "fresh for"
_LEAVES = (
    *(type(None), bool, int, float, str, bytes, Decimal, UUID),
    *(datetime, date, time_of_day, timedelta, enum.Enum),
)
_EXACT = frozenset({type(None), bool, int, str, bytes})
#: What a number or a bare container takes in memory, roughly.
_LEAF_SIZE = 64


class _Uncacheable(Exception):
    """A value cannot be told from others, or not be kept."""


class _Result:
    """A result that is kept."""

    __slots__ = ("size", "until", "value")

    def __init__(self, value: Any, until: float, size: int) -> None:
        self.value = value
        self.until = until
        self.size = size


class ResultCache:
    """Keeps results of one process.

    Args:
        most: How many results are kept at most; past it those that were used least
            recently are forgotten.
        max_size: Bytes of all of them, with the arguments, likewise.
        clock: Tells the time in seconds.
    """

    def __init__(
        self,
        most: int,
        max_size: int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._max_size = max_size
        self.clock = clock
        self._results: OrderedDict[object, _Result] = OrderedDict()
        self.size = 0

    def __len__(self) -> int:
        """How many results are kept."""
        return len(self._results)

    def fit(self, entry: ToolEntry) -> None:
        """Let the marked methods of a tool keep their results.

        Args:
            entry: The tool.

        Raises:
            StartError: A method is marked whose calls change something, or that makes
                its answers by itself.
        """
        for verbs in entry.rest_methods.values():
            for target in verbs.values():
                if target.spec.cached is not None:
                    raise StartError(f"{target.name}: @cached is not for @rest")
        for target in entry.methods.values():
            mark = target.spec.cached
            if mark is None:
                continue
            if not target.spec.is_read_only:
                raise StartError(
                    f"{target.name}: @cached is for methods that are @read_only, too"
                )
            target.cache = TargetCache(self, mark, target.spec.unlocked or target.spec)
            target.is_guarded = True

    def find(self, key: object) -> _Result | None:
        """What is kept under a key, if its time is not over."""
        found = self._results.get(key)
        if found is None:
            return None
        if found.until <= self.clock():
            self._forget(key)
            return None
        self._results.move_to_end(key)
        return found

    def keep(self, key: object, value: Any, seconds: float, size: int) -> None:
        """Keep a result; a very large one is not kept.

        Args:
            key: What it is known by.
            value: The result.
            seconds: For how long.
            size: Bytes that it takes, with its key.
        """
        self._forget(key)
        if size > self._max_size // 16:
            return
        self._results[key] = _Result(value, self.clock() + seconds, size)
        self.size += size
        while len(self._results) > self._most or self.size > self._max_size:
            self._forget(next(iter(self._results)))

    def _forget(self, key: object) -> None:
        found = self._results.pop(key, None)
        if found is not None:
            self.size -= found.size


class TargetCache:
    """Keeps the results of one method of one tool.

    Args:
        cache: Where they are kept.
        mark: For how long, and for whom.
        spec: What is known of the method.
    """

    def __init__(self, cache: ResultCache, mark: Cached, spec: MethodSpec) -> None:
        self._cache = cache
        self._mark = mark
        self._names = [each.name for each in spec.parameters[: spec.positional]]
        self._running: dict[object, Event] = {}

    def get(
        self,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        make: Callable[[], Any],
    ) -> Any:
        """Give the result that is kept, or make the call.

        Args:
            args: Positional arguments, converted.
            kwargs: Named arguments, converted.
            make: Makes the call.

        Returns:
            The result, which nobody may change.

        Raises:
            BaseException: Whatever the call raises.
        """
        # Whether an argument is given by position or by name is all the same.
        named = {**dict(zip(self._names, args, strict=False)), **kwargs}
        further = args[len(self._names) :]
        try:
            asked, size = _freeze((*sorted(named.items()), *further))
        except _Uncacheable:
            return make()
        # The cache is itself in the key: another tool of the same name, loaded anew,
        # has another one.
        key = (self, asked, self._asker())
        while True:
            found = self._cache.find(key)
            if found is not None:
                return self._tell(found.until, found.value)
            ready = self._running.get(key)
            if ready is None:
                return self._make(key, size, make)
            # It may fail, or its result may not be one to be kept.
            ready.wait()

    def _make(self, key: object, size: int, make: Callable[[], Any]) -> Any:
        ready = self._running[key] = Event()
        try:
            value = make()
            try:
                size += _size_of(value)
            except _Uncacheable:
                return value
            seconds = self._mark.seconds
            self._cache.keep(key, value, seconds, size)
            return self._tell(self._cache.clock() + seconds, value)
        finally:
            del self._running[key]
            ready.set()

    def _asker(self) -> object:
        if not self._mark.per_client:
            return None
        context = current()
        return None if context is None else (context.client, context.groups)

    def _tell(self, until: float, value: Any) -> Any:
        context = current()
        if context is not None and context.request is not None:
            left = until - self._cache.clock()
            context.request.notes[FRESH_FOR] = max(0, int(left))
        return value


def _freeze(value: Any) -> tuple[object, int]:
    """What tells a value from all others, and its size.

    Raises:
        _Uncacheable: It cannot be told what the value is made of.
    """
    cls = value.__class__
    if isinstance(value, _LEAVES):
        # What is equal may look different, such as times of two zones.
        token = value if cls in _EXACT else repr(value)
        extra = len(token) if isinstance(token, (str, bytes)) else 0
        return (cls, token), _LEAF_SIZE + extra
    parts: Iterator[Any]
    if isinstance(value, (list, tuple)):
        parts = iter(value)
    elif isinstance(value, dict):
        parts = iter(value.items())
    elif dataclasses.is_dataclass(value):
        parts = (getattr(value, each.name) for each in dataclasses.fields(value))
    elif isinstance(value, msgspec.Struct):
        parts = (getattr(value, name) for name in value.__struct_fields__)
    else:
        raise _Uncacheable
    frozen, size = [], _LEAF_SIZE
    for part in parts:
        made, taken = _freeze(part)
        frozen.append(made)
        size += taken
    return (cls, tuple(frozen)), size


def _size_of(value: Any) -> int:
    """Bytes that a result takes, roughly.

    Raises:
        _Uncacheable: It can be used only once, or is no value.
    """
    if isinstance(value, (Iterator, Response)) or hasattr(value, "read"):
        raise _Uncacheable
    if isinstance(value, bytes):
        return _LEAF_SIZE + len(value)
    try:
        return _LEAF_SIZE + len(strictjson.encode(to_plain(value)))
    except Exception:
        raise _Uncacheable from None
