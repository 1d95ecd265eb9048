"""Whether what was promised has been kept."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from dataclasses import dataclass, field

from soak.chaos import EXCUSES
from soak.ledger import Ledger
from soak.record import Failure, Record
from soak.sampling import Sample

__all__ = ["Growth", "Verdict", "fit", "growths", "judge", "tracebacks"]

#: Seconds after a disturbance in which its failures may still be noticed.
GRACE = 3.0
#: Seconds by which the machine's clock may be set while a job waits.
EARLY = 0.1
#: How far memory and descriptors may grow over the time that is judged.
MOST_MEMORY, MOST_DESCRIPTORS = 4 * 2**20, 20
#: Samples that a process needs to be judged.
LEAST_SAMPLES = 8
#: Names that clients give to calls; mutants of their requests have others.
_NAME = re.compile(r"[^/]+/[0-9]+/[0-9]+")
#: Where a line of the log begins, which may have others below it.
_ENTRY = re.compile(r"^(?=\d{4}-\d\d-\d\d )", re.MULTILINE)


@dataclass(frozen=True)
class Growth:
    """How one figure of a process has changed, by a straight line through it.

    Attributes:
        pid: The process.
        kind: What it is, master or worker.
        what: The figure.
        begin: Its value by the line where the judged time begins.
        end: The same where it ends.
        most: How much it may grow.
    """

    pid: int
    kind: str
    what: str
    begin: float
    end: float
    most: float

    @property
    def is_level(self) -> bool:
        """Whether it has grown no more than it may."""
        return self.end - self.begin <= self.most


@dataclass
class Verdict:
    """What was found.

    Attributes:
        faults: What was not as promised.
        excused: Failures by who asked, reason and what excuses them.
        growths: How the processes have grown.
    """

    faults: list[str] = field(default_factory=list)
    excused: dict[tuple[str, str, str], int] = field(
        default_factory=lambda: defaultdict(int)
    )
    growths: list[Growth] = field(default_factory=list)


def judge(
    record: Record, ledger: Ledger, log: str, killed: dict[int, float]
) -> Verdict:
    """Hold what the clients saw against what really happened.

    Args:
        record: What the clients saw.
        ledger: What really happened.
        log: The log of errors.
        killed: When processes were killed, on the monotonic clock, by their ids.
    """
    found = Verdict()
    found.faults += [f"wrong answer: {text}" for text in record.wrong]
    for failure in record.failures:
        kind = excuse(failure, record)
        if kind is None:
            found.faults.append(
                f"no answer: {failure.client}, {failure.reason}: {failure.text:.300}"
            )
        else:
            found.excused[failure.client, failure.reason, kind] += 1
    names = record.notes | record.kept
    found.faults += [
        f"an answered call was not made: {name}"
        for name in names
        if not ledger.calls[name]
    ]
    found.faults += [
        f"a call was made {count} times: {name}"
        for name, count in ledger.calls.items()
        if count > 1 and _NAME.fullmatch(name)
    ]
    found.faults += _judge_jobs(record, ledger, killed)
    found.faults += [f"traceback in the log: {text}" for text in tracebacks(log)]
    return found


def excuse(failure: Failure, record: Record) -> str | None:
    """What was done to the server that excuses a failure; None for nothing."""
    for each in record.disturbances:
        if (
            failure.reason in EXCUSES[each.kind]
            and each.begin <= failure.until
            and failure.since <= each.end + GRACE
        ):
            return each.kind
    return None


def _judge_jobs(record: Record, ledger: Ledger, killed: dict[int, float]) -> list[str]:
    faults = _judge_queue(record, ledger, killed)
    for id_, job in record.jobs.items():
        runs, ends = ledger.runs.get(id_, []), ledger.ends.get(id_, {})
        told = f"job {id_} of {job.client}"
        ended = sum(run.is_ended for run in runs)
        broken_off = [run.pid for run in runs if run.pid in killed]
        if not job.is_done:
            faults.append(f"{told}: no end was seen; it ran {len(runs)} times")
        if not ended:
            faults.append(f"{told}: its call came to no end")
        # Whoever dies between the end of the call and the storing of it leaves the
        # call to another: at least once.
        if len(runs) > 1 + len(broken_off):
            faults.append(f"{told}: ran {len(runs)} times for {len(broken_off)} kills")
        if sum(ends.values()) > 1 or set(ends) - {"done"}:
            faults.append(f"{told}: ended as {dict(ends)}")
        if not ends and not killed:
            faults.append(f"{told}: nobody was told of its end")
        early = [run.begin for run in runs if run.begin < job.due - EARLY]
        if early:
            faults.append(f"{told}: began {job.due - min(early):.3f} s too early")
    return faults


def _judge_queue(record: Record, ledger: Ledger, killed: dict[int, float]) -> list[str]:
    """Of the calls of a queue no two may run at once."""
    queued = [id_ for id_, job in record.jobs.items() if job.client == "queued jobs"]
    runs = [(run, id_) for id_ in queued for run in ledger.runs.get(id_, [])]
    runs.sort(key=lambda each: each[0].begin_at)
    faults = []
    for (before, first), (after, second) in itertools.pairwise(runs):
        end = before.end_at or killed.get(before.pid, before.begin_at)
        if end > after.begin_at:
            faults.append(f"jobs {first} and {second} of one queue ran at once")
    return faults


def tracebacks(log: str) -> list[str]:
    """Entries of a log with tracebacks, but for what was cut off by the end.

    A request that needs longer than its server waits at its end is ended there.

    Args:
        log: The log.
    """
    return [
        entry[:3000]
        for entry in _ENTRY.split(log)
        if "Traceback (most recent call last)" in entry
        and not entry.rstrip().endswith("GreenletExit")
    ]


def growths(samples: list[Sample], begin: float, end: float) -> list[Growth]:
    """How processes have grown that lived all the time between two moments.

    Args:
        samples: What was seen of all processes.
        begin: From when on they are judged, seconds since the soak began.
        end: Until when.
    """
    found = []
    by_pid: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        if begin <= sample.time <= end:
            by_pid[sample.pid].append(sample)
    for pid, seen in by_pid.items():
        if len(seen) < LEAST_SAMPLES:
            continue
        times = [sample.time for sample in seen]
        figures = {
            "memory": ([float(each.rss_bytes) for each in seen], MOST_MEMORY),
            "descriptors": (
                [float(each.descriptors) for each in seen],
                MOST_DESCRIPTORS,
            ),
            "threads": ([float(each.threads) for each in seen], MOST_DESCRIPTORS),
        }
        for what, (values, most) in figures.items():
            first, last = fit(times, values)
            found.append(Growth(pid, seen[0].kind, what, first, last, most))
    return found


def fit(times: list[float], values: list[float]) -> tuple[float, float]:
    """The ends of the straight line of least squares through some points."""
    middle = sum(times) / len(times)
    height = sum(values) / len(values)
    spread = sum((time - middle) ** 2 for time in times)
    pairs = zip(times, values, strict=True)
    slope = (
        sum((time - middle) * (value - height) for time, value in pairs) / spread
        if spread
        else 0.0
    )
    return (
        height + slope * (times[0] - middle),
        height + slope * (times[-1] - middle),
    )
