"""Keys: what is read, what is refused, and a folder of keys that changes."""

import os

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from toolserver.auth.keys import (
    PublicKeys,
    generate,
    private_pem,
    public_pem,
    read_private,
    read_public,
)
from toolserver.errors import StartError

KEYS = [Ed25519PrivateKey.generate() for _ in range(3)]
ANN, BOB, EVE = (public_pem(key.public_key()) for key in KEYS)
SMALL = rsa.generate_private_key(65537, 1024)
CURVE = ec.generate_private_key(ec.SECP256R1())


def write(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_keys_are_read_as_they_were_written(tmp_path, kind):
    key = generate(kind)
    path = write(tmp_path / "key.pem", private_pem(key))
    assert private_pem(read_private(path)) == private_pem(key)
    public = public_pem(key.public_key())
    assert public_pem(read_public(public.encode())) == public


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (public_pem(SMALL.public_key()), "RSA key of 1024 bits, expected 2048"),
        (public_pem(CURVE.public_key()), "RSA or Ed25519 key, got one of another"),
        (private_pem(KEYS[0]), "expected a public key"),
        pytest.param(ANN[:60], "expected a public key", id="cut short"),
        ("", "expected a public key"),
    ],
)
def test_what_is_no_public_key_is_refused(text, problem):
    with pytest.raises(ValueError, match=problem):
        read_public(text.encode())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (private_pem(SMALL), "RSA key of 1024 bits"),
        (private_pem(CURVE), "got one of another kind"),
        (ANN, "no private key"),
        ("", "no private key"),
        (
            KEYS[0]
            .private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"secret"),
            )
            .decode(),
            "got an encrypted key",
        ),
    ],
)
def test_what_is_no_private_key_is_refused(tmp_path, text, problem):
    path = write(tmp_path / "key.pem", text)
    with pytest.raises(StartError, match=f"key.pem: .*{problem}"):
        read_private(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o620])
def test_private_keys_that_others_may_read_are_refused(tmp_path, mode):
    path = write(tmp_path / "key.pem", private_pem(KEYS[0]), mode)
    with pytest.raises(StartError, match=rf"mode {mode:o}\); shut it by: chmod 600"):
        read_private(path)


def test_a_missing_private_key_is_told(tmp_path):
    with pytest.raises(StartError, match=r"key\.pem: cannot be read: No such file"):
        read_private(tmp_path / "key.pem")


def test_keys_come_and_go(tmp_path):
    write(tmp_path / "ann.pem", ANN)
    for name in ("server.pem", "bob.txt", "b b.pem", ".pem", f"{'x' * 65}.pem"):
        write(tmp_path / name, BOB)
    (tmp_path / "folder.pem").mkdir()
    os.mkfifo(tmp_path / "pipe.pem")
    (tmp_path / "lost.pem").symlink_to(tmp_path / "nowhere")
    keys = PublicKeys(tmp_path)
    keys.load()
    assert len(keys) == 1
    assert public_pem(keys.find("ann")) == ANN
    for name in ("server", "bob", "../ann", "ann.pem", "folder", ""):
        assert keys.find(name) is None
    write(tmp_path / "bob.pem", BOB)
    keys.refresh()
    assert public_pem(keys.find("bob")) == BOB
    write(tmp_path / "new", EVE).rename(tmp_path / "bob.pem")
    keys.refresh()
    assert public_pem(keys.find("bob")) == EVE
    (tmp_path / "ann.pem").unlink()
    keys.refresh()
    assert keys.find("ann") is None
    assert len(keys) == 1


def test_who_has_a_broken_key_is_shut_out(tmp_path, caplog):
    path = write(tmp_path / "ann.pem", ANN)
    keys = PublicKeys(tmp_path)
    keys.load()
    write(path, ANN[:40])
    keys.refresh()
    keys.refresh()
    assert keys.find("ann") is None
    (told,) = [each for each in caplog.records if each.levelname == "ERROR"]
    assert "ann.pem: expected a public key in PEM" in told.message
    write(path, ANN)
    keys.refresh()
    assert keys.find("ann") is not None


def test_a_broken_key_keeps_the_server_from_starting(tmp_path):
    write(tmp_path / "ann.pem", "nonsense")
    with pytest.raises(StartError, match=r"ann\.pem: expected a public key"):
        PublicKeys(tmp_path).load()


def test_without_a_folder_nobody_is_admitted(tmp_path):
    keys = PublicKeys(tmp_path / "none")
    keys.load()
    assert len(keys) == 0
