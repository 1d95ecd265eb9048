"""What it costs to be watched: metrics and the access log."""

from benchmarks.messages import Request, exactly
from benchmarks.report import Line
from benchmarks.rounds import Contestant, Run
from benchmarks.servers import Toolserver

HELLO = exactly(b"Hello World!")
TOOL = Request("/bench/hello")
METRICS = (("TOOLSERVER_OPS__METRICS", "true"),)


def measure(run: Run) -> list[Line]:
    watched = Toolserver(access_log=True, settings=METRICS)
    rates = run.rates(
        {
            "unwatched": Contestant(Toolserver(), TOOL, HELLO),
            "metrics": Contestant(Toolserver(settings=METRICS), TOOL, HELLO),
            "metrics, access log": Contestant(watched, TOOL, HELLO),
        }
    )
    return [
        rates.compare("hello, metrics", "metrics", "unwatched", at_least=0.8),
        rates.compare(
            "hello, metrics, log", "metrics, access log", "unwatched", at_least=0.8
        ),
    ]
