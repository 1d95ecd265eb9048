"""The command line: ``python -m soak --seconds 1200 --seed 7``."""

# Patched before anything else is imported that could keep an unpatched name.
from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402  # see above
import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path

from soak import report
from soak.fuzzing import fuzz
from soak.run import Plan, soak

HERE = Path(__file__).parent


def main() -> None:
    """Soak a server, and show the figures."""
    options = parse()
    # A run that is ended from outside ends its processes, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    with tempfile.TemporaryDirectory(prefix="toolserver-soak-") as folder:
        home = Path(folder) / "home"
        if options.fuzz:
            name, found = "fuzz", fuzz(options.seconds, options.seed, home, say)
            shown = report.fuzz_text(found)
        else:
            plan = Plan(
                seconds=options.seconds,
                seed=options.seed,
                workers=options.workers,
                rate=options.rate,
            )
            name, found = "soak", soak(plan, home, say)
            shown = report.text(found)
    print(shown)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / f"{name}.md").write_text(shown)
    (options.output / f"{name}.json").write_text(json.dumps(found, indent=1))
    sys.exit(bool(found["faults"]))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m soak")
    parser.add_argument("--seconds", type=float, default=1200.0, help="default: 1200")
    parser.add_argument(
        "--fuzz",
        action="store_true",
        help="only send broken requests to a server of which nothing is killed",
    )
    parser.add_argument("--seed", type=int, default=1, help="default: 1")
    parser.add_argument("--workers", type=int, default=3, help="default: 3")
    parser.add_argument(
        "--rate", type=float, default=60.0, help="actions per second; default: 60"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=HERE / "results",
        help="folder for the figures, as text and as JSON; default: soak/results",
    )
    return parser.parse_args()


def say(text: str) -> None:
    """Tell how it goes."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
