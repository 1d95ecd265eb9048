"""The load generators: wrk where it is installed, else one in Python.

Both keep a fixed number of connections busy, each with one request at a time, for a
given time, and count the answers. wrk reads and parses 8 KiB at a time; with large
answers it would be what is measured, and the other one takes its place. So it does
where each request is another one; those are made before the clock runs.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.messages import Request

WRK = shutil.which("wrk")
HERE = Path(__file__).parent
#: Requests per second that are made ready where each is another one.
_MOST = 60_000

_SCRIPT = """\
wrk.method = "{method}"
wrk.body = {body}
{headers}
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\n{{"answers": %d, "seconds": %f, "errors": %d}}\\n',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True)
class Load:
    """What a load generator saw.

    Attributes:
        rate: Answers per second.
        busy: Share of the time in which it used its CPU.
    """

    rate: float
    busy: float


class LoadError(RuntimeError):
    """Some requests were not answered well."""


def name() -> str:
    """The load generators in use and their version."""
    if WRK is None:
        return "benchmarks/epoll.py"
    # It has no exit status of its own for --version.
    done = subprocess.run([WRK, "--version"], capture_output=True, text=True)
    return f"{done.stdout.split('[')[0].strip()} (large answers: benchmarks/epoll.py)"


def run(
    port: int, request: Request, connections: int, seconds: int, *, large: bool = False
) -> Load:
    """Load a server.

    Args:
        port: Port of the server.
        request: What is asked, over and over.
        connections: How many connections ask at once.
        seconds: How long.
        large: Whether the answers are.

    Raises:
        LoadError: Some requests were not answered, or with an error status.
    """
    with tempfile.TemporaryDirectory() as folder:
        if WRK is not None and not large and not request.varies:
            command = _wrk(Path(folder), port, request, connections, seconds)
        else:
            command = _epoll(Path(folder), port, request, connections, seconds)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=HERE.parent
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = json.loads(done.stdout.splitlines()[-1])
    if result["errors"] or not result["answers"]:
        raise LoadError(f"{request.target}: {result}")
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Load(result["answers"] / result["seconds"], used / result["seconds"])


def _wrk(
    folder: Path, port: int, request: Request, connections: int, seconds: int
) -> list[str]:
    # Escaped byte by byte, so that the body may be anything.
    body = "".join(f"\\{byte:03d}" for byte in request.body)
    script = _SCRIPT.format(
        method="POST" if request.body else "GET",
        body=f'"{body}"' if body else "nil",
        headers=f'wrk.headers["Content-Type"] = "{request.content_type}"'
        if body
        else "",
    )
    (folder / "request.lua").write_text(script)
    command = [WRK or "", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30"]
    url = f"http://127.0.0.1:{port}{request.target}"
    return [*command, "-s", str(folder / "request.lua"), url]


def _epoll(
    folder: Path, port: int, request: Request, connections: int, seconds: int
) -> list[str]:
    # One asks for the length of the answers, and some are on their way at the end.
    count = _MOST * seconds + connections + 1 if request.varies else 1
    first = request.encode(port)
    with (folder / "requests").open("wb") as file:
        file.write(first)
        file.writelines(request.encode(port) for _ in range(count - 1))
    command = [sys.executable, "-m", "benchmarks.epoll", str(folder / "requests")]
    return [*command, str(len(first)), str(port), str(connections), str(seconds)]
