"""Servers under test: how each is started, pinned, awaited and ended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks import environment, machine

HERE = Path(__file__).parent
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

#: Files that the static rows ask for, by name.
FILES = {"1k.bin": os.urandom(1024), "1m.bin": os.urandom(1024 * 1024)}


class ServerSpec(Protocol):
    """What a server is; equal ones are started once per row."""

    def command(self, folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
        """Prepare its folder; its command line and what to add to the environment."""
        ...


@dataclass(frozen=True)
class Peer:
    """A script of `benchmarks/peers`, which is given the port to listen on."""

    script: str

    def command(self, folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
        script = HERE / "peers" / self.script
        return [str(environment.PYTHON), str(script), str(port)], {}


@dataclass(frozen=True)
class BareWSGI:
    """A WSGI application of `benchmarks/ours` on Toolserver's HTTP server alone."""

    script: str = "hello_wsgi.py"

    def command(self, folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
        return [sys.executable, str(HERE / "ours" / self.script), str(port)], {}


@dataclass(frozen=True)
class Toolserver:
    """The whole server with the benchmark's tools, as ``tsctl start`` runs it.

    Attributes:
        access_log: Whether it writes one.
        settings: Further settings, as names and values of the environment.
        source: The checkout whose package runs; this one if None.
    """

    access_log: bool = False
    settings: tuple[tuple[str, str], ...] = ()
    source: Path | None = None

    def command(self, folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
        # The working directory must not go before the checkout that was asked for.
        path = {
            "PYTHONPATH": str(self.source or HERE.parent),
            "PYTHONSAFEPATH": "1",
        }
        tsctl = [sys.executable, "-m", "toolserver", "--home", str(folder)]
        subprocess.run(
            [*tsctl, "init"],
            check=True,
            stdout=subprocess.DEVNULL,
            env=os.environ | path,
        )
        shutil.copytree(HERE / "ours" / "tools", folder / "tools", dirs_exist_ok=True)
        write_files(folder / "www")
        access = {"TOOLSERVER_LOG__ACCESS": str(self.access_log).lower()}
        start = [*tsctl, "start", "--foreground", "--port", str(port)]
        return start, access | path | dict(self.settings)


@dataclass(frozen=True)
class Nginx:
    """nginx with one worker, which sends files from the same bytes."""

    def command(self, folder: Path, port: int) -> tuple[list[str], dict[str, str]]:
        assert NGINX is not None
        write_files(folder / "www")
        config = (HERE / "peers" / "nginx.conf").read_text()
        config = config.replace("@FOLDER@", str(folder)).replace("@PORT@", str(port))
        (folder / "nginx.conf").write_text(config)
        # The master is root where we are, and its worker would become nobody.
        folder.chmod(0o755)
        return [NGINX, "-c", str(folder / "nginx.conf"), "-p", str(folder)], {}


def nginx_version() -> str:
    """What nginx says it is, or that it is not there."""
    if NGINX is None:
        return "no nginx"
    done = subprocess.run([NGINX, "-v"], capture_output=True, text=True)
    return done.stderr.partition(":")[2].strip()


def write_files(folder: Path) -> None:
    """Lay down the files of the static rows."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)


@dataclass
class Server:
    """A running server. Use it as a context manager.

    Attributes:
        spec: What it is.
        cpus: CPUs that it may use.
        port: Where it listens on the loopback.
    """

    spec: ServerSpec
    cpus: set[int]
    port: int = field(default=0, init=False)

    def __enter__(self) -> Server:
        self._folder = tempfile.TemporaryDirectory(prefix="toolserver-bench-")
        self.port = free_port()
        folder = Path(self._folder.name)
        try:
            command, added = self.spec.command(folder, self.port)
            self._output = (folder / "output").open("wb")
            self._process = subprocess.Popen(
                command,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                env=os.environ | added,
                cwd=HERE.parent,
                start_new_session=True,
                # Before exec, so that every thread and child inherits it.
                preexec_fn=lambda: os.sched_setaffinity(0, self.cpus),  # noqa: PLW1509, RUF100
            )
        except BaseException:
            self._folder.cleanup()
            raise
        try:
            self._await()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._output.close()
        self._folder.cleanup()

    def _await(self) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if self._process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        output = (Path(self._folder.name) / "output").read_text(errors="replace")
        raise RuntimeError(f"{self.spec} does not answer:\n{output[-4000:]}")

    @property
    def pids(self) -> list[int]:
        """Its processes."""
        return machine.family(self._process.pid)


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
