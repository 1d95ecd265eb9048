"""What really happened, as the calls themselves have written it down."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Ledger", "Run"]


@dataclass
class Run:
    """One time that the call of a job was begun.

    Attributes:
        begin: When, the time of day.
        begin_at: When, on the monotonic clock.
        pid: The process.
        end_at: When it came to its end; None if it did not.
    """

    begin: float
    begin_at: float
    pid: int
    end_at: float | None = None

    @property
    def is_ended(self) -> bool:
        """Whether it came to its end."""
        return self.end_at is not None


@dataclass
class Ledger:
    """The journal of the server's tools.

    Attributes:
        calls: How often each direct call was made.
        runs: How the call of each job was begun, by the job's id.
        ends: How often each job was said to have reached which last state.
    """

    calls: Counter[str] = field(default_factory=Counter)
    runs: dict[str, list[Run]] = field(default_factory=lambda: defaultdict(list))
    ends: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @classmethod
    def read(cls, journal: Path) -> Ledger:
        """Read a journal."""
        found = cls()
        with journal.open() as lines:
            for line in lines:
                kind, name, *words = line.split()
                if kind == "call":
                    found.calls[bytes.fromhex(name[1:]).decode()] += 1
                elif kind == "begin":
                    when, at, pid = float(words[0]), float(words[1]), int(words[2])
                    found.runs[name].append(Run(when, at, pid))
                elif kind == "end":
                    found._end(name, float(words[1]), int(words[2]))
                elif kind == "state" and words[0] not in ("waiting", "running"):
                    found.ends[name][words[0]] += 1
        return found

    def _end(self, id_: str, at: float, pid: int) -> None:
        for run in self.runs[id_]:
            if run.pid == pid and not run.is_ended:
                run.end_at = at
                return
