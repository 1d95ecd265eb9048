"""``debug`` by the password, and how its sessions end."""

from __future__ import annotations

import pytest

import toolserver.testing
from toolserver import StandardTool, register

from .conftest import ask

PASSWORD = "correct horse battery"


@register("sample.open")
class Open(StandardTool):
    pass


@pytest.fixture
def server(tmp_path):
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(PASSWORD)
    settings = {"enabled": True, "address": "127.0.0.1:0", "password_file": "secret"}
    config = {"debugger": settings}
    with toolserver.testing.serve(Open, home=tmp_path, config=config) as running:
        yield running


@pytest.fixture
def debug(server, tmp_path):
    port = server.worker._debugger.address[1]
    words = ["debug", "--connect", f"127.0.0.1:{port}"]
    return lambda *more: ask(tmp_path, *words, *more)


def test_the_password_is_asked_for(debug, monkeypatch):
    monkeypatch.setattr("getpass.getpass", lambda: PASSWORD)
    done = debug("-c", "6 * 7")
    assert (done.code, done.out, done.err) == (0, "42\n", "")
    monkeypatch.setattr("getpass.getpass", lambda: "guess")
    wrong = debug("-c", "6 * 7")
    assert (wrong.code, wrong.out) == (1, "")
    assert "wrong password" in wrong.err


def test_a_session_that_ends_before_the_code(debug, tmp_path):
    code = "import gevent; server._debugger.stop(); gevent.sleep(60)"
    done = debug("--password-file", tmp_path / "secret", "-c", code)
    assert (done.code, done.out) == (1, "")
    assert done.err == "Error: the session has ended before the code\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--connect", "127.0.0.1:1", "--worker", "1"], "one worker by its port"),
        (["--connect", "127.0.0.1:1", "--all", "-c", "1"], "one worker by its port"),
        (["--all"], "need the code to run"),
    ],
)
def test_wrong_usage(tmp_path, words, told):
    done = ask(tmp_path, "debug", *words)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
