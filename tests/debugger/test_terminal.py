"""The command, at a terminal and for scripts, with the processes of real servers."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from contextlib import suppress

import pytest

from tests.processes.servers import server, wait_for
from tests.tracing import UNMEASURED

SETTINGS = """
[debugger]
enabled = true
address = "127.0.0.1:0"
password_file = "config/password"
"""
PASSWORD = "correct horse battery"


#: Makes the terminal at standard input the one whose keys interrupt the process.
TAKE_TERMINAL = """
import os, sys
os.setsid()
os.close(os.open(os.ttyname(0), os.O_RDWR))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A server of two workers, which all tests share."""
    home = tmp_path_factory.mktemp("home")
    (home / "config").mkdir()
    password = home / "config" / "password"
    password.touch(mode=0o600)
    password.write_text(PASSWORD)
    with server(home, workers=2, settings=SETTINGS) as found:
        yield found


class Terminal:
    """Somebody who types at `tsctl debug`."""

    def __init__(self, running, folder):
        self.history = folder / "history"
        self.master, slave = pty.openpty()
        # Wide enough that no line is wrapped.
        termios.tcsetwinsize(slave, (50, 500))
        environment = {
            **os.environ,
            "TERM": "xterm",
            "PYTHONPATH": os.getcwd(),
            "TOOLSERVER_DEBUG_HISTORY": str(self.history),
        }
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", TAKE_TERMINAL, "-m", "toolserver"),
                *("--home", str(running.home), "debug"),
            ],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
        )
        os.close(slave)
        self.text = ""

    def type(self, text):
        os.write(self.master, text.encode())

    def wait_for(self, pattern, seconds=20):
        """Read until something is shown; what came after the last such thing."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text)):
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} in {self.text!r}"
            if select.select([self.master], [], [], left)[0]:
                with suppress(OSError):
                    data = os.read(self.master, 65536).decode()
                    # What moves the cursor is of no interest.
                    self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data)
        self.text = self.text[found.end() :]
        return found[0]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal(running, tmp_path):
    found = Terminal(running, tmp_path)
    yield found
    found.close()


def test_somebody_types_at_a_terminal(running, terminal):
    terminal.wait_for(r"worker 0 \(pid \d+\); help\(\) tells")
    terminal.wait_for(">>> ")
    # Code of several lines.
    terminal.type("def f(n):\n")
    terminal.wait_for(r"\.\.\. ")
    terminal.type("    return n * 7\n\nf(6)\n")
    terminal.wait_for(r"\n42\r\n")
    # Completion.
    terminal.type('tools["oth\t')
    terminal.wait_for(r'tools\["other"\]')
    terminal.type(".nam\t\n")
    terminal.wait_for(r"\.namespace\r\n'other'")
    # An interrupt at the prompt, one of code that runs, and a mistake.
    # Typed once the prompt reads: what comes before is thrown away by the system.
    terminal.wait_for(">>> ")
    terminal.type("garbage")
    terminal.wait_for("garbage")
    terminal.type("\x03")
    terminal.wait_for("KeyboardInterrupt\r\n>>> ")
    terminal.type("print('begins'); gevent.sleep(100)\n")
    terminal.wait_for("\nbegins\r\n")
    terminal.type("\x03")
    terminal.wait_for("KeyboardInterrupt\r\n>>> ")
    terminal.type("x +\n")
    terminal.wait_for("SyntaxError: invalid syntax")
    # History, of this session and of the next one.
    terminal.type("2 ** 10\n")
    terminal.wait_for("\n1024\r\n>>> ")
    terminal.type("\x1b[A\n")
    terminal.wait_for("\n1024\r\n>>> ")
    terminal.type("\x04")
    assert terminal.process.wait(20) == 0
    assert "2 ** 10" in terminal.history.read_text()
    assert terminal.history.stat().st_mode & 0o777 == 0o600


def test_what_is_watched_is_shown_above_what_is_typed(running, terminal):
    terminal.wait_for(">>> ")
    terminal.type('t = trace("demo.pid")\n')
    terminal.wait_for(">>> ")
    terminal.type("half a li")
    terminal.wait_for("half a li")

    def watched():
        running.call("demo.pid")
        return select.select([terminal.master], [], [], 0.1)[0]

    wait_for(watched)
    terminal.wait_for(r"demo\.pid #1 called with \(\)\r\n")
    terminal.wait_for("half a li")
    terminal.type("\x03")
    terminal.wait_for("KeyboardInterrupt")
    terminal.type("exit\n")
    assert terminal.process.wait(20) == 0


def test_who_does_not_wait_for_an_interrupt_leaves(running, terminal):
    terminal.wait_for(">>> ")
    terminal.type(
        "def stay():\n"
        "    print('stays')\n"
        "    for _ in range(3):\n"
        "        try: gevent.sleep(100)\n"
        "        except KeyboardInterrupt: print('caught')\n\n"
        "stay()\n"
    )
    terminal.wait_for(r"\nstays\r\n")
    terminal.type("\x03")
    terminal.wait_for("caught")
    terminal.type("\x03")
    terminal.wait_for("left while the code was being ended")
    assert terminal.process.wait(20) == 130


def test_scripts_get_values_and_exit_codes(running):
    assert running.tsctl("debug", "-c", "6 * 7").stdout == "42\n"
    assert running.tsctl("debug", "-c", "print('ö')").stdout == "ö\n"
    assert running.tsctl("debug", "-c", "None").stdout == ""
    failed = running.tsctl("debug", "-c", "1 / 0", check=False)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.endswith("ZeroDivisionError: division by zero\n")
    told = running.tsctl("debug", "-c", "print('aside'); calls()", "--json")
    assert (json.loads(told.stdout), told.stderr) == ([], "aside\n")
    wrong = running.tsctl("debug", "--json", check=False)
    assert wrong.returncode == 2


def test_lines_may_come_from_a_file(running):
    source = (
        "total = 0\nfor n in range(4):\n    total += n\n\ntotal\n1 / 0\ntotal + 1\n"
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "toolserver"),
            *("--home", str(running.home), "debug"),
        ],
        input=source,
        capture_output=True,
        text=True,
        timeout=30,
    )
    lines = done.stdout.splitlines()
    assert (lines[0], lines[-2:]) == (
        "6",
        ["ZeroDivisionError: division by zero", "7"],
    )


def test_each_worker_is_reached_and_all_of_them(running):
    pid = "import os; os.getpid()"
    one = running.tsctl("debug", "--worker", "1", "-c", pid).stdout
    assert int(one) == running.workers[1]
    assert int(running.tsctl("debug", "-c", pid).stdout) == running.workers[0]
    told = running.tsctl("debug", "--all", "--json", "-c", pid).stdout
    assert [(row["worker"], row["value"]) for row in json.loads(told)] == list(
        enumerate(running.workers)
    )
    text = running.tsctl("debug", "--all", "-c", pid).stdout
    assert f"worker 1 (pid {one.strip()})\n{one}" in text
    failed = running.tsctl(
        *("debug", "--all", "--json", "-c", "1 / (server._number - 1)"), check=False
    )
    assert failed.returncode == 1
    assert [row["error"] for row in json.loads(failed.stdout)] == [
        None,
        "ZeroDivisionError: division by zero",
    ]
    wrong = running.tsctl("debug", "--worker", "2", "-c", "1", check=False)
    assert wrong.returncode == 1
    assert "no worker 2, expected one of 0, 1" in wrong.stderr


def test_workers_that_are_replaced_are_reached_anew(running):
    code = (
        "import os; [os.getpid(), vars(tools['demo']).setdefault('mark', os.getpid())]"
    )
    before = json.loads(running.tsctl("debug", "--json", "-c", code).stdout)
    running.tsctl("reload")
    after = json.loads(running.tsctl("debug", "--json", "-c", code).stdout)
    assert before != after == 2 * running.workers[:1]


def test_over_tcp_by_the_password(running):
    found = re.findall(r"debugger: listening on port (\d+) of 127", running.log)
    address = f"127.0.0.1:{found[-1]}"
    password = str(running.home / "config" / "password")
    words = ("debug", "-c", "6 * 7", "--password-file", password, "--connect")
    assert running.tsctl(*words, address).stdout == "42\n"
    refused = running.tsctl(*words, "192.0.2.1:1", check=False)
    assert "can be reached from other machines" in refused.stderr


def test_the_server_has_to_run_with_the_debugger_on(running, tmp_path):
    folder = running.home / "var" / "debug"
    folder.rename(tmp_path / "away")
    off = running.tsctl("debug", "-c", "1", check=False)
    (tmp_path / "away").rename(folder)
    assert off.returncode == 1
    assert "debugger.enabled = true" in off.stderr
    missing = running.tsctl("--home", str(tmp_path), "debug", "-c", "1", check=False)
    assert missing.returncode == 3
    assert "not running" in missing.stderr


def test_the_command_needs_no_gevent():
    """The command line is not patched; what it asks is in another process."""
    source = "import sys, toolserver.cli.debug; sys.exit('gevent' in sys.modules)"
    command = [*UNMEASURED, sys.executable, "-c", source]
    assert subprocess.run(command, timeout=30).returncode == 0
