"""What the Dockerfile relies on: its context, its variables, a read-only root."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.cli.conftest import ask, status, wait_for

ROOT = Path(__file__).parents[2]
HOME = "/srv/toolserver"
TOOL = '''
from toolserver import Request, StandardTool, register, rest


@register("boxed")
class Boxed(StandardTool):
    def keep(self, text: str) -> str:
        self.storage.write("note", text)
        return self.storage.read_text("note")

    @rest("PUT")
    def size(self, request: Request) -> int:
        return len(request.files["upload"].read())

    def spill(self) -> str:
        """Try to write where nothing may be written."""
        try:
            open(__file__ + ".new", "w").close()
        except OSError as error:
            return error.strerror
        return "written"
'''
# As a container runtime does it: all but the volumes is read-only.
BOX = """
set -e
mount --bind "$1" "$1"
for volume in var log; do mount --bind "$1/$volume" "$1/$volume"; done
for folder in "$1" /; do mount -o bind,remount,ro "$folder"; done
cd "$1"
shift
exec "$@"
"""
UNSHARE = ["unshare", "--mount", "--propagation", "private"]
if os.geteuid() != 0:
    UNSHARE += ["--user", "--map-root-user"]


def instructions(name):
    """What follows a keyword of the Dockerfile, for each time it is there."""
    text = (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.partition(" ") for line in text.splitlines()]
    return [rest for keyword, _, rest in lines if keyword == name]


def can_unshare():
    if shutil.which("unshare") is None:
        return False
    command = [*UNSHARE, "sh", "-c", "mount --bind /var /var"]
    return subprocess.run(command, capture_output=True).returncode == 0


def test_the_context_has_what_is_copied():
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "*"
    for copied in instructions("COPY"):
        *sources, _ = copied.split()
        if sources[0].startswith("--from"):
            continue
        for source in sources:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in ignored, source


@pytest.mark.skipif(not can_unshare(), reason="this user cannot mount anything")
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_server_runs_where_only_its_volumes_can_be_written(tmp_path, workers):
    home = tmp_path / "home"
    assert ask(home, "init").code == 0
    (home / "tools" / "boxed.py").write_text(TOOL)
    variables = dict(line.split("=", 1) for line in instructions("ENV"))
    volumes = json.loads(instructions("VOLUME")[0])
    assert sorted(volumes) == [f"{HOME}/log", f"{HOME}/var"]
    path = variables.pop("PATH")
    assert path.startswith("/opt/toolserver/bin:")
    environment = {
        name: value.replace(HOME, str(home)) for name, value in variables.items()
    }
    assert environment["TOOLSERVER_HOME"] == str(home)
    tsctl, *words = json.loads(instructions("CMD")[0])
    assert tsctl == "tsctl"
    process = subprocess.Popen(
        [
            *(*UNSHARE, "sh", "-c", BOX, "sh", str(home)),
            *(sys.executable, "-m", "toolserver", *words),
        ],
        env={
            **os.environ,
            **environment,
            "PYTHONPATH": str(ROOT),
            "TOOLSERVER_SERVER__HOST": "127.0.0.1",
            "TOOLSERVER_SERVER__PORT": "0",
            "TOOLSERVER_SERVER__WORKERS": workers,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: status(home)["running"] or process.poll() is not None)
        found = status(home)
        assert found["running"], process.stderr.read()
        assert found["pid"] == process.pid
        (check,) = instructions("HEALTHCHECK")
        _, *check_words = json.loads(check.partition("CMD ")[2])
        assert ask(home, *check_words).code == 0
        with requests.Session() as session:
            session.trust_env = False
            url = f"{found['url'].rstrip('/')}/boxed"
            assert session.post(f"{url}/keep", json={"text": "kept"}).text == "kept"
            upload = {"upload": bytes(1_000_000)}
            assert session.put(f"{url}/size", files=upload).json() == 1_000_000
            assert session.post(f"{url}/spill").text == "Read-only file system"
            later = session.post(
                f"{url}/keep",
                json={"text": "later"},
                headers={"Prefer": "respond-async"},
            )
            assert later.status_code == 202
    finally:
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "ERROR" not in told
    assert not list(home.rglob("__pycache__"))


def test_the_unit_and_the_image_agree_about_who_writes_where():
    unit = (ROOT / "deploy" / "toolserver.service").read_text()
    (line,) = [each for each in unit.splitlines() if each.startswith("ReadWritePaths=")]
    writable = shlex.split(line.partition("=")[2])
    assert sorted(writable) == sorted(json.loads(instructions("VOLUME")[0]))
