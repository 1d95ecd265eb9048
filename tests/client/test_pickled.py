"""The client over PickleRPC, with real keys and a real server."""

from __future__ import annotations

import base64
import datetime as dt
from decimal import Decimal

import pytest

import toolserver.testing
from tests.protocols.test_picklerpc import (
    ANN,
    CONFIG,
    KIND,
    SERVER,
    NoneLeft,
    Pickled,
    make_home,
)
from toolserver.auth.answers import AnswerSigner
from toolserver.auth.keys import generate, private_pem, public_pem
from toolserver.client import AnswerError, RemoteToolserver
from toolserver.client.codecs import Answer
from toolserver.client.pickled import PickleCodec
from toolserver.errors import InvalidParams, MethodNotFound, ToolserverError
from toolserver.message import Headers, Request, Response
from toolserver.protocols.pickles import KNOWN, write_pickle

from .scripted import Scripted, respond


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The keys of a client."""
    made = tmp_path_factory.mktemp("client")
    (made / "ann.pem").touch(0o600)
    (made / "ann.pem").write_text(private_pem(ANN))
    (made / "server.pem").write_text(public_pem(SERVER.public_key()))
    (made / "other.pem").write_text(public_pem(generate("rsa").public_key()))
    (made / "edwards.pem").write_text(public_pem(ANN.public_key()))
    return made


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        # A server that has just begun takes no requests of before.
        patch.setattr("toolserver.auth.signatures.AHEAD", -3600)
        home = make_home(tmp_path_factory.mktemp("home"))
        with toolserver.testing.serve(Pickled, home=home, config=CONFIG) as running:
            yield running


def connect(server, folder, pubkey="server.pem", **options):
    return RemoteToolserver(
        server.url("/"),
        "PYRPC",
        privkey=str(folder / "ann.pem"),
        pubkey=str(folder / pubkey),
        **options,
    )


@pytest.fixture
def remote(server, folder):
    with connect(server, folder) as made:
        yield made


def test_values_of_python_arrive_as_they_are(remote):
    tool = remote.get_tool("pickled")
    value = {1: ({2}, frozenset("a")), "when": dt.datetime(2026, 1, 2), "b": Decimal(1)}
    assert tool.echo(value) == value
    assert tool.echo(value=value) == value
    assert tool.who() == ["ann", "Session", "PYRPC"]
    assert remote.tools()


def test_exceptions_are_raised(remote):
    tool = remote.get_tool("pickled")
    with pytest.raises(KeyError) as caught:
        tool.fail("key")
    assert caught.value.args == ("k",)
    with pytest.raises(NoneLeft, match="none left") as caught:
        tool.fail("own")
    assert caught.value.data == {"left": Decimal(0)}
    with pytest.raises(MethodNotFound):
        tool.nothing()
    with pytest.raises(InvalidParams):
        tool.part({"name": 1})
    with pytest.raises(InvalidParams, match="argument cannot be sent"):
        tool.echo(object())


def test_answers_of_another_server_are_refused(server, folder):
    with connect(server, folder, "other.pem") as remote, pytest.raises(AnswerError):
        remote.get_tool("pickled").echo(1)


@pytest.mark.parametrize(
    "body", [b"no pickle", write_pickle(5, KNOWN), write_pickle({"error": 1}, KNOWN)]
)
def test_what_is_no_answer(body):
    answer = Answer("http://h/", 200, {"content-type": KIND}, body)
    with pytest.raises(AnswerError, match="no answer of a toolserver"):
        PickleCodec().read(answer)


def test_an_answer_that_is_signed_and_yet_wrong(folder):
    """Its key is right, so it is the server itself that is at fault."""
    faults = [
        ((), "the answer cannot be opened"),
        ([("toolserver-session", "forever")], "toolserver-session: expected"),
    ]

    def answer(head, body):
        first, *lines = head.decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines)
        sent = Headers(fields.items())
        request = Request(method="POST", raw_path=first.split()[1], headers=sent)
        signature = base64.b64decode(fields["Signature"].split(":")[1])
        response = Response(b"garbage", content_type=KIND, headers=faults[0][0])
        signed = AnswerSigner(SERVER).sign(request, signature, response)
        return respond(
            *("200 OK", signed.body, ""),
            *(f"{name}: {value}" for name, value in signed.headers),
        )

    keys = {"privkey": str(folder / "ann.pem"), "pubkey": str(folder / "server.pem")}
    with Scripted(answer) as wrong:
        while faults:
            with (
                RemoteToolserver(wrong.url, "PYRPC", proxies={}, **keys) as remote,
                pytest.raises(AnswerError, match=faults[0][1]),
            ):
                remote.call("a.b")
            del faults[0]


def test_keys_are_needed(server, folder):
    with pytest.raises(ValueError, match="PYRPC needs privkey and pubkey"):
        RemoteToolserver(server.url("/"), "PYRPC")
    with (
        connect(server, folder, "edwards.pem") as remote,
        pytest.raises(ValueError, match="RSA key of the server"),
    ):
        remote.call("pickled.echo", 1)


def test_keys_of_requests_are_refused(server, folder, remote):
    with pytest.raises(ValueError, match="takes no idempotency keys"):
        remote.once("k", "pickled.who")
    with (
        connect(server, folder, headers={"Idempotency-Key": "k"}) as keyed,
        pytest.raises(ToolserverError, match="takes no idempotency keys"),
    ):
        keyed.call("pickled.who")
