"""Calls methods through all doors, with the same arguments, and judges the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from toolserver.entries import Target, ToolEntry
from toolserver.methods import Parameter
from toolserver.parity.calls import Asked, Told
from toolserver.parity.differences import NAMES_ONLY, PLACES_ONLY, Difference
from toolserver.parity.doors import Door, InsideDoor
from toolserver.parity.judging import Judge
from toolserver.parity.values import values_of

__all__ = ["Fault", "MethodReport", "asked_of", "judge_calls"]

#: Values for what ``*args`` and ``**kwargs`` take, and names for the latter.
_FURTHER = 30
_NAMES = ("further", "other_one")


@dataclass(frozen=True)
class Fault:
    """A door that told something else than the call path.

    Attributes:
        door: The door.
        asked: The call.
        expected: What the call path itself says.
        told: What the door says.
    """

    door: str
    asked: Asked
    expected: Told
    told: Told


@dataclass
class MethodReport:
    """What became of the calls of one method.

    Attributes:
        name: Its full name.
        calls: How many calls were made, by door.
        faults: Where doors differ.
        skipped: Why doors were left out.
        met: Known differences that were met.
        slow: How many calls were left out because they take long.
    """

    name: str
    calls: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    met: set[Difference] = field(default_factory=set)
    slow: int = 0


def judge_calls(
    entry: ToolEntry,
    target: Target,
    asked: Sequence[Asked],
    inside: InsideDoor,
    doors: Sequence[Door],
) -> MethodReport:
    """Make calls through all doors, and compare what they tell.

    Args:
        entry: The tool.
        target: The method.
        asked: The calls.
        inside: The call path.
        doors: The doors.

    Returns:
        What became of them.
    """
    report = MethodReport(target.name)
    judge = Judge(target.spec.returns)
    expected = inside.call(asked)
    for door in doors:
        reason = door.skips(entry, target)
        if reason:
            report.skipped[door.name] = reason
            continue
        formed = [(each, door.form(each)) for each in asked]
        sent = [form for _, form in formed if form is not None]
        report.calls[door.name] = len(sent)
        told = iter(door.call(sent))
        for (each, form), should in zip(formed, expected, strict=True):
            if form is None:
                judge.met.add(PLACES_ONLY if each.args else NAMES_ONLY)
                continue
            found = next(told)
            if not judge.agrees(door, each, should, found):
                report.faults.append(Fault(door.name, form, should, found))
    report.met = judge.met
    return report


def asked_of(target: Target, count: int, seed: int) -> list[Asked]:
    """Make calls of a method.

    Args:
        target: The method.
        count: How many.
        seed: What the values come from.

    Returns:
        The calls; fewer if its arguments cannot be as many.

    Raises:
        NoValues: No value of a parameter could be made.
    """
    # The same for one method, whichever others are called.
    random = Random(f"{seed} {target.name}")  # noqa: S311 - no secret
    spec = target.spec
    columns = {
        parameter.name: values_of(parameter.type, count, random)
        for parameter in spec.parameters
    }
    size = max(map(len, columns.values()), default=1)
    more = {
        parameter: values_of(parameter.type, _FURTHER, random)
        for parameter in (spec.rest, spec.extra)
        if parameter is not None
    }
    return [_row(target, columns, more, index, random) for index in range(size)]


def _row(
    target: Target,
    columns: dict[str, list[Any]],
    more: dict[Parameter, list[Any]],
    index: int,
    random: Random,
) -> Asked:
    spec = target.spec
    given: dict[str, Any] = {}
    # Those with defaults are left out from some place on, now and then.
    kept = len(spec.parameters)
    if index % 8 == 0 and len(spec.parameters) > 1:
        kept = random.randint(0, kept)
    for place, parameter in enumerate(spec.parameters):
        column = columns[parameter.name]
        if place < kept or parameter.required:
            # The first one goes through its values in order, the others by chance.
            at = index if place == 0 else random.randrange(len(column))
            given[parameter.name] = column[at % len(column)]
    if index % 2:
        if spec.extra is not None and index % 3:
            given |= dict.fromkeys(_NAMES, random.choice(more[spec.extra]))
        return Asked(target.name, (), given, target)
    # What only has a name is left out where all goes by position.
    names = [parameter.name for parameter in spec.parameters[: spec.positional]]
    args = tuple(given.pop(name) for name in names if name in given)
    needed = {
        parameter.name: given[parameter.name]
        for parameter in spec.parameters[spec.positional :]
        if parameter.required
    }
    if spec.rest is not None and len(args) == spec.positional and index % 3:
        args += tuple(random.choices(more[spec.rest], k=index % 3))
    asked = Asked(target.name, args, needed, target)
    # Few protocols take some by position and others by name.
    return (asked.in_form(positions=False) or asked) if needed else asked
