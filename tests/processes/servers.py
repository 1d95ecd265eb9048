"""Real servers with their processes, as `tsctl` starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import requests

__all__ = ["TOOLS", "Server", "server", "wait_for"]

TOOLS = '''
import os
import time

from toolserver import StandardTool, notify, progress, register, universe, wait


@register("demo")
class Demo(StandardTool):
    def pid(self) -> int:
        return os.getpid()

    def sleep(self, seconds: float) -> int:
        time.sleep(seconds)
        return os.getpid()

    def version(self) -> int:
        return 1

    def put(self, number: int) -> None:
        universe.out(("number", number))

    def take(self) -> int:
        return universe.take(("number", int), timeout=10)[1]

    def tell(self, text: str) -> int:
        return notify("news", text)

    def listen(self) -> str:
        return wait("news", timeout=20)

    def record(self, name: str, seconds: float) -> int:
        """Write down when a call begins and ends, for others to look at."""
        with open(os.environ["JOURNAL"], "ab", buffering=0) as journal:
            for word in ("begin", "end"):
                line = f"{word} {name} {time.monotonic()} {os.getpid()}\\n"
                journal.write(line.encode())
                if word == "begin":
                    time.sleep(seconds)
        return os.getpid()

    def queue(self, priority: int, name: str, seconds: float = 0.0) -> str:
        return self.enqueue(priority, self.record, name, seconds).id

    def burn(self, rounds: int) -> int:
        total = 0
        for number in range(rounds):
            total += number
        return total


@register("other")
class Other(Demo):
    pass
'''


def wait_for(condition, seconds=30.0):
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(requests.ConnectionError):
            found = condition()
            if found:
                return found
        time.sleep(0.02)
    raise AssertionError("it never happened")


class Server:
    """A server in a home of its own."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self.home = home
        self._environment = environment
        self.session = requests.Session()
        self.session.trust_env = False

    def tsctl(
        self, *words: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        found = subprocess.run(
            [sys.executable, "-m", "toolserver", "--home", str(self.home), *words],
            capture_output=True,
            text=True,
            env=self._environment,
            timeout=100,
        )
        assert not check or found.returncode == 0, found.stderr + self.log
        return found

    @property
    def log(self) -> str:
        path = self.home / "log" / "error.log"
        return path.read_text() if path.exists() else ""

    @property
    def state(self) -> dict:
        return json.loads((self.home / "var" / "toolserver.json").read_text())

    @property
    def pid(self) -> int:
        return self.state["pid"]

    @property
    def workers(self) -> list[int]:
        return [worker["pid"] for worker in self.state["workers"]]

    @property
    def url(self) -> str:
        return self.state["url"].rstrip("/")

    def call(self, name: str, /, **arguments):
        """Call a method on a connection of its own, so that any worker may answer."""
        answer = requests.post(
            f"{self.url}/{name.replace('.', '/')}", json=arguments, timeout=30
        )
        assert answer.ok, answer.text
        if answer.headers.get("Content-Type", "").startswith("text/plain"):
            return answer.text
        return answer.json() if answer.content else None

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        os.kill(pid, number)


@contextmanager
def server(home: Path, *, workers: int, settings: str = "", tools: str = TOOLS):
    """Run a server; its processes are gone afterwards, whatever happened."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "JOURNAL": str(home / "journal"),
    }
    found = Server(home, environment)
    found.tsctl("init")
    config = home / "config" / "toolserver.toml"
    config.write_text(settings)
    (home / "tools" / "demo.py").write_text(tools)
    try:
        found.tsctl("start", "--port", "0", "--workers", str(workers))
        yield found
    finally:
        pids = (
            [*found.workers, found.pid]
            if (home / "var/toolserver.json").exists()
            else []
        )
        found.tsctl("stop", "--force", "--timeout", "5", check=False)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
