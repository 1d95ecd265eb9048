"""What the tab key brings, in the shells themselves."""

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import gevent
import pytest
from gevent.select import select

import toolserver.testing
from tests.cli.conftest import ask, run, wait_for
from tests.client.scripted import Scripted, result
from toolserver import StandardTool, register
from toolserver.cli.group import COMMANDS

#: Where the command is that the shells run.
BIN = Path(sys.executable).parent
BASH = """
source <(tsctl completion bash)
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_tsctl_completion tsctl
printf '%s\\n' "${COMPREPLY[@]}"
"""
FISH = """
source (tsctl completion fish | psub)
complete --do-complete "$argv"
"""
ZSH = """
autoload -Uz compinit
compinit -u -d "$1/zcompdump"
source <(tsctl completion zsh)
PS1='ready> '
"""


def environment(home):
    kept = {key: value for key, value in os.environ.items() if "TOOLSERVER" not in key}
    return {**kept, "PATH": f"{BIN}:{os.environ['PATH']}", "TOOLSERVER_HOME": str(home)}


def shell(home, *words):
    """The words that a shell prints, each on a line before what it means."""
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=50, env=environment(home)
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return [line.partition("\t")[0] for line in done.stdout.splitlines() if line]


def in_bash(home, *words):
    return shell(home, "bash", "--norc", "-c", BASH, "bash", *words)


def in_fish(home, *words):
    return shell(home, "fish", "--no-config", "-c", FISH, " ".join(words))


def complete(home, *words, **more):
    """The words that the command offers a shell, without the shell."""
    variables = {
        "_TSCTL_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["tsctl", *words]),
        "COMP_CWORD": str(len(words)),
    }
    done = run(None, env={**variables, "TOOLSERVER_HOME": str(home), **more})
    assert done.code == 0
    assert not done.err
    return [line.partition(",")[2] for line in done.out.splitlines() if line]


SHELLS = [
    in_bash,
    pytest.param(
        in_fish,
        marks=pytest.mark.skipif(
            shutil.which("fish") is None, reason="fish is not installed"
        ),
    ),
]


@pytest.mark.parametrize("typed", SHELLS)
def test_commands_and_options(tmp_path, typed):
    assert typed(tmp_path, "tsctl", "comp") == ["completion"]
    assert typed(tmp_path, "tsctl", "completion", "z") == ["zsh"]
    assert "--protocol" in typed(tmp_path, "tsctl", "call", "--p")
    assert typed(tmp_path, "tsctl", "call", "--protocol", "so") == ["soap"]


@pytest.mark.parametrize("typed", SHELLS)
def test_methods_of_the_running_server(running, typed):
    # A busy machine may take longer to answer than a shell waits.
    found = wait_for(lambda: typed(running, "tsctl", "call", "shop.orders."))
    names = ["fail", "list_methods", "place", "sizes"]
    assert found == [f"shop.orders.{name}" for name in names]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes_what_is_typed(tmp_path):
    (tmp_path / "rc").write_text(ZSH)
    primary, secondary = pty.openpty()
    process = subprocess.Popen(
        ["zsh", "--no-rcs", "--interactive"],
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        env={**environment(tmp_path), "TERM": "dumb"},
        start_new_session=True,
    )
    os.close(secondary)
    shown = b""

    def wait_until(text):
        nonlocal shown
        with gevent.Timeout(40, AssertionError(f"{text!r} is not in {shown!r}")):
            while text not in shown:
                select([primary], [], [])
                shown += os.read(primary, 65536)
        shown = b""

    try:
        os.write(primary, f"set -- {tmp_path}; source {tmp_path}/rc\n".encode())
        wait_until(b"ready> ")
        os.write(primary, b"tsctl complet\t")
        wait_until(b"completion")
        os.write(primary, b" zs\t")
        wait_until(b"zsh")
    finally:
        process.kill()
        process.wait(15)
        os.close(primary)


def test_the_beginning_of_nothing_is_all_commands(tmp_path):
    assert complete(tmp_path, "") == list(COMMANDS)
    assert complete(tmp_path, "st") == ["start", "stop", "status", "stubs"]
    assert complete(tmp_path, "--h") == ["--home", "--help"]


@register("completed.shop")
class Shop(StandardTool):
    def sell(self) -> None:
        """Sell."""


@register("completed.stock")
class Stock(StandardTool):
    def count(self) -> int:
        return 1


def test_tools_of_another_server(tmp_path):
    with toolserver.testing.serve(Shop, Stock) as server:
        url = server.url()
        for command in ("tools", "wsdl", "openapi", "stubs"):
            words = [command, "--url", url, "completed.s"]
            found = wait_for(lambda words=words: complete(tmp_path, *words))
            assert found == ["completed.shop", "completed.stock"]
        found = wait_for(
            lambda: complete(tmp_path, "call", "--url", url, "completed.shop.s")
        )
        assert found == ["completed.shop.sell"]


def test_servers_of_all_kinds_are_asked(tmp_path):
    path = tmp_path / "socket"
    config = {"server": {"unix_socket": str(path)}}
    with toolserver.testing.serve(Shop, config=config):
        words = ["call", "--url", f"http+unix://{path}", "completed.shop.s"]
        found = wait_for(lambda: complete(tmp_path, *words))
        assert found == ["completed.shop.sell"]


def test_servers_are_asked_with_the_token_of_the_caller(
    tmp_path,
):

    def answer(head, body):
        known = b"\r\nAuthorization: Bearer t0ken" in head
        return result(["shop.orders"] if known else [])

    with Scripted(answer) as server:
        words = ["tools", "--url", server.url, "sh"]
        found = wait_for(lambda: complete(tmp_path, *words, TOOLSERVER_TOKEN="t0ken"))
    assert found == ["shop.orders"]


@pytest.mark.parametrize(
    "url", ["", "nonsense", "http://127.0.0.1:1/", "https://127.0.0.1:1", "http://[::"]
)
def test_where_nobody_can_be_asked_there_is_nothing(tmp_path, url):
    words = ["--url", url] if url else []
    assert complete(tmp_path, "call", *words, "shop.") == []


def test_the_script_is_that_of_the_shell():
    for name, part in [
        ("bash", "complete -o nosort"),
        ("zsh", "#compdef tsctl"),
        ("fish", "--command tsctl"),
    ]:
        done = ask(Path("nowhere"), "completion", name)
        assert (done.code, done.err) == (0, "")
        assert part in done.out
    assert ask(Path("nowhere"), "completion", "tcsh").code == 2
