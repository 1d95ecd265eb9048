"""The tables: what was measured, against whom, and whether the target is reached."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum


class Sense(Enum):
    """Which side of its target a number should be on."""

    AT_LEAST = "≥"
    AT_MOST = "≤"


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        what: What was measured.
        ours: Who of us, and the number.
        peer: Against whom, and the number.
        value: The result that the target is about.
        rounds: The same result in each round alone.
        sense: Whether more or less is better.
        target: What is aimed at; None for a number that just informs.
        unit: Of the result.
    """

    what: str
    ours: str
    peer: str
    value: float
    rounds: Sequence[float]
    sense: Sense
    target: float | None
    unit: str

    def cells(self) -> list[str]:
        """The line as the table shows it."""
        spread = f"{_number(min(self.rounds))} to {_number(max(self.rounds))}"
        cells = [
            self.what,
            self.ours,
            self.peer,
            f"**{_number(self.value)}{self.unit}**",
        ]
        return [*cells, spread, *self._verdict()]

    def _verdict(self) -> list[str]:
        if self.target is None:
            return ["", ""]
        target = f"{self.sense.value} {_number(self.target)}{self.unit}"
        if self.sense is Sense.AT_LEAST:
            reached = self.value >= self.target
        else:
            reached = self.value <= self.target
        return [target, "reached" if reached else "missed"]


@dataclass(frozen=True)
class Missing:
    """A line for what could not be measured here.

    Attributes:
        what: What was to be measured.
        why: Why it was not.
    """

    what: str
    why: str

    def cells(self) -> list[str]:
        """The line as the table shows it."""
        return [self.what, f"not measured: {self.why}", "", "", "", "", ""]


@dataclass
class Measure:
    """What one contestant did, round by round.

    Attributes:
        name: The contestant.
        rates: Answers per second.
        server: Share of the time in which the server used its CPU.
        load: The same of the load generator.
    """

    name: str
    rates: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)

    def add(self, rate: float, server: float, load: float) -> None:
        """Add a round."""
        self.rates.append(rate)
        self.server.append(server)
        self.load.append(load)

    def cells(self) -> list[str]:
        """The line as the table shows it."""
        rates = f"{min(self.rates):,.0f} to {max(self.rates):,.0f}"
        server, load = statistics.median(self.server), statistics.median(self.load)
        pairs = zip(self.rates, self.server, strict=True)
        # Hardly changes when other work takes a part of the server's CPU.
        per_cpu = statistics.median(rate / max(cpu, 0.01) for rate, cpu in pairs)
        bound = "server" if server >= 0.9 else "load" if load >= 0.9 else "neither"
        cells = [self.name, f"{statistics.median(self.rates):,.0f}", rates]
        return [*cells, f"{per_cpu:,.0f}", f"{server:.0%}", f"{load:.0%}", bound]


def results_table(lines: Iterable[Line | Missing]) -> str:
    """The ratios as a Markdown table."""
    head = ["what", "Toolserver", "against", "result", "rounds", "target", ""]
    return _table(head, (line.cells() for line in lines))


def measures_table(measures: Iterable[Measure]) -> str:
    """What lies behind them, as another one."""
    head = ["contestant", "answers/s", "rounds", "answers per CPU second"]
    head += ["server CPU", "load CPU", "bound by"]
    return _table(head, (measure.cells() for measure in measures))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
