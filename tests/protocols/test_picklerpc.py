"""PickleRPC: sealed between who has keys, and refused to everybody else."""

from __future__ import annotations

import datetime as dt
import os
import pickle
import zlib
from dataclasses import dataclass
from decimal import Decimal

import pytest

import toolserver.testing
from toolserver import StandardTool, context, register
from toolserver.auth.keys import generate, private_pem, public_pem
from toolserver.auth.sealing import associated_data, seal_request
from toolserver.auth.signing import make_nonce, sign_request, verify_answer
from toolserver.errors import ApplicationError, StartError
from toolserver.protocols.pickles import KNOWN, read_pickle, write_pickle

ANN, BOB, SERVER = generate("ed25519"), generate("rsa"), generate("rsa")
KIND = "application/vnd.toolserver.pickle"


class NoneLeft(ApplicationError):
    code = -32123
    status = 422


@dataclass
class Part:
    name: str
    made: dt.date


@register("pickled")
class Pickled(StandardTool):
    calls = 0

    def echo(self, value):
        Pickled.calls += 1
        return value

    def part(self, part: Part) -> Part:
        return part

    def who(self) -> list:
        return [context.client, context.auth_type, context.protocol]

    def fail(self, kind: str) -> None:
        raise {
            "key": KeyError("k"),
            "value": ValueError("v", 1),
            "own": NoneLeft("none left", data={"left": Decimal(0)}),
            "odd": type("Odd", (Exception,), {})("odd"),
        }[kind]


def make_home(path, server=SERVER):
    home = toolserver.testing.Home(path)
    home.create()
    (home.privkeys / "server.pem").touch(0o600)
    (home.privkeys / "server.pem").write_text(private_pem(server))
    for name, key in (("ann", ANN), ("bob", BOB)):
        (home.pubkeys / f"{name}.pem").write_text(public_pem(key.public_key()))
    # Without it, requests are refused for half a minute.
    (home.var / "nonces.db").unlink(missing_ok=True)
    return path


CONFIG = {"auth": {"rsa_authenticate": True}, "picklerpc": {"enabled": True}}


@pytest.fixture(scope="module")
def server(tmp_path_factory, monkeypatch_module):
    # A server that has just begun takes no request from before the memory of nonces.
    monkeypatch_module.setattr("toolserver.auth.signatures.AHEAD", -3600)
    home = make_home(tmp_path_factory.mktemp("home"))
    with toolserver.testing.serve(Pickled, home=home, config=CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


class Caller:
    """A client, written down step by step; each step can be done wrong."""

    def __init__(self, server, name="ann", key=ANN):
        self.server, self.name, self.key = server, name, key
        self.receiver = SERVER.public_key()
        self.cover = ("toolserver-key",)
        self.path = "/PYRPC"

    def send(self, content, change=None):
        url = self.server.url(self.path)
        nonce = make_nonce()
        authority = url.split("/")[2]
        parts = ("POST", authority, self.path, "", self.name, nonce)
        if change == "bound":
            parts = ("POST", authority, "/elsewhere", "", self.name, nonce)
        wrapped, body, sealed = seal_request(
            content, self.receiver, nonce, associated_data(parts)
        )
        headers = {"Content-Type": KIND, "Toolserver-Key": wrapped}
        if change == "flipped":
            body = body[:40] + (b"B" if body[40:41] == b"A" else b"A") + body[41:]
        if change == "wrapped":
            headers["Toolserver-Key"] = wrapped[:-8] + "AAAAAAA="
        signed = sign_request(
            "POST",
            url,
            headers,
            body,
            keyid=self.name,
            key=self.key,
            cover=self.cover,
            nonce=nonce,
        )
        answer = self.server.http.post(
            self.path, data=body, headers={**headers, **signed.fields}
        )
        if answer.headers.get("content-type") != KIND:
            return answer
        verify_answer(
            answer.status_code,
            answer.headers,
            answer.content,
            key=SERVER.public_key(),
            request=signed,
        )
        return read_pickle(sealed.open(answer.content), KNOWN, 1_000_000)

    def call(self, method, *args, change=None, **kwargs):
        message = {"method": method, "args": args, "kwargs": kwargs}
        return self.send(write_pickle(message, KNOWN), change)


@pytest.fixture
def caller(server):
    return Caller(server)


VALUES = [
    None,
    (1, 2.5, "ä", b"\0"),
    {1: {2, 3}, "a": frozenset("b")},
    [dt.datetime(2026, 1, 2, tzinfo=dt.UTC), dt.timedelta(1), Decimal("1.10"), 1 + 2j],
    2**100,
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_arrive_as_they_are(caller, value):
    assert caller.call("pickled.echo", value) == {"value": value}
    assert caller.call("pickled.echo", value=value) == {"value": value}


def test_typed_arguments_are_converted(caller):
    part = {"name": "nut", "made": dt.date(2026, 1, 2)}
    assert caller.call("pickled.part", part) == {"value": part}
    answer = caller.call("pickled.part", {"name": "nut"})
    assert answer["error"]["code"] == -32602


def test_the_client_is_known(server):
    for name, key in (("ann", ANN), ("bob", BOB)):
        found = Caller(server, name, key).call("pickled.who")["value"]
        assert found == [name, "Signature", "PYRPC"]


def test_exceptions_arrive_as_exceptions(caller):
    answer = caller.call("pickled.fail", "key")
    assert type(answer["exception"]) is KeyError
    assert answer["exception"].args == ("k",)
    assert caller.call("pickled.fail", "value")["exception"].args == ("v", 1)
    answer = caller.call("pickled.fail", "own")
    assert answer == {
        "error": {
            "code": -32123,
            "type": "NoneLeft",
            "message": "none left",
            "data": {"left": Decimal(0)},
        }
    }
    answer = caller.call("pickled.fail", "odd")
    assert answer["error"]["type"] == "Odd"
    assert "exception" not in answer
    assert caller.call("pickled.nothing")["error"]["code"] == -32601


@pytest.mark.parametrize(
    ("change", "status"), [("bound", 400), ("flipped", 400), ("wrapped", 400)]
)
def test_what_was_not_sealed_for_this_request_is_refused(caller, change, status):
    before = Pickled.calls
    answer = caller.call("pickled.echo", 1, change=change)
    assert answer.status_code == status
    assert answer.text == "body: cannot be opened\n"
    assert Pickled.calls == before


def test_a_server_whose_key_was_replaced_by_one_of_another_kind(
    server, caller, monkeypatch
):
    codec = server.worker._assembly.app._rpc._codecs["PYRPC"]
    monkeypatch.setattr(codec, "_find_key", lambda: ANN)
    answer = caller.call("pickled.echo", 1)
    assert answer.status_code == 400
    assert answer.text == "body: nothing can be sealed for this server\n"


def test_exceptions_may_be_told_by_reference_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("toolserver.auth.signatures.AHEAD", -3600)
    config = {**CONFIG, "errors": {"detail": "reference"}}
    home = make_home(tmp_path)
    with toolserver.testing.serve(Pickled, home=home, config=config) as server:
        answer = Caller(server).call("pickled.fail", "key")
    assert "exception" not in answer
    assert "reference" in answer["error"]["message"]


def test_who_may_call_all_else_unsigned_may_not_call_here():
    with toolserver.testing.serve(Pickled, clients={"ann": ()}) as server:
        assert server.http.get("/pickled/who").status_code == 200
        kind = {"Content-Type": KIND}
        answer = server.http.post("/PYRPC", data=b"x", headers=kind)
        assert answer.status_code == 401
        assert "a signature is needed" in answer.text


def test_where_there_are_too_many_sessions_each_call_is_signed(monkeypatch):
    with toolserver.testing.serve(Pickled, clients={"ann": ()}) as server:
        codec = server.worker._assembly.app._rpc._codecs["PYRPC"]
        monkeypatch.setattr(codec._sessions._file, "open", lambda *_: None)
        remote = server.remote("PYRPC", "ann")
        for _ in range(2):
            assert remote.call("pickled.who") == ["ann", "Signature", "PYRPC"]


def test_what_was_sealed_for_another_server_is_refused(caller):
    caller.receiver = generate("rsa").public_key()
    assert caller.call("pickled.echo", 1).status_code == 400


def test_the_wrapped_key_has_to_be_signed(caller):
    caller.cover = ()
    answer = caller.call("pickled.echo", 1)
    assert answer.status_code == 401
    assert "toolserver-key is not covered" in answer.text


def test_nobody_else_is_heard(server, caller, monkeypatch):
    touched = []
    monkeypatch.setattr(
        "toolserver.protocols.picklerpc.read_pickle", lambda *_: touched.append(1)
    )
    monkeypatch.setattr(
        "toolserver.protocols.picklerpc.open_request", lambda *_: touched.append(2)
    )
    caller.key = generate("ed25519")
    assert caller.call("pickled.echo", 1).status_code == 401
    caller.name = "mallory"
    assert caller.call("pickled.echo", 1).status_code == 401
    body = zlib.compress(pickle.dumps(1))
    answer = server.http.post("/PYRPC", data=body, headers={"Content-Type": KIND})
    assert answer.status_code == 401
    assert not touched


class Gadget:
    def __reduce__(self):
        return os.system, ("touch PWNED",)


def test_a_mistaken_client_can_run_nothing(caller, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = {"method": "pickled.echo", "args": (Gadget(),), "kwargs": {}}
    answer = caller.send(zlib.compress(pickle.dumps(message)))
    assert answer["error"]["code"] == -32700
    assert "not among the classes that are allowed" in answer["error"]["message"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        {},
        {"method": 1, "args": ()},
        {"method": "a", "args": "b"},
        {"method": "a", "args": (), "kwargs": {1: 2}},
    ],
)
def test_what_is_no_call_is_refused(caller, message):
    assert caller.send(write_pickle(message, KNOWN))["error"]["code"] == -32600


def test_bombs_are_refused(caller):
    answer = caller.send(write_pickle(b"\0" * 50_000_000, KNOWN))
    assert answer["error"]["code"] == -32700


@pytest.mark.parametrize(
    ("config", "key", "problem"),
    [
        ({"picklerpc": {"enabled": True}}, SERVER, "needs auth.rsa_authenticate"),
        (CONFIG, ANN, "needs an RSA key"),
        (
            {**CONFIG, "picklerpc": {"enabled": True, "classes": ["os:path"]}},
            SERVER,
            "'os:path' is no class",
        ),
    ],
)
def test_it_is_not_switched_on_unsafely(tmp_path, config, key, problem):
    home = make_home(tmp_path, key)
    with (
        pytest.raises(StartError, match=problem),
        toolserver.testing.serve(Pickled, home=home, config=config),
    ):
        pass


def test_it_is_off_by_default(tmp_path):
    with toolserver.testing.serve(Pickled) as server:
        assert server.http.post("/PYRPC", data=b"x").status_code == 404
