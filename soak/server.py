"""The server that is soaked: a home of its own, and all its processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import gevent

from toolserver.auth.keys import generate, private_pem, public_pem
from toolserver.auth.nonces import Nonces
from toolserver.auth.passwords import hash_password
from toolserver.home import Home

HERE = Path(__file__).parent
#: What callers know.
NAME, PASSWORD, SECRET = "ann", "correct horse", "a shared secret"
#: Static files.
PAGE, LARGE = b"<p>a page</p>\n" * 100, bytes(range(256)) * 1200

CONFIG = """
[server]
stop_timeout = 10.0
# Where other work holds up this machine, its log is no place to say so.
loop_block_warn = 0.0

[auth]
rsa_authenticate = true
unsigned_paths = ["/"]

[picklerpc]
enabled = true

[jobs]
max_attempts = 1000

[limits]
header_time = 5.0
body_idle = 5.0

[tool."soak.vault"]
secret = "{secret}"
"""


class Server:
    """A server with several workers, as ``tsctl start`` runs it.

    Args:
        home: An empty folder for it.
        workers: How many workers it has.

    Attributes:
        home: The folder.
        workers_wanted: How many workers it has.
        url: Its address, which stays, whatever is killed.
        killed: When processes were killed, by their ids, on the monotonic clock.
    """

    def __init__(self, home: Path, workers: int) -> None:
        self.home = home
        self.workers_wanted = workers
        self.url = ""
        self.killed: dict[int, float] = {}
        self._seen: set[int] = set()
        self._environment = {
            **os.environ,
            # The working directory must not go before this checkout.
            "PYTHONPATH": str(HERE.parent),
            "PYTHONSAFEPATH": "1",
            "SOAK_JOURNAL": str(self.journal),
        }

    @property
    def journal(self) -> Path:
        """What the tools write down."""
        return self.home / "journal"

    @property
    def keys(self) -> Path:
        """The folder with the caller's private key and the server's public one."""
        return self.home / "keys"

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def make(self) -> None:
        """Make the home, with tools, files, keys and an account."""
        home = Home(self.home)
        home.create()
        home.settings_file.write_text(CONFIG.format(secret=SECRET))
        shutil.copytree(HERE / "tools", home.tools, dirs_exist_ok=True)
        shutil.copytree(HERE / "wsgi", home.wsgi, dirs_exist_ok=True)
        (home.www / "page.html").write_bytes(PAGE)
        (home.www / "large.bin").write_bytes(LARGE)
        (home.config / "passwd").write_text(f"{NAME}:{hash_password(PASSWORD)}\n")
        (home.config / "passwd").chmod(0o600)
        self.keys.mkdir()
        server, caller = generate("rsa"), generate("ed25519")
        write_key(home.privkeys / "server.pem", private_pem(server))
        write_key(self.keys / f"{NAME}.pem", private_pem(caller))
        (self.keys / "server.pem").write_text(public_pem(server.public_key()))
        (home.pubkeys / f"{NAME}.pem").write_text(public_pem(caller.public_key()))
        # As if a server had run here before: a memory of nonces that is new makes all
        # signatures of its first half a minute doubtful.
        Nonces(home.var / "nonces.db", most=1, since=0).close()

    def start(self) -> None:
        """Start it, also after its master was killed."""
        port = str(self.port) if self.url else "0"
        self.tsctl("start", "--port", port, "--workers", str(self.workers_wanted))
        self.url = str(self.state()["url"]).rstrip("/")
        self.processes()

    def stop(self) -> None:
        """Stop it, and end what is left of it."""
        self.processes()
        with suppress(RuntimeError):
            self.tsctl("stop", "--force", "--timeout", "20")
        for pid in self._seen:
            with suppress(ProcessLookupError):
                if is_ours(pid, self.home):
                    os.kill(pid, signal.SIGKILL)

    def tsctl(self, *words: str) -> str:
        """Run a command about it.

        Raises:
            RuntimeError: The command has failed.
        """
        done = subprocess.run(
            [sys.executable, "-m", "toolserver", "--home", str(self.home), *words],
            capture_output=True,
            text=True,
            env=self._environment,
            timeout=120,
        )
        if done.returncode:
            raise RuntimeError(f"tsctl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def state(self) -> dict[str, Any]:
        """What the server tells of itself; empty where there is none."""
        with suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads(
                (self.home / "var" / "toolserver.json").read_text()
            )
            return found
        return {}

    def master(self) -> int:
        """The process id of the master; 0 for none."""
        return int(self.state().get("pid", 0))

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        return [int(worker["pid"]) for worker in self.state().get("workers", ())]

    def processes(self) -> dict[int, str]:
        """All processes that live now, with what they are."""
        state = self.state()
        found = {int(state["pid"]): "master"} if state else {}
        found |= dict.fromkeys(self.workers(), "worker")
        self._seen |= found.keys()
        return {pid: kind for pid, kind in found.items() if lives(pid)}

    def signal(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to one of its processes."""
        if number is signal.SIGKILL:
            self.killed[pid] = time.monotonic()
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    def is_whole(self) -> bool:
        """Whether the master and as many workers as there should be live."""
        state = self.state()
        workers = self.workers()
        return (
            state.get("phase") == "running"
            and len(workers) == self.workers_wanted
            and all(map(lives, (int(state["pid"]), *workers)))
        )

    def log(self) -> str:
        """The log of errors."""
        path = self.home / "log" / "error.log"
        return path.read_text(errors="replace") if path.exists() else ""


@contextmanager
def running(home: Path, workers: int) -> Iterator[Server]:
    """Run a server; none of its processes lives afterwards, whatever happened."""
    server = Server(home, workers)
    server.make()
    try:
        server.start()
        yield server
    finally:
        server.stop()


def lives(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def write_key(file: Path, text: str) -> None:
    """Write a private key, for its owner's eyes alone."""
    file.touch(0o600)
    file.write_text(text)


def is_ours(pid: int, home: Path) -> bool:
    """Whether a process is of the server of a home, and its id not another's by now."""
    try:
        return str(home).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def wait_until(condition: Any, seconds: float) -> bool:
    """Wait for a condition; whether it came about."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        gevent.sleep(0.02)
    return True
