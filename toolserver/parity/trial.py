"""Tests tools in a server that is made for it, and reports what doors differ."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

import gevent

from toolserver.configuration import Configuration
from toolserver.entries import Target, ToolEntry
from toolserver.home import Home
from toolserver.parity.calls import Asked, Told
from toolserver.parity.comparing import same
from toolserver.parity.doors import Door, InsideDoor
from toolserver.parity.mistakes import mistakes_of
from toolserver.parity.reporting import Report
from toolserver.parity.running import MethodReport, asked_of, judge_calls
from toolserver.parity.selecting import Selection, select
from toolserver.parity.servers import open_doors, serve_home, settings_for_parity
from toolserver.parity.values import NoValues

__all__ = ["try_home", "try_methods"]

#: Seconds after which a call is slow, and those that a method's own calls may take.
_SLOW, _PATIENCE = 0.5, 10.0


def try_home(
    home: Home,
    configuration: Configuration,
    names: Sequence[str] = (),
    *,
    count: int,
    seed: int,
    idempotent: bool = False,
    groups: Sequence[str] = (),
) -> Report:
    """Call the methods of a home's tools through all doors.

    Args:
        home: The home; only its tools, its modules and its settings are used.
        configuration: Its configuration.
        names: The methods and namespaces that are meant, see `select`.
        count: Calls of each method through each door, at most.
        seed: What the values come from.
        idempotent: Whether methods are called, too, of which further calls change
            nothing.
        groups: The groups of who calls.

    Returns:
        What became of it.

    Raises:
        StartError: The tools cannot be loaded, or a name is that of nothing.
    """
    settings = settings_for_parity(configuration.settings, home)
    with serve_home(
        settings, original=home, configuration=configuration, groups=groups
    ) as (worker, keys):
        chosen = select(worker.registry, names, idempotent=idempotent)
        inside, doors = open_doors(worker, keys, groups)
        try:
            return try_methods(chosen, inside, doors, count=count, seed=seed)
        finally:
            for door in doors:
                door.close()


def try_methods(
    chosen: Selection,
    inside: InsideDoor,
    doors: Sequence[Door],
    *,
    count: int,
    seed: int,
) -> Report:
    """Call methods through doors that are open.

    Args:
        chosen: The methods.
        inside: The call path.
        doors: The doors.
        count: Calls of each method through each door, at most.
        seed: What the values come from.

    Returns:
        What became of it.
    """
    report = Report(seed, count, skipped=dict(chosen.skipped))
    for entry, target in chosen.methods:
        found = _try_method(entry, target, inside, doors, count, seed)
        if isinstance(found, str):
            report.skipped[target.name] = found
        else:
            report.methods.append(found)
    return report


def _try_method(
    entry: ToolEntry,
    target: Target,
    inside: InsideDoor,
    doors: Sequence[Door],
    count: int,
    seed: int,
) -> MethodReport | str:
    """What became of a method, or why nothing can be said of it."""
    try:
        asked = asked_of(target, count, seed)
    except NoValues as error:
        return str(error)
    quick = _quick_ones(inside, asked)
    if not quick:
        return f"each call takes more than {_SLOW:g} s"
    before = inside.call(quick[:1])
    # What is refused takes no time.
    made = [*quick, *mistakes_of(target, asked)]
    report = judge_calls(entry, target, made, inside, doors)
    report.slow = len(asked) - len(quick)
    if report.faults and not _is_steady(inside, quick, report, before):
        return "tells something else each time"
    return report


def _quick_ones(inside: InsideDoor, asked: Sequence[Asked]) -> list[Asked]:
    """Those of some calls that can be made through all doors in reasonable time."""
    found = []
    began = time.monotonic()
    for each in asked:
        start = time.monotonic()
        # The call path makes a failure of what ends a call before its time.
        with suppress(gevent.Timeout), gevent.Timeout(_SLOW):
            inside.call([each])
        if time.monotonic() - start < _SLOW:
            found.append(each)
        if time.monotonic() - began > _PATIENCE:
            break
    return found


def _is_steady(
    inside: InsideDoor,
    asked: Sequence[Asked],
    report: MethodReport,
    before: Sequence[Told],
) -> bool:
    """Whether the method itself answers as it did where doors seem to differ."""
    pairs = list(zip(before, inside.call(asked[:1]), strict=True))
    for fault in report.faults[:50]:
        (again,) = inside.call([fault.asked])
        pairs.append((fault.expected, again))
    return all(
        one.failure == other.failure and same(one.value, other.value)
        for one, other in pairs
    )
