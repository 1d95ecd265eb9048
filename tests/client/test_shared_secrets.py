"""Clients that sign with the secrets of tools, and a real server."""

from __future__ import annotations

import pytest

from tests.passwords import quick_hash
from toolserver import (
    CRAMSettings,
    CRAMTool,
    OnlyRPCCRAMTool,
    StandardTool,
    context,
    errors,
    register,
)
from toolserver.auth.keys import generate, private_pem
from toolserver.auth.nonces import Nonces
from toolserver.client import AnswerError, connect
from toolserver.testing import serve

from .protocols import OPEN
from .scripted import Scripted, result


@register("sample.guarded")
class Guarded(OnlyRPCCRAMTool):
    settings = CRAMSettings(secret="s3cret")

    def add(self, a: int, b: int = 0) -> int:
        if b < 0:
            raise errors.Conflict("no less")
        return a + b

    def long(self) -> str:
        return "x" * 100_000


@register("sample.half")
class Half(CRAMTool):
    settings = CRAMSettings(secret="other")

    def open(self, door: int, token: list[str] | None = None) -> str:
        self.check_token(token)
        return f"open {door}"


@register("sample.anybody")
class Anybody(StandardTool):
    def who(self) -> list[str | None]:
        return [context.client, context.auth_type]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    (home / "var").mkdir()
    (home / "config").mkdir()
    (home / "config" / "passwd").write_text(f"ann:{quick_hash('pw')}\n")
    Nonces(home / "var" / "nonces.db", most=1000, since=0).close()
    with serve(Guarded, Half, Anybody, home=home) as running:
        yield running


SECRETS = {"sample.guarded": "s3cret", "sample.half": "other"}


@pytest.mark.parametrize("protocol", OPEN)
def test_calls_are_signed_instead_of_answering_challenges(server, protocol):
    remote = server.remote(protocol, secrets=SECRETS)
    half = remote.get_tool("sample.half")
    assert half.open(3) == half.open(door=3) == "open 3"
    # What is no tool of theirs is called as ever.
    assert remote.call("sample.anybody.who") == [None, None]
    guarded = remote.get_tool("sample.guarded")
    if protocol == "REST":
        with pytest.raises(errors.Forbidden, match="over RPC alone"):
            guarded.add(1)
        return
    assert guarded.add(1, 2) == guarded.add(1, b=2) == guarded.add(a=1, b=2) == 3
    assert len(guarded.long()) == 100_000
    # No token is put before the arguments, whoever offers one.
    assert remote.get_tool("sample.guarded", secret="s3cret").add(1, 2) == 3
    with pytest.raises(errors.Conflict, match="no less"):
        guarded.add(1, -1)
    assert guarded.add.start(1, 2).result(timeout=20) == 3
    assert guarded.add.enqueue(5, a=1).result(timeout=20) == 1


def test_a_password_beside_the_secret(server):
    remote = server.remote(basic=("ann", "pw"), secrets=SECRETS)
    assert remote.call("sample.guarded.add", 1, 2) == 3
    assert remote.call("sample.anybody.who") == ["ann", "Basic"]


def test_who_does_not_know_the_secret_is_refused(server):
    remote = server.remote(secrets={"sample.guarded": "guess"})
    with pytest.raises(AnswerError, match=r"not signed.*does not hold"):
        remote.call("sample.guarded.add", 1)


def test_an_answer_of_who_does_not_know_it_is_not_believed():
    with Scripted(lambda *_: result(3)) as server:
        remote = connect(server.url, secrets=SECRETS, proxies={}, retries=0)
        with remote, pytest.raises(AnswerError, match="the answer is not signed"):
            remote.call("sample.guarded.add", 1)


def test_what_cannot_be_is_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match="got none for 'a'"):
        connect("http://localhost", secrets={"a": ""})
    key = tmp_path / "ann.pem"
    key.write_text(private_pem(generate("ed25519")))
    key.chmod(0o600)
    with pytest.raises(ValueError, match="exclude each other"):
        connect("http://localhost", secrets=SECRETS, privkey=str(key))
