"""The engines of jobs, as their tests use them."""

from toolserver.jobs.memory import MemoryEngine
from toolserver.jobs.records import JobRecord
from toolserver.jobs.sqlite import SQLiteEngine

#: All pass the same tests; a further engine is one more line here.
MAKERS = {
    "memory": lambda folder, **options: MemoryEngine(**options),
    "sqlite": lambda folder, **options: SQLiteEngine(folder / "jobs.db", **options),
}


def record(id_, **facts):
    return JobRecord(id=id_, method="press.slow", **facts)


def put(engine, *ids, **facts):
    return engine.put([record(id_, **facts) for id_ in ids])


def claim(engine, count=10, now=1.0, runner="one", lease=100.0):
    claims, _ = engine.claim(runner, count, now=now, lease=lease)
    return claims


def ids(claims):
    return [each.job.id for each in claims]
