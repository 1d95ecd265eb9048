"""A server that has no descriptor left: it serves what it can, and recovers."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import sys

from tests.http.raw_http import wait_for

EXHAUSTED = """
from gevent import monkey
monkey.patch_all()
import logging, os, resource, sys
from gevent.os import tp_read
from pathlib import Path
from toolserver import StandardTool, register, rest
from toolserver.home import Home
from toolserver.testing import serve

logging.basicConfig(level="WARNING")
home = Home(Path(sys.argv[1]))
home.create()
(home.www / "large.txt").write_bytes(b"x" * 100_000)

@register("files")
class Files(StandardTool):
    def on_start(self):
        self.taken = []

    def exhaust(self) -> int:
        used = len(os.listdir("/proc/self/fd"))
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, 4096))
        try:
            while True:
                self.taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            return len(self.taken)

    def release(self) -> None:
        while self.taken:
            os.close(self.taken.pop())

    def hello(self) -> str:
        return "hello"

    @rest("POST")
    def upload(self, request):
        return str(request.files["file"].size)

with serve(Files, home=home.path) as server:
    print(server.worker.http.local[1], flush=True)
    tp_read(0, 1)
"""


class Kept:
    """A kept connection to a server in another process."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=15, source_address=(source, 0)
        )

    def ask(self, verb: str, path: str, body: bytes = b"", kind: str = "") -> int:
        self.send(verb, path, body, kind)
        return self.status()

    def send(self, verb: str, path: str, body: bytes = b"", kind: str = "") -> None:
        headers = {"Content-Type": kind} if kind else {}
        self._connection.request(verb, path, body or None, headers)

    def status(self) -> int:
        answer = self._connection.getresponse()
        answer.read()
        return answer.status

    def close(self) -> None:
        self._connection.close()


def test_no_descriptors_are_left(tmp_path):
    kind = "multipart/form-data; boundary=b"
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    file = part + b"x" * 100_000 + b"\r\n--b--\r\n"
    log = tmp_path / "stderr"
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", EXHAUSTED, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with contextlib.ExitStack() as stack:

            def connect(source: str = "127.0.0.1") -> Kept:
                return stack.enter_context(contextlib.closing(Kept(port, source)))

            first, second = connect(), connect()
            assert second.ask("GET", "/files/hello") == 200
            assert first.ask("POST", "/files/exhaust") == 200
            # What needs none is served, and what does is told to come again.
            assert first.ask("GET", "/files/hello") == 200
            assert first.ask("GET", "/large.txt") == 503
            assert first.ask("POST", "/files/upload", file, kind) == 503
            late = connect()
            late.send("GET", "/files/hello")
            denied = tmp_path / "config" / "hosts.deny"
            denied.write_text("evil:127.0.0.9\n")
            # Meanwhile the server looks for changes, and cannot read them.
            wait_for(
                lambda: (
                    second.ask("GET", "/files/hello") == 200
                    and "hosts.deny: Too many open files" in log.read_text()
                    and "cannot look for changes" in log.read_text()
                )
            )
            assert first.ask("POST", "/files/release") == 204
            assert late.status() == 200
            assert first.ask("GET", "/large.txt") == 200
            assert first.ask("POST", "/files/upload", file, kind) == 200

            def is_denied() -> bool:
                with contextlib.closing(Kept(port, "127.0.0.9")) as evil:
                    return evil.ask("GET", "/files/hello") == 403

            wait_for(is_denied)
        process.communicate("end\n", timeout=30)
    text = log.read_text()
    assert text.count("cannot accept connections") == 1
    assert text.count("hosts.deny: Too many open files") == 1
