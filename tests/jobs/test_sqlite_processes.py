"""Several processes with one store: order, and what is left when they are killed."""

import bisect
import itertools
import json
import random
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest

from tests.http.raw_http import wait_for
from tests.jobs.engines import MAKERS
from toolserver.jobs.records import JobState

ROOT = Path(__file__).parents[2]
EACH = 60


class Processes:
    def __init__(self, folder):
        self.folder = folder
        self.started = []

    def start(self, role, number=EACH):
        command = [sys.executable, "-m", "tests.jobs.storeprocess", role]
        process = subprocess.Popen([*command, str(self.folder), str(number)], cwd=ROOT)
        self.started.append(process)
        return process

    def notes(self, what):
        path = self.folder / "notes"
        if not path.exists():
            return []
        lines = path.read_text().splitlines()
        return [note for note in map(json.loads, lines) if note["what"] == what]

    def states(self):
        engine = MAKERS["sqlite"](self.folder)
        engine.open(0.0, "boot")
        states = engine.counts().states
        engine.close()
        return states


@pytest.fixture
def processes(tmp_path):
    made = Processes(tmp_path)
    yield made
    for process in made.started:
        process.kill()
        process.wait()


def check_no_overlap(processes):
    """Of no queue did a job begin while another one ran."""
    open_, spans, starts = {}, defaultdict(list), defaultdict(list)
    for note in processes.notes("start") + processes.notes("end"):
        if note["queue"] is None:
            continue
        key = (note["id"], note["pid"])
        if note["what"] == "start":
            open_[key] = note["time"]
            starts[note["queue"]].append(note["time"])
        else:
            spans[note["queue"]].append((open_.pop(key), note["time"]))
    for queue, ran in spans.items():
        ran.sort()
        began = sorted(starts[queue])
        for first, second in itertools.pairwise(ran):
            assert first[1] <= second[0]
        for start, end in ran:
            # What was killed before its end began between two others, too.
            assert (
                bisect.bisect_left(began, end) - bisect.bisect_right(began, start) == 0
            )
    assert spans


def check_order(processes):
    """Nothing began that should have waited for what was there already."""
    put = {note["id"]: note for note in processes.notes("put")}
    asked = {note["id"]: note["time"] for note in processes.notes("asked")}
    started = {note["id"]: note["time"] for note in processes.notes("start")}
    compared = 0
    for id_, job in put.items():
        for other_id, other in put.items():
            if other["queue"] != job["queue"] or job["queue"] is None:
                continue
            if other["end"] > asked[id_] or started[other_id] <= started[id_]:
                continue
            # The other one was there when this one was asked for, and began after it.
            compared += 1
            assert other["priority"] <= job["priority"]
            if other["priority"] == job["priority"]:
                assert other["end"] > job["begin"]
    assert compared


def test_four_put_in_and_three_run(processes):
    running = [processes.start("run", number) for number in range(3)]
    wait_for(lambda: len(processes.notes("here")) == 3)
    putting = [processes.start("put", EACH + number) for number in range(4)]
    for process in putting:
        assert process.wait(timeout=90) == 0
    (processes.folder / "all-put").touch()
    for process in running:
        assert process.wait(timeout=90) == 0
    put = processes.notes("put")
    assert sorted(note["id"] for note in put) == sorted(
        note["id"] for note in processes.notes("end")
    )
    assert len({note["pid"] for note in processes.notes("start")}) > 1
    check_no_overlap(processes)
    check_order(processes)


def test_who_is_killed_loses_nothing(processes):
    chance = random.Random(5)
    putting = [processes.start("put", EACH + number) for number in range(2)]
    running = [processes.start("run", number) for number in range(3)]
    for kill in range(6):
        here = len(processes.notes("here"))
        victim = running.pop(0)
        running.append(processes.start("run", 10 + kill))
        wait_for(lambda here=here: len(processes.notes("here")) > here)
        time.sleep(chance.random() * 0.05)
        victim.kill()
        victim.wait()
    for process in putting:
        assert process.wait(timeout=90) == 0
    (processes.folder / "all-put").touch()
    for process in running:
        assert process.wait(timeout=90) == 0
    put = {note["id"] for note in processes.notes("put")}
    assert processes.states() == {JobState.DONE: len(put)}
    assert {note["id"] for note in processes.notes("end")} == put
    check_no_overlap(processes)


def test_a_killed_putter_leaves_whole_jobs_and_all_that_it_was_told_of(processes):
    putting = [processes.start("put", 100_000) for _ in range(2)]
    wait_for(lambda: len({note["pid"] for note in processes.notes("put")}) == 2)
    for process in putting:
        process.kill()
        process.wait()
    engine = MAKERS["sqlite"](processes.folder)
    engine.open(0.0, "boot")
    told = {note["id"] for note in processes.notes("put")}
    kept = {status.job.id for status in engine.find(limit=1_000_000)}
    engine.close()
    # At most the last one of each was kept, and its end not told any more.
    assert told <= kept
    assert len(kept - told) <= 2
