"""Signed requests and answers, with real keys and a real server."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.client.protocols import OPEN
from tests.passwords import quick_hash
from tests.sample import Faults, Types
from toolserver import StandardTool, context, errors, register
from toolserver.auth.keys import generate, private_pem, public_pem
from toolserver.auth.nonces import Nonces
from toolserver.auth.tokens import make_token
from toolserver.client import (
    AnswerError,
    ConnectionFailed,
    RemoteToolserver,
    connect,
)
from toolserver.testing import serve

from .scripted import Scripted, respond, result


@register("sample.signed")
class Signed(StandardTool):
    """Tells who has signed."""

    def who(self) -> list[str | None]:
        return [context.client, context.auth_type]

    def long(self) -> str:
        return "x" * 100_000

    def length(self, text: str) -> int:
        return len(text)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


@pytest.fixture(scope="module", params=["ed25519", "rsa"])
def keys(request, tmp_path_factory):
    """A home with the keys of a server and of ann, and what ann has of them."""
    home, own = (tmp_path_factory.mktemp(name) for name in ("home", "ann"))
    server, ann = generate(request.param), generate("ed25519")
    write(home / "privkeys" / "server.pem", private_pem(server))
    write(home / "pubkeys" / "ann.pem", public_pem(ann.public_key()))
    users = [f"{name}:{quick_hash('pw')}\n" for name in ("ann", "bob")]
    write(home / "config" / "passwd", "".join(users))
    token, kept = make_token("ann", namespaces=("sample.signed",))
    write(home / "config" / "tokens", f"{kept.line()}\n")
    write(own / "token", token)
    # A server that starts for the first time takes nothing that was signed before.
    (home / "var").mkdir()
    Nonces(home / "var" / "nonces.db", most=1000, since=0).close()
    return home, {
        "privkey": write(own / "ann.pem", private_pem(ann)),
        "pubkey": write(own / "server.pem", public_pem(server.public_key())),
    }


@pytest.fixture(scope="module")
def server(keys):
    home, _ = keys
    config = {"auth": {"rsa_authenticate": True}}
    with serve(Types, Faults, Signed, home=home, config=config) as running:
        yield running


@pytest.mark.parametrize("protocol", OPEN)
def test_calls_are_signed_both_ways(server, keys, protocol):
    client = server.remote(protocol, **keys[1])
    assert client.call("sample.signed.who") == ["ann", "Signature"]
    assert client.call("sample.types.str_", "ä ") == "ä "
    # Over REST the answer is compressed.
    assert len(client.call("sample.signed.long")) == 100_000
    assert client.call("sample.types.none") is None
    with pytest.raises(errors.NotFound, match="no such thing"):
        client.call("sample.faults.missing")
    assert "fine" in dir(client.get_tool("sample.faults"))
    assert b"sample" in client.fetch("/WSDL/")


@pytest.mark.parametrize("protocol", ["REST", "JSONRPC"])
def test_a_large_request_is_signed_and_made_once(server, keys, protocol):
    client = server.remote(protocol, **keys[1])
    for _ in range(2):
        text = "x" * 500_000
        key = f"{protocol}-{keys[0].name}"
        assert client.once(key, "sample.signed.length", text) == 500_000


def test_who_has_no_key_is_refused(server, keys, tmp_path):
    with pytest.raises(errors.Unauthenticated, match="a signature is needed"):
        server.remote().call("sample.signed.who")
    stranger = write(tmp_path / "eve.pem", private_pem(generate("ed25519")))
    eve = {**keys[1], "privkey": stranger}
    for options in (eve, {**eve, "localname": "ann"}):
        with pytest.raises(AnswerError, match=r"401 .* is not signed.* hold") as caught:
            server.remote(**options).call("sample.signed.who")
        assert caught.value.status == 401
    unchecked = {"privkey": stranger, "localname": "ann"}
    with pytest.raises(errors.Unauthenticated, match="does not hold"):
        server.remote(**unchecked).call("sample.signed.who")


def test_a_password_beside_the_key(server, keys):
    both = server.remote(basic=("ann", "pw"), **keys[1])
    assert both.call("sample.signed.who") == ["ann", "Signature"]
    other = server.remote(basic=("bob", "pw"), **keys[1])
    # The server does not sign for whom it does not know.
    with pytest.raises(AnswerError, match="name different clients"):
        other.call("sample.signed.who")


def test_a_token_beside_the_key_bounds_what_may_be_called(server, keys):
    token = Path(keys[1]["privkey"]).with_name("token").read_text()
    client = server.remote(token=token, **keys[1])
    assert client.call("sample.signed.who") == ["ann", "Signature"]
    with pytest.raises(errors.Forbidden, match=r"not for sample\.types"):
        client.call("sample.types.int_", 1)


def test_answers_of_another_server_are_refused(server, keys, tmp_path):
    other = write(tmp_path / "other.pem", public_pem(generate("ed25519").public_key()))
    client = server.remote(**{**keys[1], "pubkey": other})
    with pytest.raises(AnswerError, match="signature"):
        client.call("sample.signed.who")
    with Scripted(lambda *_: result("forged")) as forger:
        client = connect(forger.url, proxies={}, **keys[1])
        with pytest.raises(AnswerError, match="not signed"):
            client.call("sample.signed.who")


def test_changed_and_repeated_answers_are_refused(server, keys):
    """Somebody on the way keeps an answer, or changes it."""
    kept = []

    def forward(head, body):
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
        answer = server.http.post("/JSONRPC", data=body, headers=dict(lines))
        fields = [
            f"{name}: {answer.headers[name]}"
            for name in ("Content-Digest", "Signature", "Signature-Input")
        ]
        if not kept:
            kept.append(respond("200 OK", answer.content, "application/json", *fields))
            return kept[0]
        if len(kept) == 1:
            kept.append(None)
            return kept[0]
        changed = answer.content.replace(b"ann", b"eve")
        return respond("200 OK", changed, "application/json", *fields)

    with Scripted(forward) as relay:
        # It is asked for under the name of the server.
        port = server.url().rstrip("/").rpartition(":")[2]
        options = {"proxies": {"http": relay.url}, **keys[1]}
        with RemoteToolserver(f"http://127.0.0.1:{port}", **options) as client:
            assert client.call("sample.signed.who") == ["ann", "Signature"]
            with pytest.raises(AnswerError, match="signature does not hold"):
                client.call("sample.signed.who")
            with pytest.raises(AnswerError, match="body is not the one"):
                client.call("sample.signed.who")


def test_a_request_that_is_sent_again_is_signed_anew(server, keys):
    attempts = []

    def forward(head, body):
        attempts.append(head)
        if len(attempts) == 1:
            return respond("503 Busy", b"", "", "Retry-After: 0")
        return b""

    with Scripted(forward) as broken:
        options = {"proxies": {}, "privkey": keys[1]["privkey"]}
        client = connect(broken.url, retries=1, **options)
        with client, pytest.raises(ConnectionFailed):
            client.call("sample.signed.who")
    first, second = (
        next(line for line in head.split(b"\r\n") if line.startswith(b"Signature:"))
        for head in attempts
    )
    assert first != second


def test_keys_that_are_none(tmp_path, keys):
    url, mine = "http://localhost/", keys[1]
    with pytest.raises(FileNotFoundError, match="no such private key"):
        connect(url, privkey=str(tmp_path / "no.pem"))
    with pytest.raises(FileNotFoundError):
        connect(url, privkey=mine["privkey"], pubkey=str(tmp_path / "no.pem"))
    with pytest.raises(ValueError, match="expected a public key"):
        connect(url, privkey=mine["privkey"], pubkey=mine["privkey"])
    with pytest.raises(ValueError, match="no private key"):
        connect(url, privkey=mine["pubkey"])
    with pytest.raises(ValueError, match="privkey: missing"):
        connect(url, pubkey=mine["pubkey"])
    shared = tmp_path / "open.pem"
    shared.write_text("")
    shared.chmod(0o644)
    with pytest.raises(ValueError, match="others may read"):
        connect(url, privkey=str(shared))
