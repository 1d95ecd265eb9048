"""Requests that are signed with a secret which a tool shares with its callers."""

from __future__ import annotations

import datetime as dt
import json
import secrets
import time
import urllib.error
import xmlrpc.client

import pytest
import requests
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, algorithms
from http_message_signatures.resolvers import MappingKeyResolver

import toolserver.testing
from tests.auth.test_signature_examples import block
from tests.auth.test_signatures import ANN, make_home
from tests.passwords import quick_hash
from toolserver import (
    CRAMSettings,
    CRAMTool,
    FactoryTool,
    OnlyRPCCRAMTool,
    StandardTool,
    TransientTool,
    context,
    register,
)
from toolserver.auth.algorithms import sign
from toolserver.auth.challenges import respond
from toolserver.auth.digests import content_digest
from toolserver.auth.keys import public_pem
from toolserver.auth.profile import signature_base
from toolserver.auth.signing import SignatureError, sign_request, verify_answer
from toolserver.auth.structured import InnerList, Item

SECRET = "s3cret"


@register("vault")
class Vault(OnlyRPCCRAMTool):
    settings = CRAMSettings(SECRET)

    def look(self, shelf: int = 1, *more: int) -> list[object]:
        """See what is inside."""
        return [context.client, context.auth_type, shelf, *more]


@register("lobby")
class Lobby(CRAMTool):
    settings = CRAMSettings("other")

    def enter(self, token: list[str] | None = None) -> list[object]:
        self.check_token(token)
        return [context.client, context.auth_type]


@register("street")
class Street(StandardTool):
    def walk(self) -> list[object]:
        return [context.client, context.auth_type]


class Door(OnlyRPCCRAMTool, TransientTool):
    def open(self) -> str:
        return self.key


@register("doors")
class Doors(FactoryTool):
    children = (Door,)

    def child_exists(self, key: str) -> bool:
        return key in "abc"

    def make_child(self, key: str) -> Door:
        made = Door()
        made.settings = CRAMSettings("" if key == "c" else f"of {key}")
        return made


TOOLS = Vault, Lobby, Street, Doors


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = make_home(tmp_path_factory.mktemp("home"), {}, own=None)
    config = home / "config"
    (config / "passwd").write_text(f"bob:{quick_hash('bobs')}\n")
    (config / "hosts.allow").write_text("guest:127.0.0.1\n")
    with toolserver.testing.serve(*TOOLS, home=home) as running:
        yield running


def signed(server, name, params, *, path="/JSONRPC", **options):
    """A call in JSON-RPC and the fields by which it is signed."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": params})
    fields = {"Content-Type": "application/json"}
    made = sign_request(
        "POST",
        server.url(path),
        fields,
        body.encode(),
        **{"keyid": "vault", "key": SECRET.encode(), **options},
    )
    return {**fields, **made.fields}, body.encode(), made


def send(server, fields, body, path="/JSONRPC", **options):
    url = server.url(path)
    return requests.post(url, data=body, headers=fields, timeout=20, **options)


def ask(server, name="vault.look", params=(), **options):
    fields, body, _ = signed(server, name, list(params), **options)
    return send(server, fields, body).json()


def test_a_signed_request_needs_no_token(server):
    assert ask(server)["result"] == [None, "CRAM", 1]
    assert ask(server, params=[3, 4, 5])["result"] == [None, "CRAM", 3, 4, 5]
    # Who has a token in mind as well sends one argument too many.
    token = ["a", "b"]
    assert ask(server, params=[token])["error"]["code"] == -32602


def test_all_protocols_take_it(server):
    vault = server.url("/RPC2"), xmlrpc.client.dumps((2,), "vault.look")
    envelope = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
        "<v:look xmlns:v='urn:toolserver:vault'>{}</v:look></e:Body></e:Envelope>"
    )
    soap = server.url("/SOAP/vault")
    for url, body in (
        vault,
        (soap, envelope.format("<shelf>2</shelf>")),
        (soap, envelope.format("<param0>2</param0>")),
        (soap, envelope.format("<param0>2</param0><param1>7</param1>")),
    ):
        fields = {"Content-Type": "text/xml"}
        made = sign_request(
            "POST", url, fields, body.encode(), keyid="vault", key=SECRET.encode()
        )
        answer = requests.post(
            url, data=body, headers={**fields, **made.fields}, timeout=20
        )
        assert answer.status_code == 200, answer.text
        assert "CRAM" in answer.text
        assert ">2<" in answer.text
    batch = [
        {"jsonrpc": "2.0", "id": each, "method": "vault.look", "params": [each]}
        for each in (1, 2)
    ]
    body = json.dumps(batch).encode()
    fields = {"Content-Type": "application/json"}
    made = sign_request(
        "POST",
        server.url("/JSONRPC"),
        fields,
        body,
        keyid="vault",
        key=SECRET.encode(),
    )
    answer = send(server, {**fields, **made.fields}, body).json()
    assert [each["result"][2] for each in answer] == [1, 2]
    # This tool is not for REST, whoever asks.
    fields, body, _ = signed(server, "", [], path="/vault/look")
    assert send(server, fields, body, "/vault/look").status_code == 403


def test_it_opens_the_tool_of_the_secret_alone(server):
    assert ask(server, "lobby.enter")["error"]["code"] == -32001
    lobby = {"keyid": "lobby", "key": b"other"}
    assert ask(server, "lobby.enter", **lobby)["result"] == [None, "CRAM"]
    assert ask(server, "vault.look", **lobby)["error"]["code"] == -32001
    # To other tools the sender is nobody, as without a signature.
    assert ask(server, "street.walk")["result"] == [None, "CRAM"]


def test_it_opens_tools_of_factories(server):
    for key in "ab":
        own = {"keyid": f"doors.{key}", "key": f"of {key}".encode()}
        assert ask(server, f"doors.{key}.open", **own)["result"] == key
        other = {"a": "b", "b": "a"}[key]
        assert ask(server, f"doors.{other}.open", **own)["error"]["code"] == -32001


def test_a_job_needs_no_token_either(server):
    answer = ask(server, "system.jobs.start", ["vault.look", [2]])
    with server.remote("JSONRPC") as remote:
        assert remote.job(answer["result"]).result(timeout=20) == [None, "CRAM", 2]
    refused = ask(server, "system.jobs.start", ["lobby.enter", []])
    with server.remote("JSONRPC") as remote, pytest.raises(Exception, match="token"):
        remote.job(refused["result"]).result(timeout=20)


@pytest.mark.parametrize(
    "options",
    [
        {"key": b"guess"},
        {"keyid": "lobby"},
        {"keyid": "street"},
        {"keyid": "street", "key": b""},
        {"keyid": "nowhere"},
        {"keyid": "doors"},
        {"keyid": "doors.x"},
        {"keyid": "doors.c", "key": b""},
        {"keyid": ""},
        {"keyid": "x" * 1000},
        {"keyid": "server"},
        {"key": ANN},
        {"now": 1_700_000_000},
        {"now": 4_000_000_000},
        {"nonce": "short"},
    ],
)
def test_what_is_not_right_is_refused(server, options):
    fields, body, _ = signed(server, "vault.look", [], **options)
    answer = send(server, fields, body)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Signature realm="toolserver"'


def test_what_is_changed_or_repeated_is_refused(server):
    fields, body, _ = signed(server, "vault.look", [])
    assert send(server, fields, body.replace(b"[]", b"[2]")).status_code == 401
    assert send(server, fields, body, "/JSONRPC?x").status_code == 401
    assert send(server, {**fields, "Content-Type": "text/json"}, body).status_code in (
        401,
        415,
    )
    # What was refused has not used it up.
    assert send(server, fields, body).json()["result"] == [None, "CRAM", 1]
    again = send(server, fields, body)
    assert again.status_code == 401
    assert "nonce was used" in again.text


def by_hand(server, key, algorithm):
    """A call whose signature names another algorithm, or none."""
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "vault.look"}'
    digest = content_digest(body)
    params = {
        "created": int(time.time()),
        "keyid": "vault",
        "nonce": secrets.token_urlsafe(24),
        "tag": "toolserver",
    }
    if algorithm is not None:
        params["alg"] = algorithm
    values = {
        "@method": "POST",
        "@authority": server.url("/").split("/")[2],
        "@path": "/JSONRPC",
        "@query": "?",
        "content-digest": digest,
        "content-type": "application/json",
    }
    covered = InnerList(tuple(map(Item, values)), params)
    base = signature_base(covered, lambda item: values[item.value])
    fields = {
        "Content-Type": "application/json",
        "Content-Digest": digest,
        "Signature-Input": f"sig1={covered}",
        "Signature": f"sig1={Item(sign(key, base))}",
    }
    return send(server, fields, body)


def test_the_algorithm_has_to_be_named(server, tmp_path):
    secret = SECRET.encode()
    assert by_hand(server, secret, "hmac-sha256").status_code == 200
    for algorithm in (None, "", "ed25519", "rsa-pss-sha512", "hmac-sha512", "none"):
        assert by_hand(server, secret, algorithm).status_code == 401, algorithm


def test_a_public_key_is_no_secret(tmp_path):
    """Who knows the public key of a client signs nothing by it."""
    home = make_home(tmp_path, {"ann": ANN, "vault": ANN}, own=None)
    with toolserver.testing.serve(*TOOLS, home=home) as running:
        pem = public_pem(ANN.public_key())
        raw = ANN.public_key().public_bytes_raw()
        for known in (pem.encode(), pem.strip().encode(), raw):
            for keyid in ("ann", "vault"):
                fields, body, _ = signed(
                    running, "vault.look", [], keyid=keyid, key=known
                )
                assert send(running, fields, body).status_code == 401
        assert by_hand(running, SECRET.encode(), "hmac-sha256").status_code == 200
        # The same name may be a client's, and its key opens no vault.
        own = {"keyid": "vault", "key": ANN}
        assert ask(running, "street.walk", **own)["result"] == ["vault", "Signature"]
        assert ask(running, **own)["error"]["code"] == -32001
        # Nor does one use up the nonces of the other.
        nonce = secrets.token_urlsafe(24)
        assert "result" in ask(running, "street.walk", nonce=nonce, **own)
        assert "result" in ask(running, "vault.look", nonce=nonce)


def test_it_names_nobody_and_agrees_with_who_does(server):
    fields, body, _ = signed(server, "vault.look", [])
    right = send(server, fields, body, auth=("bob", "bobs")).json()
    assert right["result"] == ["bob", "CRAM", 1]
    fields, body, _ = signed(server, "street.walk", [])
    assert send(server, fields, body, auth=("bob", "bobs")).json()["result"] == [
        "bob",
        "Basic",
    ]
    fields, body, _ = signed(server, "vault.look", [])
    assert send(server, fields, body, auth=("bob", "x")).status_code == 401
    # Only who shows nothing is known by the address.
    plain = {"jsonrpc": "2.0", "id": 1, "method": "street.walk"}
    answer = requests.post(server.url("/JSONRPC"), json=plain, timeout=20)
    assert answer.json()["result"] == ["guest", "Host"]


def test_it_does_not_suffice_where_keys_are_mandatory(tmp_path):
    home = make_home(tmp_path, {"ann": ANN})
    config = {"auth": {"rsa_authenticate": True, "unsigned_paths": ["/JSONRPC/vault"]}}
    with toolserver.testing.serve(*TOOLS, home=home, config=config) as running:
        fields, body, _ = signed(running, "vault.look", [])
        answer = send(running, fields, body)
        assert answer.status_code == 401
        assert "a key is needed" in answer.text
        path = "/JSONRPC/vault"
        fields, body, _ = signed(running, "look", [], path=path)
        assert "result" in send(running, fields, body, path).json()
        # Who has a key answers challenges besides.
        (challenge,) = ask(running, "vault.get_challenges", keyid="ann", key=ANN)[
            "result"
        ]
        token = [challenge, respond(challenge, SECRET)]
        found = ask(running, params=[token], keyid="ann", key=ANN)
        assert found["result"] == ["ann", "CRAM", 1]


def test_answers_are_signed_with_the_secret(server):
    fields, body, made = signed(server, "vault.look", [])
    answer = send(server, fields, body)
    parts = answer.status_code, answer.headers, answer.content
    verify_answer(*parts, key=SECRET.encode(), request=made)
    with pytest.raises(SignatureError, match="does not hold"):
        verify_answer(*parts, key=b"other", request=made)
    fields, body, other = signed(server, "vault.look", [])
    with pytest.raises(SignatureError):
        verify_answer(*parts, key=SECRET.encode(), request=other)


def test_an_independent_client_calls(server):
    keys = MappingKeyResolver(
        public_keys={"server": SECRET.encode()}, private_keys={"vault": SECRET.encode()}
    )
    signer = HTTPMessageSigner(
        signature_algorithm=algorithms.HMAC_SHA256, key_resolver=keys
    )
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "vault.look", "params": [5]}'
    request = requests.Request(
        "POST",
        server.url("/JSONRPC"),
        {
            "Content-Type": "application/json",
            "Accept-Signature": 'sig1=("@status" "content-digest" "content-type" '
            '"signature";req;key="sig1");created;tag="toolserver"',
        },
        data=body,
    ).prepare()
    signer.sign(
        request,
        key_id="vault",
        nonce=secrets.token_urlsafe(16),
        label="sig1",
        tag="toolserver",
        covered_component_ids=(
            *("@method", "@authority", "@path", "@query", "content-type"),
        ),
        body=body,
    )
    with requests.Session() as session:
        session.trust_env = False
        answer = session.send(request)
    assert answer.json()["result"] == [None, "CRAM", 5]
    verifier = HTTPMessageVerifier(
        signature_algorithm=algorithms.HMAC_SHA256, key_resolver=keys
    )
    (result,) = verifier.verify(
        answer,
        max_age=dt.timedelta(seconds=60),
        expect_tag="toolserver",
        expect_label="sig1",
        body=answer.content,
    )
    assert result.parameters["alg"] == "hmac-sha256"


def test_the_example_of_the_documentation_calls(server):
    names = {}
    exec(block("python", "hmac-sha256"), names)
    url = server.url("/JSONRPC/vault?about=this")
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "look"}'
    answer = names["call"](url, body, "vault", SECRET)
    assert json.loads(answer)["result"] == [None, "CRAM", 1]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        names["call"](url, body, "vault", "guess")


def test_a_body_that_is_still_arriving_is_compared_too(server):
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "vault.look"}' + b" " * 300_000
    fields = {"Content-Type": "application/json"}
    url, facts = server.url("/JSONRPC"), {"keyid": "vault", "key": SECRET.encode()}
    fields.update(sign_request("POST", url, fields, body, **facts).fields)
    assert send(server, fields, body[:-1] + b"\n").status_code == 401
    assert "result" in send(server, fields, body).json()
    assert "nonce was used" in send(server, fields, body).text


def test_a_server_that_remembers_nothing_asks_for_patience(tmp_path):
    home = make_home(tmp_path, {}, own=None, remembers=False)
    with toolserver.testing.serve(*TOOLS, home=home) as running:
        fields, body, _ = signed(running, "vault.look", [])
        answer = send(running, fields, body)
        assert answer.status_code == 401
        assert "sign anew in" in answer.text
