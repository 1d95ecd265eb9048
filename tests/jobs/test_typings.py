"""What type checkers know of jobs: the arguments of the call, and its result."""

import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

from toolserver import InternalTool, StandardTool

ROOT = Path(__file__).parents[2]
SOURCE = """
from datetime import UTC, datetime, timedelta

from toolserver import Job, StandardTool, every, job, progress, retry


def double(number: int, *, times: int = 1) -> int:
    return number * 2 * times


class Pages(StandardTool):
    @retry(times=3, backoff=2.0)
    def render(self, page: int, title: str = "") -> bytes:
        progress(0.5, "half")
        return title.encode() * page

    @every("*/5 * * * *", tz="Europe/Berlin", priority=1)
    def tidy(self) -> None: ...

    def use(self) -> None:
        spawned: Job[bytes] = self.spawn(self.render, 1, title="x")
        queued: Job[bytes] = self.enqueue(5, self.render, 1)
        timed: Job[bytes] = self.schedule(timedelta(hours=1), self.render, 1)
        self.schedule(datetime.now(UTC), self.tidy)
        self.schedule(1e9, self.tidy)
        once = self.jobs(keep_result=True, once=True, timeout=3.0)
        again: Job[int] = once.spawn(double, 1, times=2)
        more: Job[bytes] = once.enqueue(1, self.render, 1)
        then: Job[bytes] = once.schedule(1e9, self.render, 1)
        size: int = len(spawned.result(timeout=1.0)) + again.result()
        told: bool = queued.cancel()
        text: str = job(timed.id).id + more.id + then.id + spawned.status

        self.spawn(self.render, "1")  # wrong
        self.enqueue(5, self.render, 1, titel="x")  # wrong
        self.enqueue(self.render, 1)  # wrong
        self.schedule("soon", self.render, 1)  # wrong
        self.schedule(timedelta(1), self.render)  # wrong
        once.spawn(double, 1, 2)  # wrong
        number: int = spawned.result()  # wrong
        other: Job[str] = queued  # wrong
        self.jobs(keep_results=True)  # wrong
"""


def checked(folder, command):
    """The lines of which a type checker says something."""
    (folder / "pages.py").write_text(SOURCE)
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "pages.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=55,
    )
    return {int(line) for line in re.findall(r"pages\.py:(\d+)", done.stdout)}


def wrong_lines():
    lines = enumerate(SOURCE.splitlines(), 1)
    return {number for number, line in lines if line.endswith("# wrong")}


def test_mypy_knows_arguments_and_results(tmp_path):
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary"]
    command += ["--follow-imports", "silent", "--cache-dir", str(tmp_path / ".cache")]
    assert checked(tmp_path, command) == wrong_lines()


def test_pyright_knows_arguments_and_results(tmp_path):
    program = shutil.which("pyright") or shutil.which(
        "pyright", path=os.path.dirname(sys.executable)
    )
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("pyright is not installed")
        pytest.skip("pyright is not installed")
    (tmp_path / "pyrightconfig.json").write_text(f'{{"extraPaths": ["{ROOT}"]}}')
    assert checked(tmp_path, [program, "--pythonversion", "3.11"]) == wrong_lines()


@pytest.mark.parametrize("name", ["spawn", "enqueue", "schedule", "jobs"])
@pytest.mark.parametrize("base", [StandardTool, InternalTool])
def test_they_are_final(name, base):
    with pytest.raises(TypeError, match=rf'@expose\("{name}"\)'):
        types.new_class("Mine", (base,), {}, lambda body: body.update({name: len}))
