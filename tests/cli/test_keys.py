"""``tsctl keygen``, as an operator uses it."""

import stat

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tests.cli.conftest import ask
from toolserver.auth.keys import public_pem, read_private


@pytest.fixture
def home(tmp_path):
    assert ask(tmp_path, "init").code == 0
    return tmp_path


def pair(home, name):
    private = read_private(home / f"privkeys/{name}.pem")
    assert (home / f"pubkeys/{name}.pem").read_text() == public_pem(
        private.public_key()
    )
    return private


def test_a_key_pair_is_made_and_shut(home):
    done = ask(home, "keygen", "ann")
    assert done.code == 0, done.err
    assert done.out == (
        f"private key: {home}/privkeys/ann.pem\npublic key:  {home}/pubkeys/ann.pem\n"
    )
    key = pair(home, "ann")
    assert isinstance(key, RSAPrivateKey)
    assert key.key_size == 3072
    private = home / "privkeys/ann.pem"
    assert private.read_text().startswith("-----BEGIN PRIVATE KEY-----\n")
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "words", [[], ["--server"], ["server"], ["server", "--server"]]
)
def test_the_key_pair_of_the_server(home, words):
    done = ask(home, "keygen", *words, "--type", "ed25519")
    assert done.code == 0, done.err
    assert isinstance(pair(home, "server"), Ed25519PrivateKey)


@pytest.mark.parametrize("left", ["privkeys", "pubkeys"])
def test_keys_are_replaced_by_force_alone(home, left):
    assert ask(home, "keygen", "ann", "--type", "ed25519").code == 0
    (other,) = {"privkeys", "pubkeys"} - {left}
    before = (home / left / "ann.pem").read_bytes()
    (home / other / "ann.pem").unlink()
    done = ask(home, "keygen", "ann", "--type", "ed25519")
    assert done.code == 1
    assert done.err == (f"Error: {home}/{left}/ann.pem: exists; --force replaces it\n")
    assert (home / left / "ann.pem").read_bytes() == before
    assert not (home / other / "ann.pem").exists()
    (home / left / "ann.pem").chmod(0o644)
    assert ask(home, "keygen", "ann", "--type", "ed25519", "--force").code == 0
    pair(home, "ann")
    assert (home / left / "ann.pem").read_bytes() != before


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["a/b"], "got the name 'a/b', expected 1 to 64 letters"),
        (["../ann"], "got the name '../ann'"),
        (["ann\n"], "got the name"),
        (["a" * 65], "got the name"),
        ([""], "got the name ''"),
        (["ann", "--server"], "for which of the two?"),
        (["ann", "--type", "dsa"], "'dsa' is not one of"),
    ],
)
def test_mistakes_are_told(home, words, problem):
    done = ask(home, "keygen", *words)
    assert done.code == 2
    assert problem in done.err
    assert not list((home / "privkeys").iterdir())
    assert not list((home / "pubkeys").iterdir())
