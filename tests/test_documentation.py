"""What README and docs tell is run as it stands there."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import requests

from toolserver import daemon
from toolserver.home import Home

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@pytest.mark.skipif(
    shutil.which("curl") is None and "CI" not in os.environ,
    reason="curl is not installed",
)
def test_the_first_tool_of_the_readme(tmp_path):
    port = str(free_port())
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "TOOLSERVER_SERVER__PORT": port,
    }

    def run(command):
        done = subprocess.run(
            ["bash", "-c", command.replace("4334", port)],
            env=environment,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=50,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    told = [b for b in blocks(ROOT / "README.md", "console") if "$ make" not in b]
    assert len(told) == 3
    try:
        for block in told:
            for step in re.split(r"^\$ ", block, flags=re.M)[1:]:
                command, _, expected = _command_and_output(step)
                if expected:
                    pattern = re.escape(expected.strip()).replace("…", ".*")
                    assert re.fullmatch(pattern, run(command).strip())
                else:
                    run(command)
    finally:
        run("tsctl --home ~/shop stop")


def test_the_protocol_of_the_documentation_is_a_file_in_tools(tmp_path):
    (codec,) = [
        block
        for block in blocks(ROOT / "docs" / "protocols.md", "python")
        if "register_protocol" in block
    ]
    assert codec.count("\n") < 60
    home = Home(tmp_path)
    home.create()
    (home.tools / "msgpack_rpc.py").write_text(codec)
    (home.tools / "sums.py").write_text(
        "from toolserver import StandardTool, register\n"
        "@register('sums')\n"
        "class Sums(StandardTool):\n"
        "    def add(self, a: int, b: int) -> int:\n"
        "        return a + b\n"
    )
    home.settings_file.touch()
    url = daemon.start(home, ["--port=0"]).url
    try:

        def ask(message, path="/MSGPACK", kind="application/vnd.msgpack"):
            return requests.post(
                url.rstrip("/") + path,
                data=msgspec.msgpack.encode(message),
                headers={"Content-Type": kind},
                timeout=10,
            )

        def answer(*sent):
            return msgspec.msgpack.decode(ask(*sent).content)

        assert answer([0, 7, "sums.add", [1, 2]]) == [1, 7, None, 3]
        assert answer([0, 8, "add", [1, 2]], "/MSGPACK/sums") == [1, 8, None, 3]
        assert answer([0, 9, "sums.add", [1, "x"]])[2][0] == -32602
        assert answer([0, 9, "sums.nope", []])[2][0] == -32601
        assert answer("nonsense")[2][0] == -32600
        assert not ask([2, "sums.add", [1, 2]]).content
        assert ask([0, 1, "sums.add", []], kind="text/xml").status_code == 415
        assert requests.get(f"{url}/MSGPACK", timeout=10).status_code == 405
    finally:
        daemon.stop(home)


def test_the_press_of_the_documentation_prints_in_its_test(tmp_path):
    press, test = [
        block
        for block in blocks(ROOT / "docs" / "jobs.md", "python")
        if "Press" in block
    ]
    (tmp_path / "press.py").write_text(press)
    (tmp_path / "test_press.py").write_text(test)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "toolserver.pytest_plugin"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=50,
    )
    assert done.returncode == 0, done.stdout


def _command_and_output(step):
    """Split what follows a prompt; a quote or a backslash goes on on the next line."""
    lines = step.splitlines()
    if lines[0].startswith("cat > "):
        file = lines[0].removeprefix("cat > ")
        text = "\n".join(lines[1:])
        return f"cat > {file} <<'EOF'\n{text}\nEOF", "", ""
    end = 1
    while "\n".join(lines[:end]).count("'") % 2 or lines[end - 1].endswith("\\"):
        end += 1
    return "\n".join(lines[:end]), "", "\n".join(lines[end:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_snippets_are_python(page):
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    # Code has brackets of its own.
    text = re.sub(r"^```.*?^```$|`[^`\n]+`", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / target).exists(), target
