"""A process that puts jobs into a store or runs them, and notes what it does and when.

Its notes are lines of JSON, each written at once, so that they outlive its sudden end.
"""

import json
import os
import random
import sys
import time
from pathlib import Path

import gevent

from toolserver.jobs.records import Ending, JobRecord, JobState
from toolserver.jobs.runners import is_alive, name_runner
from toolserver.jobs.sqlite import SQLiteEngine

QUEUES = ["p", "q", "r", None]


class Notes:
    def __init__(self, path):
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(self, what, **facts):
        line = json.dumps({"what": what, "pid": os.getpid(), **facts})
        os.write(self._file, line.encode() + b"\n")


def put(engine, notes, count):
    for number in range(count):
        queue, priority = random.choice(QUEUES), random.randrange(3)
        id_ = f"{os.getpid()}-{number}"
        begin = time.monotonic()
        job = JobRecord(id=id_, method="a.b", queue=queue, priority=priority)
        assert engine.put([job]) == [True]
        end = time.monotonic()
        facts = {"queue": queue, "priority": priority, "begin": begin, "end": end}
        notes.add("put", id=id_, **facts)


def run(engine, notes, folder):
    name = name_runner()
    notes.add("here")
    while True:
        gone = [each for each in engine.runners() if not is_alive(each)]
        engine.recover(gone, now=1.0, max_attempts=1000)
        asked = time.monotonic()
        claims, _ = engine.claim(name, 3, now=1.0, lease=1e9)
        for each in claims:
            notes.add("asked", id=each.job.id, time=asked)
        gevent.joinall([gevent.spawn(work, engine, notes, each) for each in claims])
        if claims:
            continue
        states = engine.counts().states
        if folder.joinpath("all-put").exists() and set(states) == {JobState.DONE}:
            return
        gevent.sleep(0.005)


def work(engine, notes, claim):
    job = claim.job
    notes.add("start", id=job.id, queue=job.queue, time=time.monotonic())
    gevent.sleep(random.random() * 0.004)
    notes.add("end", id=job.id, queue=job.queue, time=time.monotonic())
    ending = Ending(JobState.DONE, result=b"r")
    assert engine.finish({job.id: (claim.attempt, ending)}, now=2.0) == {job.id}


def main():
    role, folder, number = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    random.seed(number)
    engine = SQLiteEngine(folder / "jobs.db")
    engine.open(0.0, "boot")
    notes = Notes(folder / "notes")
    if role == "put":
        put(engine, notes, number)
    else:
        run(engine, notes, folder)
    engine.close()


if __name__ == "__main__":
    main()
