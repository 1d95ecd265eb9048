"""What a service manager does for a server: its sockets, the process, nothing else."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import gevent
from gevent.queue import Empty, Queue

from tests.cli.conftest import ask
from tests.processes.servers import TOOLS, Server

__all__ = ["Manager", "managed"]

#: Hands a socket over to the process that it becomes.
_ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


class Manager:
    """Hears what a server tells of itself."""

    def __init__(self, folder: str) -> None:
        self.address = f"{folder}/notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(self.address)
        # The system keeps few messages for who does not read them.
        self._heard: Queue[dict[str, str]] = Queue()
        self._reader = gevent.spawn(self._read)

    def next(self, seconds: float = 20.0) -> dict[str, str] | None:
        """The next message, with the pid of its sender; None if there is none."""
        try:
            return self._heard.get(timeout=seconds)
        except Empty:
            return None

    def wait_for(self, name: str, seconds: float = 20.0) -> dict[str, str]:
        """The next message that has a variable."""
        with gevent.Timeout(seconds, AssertionError(f"{name} was not told")):
            while name not in (found := self._heard.get()):
                pass
        return found

    def close(self) -> None:
        self._reader.kill()
        self._socket.close()

    def _read(self) -> None:
        while True:
            data, ancillary, _, _ = self._socket.recvmsg(4096, 64)
            pid, _, _ = struct.unpack("3i", ancillary[0][2])
            lines = dict(line.split("=", 1) for line in data.decode().split("\n"))
            self._heard.put({"pid": str(pid), **lines})


@contextmanager
def managed(
    home: Path,
    *words: str,
    listener: socket.socket | None = None,
    tools: str = TOOLS,
    **variables: str,
):
    """Run a server in the foreground as a service manager does.

    Gives the server, its process and the manager.
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    server = Server(home, environment)
    assert ask(home, "init").code == 0
    (home / "tools" / "demo.py").write_text(tools)
    # Short, as names of sockets have to be.
    with tempfile.TemporaryDirectory() as folder:
        manager = Manager(folder)
        command = [sys.executable, "-m", "toolserver", "--home", str(home)]
        command += ["start", "--foreground", *words]
        descriptors = []
        if listener is not None:
            descriptors = [listener.fileno()]
            activate = [sys.executable, "-S", "-c", _ACTIVATE, str(descriptors[0])]
            command = [*activate, *command]
            variables = {"LISTEN_FDS": "1", **variables}
        process = subprocess.Popen(
            command,
            env={**environment, "NOTIFY_SOCKET": manager.address, **variables},
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield server, process, manager
        finally:
            process.terminate()
            try:
                process.communicate(timeout=20)
            finally:
                process.kill()
                manager.close()
