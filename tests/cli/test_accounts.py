"""``tsctl passwd`` and ``tsctl groups``, as an operator uses them."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys

import pytest

from tests.cli.conftest import ask, run
from toolserver.auth.accounts import parse_accounts, parse_groups
from toolserver.auth.passwords import verify_password

TSCTL = (sys.executable, "-m", "toolserver")


@pytest.fixture
def home(tmp_path):
    assert ask(tmp_path, "init").code == 0
    return tmp_path


def set_password(home, user, password, *words):
    done = subprocess.run(
        [*TSCTL, "--home", str(home), "passwd", user, "--stdin", *words],
        input=f"{password}\n",
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "Traceback" not in done.stderr
    return done


def accounts(home):
    return parse_accounts((home / "config/passwd").read_text())


def test_an_account_is_made_changed_listed_and_deleted(home):
    file = home / "config/passwd"
    done = set_password(home, "ann", "geheim")
    assert (done.returncode, done.stdout) == (0, "made the account ann\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "geheim" not in file.read_text()
    assert verify_password("geheim", accounts(home)["ann"])
    file.write_text("# ours\n" + file.read_text() + "# the end")
    assert set_password(home, "bob", "x", "--argon2").returncode == 0
    assert accounts(home)["bob"].startswith("$argon2id$")
    done = set_password(home, "ann", "other")
    assert done.stdout == "changed the password of ann\n"
    assert verify_password("other", accounts(home)["ann"])
    assert ask(home, "passwd").out == "ann\nbob\n"
    assert ask(home, "passwd", "ann", "--delete").out == "deleted the account ann\n"
    assert ask(home, "passwd").out == "bob\n"
    assert file.read_text().startswith("# ours\n# the end\nbob:")


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (["passwd", "a b", "--stdin"], 2, "got 'a b', expected letters"),
        (["passwd", "--delete"], 2, "which USER?"),
        (["passwd", "nobody", "--delete"], 1, "no account 'nobody'"),
        (["groups", "add", "editors"], 2, "Missing argument"),
        (["groups", "remove", "editors", "ann"], 1, "not in editors: ann"),
        (["groups", "add", "a:b", "ann"], 2, "got 'a:b'"),
        (["groups", "nonsense"], 2, "No such command"),
    ],
)
def test_mistakes_are_told(home, words, code, problem):
    done = ask(home, *words)
    assert done.code == code
    assert problem in done.err
    assert not (home / "config/passwd").exists()


def test_a_password_is_asked_for_twice_at_a_terminal(home):
    ours, theirs = os.openpty()
    with (
        open(ours, "r+b", buffering=0) as terminal,
        subprocess.Popen(
            [*TSCTL, "--home", str(home), "passwd", "ann"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            # It must not find the terminal that the tests were started at.
            start_new_session=True,
        ) as process,
    ):
        os.close(theirs)
        shown = b""
        for prompt, answer in [
            (b"Password: ", b"geheim\n"),
            (b"confirmation: ", b"other\n"),
            (b"not match.\r\nPassword: ", b"geheim\n"),
            (b"confirmation: ", b"geheim\n"),
        ]:
            begin = len(shown)
            while prompt not in shown[begin:]:
                shown += terminal.read(1000)
            terminal.write(answer)
        assert process.wait(100) == 0
    assert b"geheim" not in shown
    assert verify_password("geheim", accounts(home)["ann"])


def test_passwords_that_are_none(home, monkeypatch):
    done = ask(home, "passwd", "ann")
    assert (done.code, done.out) == (2, "")
    assert "no terminal to ask at; --stdin reads the password" in done.err
    monkeypatch.setattr("sys.stdin", io.StringIO("x" * 10_001))
    done = ask(home, "passwd", "ann", "--stdin")
    assert (done.code, done.out) == (2, "")
    assert "a password has at most" in done.err
    monkeypatch.setattr("toolserver.cli.accounts.HAS_ARGON2", False)
    done = ask(home, "passwd", "ann", "--argon2")
    assert (done.code, done.out) == (2, "")
    assert "needs the extra: toolserver[argon2]" in done.err
    assert not (home / "config/passwd").exists()


def test_an_empty_password_is_refused(home):
    done = set_password(home, "ann", "")
    assert done.returncode == 2
    assert "got an empty password" in done.stderr


def test_a_file_that_cannot_be_read_is_left_alone(home):
    file = home / "config/passwd"
    file.write_text("ann\n")
    done = set_password(home, "bob", "x")
    assert done.returncode == 1
    assert "passwd:1: expected name:value" in done.stderr
    assert file.read_text() == "ann\n"


@pytest.mark.parametrize("name", ["passwd", "groups"])
def test_a_file_of_another_encoding_is_left_alone(home, name):
    file = home / "config" / name
    file.write_bytes(b"\xff\n")
    done = ask(home, name)
    assert (done.code, done.err) == (1, f"Error: {file}: not valid UTF-8\n")


def test_a_file_of_tokens_that_holds_none(home):
    file = home / "config" / "tokens"
    file.write_text("# ours\nnonsense\n")
    done = ask(home, "token")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"Error: {file}:2: ")
    assert "nonsense" not in done.err


def test_without_a_home_it_says_what_to_do(tmp_path):
    for command in ("passwd", "groups"):
        done = run(tmp_path / "none", command)
        assert done.code == 1
        assert "init' to make it one" in done.err


def test_groups_are_filled_listed_and_emptied(home):
    file = home / "config/groups"
    assert ask(home, "groups").out == ""
    file.write_text("# who does what\nwriters:ann\nwriters:cat\n")
    assert ask(home, "groups", "add", "editors", "bob", "ann", "bob").out == (
        "editors: bob, ann\n"
    )
    assert (
        ask(home, "groups", "add", "writers", "bob").out == "writers: ann, cat, bob\n"
    )
    assert ask(home, "groups").out == "editors: bob, ann\nwriters: ann, cat, bob\n"
    assert '"editors": [' in ask(home, "groups", "--json").out
    assert parse_groups(file.read_text())["bob"] == {"editors", "writers"}
    assert ask(home, "groups", "remove", "editors", "ann", "bob").out == (
        "editors: nobody\n"
    )
    assert file.read_text() == "# who does what\nwriters:ann,cat,bob\n"


def test_commands_at_once_lose_nothing(home):
    commands = [
        subprocess.Popen(
            [*TSCTL, "--home", str(home), "groups", "add", "all", f"guest{number}"],
            stdout=subprocess.DEVNULL,
        )
        for number in range(5)
    ]
    assert [command.wait(50) for command in commands] == [0] * 5
    members = ask(home, "groups").out.partition(": ")[2].strip().split(", ")
    assert sorted(members) == [f"guest{number}" for number in range(5)]
