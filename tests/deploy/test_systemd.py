"""The units of deploy/, as systemd itself reads them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)
def test_systemd_has_nothing_to_say_about_the_units(tmp_path):
    tsctl = str(Path(sys.executable).with_name("tsctl"))
    for name in ("toolserver.service", "toolserver.socket"):
        text = (DEPLOY / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/toolserver/bin/tsctl", tsctl))
    units = [str(tmp_path / f"toolserver.{kind}") for kind in ("service", "socket")]
    done = subprocess.run(
        ["systemd-analyze", "verify", *units],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
