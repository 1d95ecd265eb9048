"""What is told of a test: which doors differ, and how to see it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from toolserver.parity.running import Fault, MethodReport

__all__ = ["Report"]

#: Faults of one method and door that are shown, and characters of a value.
_SHOWN, _LONGEST = 3, 400


@dataclass
class Report:
    """What became of a test.

    Attributes:
        seed: What the values came from.
        count: Calls of each method through each door, at most.
        methods: The methods that were called.
        skipped: Why others were not, by their full names.
    """

    seed: int
    count: int
    methods: list[MethodReport] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def has_faults(self) -> bool:
        """Whether some door differs."""
        return any(method.faults for method in self.methods)

    def lines(self) -> Iterator[str]:
        """The report for people."""
        for method in self.methods:
            yield from self._method_lines(method)
        known = sorted({each.name for method in self.methods for each in method.met})
        if known:
            yield "known differences that were met:"
            yield from (f"  {name}" for name in known)
        if self.skipped:
            yield "skipped:"
            width = max(map(len, self.skipped))
            for name, reason in sorted(self.skipped.items()):
                yield f"  {name:{width}}  {reason}"
        calls = sum(sum(method.calls.values()) for method in self.methods)
        differing = sum(bool(method.faults) for method in self.methods)
        outcome = f"{differing} with faults" if differing else "no faults"
        yield (
            f"{_counted(len(self.methods), 'method')}, {_counted(calls, 'call')}, "
            f"{outcome} (seed {self.seed})"
        )

    def _method_lines(self, method: MethodReport) -> Iterator[str]:
        calls, doors = sum(method.calls.values()), len(method.calls)
        told = "differs" if method.faults else "ok"
        slow = f", {method.slow} slow ones left out" if method.slow else ""
        yield f"{method.name}: {told}, {calls} calls through {doors} doors{slow}"
        for door, reason in method.skipped.items():
            yield f"  not through {door}: {reason}"
        for fault in _first(method.faults):
            yield f"  {fault.door}"
            yield f"    call:     {_short(fault.asked)}"
            yield f"    expected: {_short(fault.expected)}"
            yield f"    got:      {_short(fault.told)}"
        for door, number in _counts(method.faults).items():
            if number > _SHOWN:
                yield f"  {door}: {number - _SHOWN} more"
        if method.faults:
            yield f"  again: {self._again(method)}"

    def _again(self, method: MethodReport) -> str:
        return f"tsctl test {method.name} --count {self.count} --seed {self.seed}"

    def as_json(self) -> dict[str, Any]:
        """The report for programs, of which JSON can carry all."""
        return {
            "seed": self.seed,
            "count": self.count,
            "agrees": not self.has_faults,
            "methods": [self._method_json(method) for method in self.methods],
            "skipped": self.skipped,
        }

    def _method_json(self, method: MethodReport) -> dict[str, Any]:
        return {
            "name": method.name,
            "calls": method.calls,
            "slow_calls": method.slow,
            "skipped_doors": method.skipped,
            "known_differences": sorted(each.name for each in method.met),
            "differing": _counts(method.faults),
            "faults": [
                {
                    "door": fault.door,
                    "call": _short(fault.asked),
                    "expected": _short(fault.expected),
                    "got": _short(fault.told),
                }
                for fault in _first(method.faults)
            ],
            "again": self._again(method),
        }


def _first(faults: list[Fault]) -> Iterator[Fault]:
    """A few faults of each door."""
    seen: dict[str, int] = {}
    for fault in faults:
        seen[fault.door] = seen.get(fault.door, 0) + 1
        if seen[fault.door] <= _SHOWN:
            yield fault


def _counts(faults: list[Fault]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for fault in faults:
        found[fault.door] = found.get(fault.door, 0) + 1
    return found


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _short(value: object) -> str:
    # Half characters would make the whole report one that cannot be printed.
    text = str(value).encode("utf-8", "backslashreplace").decode()
    text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} in all)"
