"""A short soak, and that the soak finds what it looks for."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from soak.chaos import MASTER_KILLED, RELOADED, WORKER_KILLED
from soak.judging import fit, growths, judge, tracebacks
from soak.ledger import Ledger
from soak.record import Disturbance, Failure, Job, Record
from soak.sampling import Sample
from soak.tools.soaked import shown

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(240)
def test_a_worker_is_killed_and_nothing_is_lost(tmp_path):
    # As people run it: what other tests leave in their process is no part of it.
    command = [sys.executable, "-m", "tests.soak.short", str(tmp_path / "home")]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=230, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["faults"] == []
    assert found["disturbances"][WORKER_KILLED]["count"] == 1
    # All of them were heard.
    assert {"REST", "XML-RPC", "jobs", "PickleRPC"} <= found["answers"].keys()
    assert found["jobs"] > 0
    assert found["noted_calls"] > 0


@pytest.fixture
def record():
    """What clients of a server without faults would have seen."""
    found = Record()
    found.notes["REST/1/1"] = "REST"
    found.jobs["a"] = Job("jobs", "x", is_done=True)
    return found


@pytest.fixture
def journal(tmp_path):
    """Writes what has really happened; by default what they have seen."""
    name = shown("REST/1/1")

    def write(*lines):
        path = tmp_path / "journal"
        lines = lines or (
            f"call {name} 7",
            *("begin a 5.0 1.0 7", "end a 6.0 2.0 7", "state a done 7"),
        )
        path.write_text("".join(f"{line}\n" for line in lines))
        return Ledger.read(path)

    write.name = name
    return write


def test_nothing_is_found_where_nothing_is_wrong(record, journal):
    assert judge(record, journal(), "all is well", {}).faults == []


WHOLE = ("begin a 5.0 1.0 7", "end a 6.0 2.0 7", "state a done 7")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("call {} 7", "call {} 8", *WHOLE), "made 2 times"),
        (WHOLE, "was not made"),
        (("call {} 7", "begin a 5.0 1.0 7"), "came to no end"),
        (("call {} 7", *WHOLE, *WHOLE), "ran 2 times for 0 kills"),
        (("call {} 7", *WHOLE, "state a failed 7"), "ended as"),
        (("call {} 7", "begin a 4.0 1.0 7", *WHOLE[1:]), "too early"),
    ],
)
def test_what_really_happened_is_held_against_it(record, journal, lines, expected):
    record.jobs["a"].due = 4.5
    found = judge(
        record, journal(*(line.format(journal.name) for line in lines)), "", {}
    )
    assert any(expected in fault for fault in found.faults), found.faults


def test_names_that_others_make_up_are_read(journal):
    assert journal(f"call {shown('')} 9917").calls == {"": 1}


def test_a_job_whose_process_was_killed_may_run_again(record, journal):
    lines = (f"call {journal.name} 7", "begin a 5.0 1.0 6", *WHOLE)
    assert judge(record, journal(*lines), "", {6: 1.5}).faults == []


def test_jobs_of_a_queue_that_run_at_once_are_found(record, journal):
    for id_ in "ab":
        record.jobs[id_] = Job("queued jobs", "x", is_done=True)
    lines = [f"call {journal.name} 7", *WHOLE]
    lines += ["begin b 5.5 1.5 8", "end b 6.0 2.5 8", "state b done 8"]
    (fault,) = judge(record, journal(*lines), "", {}).faults
    assert "ran at once" in fault


@pytest.mark.parametrize(
    ("kind", "reason", "since", "is_excused"),
    [
        (WORKER_KILLED, "broken connection", 11.0, True),
        (WORKER_KILLED, "broken connection", 30.0, False),
        (WORKER_KILLED, "connection refused", 11.0, False),
        (MASTER_KILLED, "connection refused", 11.0, True),
        (RELOADED, "broken connection", 11.0, False),
    ],
)
def test_only_kills_excuse_failures(record, journal, kind, reason, since, is_excused):
    record.disturbances.append(Disturbance(kind, 10.0, 12.0))
    record.failures.append(Failure("REST", reason, since, since + 1, "it broke"))
    assert (judge(record, journal(), "", {}).faults == []) == is_excused


def test_a_job_of_which_no_end_was_seen_is_lost(record, journal):
    record.jobs["a"].is_done = False
    (fault,) = judge(record, journal(), "", {}).faults
    assert "no end was seen" in fault


def test_tracebacks_and_wrong_answers_are_told(record, journal):
    log = "2026-11-23 ERROR it failed\n  Traceback (most recent call last):\n  Error\n"
    assert len(tracebacks(log * 2)) == 2
    assert tracebacks(log.replace("Error", "greenlet.GreenletExit")) == []
    record.tell_wrong("7 for 8")
    assert len(judge(record, journal(), log, {}).faults) == 2


def test_what_grows_is_no_level():
    now = time.monotonic()
    samples = [
        Sample(now + at, pid, "worker", 50 * 2**20 + at * leak, 40, 4)
        for at in range(20)
        for pid, leak in ((1, 2**20), (2, 100))
    ]
    found = growths(samples, now, now + 20)
    level = {(each.pid, each.what): each.is_level for each in found}
    assert not level.pop((1, "memory"))
    assert all(level.values())
    assert len(level) == 5
    assert fit([0.0, 1.0, 2.0], [1.0, 3.0, 5.0]) == (1.0, 5.0)
    assert growths(samples, now + 15, now + 20) == []
