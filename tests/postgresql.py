"""A PostgreSQL server for the tests: Debian's programs in a folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg


class Unavailable(Exception):
    """PostgreSQL cannot be had on this machine; says why."""


class PostgreSQL:
    """A server on a free port of the loopback address, with a database of its own.

    Nothing is written for keeps (``fsync=off``): it ends with the tests.
    """

    def __init__(self) -> None:
        self._programs = _programs()
        self._user = _unprivileged()
        self._folder = Path(tempfile.mkdtemp(prefix="toolserver-postgresql-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self.port = _free_port()
        try:
            self._initialize()
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def address(self) -> str:
        return f"tester@127.0.0.1:{self.port}"

    def new_database(self) -> str:
        """Make an empty database; returns its URL for SQLAlchemy."""
        self._databases += 1
        name = f"test_{self._databases}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://{self.address}/{name}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(
            f"postgresql://{self.address}/{database}", autocommit=True
        )

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._user,
            )
        end = time.monotonic() + 30
        while True:
            try:
                self.connect().close()
                return
            except psycopg.OperationalError as error:
                ended = self._process.poll() is not None
                if ended or time.monotonic() > end:
                    text = (self._folder / "log").read_text()[-2000:]
                    raise Unavailable(f"postgres: {error}\n{text}") from error
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server at once, as in a failure of its machine."""
        process, self._process = self._process, None
        if process is None:
            return
        # SIGQUIT: immediate shutdown, which ends its children, too.
        process.send_signal(signal.SIGQUIT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _initialize(self) -> None:
        data = self._folder / "data"
        data.mkdir()
        if self._user:
            for path in (self._folder, data):
                shutil.chown(path, self._user["user"], self._user["group"])
        done = subprocess.run(
            [
                *(self._programs / "initdb", "-D", data, "-U", "tester", "-N"),
                *("--auth=trust", "--encoding=UTF8", "--locale=C"),
            ],
            capture_output=True,
            text=True,
            cwd=self._folder,
            **self._user,
        )
        if done.returncode:
            raise Unavailable(f"initdb: {done.stderr or done.stdout}")
        with (data / "postgresql.conf").open("a") as file:
            file.write(
                f"listen_addresses = '127.0.0.1'\nport = {self.port}\n"
                "unix_socket_directories = ''\n"
                "fsync = off\nfull_page_writes = off\n"
                "max_connections = 100\nshared_buffers = 16MB\n"
            )


def _programs() -> Path:
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    # Debian's do not stand in PATH; the latest version first.
    folders += sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda folder: float(folder.parent.name),
        reverse=True,
    )
    for folder in folders:
        if all(os.access(folder / name, os.X_OK) for name in ("initdb", "postgres")):
            return folder
    raise Unavailable("initdb is neither in PATH nor in /usr/lib/postgresql/*/bin")


def _unprivileged() -> dict[str, object]:
    """Arguments of Popen: PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise Unavailable("runs as root, and there is no user postgres or nobody")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
