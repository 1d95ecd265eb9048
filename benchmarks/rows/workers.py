"""Calls that compute, answered by one process and by two."""

from benchmarks.messages import Request, exactly
from benchmarks.report import Line
from benchmarks.rounds import Contestant, Run
from benchmarks.servers import Toolserver

#: Some three milliseconds of a processor.
ROUNDS = 100_000
REQUEST = Request(f"/processor/count?rounds={ROUNDS}")
CHECK = exactly(str(sum(range(ROUNDS))).encode())


def measure(run: Run) -> list[Line]:
    contestants = {
        name: Contestant(
            Toolserver(settings=(("TOOLSERVER_SERVER__WORKERS", str(count)),)),
            REQUEST,
            CHECK,
        )
        for name, count in (("one process", 1), ("two worker processes", 2))
    }
    # Who asks is hardly ever busy, so it may share the CPUs with the servers.
    rates = run.rates(contestants, cpus=run.cpus.server | run.cpus.load)
    one, two = contestants
    return [rates.compare("a method that computes", two, one, at_least=1.7)]
