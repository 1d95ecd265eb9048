"""Files against nginx with one worker."""

from benchmarks.messages import Request, exactly
from benchmarks.report import Line, Missing
from benchmarks.rounds import Contestant, Run
from benchmarks.servers import FILES, NGINX, Nginx, Toolserver

SIZES = {"1 KiB": ("1k.bin", 0.7), "1 MiB": ("1m.bin", 1.0)}


def measure(run: Run) -> list[Line | Missing]:
    if NGINX is None:
        return [Missing("static files", "nginx is not installed")]
    contestants = {}
    for size, (name, _) in SIZES.items():
        request, check = Request(f"/{name}"), exactly(FILES[name])
        large = len(FILES[name]) > 65536
        for who, server in {"Toolserver": Toolserver(), "nginx": Nginx()}.items():
            contestants[f"{who}, {size}"] = Contestant(server, request, check, large)
    rates = run.rates(contestants)
    return [
        rates.compare(
            f"static file, {size}",
            f"Toolserver, {size}",
            f"nginx, {size}",
            at_least=target,
        )
        for size, (_, target) in SIZES.items()
    ]
