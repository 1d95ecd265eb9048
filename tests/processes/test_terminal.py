"""A server in the foreground whose reader has gone goes on."""

import json
import os
import signal
import subprocess
import sys

import pytest
import requests

from tests.processes.servers import wait_for

TOOL = """
from toolserver import StandardTool, register


@register("demo")
class Demo(StandardTool):
    def prints(self) -> str:
        print("nobody reads this", flush=True)
        return "printed"
"""


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    words = [sys.executable, "-m", "toolserver", "--home", home, "init"]
    subprocess.run(words, check=True, capture_output=True)
    (home / "tools" / "demo.py").write_text(TOOL)
    return home


def test_the_readers_of_its_words_may_be_gone(home):
    reader, writer = os.pipe()
    os.close(reader)
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "toolserver", "--home", home),
            *("start", "--foreground", "--port", "0"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=writer,
    )
    os.close(writer)
    try:

        def url():
            state = home / "var" / "toolserver.json"
            return state.exists() and json.loads(state.read_text())["url"]

        base = wait_for(url)
        with requests.Session() as session:
            session.trust_env = False
            for _ in range(3):
                assert session.post(f"{base}/demo/prints", timeout=20).text == "printed"
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=40) == 0
    finally:
        server.kill()
        server.wait()
    log = (home / "log" / "error.log").read_text()
    assert "serving on" in log
    assert "Traceback" not in log
