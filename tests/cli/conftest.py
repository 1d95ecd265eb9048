"""The real command line, as a process, in homes of its own."""

import io
import json
import os
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import gevent
import pytest

from toolserver.cli import group

TOOL = '''
from toolserver import StandardTool, register


@register("shop.orders")
class Orders(StandardTool):
    """Orders."""

    def place(self, item: str, count: int = 1) -> str:
        """Place an order."""
        return f"{count} {item}"

    def sizes(self) -> list[int]:
        return [1, 2]

    def fail(self) -> None:
        raise ValueError("no\\nway")
'''


@dataclass
class Result:
    """What a command did."""

    code: int
    out: str
    err: str


def run(home, *words, env=None, cwd=None):
    """Run ``tsctl --home HOME words``; without a home if it is None."""
    variables = {
        key: value for key, value in os.environ.items() if "TOOLSERVER" not in key
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "toolserver"),
            *(["--home", str(home)] if home else []),
            *map(str, words),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        env={**variables, **(env or {})},
        cwd=cwd or Path(__file__).parent,
    )
    assert "Traceback" not in done.stderr + done.stdout
    return Result(done.returncode, done.stdout, done.stderr)


def ask(home, *words):
    """The same within this process, for what starts nothing: much quicker."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = group.run(["--home", str(home), *map(str, words)])
    return Result(code, out.getvalue(), err.getvalue())


def status(home):
    """What ``tsctl status --json`` prints."""
    done = ask(home, "status", "--json")
    assert done.code == 0
    return json.loads(done.out)


def wait_for(condition, seconds=20):
    """Wait until a condition holds, and give what it gave."""
    with gevent.Timeout(seconds):
        while not (found := condition()):
            gevent.sleep(0.02)
    return found


@pytest.fixture
def home(tmp_path):
    """A home with a tool; what runs there is ended afterwards."""
    path = tmp_path / "home"
    assert ask(path, "init").code == 0
    (path / "tools" / "orders.py").write_text(TOOL)
    yield path
    found = status(path)
    if found["pid"] is not None:
        os.kill(found["pid"], signal.SIGKILL)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A home whose server runs, for tests that only ask it."""
    path = tmp_path_factory.mktemp("running")
    assert ask(path, "init").code == 0
    (path / "tools" / "orders.py").write_text(TOOL)
    started = run(path, "start", "--port", "0")
    assert started.code == 0, started.err
    yield path
    assert run(path, "stop").code == 0
