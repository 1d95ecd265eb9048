"""Every combination of credentials over every protocol: the documented outcome."""

from __future__ import annotations

import itertools
import json
import time
import xmlrpc.client

import pytest
import requests
from requests.auth import HTTPBasicAuth

import toolserver.testing
from tests.auth.test_access import FILES, write
from toolserver import (
    AuthenticatedTool,
    CRAMSettings,
    OnlyRPCCRAMTool,
    context,
    register,
)
from toolserver.auth.challenges import respond
from toolserver.auth.keys import generate, private_pem, public_pem
from toolserver.auth.sealing import associated_data, seal_request
from toolserver.auth.sessionfile import Spent
from toolserver.auth.sessionkeys import SessionKeys, write_session
from toolserver.auth.signing import make_nonce, sign_request
from toolserver.calls import Call
from toolserver.contexts import Context, bind
from toolserver.jobs.outside import await_end, start_job
from toolserver.protocols.pickles import KNOWN, read_pickle, write_pickle

ANN, STRANGER, SERVER = generate("ed25519"), generate("ed25519"), generate("rsa")

DENY = ("", "denied:127.0.0.1")
ALLOW = ("", "ann:127.0.0.1", "guest:127.0.0.1")
BASIC = ("absent", "right", "wrong", "other")
SIGNATURE = ("absent", "right", "wrong key", "unknown", "tampered", "stale")
#: What a session may be, in place of a signature.
SESSION = ("right", "repeated", "tampered", "unknown", "ended")
#: What the answer to a challenge may be.
TOKEN = ("right", "reused", "expired", "wrong", "absent")
#: What a request may be that is signed with the secret of a tool, in place of a token.
SECRET = (
    *("right", "tampered", "wrong secret", "wrong tool", "no tool", "stale"),
    *("replayed", "other algorithm"),
)


@register("table")
class Table(AuthenticatedTool):
    clients = "ann"
    calls = 0

    def whoami(self, number: int = 0) -> str:
        """Who calls."""
        Table.calls += 1
        return str(context.client)


@register("vault")
class Vault(OnlyRPCCRAMTool):
    settings = CRAMSettings(secret="s3cret")

    def look(self) -> str:
        """See what is inside."""
        Table.calls += 1
        return "gold"


@register("safe")
class Safe(OnlyRPCCRAMTool):
    settings = CRAMSettings(secret="s3cret")


def envelope(name):
    return (
        '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">'
        f'<soapenv:Body><{name} xmlns="urn:toolserver:table"/></soapenv:Body>'
        "</soapenv:Envelope>"
    )


#: Path, body and content type of a call, by protocol; the last ones are a static file
#: and a job of ann's.
REQUESTS = {
    "REST": ("/table/whoami", b"", ""),
    "RPC2": ("/RPC2", xmlrpc.client.dumps((), "table.whoami").encode(), "text/xml"),
    "JSONRPC": (
        "/JSONRPC",
        json.dumps({"jsonrpc": "2.0", "id": 1, "method": "table.whoami"}).encode(),
        "application/json",
    ),
    "SOAP": ("/SOAP/table", envelope("whoami").encode(), "text/xml"),
    "PYRPC": ("/PYRPC", b"", "application/vnd.toolserver.pickle"),
    "file": ("/table/file.txt", b"", ""),
    "job": ("", b"", ""),
}


def expected(deny, allow, basic, signature, *, mandatory, hides=False):
    """What the documentation says: a status, and the client where there is one.

    The status of a call that is refused within RPC is that of its fault. A job that is
    somebody else's is not told of at all.
    """
    if deny:
        return 403, None
    if signature not in ("absent", "right") or basic == "wrong":
        return 401, None
    if mandatory and signature == "absent":
        return 401, None
    named = set()
    if signature == "right":
        named.add("ann")
    if basic in ("right", "other"):
        named.add({"right": "ann", "other": "bob"}[basic])
    if len(named) > 1:
        return 401, None
    client = named.pop() if named else (allow.partition(":")[0] or None)
    if client == "ann":
        return 200, client
    if hides:
        return 404, None
    return (403 if client else 401), None


def ask_in_session(server, protocol, basic, session):
    """Call by a session that is stored as if a signed request had opened it."""
    path, body, kind = REQUESTS[protocol]
    sessions = server.worker._access._signatures._sessions
    secret, number = b"s" * 32, 1
    headers = {"Content-Type": kind} if kind else {}
    if session == "ended":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sessions._file, "lifetime", 0)
            grant = sessions.open("ann", ANN.public_key(), secret)
    else:
        grant = sessions.open("ann", ANN.public_key(), secret)
    keys = SessionKeys(secret, grant.session)
    method = "POST" if body or protocol == "PYRPC" else "GET"
    bound_to = SessionKeys.bound_to(
        method=method,
        authority=server.url(path).split("/")[2],
        path=path,
        query="",
        kind=kind,
        sender="ann",
    )
    if protocol == "PYRPC":
        call = {"method": "table.whoami", "args": (), "kwargs": {}}
        body = write_pickle(call, KNOWN)
    body = keys.seal_request(body, number, bound_to)
    if session == "tampered":
        body = body[:-1] + bytes([body[-1] ^ 1])
    if session == "repeated":
        stored = sessions._file.find(grant.session)
        assert sessions._file.spend(stored, number) is Spent.FRESH
    named = "A" * 24 if session == "unknown" else grant.session
    headers["Toolserver-Session"] = write_session(named)
    answer = requests.request(
        method,
        server.url(path),
        data=body,
        headers=headers,
        auth=HTTPBasicAuth(*PAIRS[basic]) if basic in PAIRS else None,
        timeout=20,
    )
    if answer.status_code != 200:
        return answer.status_code, None
    content = keys.open_answer(answer.content, number, bound_to, 200, kind)
    found = read_pickle(content, KNOWN, 100_000)
    return (
        (CODES[found["error"]["code"]], None)
        if "error" in found
        else (
            200,
            found["value"],
        )
    )


PAIRS = {"right": ("ann", "ann's"), "wrong": ("ann", "x"), "other": ("bob", "bob's")}


def ask(server, protocol, basic, signature):
    path, body, kind = REQUESTS[protocol]
    url = server.url(path)
    method = "POST" if body or protocol == "PYRPC" else "GET"
    nonce, sealed, cover = make_nonce(), None, ()
    headers = {"Content-Type": kind} if kind else {}
    name = "mallory" if signature == "unknown" else "ann"
    if protocol == "PYRPC":
        parts = (method, url.split("/")[2], path, "", name, nonce)
        call = {"method": "table.whoami", "args": (), "kwargs": {}}
        wrapped, body, sealed = seal_request(
            write_pickle(call, KNOWN),
            SERVER.public_key(),
            nonce,
            associated_data(parts),
        )
        headers["Toolserver-Key"] = wrapped
        cover = ("toolserver-key",)
    if signature != "absent":
        signed = sign_request(
            method,
            url,
            headers,
            body,
            keyid=name,
            key=STRANGER if signature == "wrong key" else ANN,
            cover=cover,
            nonce=nonce,
            now=1_700_000_000 if signature == "stale" else None,
        )
        headers.update(signed.fields)
        if signature == "tampered":
            if body:
                body = body[:-1] + b" "
            else:
                url += "?number=1"
    auth = HTTPBasicAuth(*PAIRS[basic]) if basic in PAIRS else None
    answer = requests.request(
        method, url, data=body or None, headers=headers, auth=auth, timeout=20
    )
    return outcome(protocol, answer, sealed)


CODES = {-32001: 401, -32003: 403}


def outcome(protocol, answer, sealed):
    """The status that the caller learns, and the client that the method has seen."""
    if answer.status_code != 200 and protocol != "SOAP":
        return answer.status_code, None
    if protocol == "file":
        return 200, "ann"
    if protocol == "job":
        return 200, answer.json()["client"]
    if protocol == "REST":
        return 200, answer.text.strip('"')
    if protocol == "RPC2":
        try:
            return 200, xmlrpc.client.loads(answer.content)[0][0]
        except xmlrpc.client.Fault as fault:
            return CODES[fault.faultCode], None
    if protocol == "JSONRPC":
        found = answer.json()
        if "error" in found:
            return CODES[found["error"]["code"]], None
        return 200, found["result"]
    if protocol == "SOAP":
        if "Fault" not in answer.text:
            client = answer.text.partition("return>")[2].partition("<")[0]
            return answer.status_code, client or None
        return (401 if "Unauthenticated" in answer.text else 403), None
    found = read_pickle(sealed.open(answer.content), KNOWN, 100_000)
    if "error" in found:
        return CODES[found["error"]["code"]], None
    return 200, found["value"]


@pytest.fixture(scope="module", params=[False, True], ids=["optional", "mandatory"])
def server(request, tmp_path_factory):
    home = toolserver.testing.Home(tmp_path_factory.mktemp("home"))
    home.create()
    write(home.path, **FILES)
    (home.privkeys / "server.pem").touch(0o600)
    (home.privkeys / "server.pem").write_text(private_pem(SERVER))
    (home.pubkeys / "ann.pem").write_text(public_pem(ANN.public_key()))
    (home.www / "table").mkdir()
    (home.www / "table" / "file.txt").write_text("text")
    config = {"auth": {"rsa_authenticate": request.param}}
    if request.param:
        config["picklerpc"] = {"enabled": True}
    tools = (Table, Vault, Safe)
    with pytest.MonkeyPatch.context() as patch:
        # A server that has just begun takes no requests of before.
        patch.setattr("toolserver.auth.signatures.AHEAD", -3600)
        # Who guesses waits longer and longer, and the table guesses a lot.
        patch.setattr("toolserver.auth.accounts._LONGEST_WAIT", 0.0)
        with toolserver.testing.serve(*tools, home=home.path, config=config) as running:
            running.is_mandatory = request.param
            dispatcher = running.worker.dispatcher
            with bind(Context(services=running.worker.services, client="ann")):
                job = start_job(dispatcher.prepare(Call("table.whoami")))
                await_end(job, 10)
            REQUESTS["job"] = f"/jobs/{job}", b"", ""
            yield running


@pytest.mark.parametrize("allow", ALLOW)
@pytest.mark.parametrize("deny", DENY)
def test_each_combination_has_its_outcome(server, deny, allow):
    access = server.worker._access
    write(server.worker.home.path, hosts_deny=deny, hosts_allow=allow)
    access._deny.refresh()
    access._allow.refresh()
    access._arrange()
    protocols = [name for name in REQUESTS if server.is_mandatory or name != "PYRPC"]
    wrong = []
    for protocol, basic, signature in itertools.product(protocols, BASIC, SIGNATURE):
        before = Table.calls
        found = ask(server, protocol, basic, signature)
        due = expected(
            *(deny, allow, basic, signature),
            mandatory=server.is_mandatory,
            hides=protocol == "job",
        )
        called = Table.calls - before
        is_call = protocol not in ("file", "job")
        if found != due or called != (due[0] == 200 and is_call):
            wrong.append((protocol, basic, signature, found, due, called))
    assert not wrong


@pytest.mark.parametrize("allow", ALLOW)
@pytest.mark.parametrize("deny", DENY)
def test_each_combination_with_a_session_has_its_outcome(server, deny, allow):
    if not server.is_mandatory:
        pytest.skip("sessions need mandatory signatures")
    access = server.worker._access
    write(server.worker.home.path, hosts_deny=deny, hosts_allow=allow)
    access._deny.refresh()
    access._allow.refresh()
    access._arrange()
    wrong = []
    for protocol, basic, session in itertools.product(REQUESTS, BASIC, SESSION):
        before = Table.calls
        found = ask_in_session(server, protocol, basic, session)
        if deny:
            due = 403, None
        elif protocol != "PYRPC" or session != "right" or basic in ("wrong", "other"):
            due = 401, None
        else:
            due = 200, "ann"
        called = Table.calls - before
        if found != due or called != (due[0] == 200):
            wrong.append((protocol, basic, session, found, due, called))
    assert not wrong


def token(server, kind):
    """A challenge of the vault and what is answered to it."""
    challenges = server.worker.registry.entry("vault").tool._challenges
    with pytest.MonkeyPatch.context() as patch:
        if kind == "expired":
            patch.setattr(challenges, "_clock", lambda: time.time() - 301)
        challenge = challenges.make()
    answered = [challenge, respond(challenge, "guess" if kind == "wrong" else "s3cret")]
    if kind == "reused":
        with bind(Context(services=server.worker.services)):
            challenges.check(answered)
    return answered


def ask_with_token(server, protocol, kind, signature):
    args = [] if kind == "absent" else [token(server, kind)]
    message = {"jsonrpc": "2.0", "id": 1, "method": "vault.look", "params": args}
    path, body, media_type = {
        "RPC2": (
            "/RPC2",
            xmlrpc.client.dumps(tuple(args), "vault.look").encode(),
            "text/xml",
        ),
        "JSONRPC": ("/JSONRPC", json.dumps(message).encode(), "application/json"),
        "REST": ("/vault/look", json.dumps(args).encode(), "application/json"),
    }[protocol]
    url, headers = server.url(path), {"Content-Type": media_type}
    if signature == "right":
        signed = sign_request("POST", url, headers, body, keyid="ann", key=ANN)
        headers.update(signed.fields)
    answer = requests.post(url, data=body, headers=headers, timeout=20)
    return outcome(protocol, answer, None)


@pytest.mark.parametrize("deny", DENY)
def test_each_token_has_its_outcome(server, deny):
    access = server.worker._access
    write(server.worker.home.path, hosts_deny=deny, hosts_allow="")
    access._deny.refresh()
    access._allow.refresh()
    access._arrange()
    wrong = []
    for protocol, kind, signature in itertools.product(
        ("RPC2", "JSONRPC", "REST"), TOKEN, ("absent", "right")
    ):
        before = Table.calls
        found = ask_with_token(server, protocol, kind, signature)
        if deny:
            due = 403, None
        elif server.is_mandatory and signature == "absent":
            due = 401, None
        elif protocol == "REST":
            due = 403, None
        else:
            due = (200, "gold") if kind == "right" else (401, None)
        called = Table.calls - before
        if found != due or called != (due[0] == 200):
            wrong.append((protocol, kind, signature, found, due, called))
    assert not wrong


def ask_with_secret(server, protocol, kind):
    message = {"jsonrpc": "2.0", "id": 1, "method": "vault.look"}
    path, body, media_type = {
        "RPC2": ("/RPC2", xmlrpc.client.dumps((), "vault.look").encode(), "text/xml"),
        "JSONRPC": ("/JSONRPC", json.dumps(message).encode(), "application/json"),
        "SOAP": ("/SOAP/vault", envelope("look").encode(), "text/xml"),
        "REST": ("/vault/look", b"{}", "application/json"),
    }[protocol]
    url, headers = server.url(path), {"Content-Type": media_type}
    signed = sign_request(
        "POST",
        url,
        headers,
        body,
        keyid={"wrong tool": "safe", "no tool": "table"}.get(kind, "vault"),
        # With the key of ann, who may not name the algorithm of secrets either.
        key=ANN
        if kind == "other algorithm"
        else b"guess"
        if kind == "wrong secret"
        else b"s3cret",
        now=1_700_000_000 if kind == "stale" else None,
    )
    headers.update(signed.fields)
    if kind == "replayed":
        requests.post(url, data=body, headers=headers, timeout=20)
    if kind == "tampered":
        body += b" "
    before = Table.calls
    answer = requests.post(url, data=body, headers=headers, timeout=20)
    return outcome(protocol, answer, None), Table.calls - before


@pytest.mark.parametrize("deny", DENY)
def test_each_shared_secret_has_its_outcome(server, deny):
    access = server.worker._access
    write(server.worker.home.path, hosts_deny=deny, hosts_allow="ann:127.0.0.1")
    access._deny.refresh()
    access._allow.refresh()
    access._arrange()
    wrong = []
    for protocol, kind in itertools.product(
        ("RPC2", "JSONRPC", "SOAP", "REST"), SECRET
    ):
        found, called = ask_with_secret(server, protocol, kind)
        if deny:
            due = 403, None
        elif server.is_mandatory or kind not in ("right", "wrong tool"):
            due = 401, None
        elif protocol == "REST":
            due = 403, None
        else:
            due = (200, "gold") if kind == "right" else (401, None)
        if found != due or called != (due[0] == 200):
            wrong.append((protocol, kind, found, due, called))
    assert not wrong
