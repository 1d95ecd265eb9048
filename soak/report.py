"""The figures of a soak, as text and as JSON."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from soak.judging import Verdict
from soak.record import Record
from soak.sampling import Sample

__all__ = ["figures", "fuzz_text", "text"]

_MIB = 2**20


def figures(
    about: dict[str, Any],
    record: Record,
    verdict: Verdict,
    samples: Sequence[Sample],
    greenlets: Sequence[tuple[float, int, int]],
) -> dict[str, Any]:
    """All that was measured.

    Args:
        about: When, where and with what it was measured.
        record: What the clients saw.
        verdict: What was found.
        samples: What the processes held.
        greenlets: How many greenlets workers had.
    """
    done = Counter(each.kind for each in record.disturbances)
    took = defaultdict(list)
    for each in record.disturbances:
        took[each.kind].append(each.end - each.begin)
    return {
        "about": about,
        "answers": dict(sorted(record.answers.items())),
        "jobs": len(record.jobs),
        "noted_calls": len(record.notes) + len(record.kept),
        "disturbances": {
            kind: {"count": count, "longest_s": round(max(took[kind]), 3)}
            for kind, count in sorted(done.items())
        },
        "excused_failures": [
            {"client": client, "reason": reason, "around": kind, "count": count}
            for (client, reason, kind), count in sorted(verdict.excused.items())
        ],
        "attacks": [
            {"deed": deed, "outcome": outcome, "count": count}
            for (deed, outcome), count in sorted(record.attacks.items())
        ],
        "processes": [_process(each, greenlets) for each in _by_process(samples)],
        "growths": [
            {
                "pid": each.pid,
                "kind": each.kind,
                "what": each.what,
                "begin": round(each.begin, 1),
                "end": round(each.end, 1),
                "is_level": each.is_level,
            }
            for each in verdict.growths
        ],
        "faults": verdict.faults,
        "samples": [
            (
                *(round(each.time, 1), each.pid, each.rss_bytes),
                *(each.descriptors, each.threads),
            )
            for each in samples
        ],
    }


def _by_process(samples: Sequence[Sample]) -> Iterable[list[Sample]]:
    found: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        found[sample.pid].append(sample)
    return found.values()


def _process(
    seen: list[Sample], greenlets: Sequence[tuple[float, int, int]]
) -> dict[str, Any]:
    points = (seen[0], seen[len(seen) // 2], seen[-1])
    return {
        "pid": seen[0].pid,
        "kind": seen[0].kind,
        "lived_s": round(seen[-1].time - seen[0].time, 1),
        "rss_mib": [round(each.rss_bytes / _MIB, 1) for each in points],
        "descriptors": [each.descriptors for each in points],
        "threads": [each.threads for each in points],
        "most_greenlets": max(
            (count for _, pid, count in greenlets if pid == seen[0].pid), default=0
        ),
    }


def text(found: dict[str, Any]) -> str:
    """The figures for people, as tables of Markdown."""
    parts = ["".join(f"- {name}: {fact}\n" for name, fact in found["about"].items())]
    rows = [[label, f"{count:,}"] for label, count in found["answers"].items()]
    rows.append(["all", f"{sum(found['answers'].values()):,}"])
    parts.append(_table(("right answers", "number"), rows))
    parts.append(
        _table(
            ("what was done to the server", "times", "whole again after at most"),
            [
                [kind, str(each["count"]), f"{each['longest_s']:.1f} s"]
                for kind, each in found["disturbances"].items()
            ],
        )
    )
    excused = Counter[tuple[str, str]]()
    for each in found["excused_failures"]:
        excused[each["around"], each["reason"]] += each["count"]
    parts.append(
        _table(
            ("requests without an answer, around", "reason", "number"),
            [[*names, f"{count:,}"] for names, count in sorted(excused.items())],
        )
    )
    attacks: dict[str, Counter[str]] = defaultdict(Counter)
    for each in found["attacks"]:
        attacks[each["deed"]][each["outcome"]] += each["count"]
    parts.append(
        _table(
            ("hostile clients", "number", "outcomes"),
            [
                [
                    deed,
                    f"{sum(outcomes.values()):,}",
                    ", ".join(f"{name} {n:,}" for name, n in outcomes.most_common(8)),
                ]
                for deed, outcomes in attacks.items()
            ],
        )
    )
    parts.append(
        _table(
            ("process", "lived", "RSS, MiB", "descriptors", "threads", "greenlets"),
            [
                [
                    f"{each['kind']} {each['pid']}",
                    f"{each['lived_s']:.0f} s",
                    *(
                        " / ".join(map(str, each[name]))
                        for name in ("rss_mib", "descriptors", "threads")
                    ),
                    f"≤ {each['most_greenlets']}" if each["most_greenlets"] else "",
                ]
                for each in found["processes"]
                if each["lived_s"] > 0
            ],
        )
    )
    parts.append(
        _table(
            ("growth over the judged time", "of", "from", "to", ""),
            [
                [
                    each["what"],
                    f"{each['kind']} {each['pid']}",
                    *(_value(each["what"], each[end]) for end in ("begin", "end")),
                    "level" if each["is_level"] else "**grows**",
                ]
                for each in found["growths"]
            ],
        )
    )
    jobs = f"{found['jobs']:,} jobs were accepted, {found['noted_calls']:,} calls noted"
    parts.append(f"{jobs}; {len(found['faults'])} faults\n")
    parts += [f"- {fault}\n" for fault in found["faults"][:50]]
    return "\n".join(parts)


def fuzz_text(found: dict[str, Any]) -> str:
    """The figures of a fuzz for people."""
    rows = [
        ["closed without an answer" if status == "0" else status, f"{count:,}"]
        for status, count in found["answers"].items()
    ]
    parts = [_table(("answer", "number"), rows)]
    sizes = " / ".join(map(str, found["rss_mib"]))
    parts.append(
        f"{found['asked_beside']:,} right answers on the connection beside, "
        f"RSS {sizes} MiB, {len(found['faults'])} faults\n"
    )
    parts += [f"- {fault}\n" for fault in found["faults"][:50]]
    return "\n".join(parts)


def _value(what: str, value: float) -> str:
    return f"{value / _MIB:.1f} MiB" if what == "memory" else f"{value:.1f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
