"""A server process of its own on a home that it shares: ``python -m … HOME``.

It tells its URL in a line and serves until its standard input ends.
"""

from toolserver import pytest_plugin  # isort: skip  # patches before anything else

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import gevent

import toolserver.testing
from toolserver import CRAMSettings, CRAMTool, StandardTool, context, register

__all__ = ["SECRET", "process", "pytest_plugin"]

SECRET = "shared"


@register("twins.vault")
class Vault(CRAMTool):
    settings = CRAMSettings(SECRET)

    def open(self, token: list[str] | None = None) -> str:
        self.check_token(token)
        return "open"


@register("twins.who")
class Who(StandardTool):
    def ask(self) -> str:
        return str(context.client)


@contextmanager
def process(home):
    """Run one; gives its URL."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.auth.twins", str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as running:
        try:
            yield running.stdout.readline().strip()
        finally:
            running.stdin.close()
            running.wait(20)


if __name__ == "__main__":
    with toolserver.testing.serve(Vault, Who, home=Path(sys.argv[1])) as server:
        print(server.url(), flush=True)
        # Beside the loop, which would wait with it.
        gevent.get_hub().threadpool.apply(sys.stdin.read)
