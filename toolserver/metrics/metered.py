"""The door for calls, with a clerk who counts them."""

from __future__ import annotations

from bisect import bisect_left
from time import perf_counter
from typing import Any

import gevent

from toolserver.calls import Call, Outcome
from toolserver.contexts import current
from toolserver.dispatcher import Dispatcher
from toolserver.entries import Target
from toolserver.errors import (
    ApplicationError,
    CallTimeout,
    Forbidden,
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    Overload,
    ParseError,
    RequireBroken,
    Signal,
    ToolserverError,
    TooMany,
    Unauthenticated,
)
from toolserver.factories import TransientTool, pattern_of
from toolserver.metrics.sheets import COUNTER, CountSheet
from toolserver.registry import Registry

__all__ = ["CALLS", "CALL_BOUNDS_S", "CALL_SECONDS", "CallMeter", "MeteredDispatcher"]

CALLS, CALL_SECONDS = "calls", "call_seconds"
#: Upper bounds of the classes of durations, seconds; one more class has the rest.
CALL_BOUNDS_S = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25),
    *(0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
#: Where the sum of the durations is, behind the classes.
_SUM = len(CALL_BOUNDS_S) + 1
#: The label of all methods that are not there: callers choose their names.
UNKNOWN = "(unknown)"
#: The label of what comes when the sheet is full.
OTHER = "(other)"
#: The labels of calls that arrive by no protocol.
_INSIDE, _JOB = "inside", "job"
_OUTCOMES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...]
_OUTCOMES = (
    ((Unauthenticated, Forbidden), "refused"),
    ((TooMany, Overload), "limited"),
    ((CallTimeout, gevent.Timeout), "timeout"),
    (
        (InvalidParams, InvalidRequest, ParseError, MethodNotFound, RequireBroken),
        "invalid",
    ),
    (ApplicationError, "application"),
)


def outcome_of(error: BaseException) -> str:
    """The class of failures that an error belongs to.

    Args:
        error: What a call has raised.

    Returns:
        ``"refused"``, ``"limited"``, ``"timeout"``, ``"invalid"``, ``"application"``
        for what a tool tells its callers, or ``"failed"`` for any other exception.
    """
    if isinstance(error, Signal):
        return "ok"
    for kinds, name in _OUTCOMES:
        if isinstance(error, kinds):
            return name
    return "failed"


# Found once: `super` would look for it at each call.
_invoke = Dispatcher.invoke


class CallMeter:
    """Counts calls by tool, method, protocol and outcome, and how long they take.

    Args:
        sheet: Where it counts.
    """

    def __init__(self, sheet: CountSheet) -> None:
        self._sheet = sheet
        self._values = sheet.values
        # Made first, so that there is room for them.
        self._other = self._open(CALLS, OTHER, OTHER, OTHER, OTHER)
        self._other_durations = self._open_durations(OTHER, OTHER)
        # Of each name, protocol and outcome: where its calls are counted, and where
        # the durations of its method.
        self._places: dict[tuple[str, str, str], tuple[int, int]] = {}

    def count(
        self, target: Target, protocol: str, outcome: str, seconds: float
    ) -> None:
        """Count a call.

        Args:
            target: What was called.
            protocol: How the call arrived.
            outcome: What became of it.
            seconds: How long it took.
        """
        found = self._places.get((target.name, protocol, outcome))
        if found is None:
            found = self._find(target, protocol, outcome)
        place, durations = found
        values = self._values
        values[place] += 1.0
        values[durations + bisect_left(CALL_BOUNDS_S, seconds)] += 1.0
        values[durations + _SUM] += seconds

    def count_unknown(self, protocol: str, error: ToolserverError) -> None:
        """Count a call that leads to no method.

        Args:
            protocol: How the call arrived.
            error: Why it was not made.
        """
        labels = "", UNKNOWN, protocol, outcome_of(error)
        place = self._sheet.open(COUNTER, CALLS, *labels)
        self._values[self._other if place is None else place] += 1.0

    def _find(self, target: Target, protocol: str, outcome: str) -> tuple[int, int]:
        tool, method = pattern_of(target.tool), target.spec.name
        # Callers choose the keys of factories: they are no labels, and not kept.
        is_made = isinstance(target.tool, TransientTool)
        key = f"{tool} {method}" if is_made else target.name, protocol, outcome
        found = self._places.get(key)
        if found is None:
            found = self._places[key] = (
                self._open(CALLS, tool, method, protocol, outcome, or_else=self._other),
                self._open_durations(tool, method, self._other_durations),
            )
        return found

    def _open_durations(self, tool: str, method: str, or_else: int = -1) -> int:
        return self._open(CALL_SECONDS, tool, method, count=_SUM + 1, or_else=or_else)

    def _open(self, *key: str, count: int = 1, or_else: int = -1) -> int:
        place = self._sheet.open(COUNTER, *key, count=count)
        return or_else if place is None else place


class MeteredDispatcher(Dispatcher):
    """Makes calls and counts them.

    Args:
        meter: What counts.
        registry: Where the tools are found.
        **options: Further arguments of `Dispatcher`.
    """

    def __init__(self, meter: CallMeter, registry: Registry, **options: Any) -> None:
        super().__init__(registry, **options)
        self._meter = meter
        self._count = meter.count

    def invoke(
        self, target: Target, call: Call, *, inside: bool = False, checked: bool = True
    ) -> Any:
        """Take a call from its context to its result; see `Dispatcher.invoke`."""
        began = perf_counter()
        outcome = "ok"
        try:
            return _invoke(self, target, call, inside=inside, checked=checked)
        except BaseException as error:
            outcome = outcome_of(error)
            raise
        finally:
            seconds = perf_counter() - began
            self._count(target, _protocol(inside), outcome, seconds)

    def refuse(self, call: Call, error: ToolserverError) -> Outcome:
        """Tell that a call leads nowhere; see `Dispatcher.refuse`."""
        self._meter.count_unknown(_protocol(False), error)
        return super().refuse(call, error)


def _protocol(inside: bool) -> str:
    """How the running call arrived."""
    context = current()
    if context is None:
        return _INSIDE
    if not inside:
        return context.protocol or _INSIDE
    # The call of a job itself is made by no tool.
    return _JOB if context.job is not None and context.tool is None else _INSIDE
