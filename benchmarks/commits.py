"""This checkout against an earlier commit: what did the changes cost?"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from benchmarks.messages import Request, exactly
from benchmarks.payloads import RECORDS, TEXT
from benchmarks.report import Line
from benchmarks.rounds import Contestant, Run
from benchmarks.rows.xmlrpc import call
from benchmarks.servers import Toolserver

HERE = Path(__file__).parent
#: What a change may cost at most.
AT_LEAST = 0.95


def measure(run: Run, commit: str) -> list[Line]:
    """Compare the ordinary calls.

    Args:
        run: The run.
        commit: Any name that git knows it by.
    """
    with tempfile.TemporaryDirectory(prefix="toolserver-bench-") as folder:
        extract(commit, Path(folder))
        contestants = {}
        for who, source in (("now", None), (commit, Path(folder))):
            server = Toolserver(source=source)
            hello = Request("/bench/hello")
            contestants |= {
                f"hello, {who}": Contestant(server, hello, exactly(b"Hello World!")),
                f"XML-RPC, a text, {who}": call(server, "bench.echo", TEXT),
                f"XML-RPC, 10 records, {who}": call(
                    server, "bench.echo_records", RECORDS
                ),
            }
        rates = run.rates(contestants)
    return [
        rates.compare(what, f"{what}, now", f"{what}, {commit}", at_least=AT_LEAST)
        for what in ("hello", "XML-RPC, a text", "XML-RPC, 10 records")
    ]


def extract(commit: str, folder: Path) -> None:
    """Lay down the files of a commit."""
    done = subprocess.run(
        ["git", "archive", "--format=tar", commit], cwd=HERE.parent, capture_output=True
    )
    if done.returncode:
        sys.exit(f"{commit}: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
