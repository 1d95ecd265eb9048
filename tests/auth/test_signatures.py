"""Signed requests and answers, over HTTP, in all protocols."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import http.client
import json
import re
import secrets
import time
import xmlrpc.client
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import gevent
import hypothesis.strategies as st
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    algorithms,
)
from http_message_signatures.resolvers import MappingKeyResolver
from hypothesis import given, settings

import toolserver.testing
from toolserver import (
    FactoryTool,
    StandardTool,
    TransientTool,
    context,
    read_only,
    register,
    rest,
)
from toolserver.auth.algorithms import sign
from toolserver.auth.digests import content_digest
from toolserver.auth.keys import generate, private_pem, public_pem
from toolserver.auth.nonces import Nonces
from toolserver.auth.profile import signature_base
from toolserver.auth.signing import SignatureError, sign_request, verify_answer
from toolserver.auth.structured import InnerList, Item, parse_dictionary
from toolserver.errors import StartError

SERVER = generate("rsa")
ANN, BOB, EVE = (Ed25519PrivateKey.generate() for _ in range(3))
RITA = generate("rsa")
CLIENTS = {"ann": ANN, "bob": BOB, "rita": RITA}

calls = []


@register("signed")
class Signed(StandardTool):
    """Counts its calls."""

    @read_only
    def who(self, text: str = "") -> str:
        """Who calls."""
        calls.append(text)
        return f"{context.client} {context.auth_type} {len(text)}"

    @rest("POST")
    def take(self, request) -> str:
        """Read the body piece by piece."""
        calls.append("")
        size = 0
        while piece := request.stream.read(10_000):
            size += len(piece)
        return f"{size}"

    @rest("GET")
    def stream(self, request):
        """Answer piece by piece."""
        calls.append("")
        count = int(request.query["count"])
        return (b"x" * 1000 for _ in range(count))

    def keep(self, text: str) -> int:
        """Keep a text."""
        calls.append(text)
        return len(calls)

    def fail(self) -> None:
        calls.append("")
        raise ValueError("no way")


def make_home(path, clients=CLIENTS, *, own=SERVER, remembers=True):
    for folder in ("pubkeys", "privkeys", "var", "www", "config"):
        (path / folder).mkdir(exist_ok=True)
    for name, key in clients.items():
        (path / f"pubkeys/{name}.pem").write_text(public_pem(key.public_key()))
    if own is not None:
        private = path / "privkeys/server.pem"
        private.write_text(private_pem(own))
        private.chmod(0o600)
        (path / "pubkeys/server.pem").write_text(public_pem(own.public_key()))
    (path / "www/file.txt").write_text("a file")
    (path / "www/large.bin").write_bytes(b"x" * 2_000_000)
    if remembers:
        # As if a server had run here before, which kept its memory.
        Nonces(path / "var/nonces.db", most=1, since=0).close()
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with toolserver.testing.serve(
        Signed, home=make_home(tmp_path_factory.mktemp("home"))
    ) as running:
        yield running


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A server that refuses what is not signed."""
    config = {
        "auth": {
            "rsa_authenticate": True,
            "unsigned_paths": ["/signed/stream", "/open/"],
        }
    }
    home = make_home(tmp_path_factory.mktemp("strict"))
    (home / "www/open").mkdir()
    (home / "www/open/page.txt").write_text("open")
    with toolserver.testing.serve(Signed, home=home, config=config) as running:
        yield running


@pytest.fixture(autouse=True)
def no_calls():
    calls.clear()


@dataclass
class Message:
    """A request before it is signed."""

    method: str = "GET"
    path: str = "/signed/who"
    fields: dict = field(default_factory=dict)
    body: bytes = b""
    is_call: bool = True


SOAP = (
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
    '<w:who xmlns:w="urn:toolserver:signed"><text>hello</text></w:who>'
    "</s:Body></s:Envelope>"
)
MESSAGES = {
    "REST": Message(
        "POST",
        "/signed/who?",
        {"Content-Type": "application/json"},
        b'{"text": "hello"}',
    ),
    "RPC2": Message(
        "POST",
        "/RPC2",
        {"Content-Type": "text/xml"},
        xmlrpc.client.dumps(("hello",), "signed.who").encode(),
    ),
    "JSONRPC": Message(
        "POST",
        "/JSONRPC",
        {"Content-Type": "application/json"},
        b'{"jsonrpc": "2.0", "id": 1, "method": "signed.who", "params": ["hello"]}',
    ),
    "SOAP": Message(
        "POST",
        "/SOAP/signed",
        {"Content-Type": "text/xml", "SOAPAction": '""'},
        SOAP.encode(),
    ),
    "FILES": Message("GET", "/file.txt", is_call=False),
}
PROTOCOLS = pytest.mark.parametrize("protocol", MESSAGES)


def send(server, message, fields=None):
    """Send a request exactly as it is."""
    parts = urlsplit(server.url())
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    try:
        every = {**message.fields, **(fields or {})}
        has_host = "Host" in every
        connection.putrequest(message.method, message.path, skip_host=has_host)
        for name, value in every.items():
            for each in value if isinstance(value, list) else [value]:
                connection.putheader(name, each)
        if message.body:
            connection.putheader("Content-Length", str(len(message.body)))
        connection.endheaders(message.body or None)
        answer = connection.getresponse()
        answer.body = answer.read()
        return answer
    finally:
        connection.close()


def signed(server, message, keyid="ann", key=ANN, **options):
    """The signature of a request, as the client makes it."""
    return sign_request(
        message.method,
        server.url(message.path),
        message.fields,
        message.body,
        keyid=keyid,
        key=key,
        **options,
    )


USUAL = ["@method", "@authority", "@path", "@query", "content-digest"]


def sign_by_hand(
    server, message, *, key=ANN, items=None, label="sig1", leave=(), values=(), **params
):
    """The signature of a request with whatever stands in it."""
    parts = urlsplit(server.url(message.path))
    known = {
        "@method": message.method,
        "@authority": parts.netloc,
        "@path": parts.path,
        "@query": f"?{parts.query}",
        "content-digest": content_digest(message.body),
        **{name.lower(): value for name, value in message.fields.items()},
        **dict(values),
    }
    if items is None:
        items = [*USUAL, *(["content-type"] if "content-type" in known else [])]
        items = [name for name in items if name not in leave]
    every = {
        "created": int(time.time()),
        "keyid": "ann",
        "nonce": secrets.token_urlsafe(24),
        "tag": "toolserver",
        **params,
    }
    every = {name: value for name, value in every.items() if value is not None}
    covered = InnerList(
        tuple(each if isinstance(each, Item) else Item(each) for each in items), every
    )
    signature = sign(key, signature_base(covered, lambda item: known[item.value]))
    return {
        "Content-Digest": content_digest(message.body),
        "Signature-Input": f"{label}={covered}",
        "Signature": f"{label}={Item(signature)}",
    }


def refused(server, message, fields, problem="", status=401):
    """A request is refused, and nothing was called."""
    answer = send(server, message, fields)
    told = answer.body.decode()
    assert answer.status == status, told
    assert problem in json.loads(told)["detail"]
    if status == 401:
        assert answer.getheader("WWW-Authenticate") == 'Signature realm="toolserver"'
    assert answer.getheader("Signature") is None
    assert not calls


@PROTOCOLS
@pytest.mark.parametrize("name", CLIENTS)
def test_signed_requests_are_answered_signed(server, protocol, name):
    message = MESSAGES[protocol]
    request = signed(server, message, name, CLIENTS[name])
    answer = send(server, message, request.fields)
    assert answer.status == 200
    expected = f"{name} Signature 5" if message.is_call else "a file"
    assert expected in answer.body.decode()
    assert len(calls) == message.is_call
    verify_answer(
        answer.status,
        dict(answer.getheaders()),
        answer.body,
        key=SERVER.public_key(),
        request=request,
    )


# What is wrong, and how it is told.
def other_body(server, message):
    fields = signed(server, message).fields
    return replace(message, body=message.body + b" "), fields


def other_body_and_digest(server, message):
    fields = signed(server, message).fields
    body = message.body + b" "
    return replace(message, body=body), {
        **fields,
        "Content-Digest": content_digest(body),
    }


def other_path(server, message):
    return replace(message, path="/signed/fail"), signed(server, message).fields


def escaped_path(server, message):
    end = message.path.rstrip("?")
    path = f"{end[:-1]}%{ord(end[-1]):x}"
    return replace(message, path=path), signed(server, message).fields


def other_query(server, message):
    path = message.path.rstrip("?") + "?x=1"
    return replace(message, path=path), signed(server, message).fields


def other_method(server, message):
    method = "HEAD" if message.method == "GET" else "PUT"
    made = replace(message, method=method), signed(server, message).fields
    return made


def other_host(server, message):
    fields = signed(server, message).fields
    parts = urlsplit(server.url())
    return message, {**fields, "Host": f"localhost:{parts.port}"}


def other_covered_field(server, message):
    more = {"X-More": "1"}
    asking = replace(message, fields={**message.fields, **more})
    fields = signed(server, asking, cover=("X-More",)).fields
    return message, {**fields, "X-More": "2"}


def another_type(server, message):
    fields = {**message.fields, "Content-Type": "text/plain"}
    return replace(message, fields=fields), signed(server, message).fields


def type_that_came_later(server, message):
    without = {k: v for k, v in message.fields.items() if k != "Content-Type"}
    fields = signed(server, replace(message, fields=without)).fields
    return message, {"Content-Type": "text/xml", **fields}


def stale(server, message):
    return message, signed(server, message, now=time.time() - 302).fields


def from_the_future(server, message):
    return message, signed(server, message, now=time.time() + 35).fields


def expired(server, message):
    return message, sign_by_hand(server, message, expires=int(time.time()) - 1)


def unknown_signer(server, message):
    return message, signed(server, message, "nobody").fields


def the_server_itself(server, message):
    return message, signed(server, message, "server", SERVER).fields


def path_for_a_name(server, message):
    return message, signed(server, message, "../pubkeys/ann").fields


def wrong_key(server, message):
    return message, signed(server, message, key=EVE).fields


def key_of_another(server, message):
    return message, signed(server, message, key=BOB).fields


def other_algorithm(server, message):
    return message, sign_by_hand(server, message, alg="rsa-pss-sha512")


def secret_in_place_of_a_key(server, message):
    # The public key is known to all: as a secret it proves nothing.
    key = public_pem(ANN.public_key()).encode()
    return message, sign_by_hand(server, message, key=key)


def doubled_parameter(server, message):
    fields = signed(server, message).fields
    doubled = fields["Signature-Input"].replace(";tag=", ";created=1;tag=")
    return message, {**fields, "Signature-Input": doubled}


def oversized_input(server, message):
    fields = signed(server, message).fields
    components = " ".join(f'"x{number}"' for number in range(400))
    long = fields["Signature-Input"].replace("(", f"({components} ")
    return message, {**fields, "Signature-Input": long}


def two_labels(server, message):
    fields, others = (signed(server, message).fields for _ in range(2))
    return message, {
        **fields,
        **{
            name: f"{fields[name]}, {others[name].replace('sig1', 'sig2')}"
            for name in ("Signature", "Signature-Input")
        },
    }


def one_label_twice(server, message):
    fields = signed(server, message).fields
    return message, {**fields, "Signature": f"{fields['Signature']}, sig1=:AA==:"}


def two_fields(server, message):
    fields = signed(server, message).fields
    return message, {**fields, "Signature": [fields["Signature"]] * 2}


def two_digests(server, message):
    fields = signed(server, message).fields
    return message, {**fields, "Content-Digest": [fields["Content-Digest"]] * 2}


def other_label(server, message):
    return message, sign_by_hand(server, message, label="sig2")


def other_tag(server, message):
    return message, sign_by_hand(server, message, tag="another")


def short_nonce(server, message):
    return message, sign_by_hand(server, message, nonce="x" * 21)


def long_nonce(server, message):
    return message, sign_by_hand(server, message, nonce="x" * 129)


def unknown_parameter(server, message):
    return message, sign_by_hand(server, message, strange=1)


def created_in_text(server, message):
    return message, sign_by_hand(server, message, created=str(int(time.time())))


def component_with_parameters(server, message):
    items = [*USUAL, "content-type", Item("x-more", {"bs": True})]
    message = replace(
        message, fields={"Content-Type": "text/xml", **message.fields, "X-More": "1"}
    )
    return message, sign_by_hand(server, message, items=items)


def unknown_component(server, message):
    items = [*USUAL, "content-type", "@target-uri"]
    message = replace(message, fields={"Content-Type": "text/xml", **message.fields})
    values = {"@target-uri": server.url(message.path)}
    return message, sign_by_hand(server, message, items=items, values=values)


def without_digest(server, message):
    fields = dict(signed(server, message).fields)
    del fields["Content-Digest"]
    return message, fields


def weak_digest(server, message):
    weak = {"content-digest": "md5=:XUFAKrxLKna5cZ2REBfFkg==:"}
    fields = sign_by_hand(server, message, values=weak)
    return message, {**fields, "Content-Digest": weak["content-digest"]}


def signature_alone(server, message):
    return message, {"Signature": signed(server, message).fields["Signature"]}


def input_alone(server, message):
    fields = dict(signed(server, message).fields)
    del fields["Signature"]
    return message, fields


def cut_signature(server, message):
    return message, {**signed(server, message).fields, "Signature": "sig1=:AAAA:"}


def other_name(server, message):
    fields = signed(server, message).fields
    renamed = fields["Signature-Input"].replace('"ann"', '"bob"')
    return message, {**fields, "Signature-Input": renamed}


WRONG = [
    (other_body, "content-digest: not that of the body"),
    (other_body_and_digest, "it does not hold"),
    (other_path, "it does not hold"),
    (escaped_path, "it does not hold"),
    (other_query, "it does not hold"),
    (other_method, "it does not hold"),
    (other_host, "it does not hold"),
    (other_covered_field, "it does not hold"),
    (another_type, ""),
    (type_that_came_later, "content-type: not covered"),
    (stale, "created: more than 300 s ago"),
    (from_the_future, "created: more than 30 s ahead"),
    (expired, "expires: it has expired"),
    (unknown_signer, "it does not hold"),
    (the_server_itself, "it does not hold"),
    (path_for_a_name, "it does not hold"),
    (wrong_key, "it does not hold"),
    (key_of_another, "it does not hold"),
    (other_algorithm, "alg: not the algorithm of the key"),
    (secret_in_place_of_a_key, "it does not hold"),
    (doubled_parameter, "'created' occurs twice"),
    (oversized_input, "signature-input: more than 2048 characters"),
    (two_labels, "expected one signature, sig1"),
    (one_label_twice, "'sig1' occurs twice"),
    (two_fields, "signature: expected one, got 2"),
    (two_digests, "content-digest: expected one, got 2"),
    (other_label, "expected one signature, sig1"),
    (other_tag, "tag: expected 'toolserver'"),
    (short_nonce, "nonce: expected 22 to 128"),
    (long_nonce, "nonce: expected 22 to 128"),
    (unknown_parameter, "strange: a parameter that is not known"),
    (created_in_text, "created: a parameter that is not known, or malformed"),
    (component_with_parameters, "the message has none, or it cannot be covered"),
    (unknown_component, "the message has none, or it cannot be covered"),
    (without_digest, "content-digest: expected one, got 0"),
    (weak_digest, "expected sha-256 or sha-512"),
    (signature_alone, "signature-input: expected one, got 0"),
    (input_alone, "signature: expected one, got 0"),
    (cut_signature, "it does not hold"),
    (other_name, "it does not hold"),
]


@PROTOCOLS
@pytest.mark.parametrize(("make", "problem"), WRONG)
def test_what_is_wrong_is_refused_and_nothing_is_called(
    server, protocol, make, problem
):
    message, fields = make(server, MESSAGES[protocol])
    if message.method == "HEAD":
        answer = send(server, message, fields)
        assert answer.status == 401
        assert problem in answer.getheader("X-REST-Errordetail")
        return
    refused(server, message, fields, problem)


@PROTOCOLS
@pytest.mark.parametrize("leave", USUAL)
def test_nothing_may_be_left_uncovered(server, protocol, leave):
    message = MESSAGES[protocol]
    fields = sign_by_hand(server, message, leave=[leave])
    refused(server, message, fields, f"{leave}: not covered")


@PROTOCOLS
@pytest.mark.parametrize("name", ["created", "keyid", "nonce", "tag"])
def test_no_parameter_may_be_missing(server, protocol, name):
    message = MESSAGES[protocol]
    fields = sign_by_hand(server, message, **{name: None})
    refused(server, message, fields, f"{name}: ")


@PROTOCOLS
def test_a_request_holds_once(server, protocol):
    message = MESSAGES[protocol]
    fields = signed(server, message).fields
    assert send(server, message, fields).status == 200
    calls.clear()
    refused(server, message, fields, "its nonce was used before")
    # The same nonce in a new signature is no better.
    (nonce,) = re.findall('nonce="([^"]+)"', fields["Signature-Input"])
    again = sign_by_hand(server, message, nonce=nonce)
    refused(server, message, again, "its nonce was used before")


def test_of_the_same_request_sent_at_once_one_is_called(server):
    body = json.dumps({"text": "x" * 100_000}).encode()
    message = replace(MESSAGES["REST"], body=body)
    fields = signed(server, message).fields
    sending = [gevent.spawn(send, server, message, fields) for _ in range(8)]
    found = sorted(each.get().status for each in sending)
    assert found == [200] + [401] * 7
    assert len(calls) == 1


def test_a_refused_request_spends_no_nonce(server):
    message = MESSAGES["REST"]
    fields = signed(server, message).fields
    refused(server, replace(message, body=b"{}"), fields, "content-digest")
    assert send(server, message, fields).status == 200


@pytest.mark.parametrize("size", [0, 1000, 70_000, 3_000_000])
@pytest.mark.parametrize("path", ["/signed/who", "/signed/take"])
def test_a_signed_body_is_there_to_be_read(server, path, size):
    text = "x" * size
    body = json.dumps({"text": text}).encode()
    message = Message("POST", path, {"Content-Type": "application/json"}, body)
    answer = send(server, message, signed(server, message).fields)
    expected = f"ann Signature {size}" if path.endswith("who") else f"{len(body)}"
    assert answer.body.decode() == expected
    assert len(calls) == 1


def test_a_chunked_body_is_checked(server):
    message = replace(MESSAGES["REST"], path="/signed/who")
    fields = {**message.fields, **signed(server, message).fields}
    pieces = [message.body[:5], message.body[5:]]
    url = server.url(message.path)
    answer = requests.post(url, iter(pieces), headers=fields, timeout=10)
    assert answer.text == "ann Signature 5"
    fields = {**message.fields, **signed(server, message).fields}
    answer = requests.post(url, iter([*pieces, b" "]), headers=fields, timeout=10)
    assert answer.status_code == 401
    assert len(calls) == 1


def test_a_body_past_the_limit_is_refused_before_it_is_read(tmp_path):
    config = {"limits": {"body": 100_000}}
    home = make_home(tmp_path)
    with toolserver.testing.serve(Signed, home=home, config=config) as server:
        body = json.dumps({"text": "x" * 200_000}).encode()
        message = replace(MESSAGES["REST"], body=body)
        assert send(server, message, signed(server, message).fields).status == 413
        fields = {**message.fields, **signed(server, message).fields}
        url = server.url(message.path)
        answer = requests.post(url, iter([body]), headers=fields, timeout=10)
        assert answer.status_code == 413
    assert not calls


def test_who_does_not_sign_is_anonymous(server):
    assert send(server, Message()).body == b"None None 0"
    answer = send(server, Message(fields={"Accept-Signature": "sig1=()"}))
    assert answer.getheader("Signature") is None


def test_all_credentials_have_to_name_the_same_client(tmp_path):
    home = make_home(tmp_path)
    (home / "config/hosts.allow").write_text("near:127.0.0.1\n")
    salt = base64.b64encode(b"salty-").decode()
    made = hashlib.scrypt(b"x", salt=b"salty-", n=2, r=8, p=1, dklen=30)
    hashed = f"$scrypt$ln=1,r=8,p=1${salt}${base64.b64encode(made).decode()}"
    (home / "config/passwd").write_text(f"ann:{hashed}\nbob:{hashed}\n")
    (home / "config/groups").write_text("staff:ann\n")

    def basic(name, password="x"):
        token = base64.b64encode(f"{name}:{password}".encode()).decode()
        return {"Authorization": f"Basic {token}"}

    with toolserver.testing.serve(Signed, home=home) as server:
        message = Message()
        assert send(server, message).body == b"near Host 0"
        answer = send(server, message, {**signed(server, message).fields})
        assert answer.body == b"ann Signature 0"
        both = {**signed(server, message).fields, **basic("ann")}
        assert send(server, message, both).body == b"ann Signature 0"
        calls.clear()
        for wrong in (basic("bob"), basic("ann", "y")):
            both = {**signed(server, message).fields, **wrong}
            assert send(server, message, both).status == 401
        both = {**wrong_key(server, message)[1], **basic("ann")}
        refused(server, message, both, "it does not hold")


# --- signed answers


def check(request, answer, key=SERVER):
    verify_answer(
        answer.status,
        dict(answer.getheaders()),
        answer.body,
        key=key.public_key(),
        request=request,
    )


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("POST", "/signed/fail", 500),
        ("PUT", "/signed/who", 405),
        ("HEAD", "/file.txt", 200),
        ("HEAD", "/signed/who", 200),
        ("OPTIONS", "/signed/who", 204),
        ("GET", "/signed/stream?count=500", 200),
        ("GET", "/API/", 200),
        ("GET", "/API", 308),
    ],
)
def test_all_kinds_of_answers_are_signed(server, method, path, status):
    message = Message(method, path)
    request = signed(server, message)
    answer = send(server, message, request.fields)
    assert answer.status == status
    check(request, answer)
    other = signed(server, message)
    with pytest.raises(SignatureError):
        check(other, answer)


def test_an_answer_that_is_not_modified_is_signed(server):
    message = Message(path="/file.txt")
    tag = send(server, message).getheader("ETag")
    request = signed(server, message)
    answer = send(server, message, {**request.fields, "If-None-Match": tag})
    assert answer.status == 304
    check(request, answer)


def test_a_part_of_a_file_is_signed(server):
    message = Message(path="/large.bin", fields={"Range": "bytes=5-104"})
    request = signed(server, message)
    answer = send(server, message, request.fields)
    assert (answer.status, len(answer.body)) == (206, 100)
    check(request, answer)


@pytest.mark.parametrize("path", ["/signed/stream?count=1100", "/large.bin"])
def test_long_streams_are_sent_unsigned_and_whole(server, path):
    message = Message(path=path)
    answer = send(server, message, signed(server, message).fields)
    assert answer.status == 200
    assert len(answer.body) in (1_100_000, 2_000_000)
    assert answer.getheader("Signature") is None


def test_a_compressed_answer_is_signed_as_it_is_sent(server):
    message = Message(
        "POST",
        "/JSONRPC",
        {"Content-Type": "application/json", "Accept-Encoding": "gzip"},
        b'{"jsonrpc": "2.0", "id": 1, "method": "system.describe"}',
    )
    request = signed(server, message)
    answer = send(server, message, request.fields)
    assert answer.status == 200
    check(request, answer)


ASKED = '("@status" "content-digest" "signature";req;key="sig1")'


@pytest.mark.parametrize(
    ("field", "is_signed"),
    [
        (f'sig1={ASKED};created;tag="toolserver"', True),
        ("sig1=()", True),
        (f'sig1={ASKED};keyid="server";alg="rsa-pss-sha512"', True),
        (f'sig1={ASKED};alg="ed25519"', False),
        (f'sig1={ASKED};keyid="another"', False),
        (f'sig1={ASKED};tag="another"', False),
        (f"sig1={ASKED};expires", False),
        ('sig1=("@status" "date")', False),
        (f"sig2={ASKED}", False),
        (f"sig1={ASKED}, sig2={ASKED}", False),
        ("sig1=1", False),
        ("nonsense(", False),
        ("", False),
        (f'sig1={ASKED};nonce="{"x" * 2100}"', False),
    ],
)
def test_answers_are_signed_as_they_are_asked_for(server, field, is_signed):
    message = Message()
    request = signed(server, message, asks=False)
    fields = {**request.fields, "Accept-Signature": field}
    answer = send(server, message, fields)
    assert answer.status == 200
    assert (answer.getheader("Signature") is not None) == is_signed
    if is_signed:
        check(request, answer)


def test_who_does_not_ask_gets_no_signature(server):
    request = signed(server, Message(), asks=False)
    assert send(server, Message(), request.fields).getheader("Signature") is None


def test_a_nonce_for_the_answer_comes_back(server):
    request = signed(server, Message(), asks=False)
    asking = {"Accept-Signature": 'sig1=();nonce="again"'}
    answer = send(server, Message(), {**request.fields, **asking})
    assert ';nonce="again"' in answer.getheader("Signature-Input")
    check(request, answer)


def test_without_a_key_of_its_own_the_server_signs_nothing(tmp_path):
    home = make_home(tmp_path, own=None)
    with toolserver.testing.serve(Signed, home=home) as server:
        answer = send(server, Message(), signed(server, Message()).fields)
    assert answer.body == b"ann Signature 0"
    assert answer.getheader("Signature") is None


# --- another implementation of the standard


@PROTOCOLS
@pytest.mark.parametrize("name", ["ann", "rita"])
def test_another_library_signs_requests_and_checks_answers(server, protocol, name):
    message = MESSAGES[protocol]
    keys = MappingKeyResolver(
        public_keys={"server": SERVER.public_key()}, private_keys=CLIENTS
    )
    kinds = {"ann": algorithms.ED25519, "rita": algorithms.RSA_PSS_SHA512}
    signer = HTTPMessageSigner(signature_algorithm=kinds[name], key_resolver=keys)
    request = requests.Request(
        message.method,
        server.url(message.path),
        message.fields,
        data=message.body or None,
    ).prepare()
    request.headers["Accept-Signature"] = f"sig1={ASKED}"
    covered = [name for name in USUAL if name != "content-digest"]
    if "Content-Type" in request.headers:
        covered.append("content-type")
    signer.sign(
        request,
        key_id=name,
        nonce=secrets.token_urlsafe(16),
        label="sig1",
        tag="toolserver",
        covered_component_ids=covered,
        body=message.body,
    )
    with requests.Session() as session:
        session.trust_env = False
        answer = session.send(request)
    assert answer.status_code == 200
    assert ("a file" if not message.is_call else f"{name} Signature 5") in answer.text
    verifier = HTTPMessageVerifier(
        signature_algorithm=algorithms.RSA_PSS_SHA512, key_resolver=keys
    )
    (result,) = verifier.verify(
        answer,
        max_age=dt.timedelta(seconds=60),
        expect_tag="toolserver",
        expect_label="sig1",
        require_components=(
            '"@status"',
            '"content-digest"',
            '"content-type"',
            '"signature";req;key="sig1"',
        ),
        body=answer.content,
    )
    assert result.parameters["keyid"] == "server"


# --- signatures that have to be there


PATHS = [
    *("/", "/signed/who", "/signed", "/signed/", "/signed/who/", "/signed/who/x"),
    *("/file.txt", "/API/", "/API/signed", "/WSDL/signed", "/openapi.json"),
    *("/RPC2", "/RPC2/signed", "/JSONRPC", "/SOAP/signed", "/system/list_methods"),
    *("//signed/who", "/./signed/who", "/open/../signed/who", "/open//signed/who"),
    *("/open/%2e%2e/signed/who", "/%6fpen/page.txt", "/open/./page.txt", "/open"),
    *("/signed/stream/", "/signed/stream/../who", "/signed/stream%2f..%2fwho"),
    *("/signed/stream/who", "/Signed/stream", "/health", "/health/", "/health/live/"),
    *("/health/live/../../signed/who", "/health/live%2f", "/nothing", "/*", "/%00"),
    *("/jobs", "/metrics", "/favicon.ico", "/robots.txt", "/PYRPC", "/MCP"),
]


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_to_a_tool_without_a_signature(strict, path):
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        for fields in ({}, {"Authorization": "Basic YW5uOng="}):
            answer = send(strict, Message(method, path), fields)
            assert answer.status == 401, (method, path)
            challenge = answer.getheader("WWW-Authenticate")
            assert challenge == 'Signature realm="toolserver"'
    assert not calls


@PROTOCOLS
def test_where_signatures_are_mandatory_the_signed_are_served(strict, protocol):
    message = MESSAGES[protocol]
    refused(strict, message, {}, "a signature is needed")
    answer = send(strict, message, signed(strict, message).fields)
    assert answer.status == 200
    assert len(calls) == message.is_call


def test_some_paths_need_no_signature(strict):
    assert send(strict, Message(path="/signed/stream?count=1")).status == 200
    assert send(strict, Message(path="/open/page.txt")).body == b"open"
    assert send(strict, Message(path="/health/live")).status != 401
    assert send(strict, Message(path="/health/ready")).status != 401
    # Where one is sent it has to hold all the same.
    message = Message(path="/open/page.txt")
    fields = wrong_key(strict, message)[1]
    calls.clear()
    refused(strict, message, fields, "it does not hold")


@given(
    st.text(
        st.sampled_from("/.%2eEfFopenheathlivsgdrm;?\\"), min_size=1, max_size=24
    ).map(lambda text: "/" + text)
)
@settings(max_examples=100)
def test_no_made_up_path_leads_to_a_tool_without_a_signature(strict, path):
    answer = send(strict, Message(path=path))
    is_open = path.startswith(("/open/", "/signed/stream", "/health/"))
    assert answer.status in (401, 400) or is_open
    if not path.startswith("/signed/stream"):
        assert not calls


class Child(TransientTool):
    def live(self) -> str:
        calls.append("live")
        return "called"


@register("")
class Root(FactoryTool):
    """Takes whatever it gets."""

    children = (Child,)

    def child_exists(self, key):
        calls.append(key)
        return True

    def health(self, text: str = "") -> str:
        calls.append(text)
        return "called"

    @rest("GET", name="*")
    def rest_of_all(self, request) -> str:
        calls.append("*")
        return "called"

    @rest("GET", name="/health/ready")
    def ready(self, request) -> str:
        calls.append("ready")
        return "called"


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/health/startup"])
@pytest.mark.parametrize("omitted", [[], ["health"]])
def test_what_needs_no_signature_leads_to_no_root_tool(tmp_path, path, omitted):
    config = {"auth": {"rsa_authenticate": True}, "tools": {"omit": omitted}}
    home = make_home(tmp_path)
    with toolserver.testing.serve(Root, home=home, config=config) as server:
        for method, status in (("GET", 200), ("POST", 405)):
            for body in (b"", b"x" * 100):
                answer = send(server, Message(method, path, body=body))
                assert answer.status == (404 if omitted else status)
        assert not calls
        message = Message(path="/anything")
        send(server, message, signed(server, message).fields)
        assert calls


def test_without_a_key_of_its_own_the_server_does_not_start(tmp_path):
    home = make_home(tmp_path, own=None)
    config = {"auth": {"rsa_authenticate": True}}
    problem = r"privkeys/server\.pem: missing, .* make it by: tsctl keygen --server"
    with pytest.raises(StartError, match=problem):
        toolserver.testing.serve(Signed, home=home, config=config).__enter__()


def test_a_key_of_the_server_that_others_may_read_keeps_it_from_starting(tmp_path):
    home = make_home(tmp_path)
    (home / "privkeys/server.pem").chmod(0o644)
    with pytest.raises(StartError, match="others may read this private key"):
        toolserver.testing.serve(Signed, home=home).__enter__()


def test_what_is_no_path_keeps_the_server_from_starting(tmp_path):
    config = {"auth": {"unsigned_paths": ["open/"]}}
    with pytest.raises(StartError, match=r"unsigned_paths: got 'open/', expected"):
        toolserver.testing.serve(
            Signed, home=make_home(tmp_path), config=config
        ).__enter__()


# --- keys that come and go, and the memory of nonces


def wait_until(condition):
    with gevent.Timeout(20):
        while not condition():
            gevent.sleep(0.05)


def test_keys_admit_and_shut_out_without_a_restart(tmp_path):
    home = make_home(tmp_path, {}, own=None)
    with toolserver.testing.serve(Signed, home=home) as server:

        def ask():
            return send(server, Message(), signed(server, Message()).fields)

        # Without any key signatures are the business of others.
        assert ask().body == b"None None 0"
        public = home / "pubkeys/ann.pem"
        public.write_text(public_pem(ANN.public_key()))
        wait_until(lambda: ask().body == b"ann Signature 0")
        public.unlink()
        wait_until(lambda: ask().status == 401)
        calls.clear()
        refused(server, Message(), signed(server, Message()).fields, "does not hold")


def test_after_a_restart_a_request_is_not_repeated(tmp_path):
    home = make_home(tmp_path)
    with toolserver.testing.serve(Signed, home=home) as server:
        port = urlsplit(server.url()).port
        fields = signed(server, Message()).fields
        assert send(server, Message(), fields).status == 200
    config = {"server": {"port": port}}
    calls.clear()
    with toolserver.testing.serve(Signed, home=home, config=config) as server:
        refused(server, Message(), fields, "its nonce was used before")
        assert send(server, Message(), signed(server, Message()).fields).status == 200
    # Where the memory was lost nothing of that time holds.
    (home / "var/nonces.db").unlink()
    calls.clear()
    with toolserver.testing.serve(Signed, home=home, config=config) as server:
        refused(server, Message(), fields, "before the memory of the server begins")
        now = signed(server, Message()).fields
        refused(server, Message(), now, "before the memory of the server begins")


def test_a_client_with_too_many_requests_is_refused(tmp_path):
    config = {"auth": {"nonces": 2}}
    home = make_home(tmp_path)
    with toolserver.testing.serve(Signed, home=home, config=config) as server:
        for _ in range(2):
            fields = signed(server, Message()).fields
            assert send(server, Message(), fields).status == 200
        calls.clear()
        fields = signed(server, Message()).fields
        refused(server, Message(), fields, "too many signed requests", status=503)
        fields = signed(server, Message(), "bob", BOB).fields
        assert send(server, Message(), fields).status == 200


# --- whatever arrives


FIELD = st.text(st.characters(codec="latin-1", min_codepoint=32), max_size=200).filter(
    lambda text: "\x7f" not in text
)
SHAPED = st.text(
    st.sampled_from('sig1=();:",?@methodcreatkyn 0123456789é'), max_size=80
)


@given(FIELD | SHAPED | SHAPED.map("sig1=({}".format), FIELD | SHAPED)
@settings(max_examples=150)
def test_any_bytes_in_the_two_fields_are_refused(server, inputs, signature):
    fields = {
        **signed(server, Message()).fields,
        "Signature-Input": inputs,
        "Signature": signature,
    }
    refused(server, Message(), fields)


@given(st.binary(min_size=1, max_size=1), st.integers(0, 10_000))
@settings(max_examples=60)
def test_no_changed_byte_holds(server, octet, at):
    message = MESSAGES["REST"]
    fields = signed(server, message).fields
    name = ("Signature-Input", "Signature", "Content-Digest")[at % 3]
    value = fields[name]
    at = at // 3 % len(value)
    char = octet.decode("latin-1")
    changed = value[:at] + char + value[at + 1 :]
    if changed == value or not (char.isprintable() or char == " "):
        return
    answer = send(server, message, {**fields, name: changed})
    if answer.status == 200:
        # Only what is no part of what was signed: blanks, and the bits that base64
        # leaves unused.
        assert same(changed, value)
        calls.clear()
    else:
        assert answer.status == 401
        assert not calls


def same(changed, value):
    return parse_dictionary(changed) == parse_dictionary(value)


def test_a_large_body_with_a_key_is_compared_after_its_digest(server):
    fields = {"Content-Type": "application/json", "Idempotency-Key": '"large"'}
    body = b'{"text": "%s"}' % (b"x" * 90_000)
    message = Message("POST", "/signed/keep", fields, body)
    for replayed in (None, "true"):
        answer = send(server, message, signed(server, message).fields)
        assert (answer.status, answer.body) == (200, b"1")
        assert answer.getheader("Idempotency-Replayed") == replayed
    assert len(calls) == 1
