"""What a tool costs on top of the same function in a WSGI application.

Both are asked over HTTP on our server, so the difference is all that Toolserver does
for a call: finding tool and method, the context, reading and converting the
arguments, making the answer.
"""

from benchmarks.messages import Request, exactly
from benchmarks.report import Line, Sense
from benchmarks.rounds import Contestant, Run
from benchmarks.servers import BareWSGI, Toolserver

QUERY, CHECK = "?text=good+morning", exactly(b"good morning")


def measure(run: Run) -> list[Line]:
    tool, wsgi = "echo, a tool", "echo, a WSGI app"
    rates = run.rates(
        {
            tool: Contestant(Toolserver(), Request(f"/bench/echo{QUERY}"), CHECK),
            wsgi: Contestant(BareWSGI(), Request(f"/echo{QUERY}"), CHECK),
        }
    )
    mine, other = 1e6 / rates.median(tool), 1e6 / rates.median(wsgi)
    pairs = zip(rates.by_name[tool], rates.by_name[wsgi], strict=True)
    return [
        Line(
            "a call on top of a plain function",
            f"{tool}: {mine:.1f} µs",
            f"{wsgi}: {other:.1f} µs",
            mine - other,
            [1e6 / a - 1e6 / b for a, b in pairs],
            Sense.AT_MOST,
            15,
            " µs",
        )
    ]
