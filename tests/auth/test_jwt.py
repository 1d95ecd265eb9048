"""Tokens of an issuer: which are taken, what they tell, and how its keys are had."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import re
import ssl
import sys
import time
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import gevent
import pytest
import requests
import trustme
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk, jws, jwt
from joserfc.errors import SecurityWarning

import toolserver.testing
from tests.http.raw_http import wait_for
from tests.passwords import quick_hash
from toolserver import AuthenticatedTool, StandardTool, context, register
from toolserver.auth.jsonwebtokens import JWTAuthenticator
from toolserver.auth.jwks import KeySet, parse_keys
from toolserver.auth.jwksfetching import FetchedKeys
from toolserver.auth.tokens import TokenAuthenticator, make_token
from toolserver.errors import Overload, StartError, Unauthenticated
from toolserver.message import Headers, Request
from toolserver.settings import AuthSettings

ISSUER, AUDIENCE = "https://id.example/", "https://shop.example/mcp"
RSA = jwk.RSAKey.generate_key(2048, {"kid": "rsa"})
EC = jwk.ECKey.generate_key("P-256", {"kid": "ec", "alg": "ES256", "use": "sig"})
ED = jwk.OKPKey.generate_key("Ed25519", {"kid": "ed"})
STRANGER = jwk.RSAKey.generate_key(2048, {"kid": "rsa"})
ANY = ["RS256", "RS384", "PS256", "ES256", "EdDSA", "Ed25519"]


def key_set(*keys):
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]})


def issue(key=RSA, algorithm="RS256", *, header=(), **claims):
    """A token as an issuer makes it."""
    now = int(time.time())
    told = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 60}
    told = {name: value for name, value in {**told, **claims}.items() if value != ()}
    head = {"alg": algorithm, "kid": key.kid, "typ": "at+jwt", **dict(header)}
    head = {name: value for name, value in head.items() if value is not None}
    registry = jws.JWSRegistry(None, ANY, strict_check_header=False)
    with warnings.catch_warnings():
        # The name EdDSA is one of old, and what issuers use.
        warnings.simplefilter("ignore", SecurityWarning)
        return jwt.encode(head, told, key, registry=registry)


def segment(value):
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@register("shop.orders")
class Orders(AuthenticatedTool):
    clients = "*"

    def who(self) -> list[object]:
        return [context.client, context.auth_type, sorted(context.groups)]


@register("bank")
class Bank(StandardTool):
    def rob(self) -> str:
        return f"rich {context.client}"


@contextlib.contextmanager
def serving(home, **auth):
    (home / "config").mkdir(exist_ok=True)
    keys = home / "config/jwks.json"
    if not keys.exists():
        keys.write_text(key_set(RSA, EC, ED))
    auth = {"jwt_issuer": ISSUER, "jwt_audience": [AUDIENCE, "shop"], **auth}
    config = {"auth": auth}
    with toolserver.testing.serve(Orders, Bank, home=home, config=config) as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("home"), jwt_groups="roles") as running:
        yield running


def ask(server, token, path="/shop/orders/who", **options):
    headers = {"Authorization": f"Bearer {token}"}
    return requests.post(server.url(path), headers=headers, timeout=20, **options)


#: How tokens are made, at a time.
RIGHT = {
    "RS256": lambda now: issue(),
    "PS256": lambda now: issue(RSA, "PS256"),
    "ES256": lambda now: issue(EC, "ES256"),
    "EdDSA": lambda now: issue(ED, "EdDSA"),
    "Ed25519": lambda now: issue(ED, "Ed25519"),
    "several audiences": lambda now: issue(aud=["other", "shop"]),
    "no type": lambda now: issue(header={"typ": None}),
    "usual type": lambda now: issue(header={"typ": "JWT"}),
    "no key": lambda now: issue(EC, "ES256", header={"kid": None}),
    "no time": lambda now: issue(iat=()),
    "just ended": lambda now: issue(exp=now - 10),
    "begins soon": lambda now: issue(nbf=now + 10),
}


@pytest.mark.parametrize("case", RIGHT)
def test_a_token_of_the_issuer_names_the_caller(server, case):
    token = RIGHT[case](int(time.time()))
    assert ask(server, token).json()[:2] == ["ann", "JWT"]


def test_a_token_tells_groups(server):
    config = server.worker.home.config
    (config / "groups").write_text("editors:ann\n")
    server.worker._access._groups.refresh()
    token = issue(roles=["buyers", "editors"])
    assert ask(server, token).json()[2] == ["buyers", "editors"]
    assert ask(server, issue(roles="one")).json()[2] == ["editors", "one"]
    assert ask(server, issue(groups=["no"])).json()[2] == ["editors"]


WRONG = {
    "none": (
        lambda now: f"{segment({'alg': 'none'})}.{issue().split('.')[1]}.",
        "algorithm is not allowed",
    ),
    "algorithm": (lambda now: issue(RSA, "RS384"), "algorithm is not allowed"),
    "other key": (lambda now: issue(STRANGER), "signature does not hold"),
    "unknown key": (lambda now: issue(header={"kid": "x"}), "key that is not known"),
    "key of another kind": (
        lambda now: issue(header={"kid": "ec"}),
        "key that is not known",
    ),
    "expired": (lambda now: issue(exp=now - 60), "has expired"),
    "long expired": (lambda now: issue(exp=-1), "has expired"),
    "no end": (lambda now: issue(exp=()), "claim exp is no time"),
    "true end": (lambda now: issue(exp=True), "claim exp is no time"),
    "malformed end": (lambda now: issue(exp="soon"), "claim exp is no time"),
    "not yet": (lambda now: issue(nbf=now + 90), "not valid yet"),
    "issued later": (lambda now: issue(iat=now + 90), "not valid yet"),
    "issuer": (lambda now: issue(iss="https://id.example"), "another issuer"),
    "no issuer": (lambda now: issue(iss=()), "another issuer"),
    "audience": (
        lambda now: issue(aud="https://shop.example/"),
        "meant for somebody else",
    ),
    "no audience": (lambda now: issue(aud=()), "meant for somebody else"),
    "empty audience": (lambda now: issue(aud=[]), ""),
    "no name": (lambda now: issue(sub=()), "claim sub is no name"),
    "number": (lambda now: issue(sub=5), ""),
    "bad name": (lambda now: issue(sub="a b"), "claim sub is no name"),
    "server": (lambda now: issue(sub="server"), "claim sub is no name"),
    "groups": (lambda now: issue(roles=[5]), "claim roles is no list of groups"),
    "more groups": (
        lambda now: issue(roles={"a": 1}),
        "claim roles is no list of groups",
    ),
    "type": (lambda now: issue(header={"typ": "dpop+jwt"}), "another type"),
    "critical": (
        lambda now: (
            f"{segment({'alg': 'RS256', 'kid': 'rsa', 'crit': ['x'], 'x': 1})}"
            f".{issue().partition('.')[2]}"
        ),
        "another type",
    ),
    "no JSON": (lambda now: f"{segment(b'x')}.e30.AA", "malformed"),
    "no object": (lambda now: f"{segment([1])}.e30.AA", "malformed"),
    "twice": (
        lambda now: segment(b'{"alg": "none", "alg": "RS256"}') + ".e30.AA",
        "malformed",
    ),
    "parts": (lambda now: "a.b", "malformed"),
    "more parts": (lambda now: issue() + ".x", "malformed"),
    "nothing": (lambda now: "", "malformed"),
    "cut": (lambda now: issue()[:-1], ""),
    "long": (lambda now: issue(note="x" * 5900), "malformed"),
    "own": (lambda now: make_token("ann")[0], "wrong token"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_right_is_refused(server, case):
    make, reason = WRONG[case]
    token = make(int(time.time()))
    if case == "long":
        # Longer than a field may be; but fields may be allowed to be longer.
        request = Request(headers=Headers([("authorization", f"Bearer {token * 2}")]))
        with pytest.raises(Unauthenticated, match="malformed"):
            server.worker._access._issuer.authenticate(request)
        assert ask(server, token * 2).status_code == 431
        return
    answer = ask(server, token)
    assert answer.status_code == 401
    challenge = answer.headers["WWW-Authenticate"]
    assert challenge.startswith('Bearer realm="toolserver", error="invalid_token"')
    assert reason in challenge
    # Also where anybody may call: what is sent has to hold.
    assert ask(server, token, "/bank/rob").status_code == 401


def test_a_public_key_is_no_secret(server):
    """The attack of RFC 8725, section 2.1."""
    public = RSA.public_key
    head = segment({"alg": "HS256", "kid": "rsa", "typ": "JWT"})
    body = issue().split(".")[1]
    for known in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    ):
        made = hmac.digest(known, f"{head}.{body}".encode(), hashlib.sha256)
        answer = ask(server, f"{head}.{body}.{segment(made)}")
        assert answer.status_code == 401
        assert "algorithm is not allowed" in answer.text


def test_each_changed_letter_is_noticed(server):
    token = issue(EC, "ES256")
    for place in range(0, len(token), 7):
        other = "A" if token[place] != "A" else "B"
        changed = token[:place] + other + token[place + 1 :]
        assert ask(server, changed).status_code == 401, place


def test_other_credentials_agree_or_it_fails(server):
    config = server.worker.home.config
    token, kept = make_token("bob", namespaces=("bank",))
    (config / "tokens").write_text(f"{kept.line()}\n")
    (config / "passwd").write_text(f"bob:{quick_hash('b')}\n")
    server.worker._access.load()
    # Those that the server has made hold besides.
    assert ask(server, token, "/bank/rob").text == "rich bob"
    refused = ask(server, token)
    assert refused.status_code == 403
    assert (
        refused.headers["WWW-Authenticate"]
        == 'Bearer realm="toolserver", error="insufficient_scope"'
    )
    assert requests.post(
        server.url("/shop/orders/who"), auth=("bob", "b"), timeout=20
    ).json()[:2] == ["bob", "Basic"]
    assert requests.post(server.url("/shop/orders/who"), timeout=20).status_code == 401


def test_scopes_open_tools(tmp_path):
    with serving(tmp_path, jwt_scopes="tools:", jwt_name="email") as server:

        def statuses(**claims):
            token = issue(email="ann@shop.example", **claims)
            return [
                ask(server, token, path).status_code
                for path in ("/shop/orders/who", "/bank/rob")
            ]

        assert statuses(scope="openid tools:shop") == [200, 403]
        assert statuses(scope="tools:bank tools:shop.orders") == [200, 200]
        assert statuses(scp=["tools:bank"]) == [403, 200]
        assert statuses(scope="tools:*") == [200, 200]
        assert statuses(scope="openid shop bank tools:sho") == [403, 403]
        assert statuses() == statuses(scope=5) == [403, 403]
        token = issue(email="ann@shop.example", scope="tools:shop")
        refused = ask(server, token, "/bank/rob")
        assert refused.headers["WWW-Authenticate"] == (
            'Bearer realm="toolserver", error="insufficient_scope", scope="tools:bank"'
        )
        assert ask(server, token).json()[0] == "ann@shop.example"
        assert ask(server, issue(scope="tools:*")).status_code == 401


def test_a_job_runs_for_who_has_started_it(server):
    body = {"jsonrpc": "2.0", "id": 1, "method": "system.jobs.start"}
    body["params"] = ["bank.rob", []]
    job = ask(server, issue(), "/JSONRPC", json=body).json()["result"]
    headers = {"Authorization": f"Bearer {issue()}"}
    url = server.url(f"/jobs/{job}")

    def told():
        return requests.get(url, headers=headers, timeout=20).json()

    wait_for(lambda: told()["state"] == "done")
    assert told()["client"] == "ann"


def test_the_file_of_keys_is_read_again(tmp_path):
    with serving(tmp_path) as server:
        file = tmp_path / "config/jwks.json"
        new = jwk.ECKey.generate_key("P-256", {"kid": "new"})
        token = issue(new, "ES256")
        assert ask(server, token).status_code == 401
        file.write_text(key_set(new))
        wait_for(lambda: ask(server, token).status_code == 200)
        assert ask(server, issue()).status_code == 401
        # What cannot be read changes nothing; without the file nobody is let in.
        keys = server.worker._access._issuer.keys
        file.write_text("{")
        os.utime(file, (1, 1))
        keys.refresh()
        assert ask(server, token).status_code == 200
        file.unlink()
        keys.refresh()
        assert ask(server, token).status_code == 503


@pytest.mark.parametrize(
    ("auth", "keys", "problem"),
    [
        ({"jwt_audience": []}, None, "auth.jwt_audience: missing"),
        ({"jwt_algorithms": ["HS256"]}, None, "auth.jwt_algorithms: got 'HS256'"),
        ({"jwt_algorithms": ["none"]}, None, "auth.jwt_algorithms: got 'none'"),
        ({"jwt_keys": "config/other.json"}, None, "other.json: no keys"),
        ({"jwt_keys": "http://id.example/keys"}, None, "auth.jwt_keys: got"),
        ({"jwt_keys": "ftp://id.example/keys"}, None, "auth.jwt_keys: got"),
        ({}, "x", "jwks.json: expected a set of keys"),
        ({}, "[]", "jwks.json: expected an object"),
        ({}, '{"keys": []}', "jwks.json: no keys"),
        ({}, json.dumps({"keys": [RSA.as_dict(private=True)]}), "got a private key"),
        ({}, '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "or a secret"),
        ({"jwt_algorithms": ["ES384"]}, None, "jwks.json: no keys"),
    ],
)
def test_what_cannot_work_keeps_the_server_from_starting(tmp_path, auth, keys, problem):
    if keys is not None:
        (tmp_path / "config").mkdir()
        (tmp_path / "config/jwks.json").write_text(keys)
    with (
        pytest.raises(StartError, match=re.escape(problem)),
        serving(tmp_path, **auth),
    ):
        pass


# --- sets of keys


def test_keys_that_cannot_be_used_are_passed_over():
    rsa = RSA.as_dict(private=False)
    small = {**rsa, "n": segment(b"\xff" * 128)}
    odd = [
        5,
        None,
        {},
        {"kty": "RSA"},
        {"kty": ["RSA"]},
        {**rsa, "use": "enc"},
        {**rsa, "key_ops": ["encrypt"]},
        {**rsa, "key_ops": 5},
        {**rsa, "alg": "RSA-OAEP"},
        {**rsa, "alg": 5},
        {**rsa, "kid": 5},
        {**rsa, "n": "!"},
        {**rsa, "n": 5},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {"kty": "new", "x": 1},
        small,
    ]
    allowed = ["RS256", "ES256", "EdDSA"]
    assert len(parse_keys(json.dumps({"keys": odd}), allowed)) == 0
    found = parse_keys(json.dumps({"keys": [*odd, rsa]}), allowed)
    assert len(found) == 1
    assert found.find("rsa", "RS256") is not None
    assert found.find("rsa", "ES256") is None
    with pytest.raises(ValueError, match="up to 100"):
        parse_keys(json.dumps({"keys": [rsa] * 101}), allowed)


def test_without_a_name_only_one_key_can_be_meant():
    second = {**STRANGER.as_dict(private=False), "kid": "second"}
    text = json.dumps({"keys": [RSA.as_dict(private=False), second]})
    found = parse_keys(text, ["RS256"])
    assert found.find(None, "RS256") is None
    assert found.find("second", "RS256") is not found.find("rsa", "RS256")


@given(
    st.text()
    | st.recursive(
        st.none() | st.integers() | st.text() | st.sampled_from(["RSA", "EC", "AQAB"]),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["kty", "crv", "n", "e", "x", "y", "kid", "use"]),
                inner,
            )
        ),
        max_leaves=8,
    ).map(lambda key: json.dumps({"keys": [key]}))
)
def test_whatever_is_published_is_read_or_refused(text):
    with contextlib.suppress(ValueError):
        assert isinstance(parse_keys(text, ["RS256", "ES256"]), KeySet)


@given(st.text() | st.lists(st.text(), min_size=3, max_size=3).map(".".join))
def test_whatever_is_sent_is_judged(text):
    settings = AuthSettings(jwt_issuer=ISSUER, jwt_audience=(AUDIENCE,))
    keys = parse_keys(key_set(RSA), settings.jwt_algorithms)
    keys.are_known = True
    judge = JWTAuthenticator(settings, keys, TokenAuthenticator(dict))
    request = Request(headers=Headers([("authorization", f"Bearer {text}")]))
    with pytest.raises(Unauthenticated):
        judge.authenticate(request)


# --- keys that are fetched


class Publisher(ThreadingHTTPServer):
    """Publishes keys as a test tells it to."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Page)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/keys"
        self.answer, self.asked = (200, key_set(RSA)), 0

    def __enter__(self):
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked += 1
        status, text = self.server.answer
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 302:
            self.send_header("Location", f"{self.server.url}/others")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def publisher():
    with Publisher() as running:
        yield running


@pytest.fixture
def fetched(publisher):
    clock = [1000.0]
    keys = FetchedKeys(publisher.url, ["RS256"], clock=lambda: clock[0])
    yield keys, clock
    keys.close()


def test_keys_are_fetched_when_a_token_needs_them(publisher, fetched):
    keys, clock = fetched
    assert not keys.are_known
    assert keys.find("rsa", "RS256") is not None
    assert keys.are_known
    # A key that is not known is looked for, but not again and again.
    for _ in range(5):
        assert keys.find("new", "RS256") is None
    assert publisher.asked == 1
    publisher.answer = (
        200,
        json.dumps({"keys": [{**STRANGER.as_dict(private=False), "kid": "new"}]}),
    )
    clock[0] += 29
    assert keys.find("new", "RS256") is None
    clock[0] += 2
    assert keys.find("new", "RS256") is not None
    assert publisher.asked == 2


def test_all_who_ask_wait_for_the_same_answer(publisher, fetched):
    keys, _ = fetched
    asking = [gevent.spawn(keys.find, "rsa", "RS256") for _ in range(20)]
    gevent.joinall(asking, timeout=20)
    assert all(each.value is not None for each in asking)
    assert publisher.asked == 1


def test_keys_are_fetched_again_now_and_then(publisher, fetched):
    keys, clock = fetched
    keys.refresh()
    wait_for(lambda: keys.are_known)
    publisher.answer = 200, key_set(EC, STRANGER)
    clock[0] += 300
    keys.refresh()
    old = keys.find("rsa", "RS256")
    clock[0] += 301
    keys.refresh()
    wait_for(lambda: keys.find("rsa", "RS256") not in (None, old))
    assert publisher.asked == 2


@pytest.mark.parametrize(
    "answer",
    [
        (500, ""),
        (404, key_set(STRANGER)),
        (302, key_set(STRANGER)),
        (200, "<html>"),
        (200, '{"keys": []}'),
        (200, key_set(STRANGER) + " " * 300_000),
        (200, json.dumps({"keys": [STRANGER.as_dict(private=True)]})),
    ],
)
def test_what_cannot_be_fetched_changes_nothing(publisher, fetched, answer):
    keys, clock = fetched
    old = keys.find("rsa", "RS256")
    assert old is not None
    publisher.answer = answer
    clock[0] += 601
    keys.refresh()
    wait_for(lambda: publisher.asked == 2 and keys._attempt is None)
    assert keys.find("rsa", "RS256") is old
    assert publisher.asked == 2


def test_what_goes_on_failing_is_told_once(publisher, fetched, caplog):
    keys, clock = fetched
    publisher.answer = 500, ""
    for asked in (1, 2):
        keys.refresh()
        wait_for(lambda asked=asked: publisher.asked == asked and keys._attempt is None)
        clock[0] += 601
    assert caplog.text.count("cannot be fetched: got status 500") == 1


def test_nothing_is_fetched_for_a_server_that_has_stopped(fetched):
    keys, _ = fetched
    keys.refresh()
    attempt = keys._attempt
    keys.close()
    assert attempt.dead
    assert not keys.are_known


@pytest.mark.parametrize("payload", [b"[1]", b"null", b"text"])
def test_a_token_that_claims_nothing(server, payload):
    head = {"alg": "RS256", "kid": "rsa", "typ": "JWT"}
    answer = ask(server, jws.serialize_compact(head, payload, RSA))
    assert answer.status_code == 401
    assert "malformed token" in answer.text


@pytest.mark.parametrize("head", [[1], {"alg": 5}, {"alg": "RS256", "kid": 5}])
def test_a_head_that_is_none(server, head):
    answer = ask(server, f"{segment(head)}.{segment({})}.AAAA")
    assert answer.status_code == 401
    assert "malformed token" in answer.text


def test_a_server_fetches_keys_and_starts_without(tmp_path, publisher):
    publisher.answer = 503, ""
    with serving(tmp_path, jwt_keys=publisher.url) as server:
        refused = ask(server, issue())
        assert refused.status_code == 503
        assert refused.headers["Retry-After"]
        assert ask(server, "tsv_x_y").status_code == 401
        publisher.answer = 200, key_set(RSA)
        server.worker._access._issuer.keys._next = 0
        assert ask(server, issue()).json()[0] == "ann"
        assert ask(server, issue(EC, "ES256")).status_code == 401


def test_an_address_by_https_has_to_prove_itself(publisher, tmp_path, monkeypatch):
    authority, stranger = trustme.CA(), trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    publisher.socket = tls.wrap_socket(publisher.socket, server_side=True)
    url = f"https://localhost:{publisher.server_address[1]}/keys"
    for trusted in (stranger, authority):
        file = tmp_path / "ca.pem"
        trusted.cert_pem.write_to_path(file)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
        keys = FetchedKeys(url, ["RS256"])
        found = keys.find("rsa", "RS256")
        assert (found is not None) is (trusted is authority)


def test_without_the_extra_the_server_does_not_start(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jwt", None)
    monkeypatch.delitem(sys.modules, "toolserver.auth.jsonwebtokens")
    with (
        pytest.raises(StartError, match=r"needs the extra: toolserver\[jwt\]"),
        serving(tmp_path),
    ):
        pass


def test_openapi_tells_of_tokens(server):
    document = requests.get(server.url("/openapi.json"), timeout=20).json()
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert {"bearer": []} in document["security"]


def test_nobody_is_let_in_before_there_are_keys():
    settings = AuthSettings(jwt_issuer=ISSUER, jwt_audience=(AUDIENCE,))
    keys = FetchedKeys("http://127.0.0.1:9/", ["RS256"], clock=lambda: 0.0)
    judge = JWTAuthenticator(settings, keys, TokenAuthenticator(dict))
    request = Request(headers=Headers([("authorization", f"Bearer {issue()}")]))
    with pytest.raises(Overload, match="not known yet"):
        judge.authenticate(request)
