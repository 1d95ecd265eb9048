"""Who asks: accounts and keys."""

import pytest
from click.testing import CliRunner

from tests.passwords import quick_hash
from toolserver import StandardTool, context, register
from toolserver.auth.keys import generate, private_pem, public_pem
from toolserver.auth.nonces import Nonces
from toolserver.cli.group import tsctl
from toolserver.testing import serve

from .conftest import ask


@register("sample.asked")
class Asked(StandardTool):
    """Tells who asks."""

    def who(self) -> str:
        return f"{context.client} by {context.auth_type}"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("home")
    for name in ("config", "privkeys", "pubkeys", "var"):
        (path / name).mkdir()
    (path / "config" / "passwd").write_text(f"bob:{quick_hash('geheim')}\n")
    server, ann = generate("ed25519"), generate("ed25519")
    for name, text in {
        "privkeys/server.pem": private_pem(server),
        "pubkeys/ann.pem": public_pem(ann.public_key()),
        "my.pem": private_pem(ann),
        "theirs.pem": public_pem(server.public_key()),
    }.items():
        (path / name).write_text(text)
        (path / name).chmod(0o600)
    # A server that starts for the first time takes nothing that was signed before.
    Nonces(path / "var" / "nonces.db", most=1000, since=0).close()
    return path


@pytest.fixture(scope="module")
def call(home):
    with serve(Asked, home=home) as server:
        yield lambda *words: ask(
            home, "call", "sample.asked.who", "--url", server.url(), *words
        )


def test_nobody(call):
    assert call().out == "None by None\n"


def test_an_account(call, monkeypatch):
    monkeypatch.setenv("TOOLSERVER_PASSWORD", "geheim")
    assert call("--user", "bob").out == "bob by Basic\n"
    monkeypatch.setenv("TOOLSERVER_PASSWORD", "falsch")
    refused = call("--user", "bob")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith("Error: Unauthenticated (-32001): ")


def test_a_password_is_asked_for(home, monkeypatch):
    monkeypatch.delenv("TOOLSERVER_PASSWORD", raising=False)
    with serve(Asked, home=home) as server:
        words = ["call", "sample.asked.who", "--url", server.url(), "--user", "bob"]
        done = CliRunner().invoke(tsctl, words, input="geheim\n")
    assert (done.exit_code, done.stdout) == (0, "bob by Basic\n")
    assert done.stderr == "Password of bob: \n"


def test_keys(call, home):
    mine, theirs = str(home / "my.pem"), str(home / "theirs.pem")
    words = ("--privkey", mine, "--pubkey", theirs)
    assert call(*words, "--localname", "ann").out == "ann by Signature\n"
    unknown = call(*words)
    assert unknown.code == 1
    assert "the answer is not signed" in unknown.err
    assert call("--pubkey", theirs).code == 2
    assert call("--privkey", theirs).code == 2
    missing = call("--privkey", str(home / "no.pem"))
    assert (missing.code, missing.err) == (
        1,
        f"Error: {home / 'no.pem'}: no such private key\n",
    )
