"""A short soak, in a process of its own: ``python -m tests.soak.short HOME``."""

# Patched before anything else is imported that could keep an unpatched name.
from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402  # see above
import json
import sys
from pathlib import Path

from soak.run import Plan, soak

SHORT = Plan(
    seconds=4.0,
    workers=2,
    rate=40.0,
    clients=1,
    hostile=1,
    mutated=("REST", "JSON-RPC", "XML-RPC"),
    chaos_pause=0.5,
    most_disturbances=1,
    is_judging_growth=False,
)

if __name__ == "__main__":
    found = soak(SHORT, Path(sys.argv[1]), lambda text: None)
    print(json.dumps(found, default=str))
