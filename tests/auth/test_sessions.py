"""Sessions of PickleRPC: what is taken in one, and all that is not."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

import toolserver.testing
from tests.client.scripted import Scripted, respond
from tests.protocols.test_picklerpc import (
    ANN,
    BOB,
    CONFIG,
    KIND,
    SERVER,
    Caller,
    Pickled,
    make_home,
)
from toolserver.auth.keys import generate, private_pem, public_pem
from toolserver.auth.profile import read_label
from toolserver.auth.sealing import associated_data, seal_request
from toolserver.auth.sessionkeys import (
    UNKNOWN,
    Grant,
    Numbered,
    SessionKeys,
    ask_instead,
    write_session,
)
from toolserver.auth.signing import covers, make_nonce, sign_request, verify_answer
from toolserver.client import AnswerError, RemoteToolserver
from toolserver.errors import Conflict, InvalidParams
from toolserver.protocols.pickles import KNOWN, read_pickle, write_pickle


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def server(home):
    with pytest.MonkeyPatch.context() as patch:
        # A server that has just begun takes no requests of before.
        patch.setattr("toolserver.auth.signatures.AHEAD", -3600)
        with toolserver.testing.serve(Pickled, home=home, config=CONFIG) as running:
            yield running


class Session:
    """A session, opened and used step by step; each step can be done wrong."""

    def __init__(self, server, name="ann", key=ANN, ask="new", cover=True):
        self.server, self.name = server, name
        self.numbers = iter(range(1, 10**6))
        url, nonce = server.url("/PYRPC"), make_nonce()
        self.authority = url.split("/")[2]
        call = {"method": "pickled.echo", "args": ("hello",), "kwargs": {}}
        wrapped, body, sealed = seal_request(
            write_pickle(call, KNOWN),
            SERVER.public_key(),
            nonce,
            associated_data(("POST", self.authority, "/PYRPC", "", name, nonce)),
        )
        headers = {
            "Content-Type": KIND,
            "Toolserver-Key": wrapped,
            "Toolserver-Session": ask,
        }
        signed = sign_request(
            "POST",
            url,
            headers,
            body,
            keyid=name,
            key=key,
            nonce=nonce,
            cover=("toolserver-key", "toolserver-session")[: 1 + cover],
        )
        self.opening = answer = requests.post(
            url, body, headers={**headers, **signed.fields}, timeout=20
        )
        fields = {name.lower(): value for name, value in answer.headers.items()}
        self.answer = fields
        verify_answer(
            answer.status_code,
            answer.headers,
            answer.content,
            key=SERVER.public_key(),
            request=signed,
        )
        self.outcome = None
        if answer.status_code == 200:
            self.outcome = read_pickle(sealed.open(answer.content), KNOWN, 10**6)
        self.id = None
        if "toolserver-session" in fields:
            assert covers(fields, "toolserver-session")
            self.id = Grant.read(fields["toolserver-session"]).session
            self.keys = SessionKeys(sealed.session_secret(), self.id)

    def prepare(self, value, number=None, path="/PYRPC", method="pickled.echo"):
        number = next(self.numbers) if number is None else number
        call = {"method": method, "args": (value,), "kwargs": {}}
        body = self.keys.seal_request(
            write_pickle(call, KNOWN), number, self.bound_to(path)
        )
        return number, body

    def bound_to(self, path="/PYRPC"):
        return SessionKeys.bound_to(
            method="POST",
            authority=self.authority,
            path=path,
            query="",
            kind=KIND,
            sender=self.name,
        )

    def post(self, number, body, path="/PYRPC", **headers):
        fields = {
            "Content-Type": KIND,
            "Toolserver-Session": write_session(self.id),
            **headers,
        }
        return self.server.http.post(path, data=body, headers=fields)

    def open(self, number, answer):
        assert answer.headers["toolserver-session"] == write_session(self.id)
        content = self.keys.open_answer(
            answer.content,
            number,
            self.bound_to(),
            answer.status_code,
            answer.headers["content-type"],
        )
        return read_pickle(content, KNOWN, 10**6)

    def call(self, value, number=None):
        number, body = self.prepare(value, number)
        return self.open(number, self.post(number, body))


def is_refused(answer, *, unknown=False):
    """A refusal that the caller of no session could read, and no call."""
    assert answer.status_code == 401
    assert "toolserver-session" not in answer.headers
    return (answer.headers["www-authenticate"] == UNKNOWN) is unknown


def test_a_session_is_opened_by_a_call_and_used_by_the_next(server):
    session = Session(server)
    assert session.outcome == {"value": "hello"}
    for value in (1, {"a": (2,)}, "x" * 100_000):
        assert session.call(value) == {"value": value}
    number, body = session.prepare(None, method="pickled.nothing")
    assert session.open(number, session.post(number, body))["error"]["code"] == -32601
    # Neither what is asked nor what is answered can be read.
    number, body = session.prepare("a very secret text")
    answer = session.post(number, body)
    assert b"secret" not in body + answer.content
    assert session.open(number, answer) == {"value": "a very secret text"}


def test_requests_may_overtake_each_other_but_none_comes_twice(server):
    session = Session(server)
    made = [session.prepare(each) for each in range(5)]
    for number, body in (made[3], made[0], made[4], made[1]):
        before = Pickled.calls
        assert session.post(number, body).status_code == 200
        assert is_refused(session.post(number, body))
        assert Pickled.calls == before + 1
    assert session.post(*made[2]).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        *("body", "number", "path", "query", "kind", "host", "id"),
        *("empty", "number alone", "cut", "method"),
    ],
)
def test_what_was_changed_is_refused_and_spends_nothing(server, change):
    session, other = Session(server), Session(server)
    number, body = session.prepare(1)
    before = Pickled.calls
    sent, headers, path = body, {}, "/PYRPC"
    match change:
        case "body":
            sent = body[:8] + bytes([body[8] ^ 1]) + body[9:]
        case "number":
            sent = (number + 1).to_bytes(8, "big") + body[8:]
        case "path":
            path = "/PYRPC/pickled"
        case "query":
            path = "/PYRPC?a=1"
        case "kind":
            headers = {"Content-Type": f"{KIND}; a=b"}
        case "host":
            headers = {"Host": "localhost"}
        case "id":
            headers = {"Toolserver-Session": write_session(other.id)}
        case "empty":
            sent = b""
        case "number alone":
            sent = body[:8]
        case "cut":
            sent = body[:-1]
    if change == "method":
        fields = {"Toolserver-Session": write_session(session.id)}
        answer = server.http.put(path, data=body, headers=fields)
    else:
        answer = session.post(number, sent, path, **headers)
    assert is_refused(answer)
    assert Pickled.calls == before
    # It was not the client, so the client has not used the number.
    assert session.open(number, session.post(number, body)) == {"value": 1}


@pytest.mark.parametrize(
    "field",
    [
        "new",
        "",
        '"x"',
        "{id}",
        '"{id}A"',
        '"{id}";n=1',
        '"{id}", "{id}"',
    ],
)
def test_malformed_fields_are_refused(server, field):
    session = Session(server)
    _, body = session.prepare(1)
    headers = {"Toolserver-Session": field.format(id=session.id)}
    assert is_refused(session.post(1, body, **headers))


def test_a_session_holds_for_its_protocol_alone(server):
    session = Session(server)
    number, body = session.prepare(1)
    call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "pickled.who"})
    for path, content, kind in (
        ("/JSONRPC", call, "application/json"),
        ("/pickled/who", "", "text/plain"),
        ("/PYRPCS", body, KIND),
    ):
        answer = session.post(number, content, path, **{"Content-Type": kind})
        assert is_refused(answer)


def test_the_session_of_another_client_is_of_no_use(server):
    ann, bob = Session(server), Session(server, "bob", BOB)
    number, body = bob.prepare(1)
    field = write_session(ann.id)
    assert is_refused(bob.post(number, body, **{"Toolserver-Session": field}))
    call = {"method": "pickled.who", "args": (), "kwargs": {}}
    content = bob.keys.seal_request(write_pickle(call, KNOWN), 2, bob.bound_to())
    value = bob.open(2, bob.post(2, content))["value"]
    assert value == ["bob", "Session", "PYRPC"]


def test_answers_belong_to_one_request(server):
    session = Session(server)
    first, body = session.prepare(1)
    answer = session.post(first, body)
    for number, status, kind in ((2, 200, KIND), (1, 201, KIND), (1, 200, "a/b")):
        with pytest.raises(ValueError, match="cannot be opened"):
            session.keys.open_answer(
                answer.content, number, session.bound_to(), status, kind
            )
    changed = bytes([answer.content[0] ^ 1]) + answer.content[1:]
    with pytest.raises(ValueError, match="cannot be opened"):
        session.keys.open_answer(changed, 1, session.bound_to(), 200, KIND)
    # Nor is a request taken for an answer.
    with pytest.raises(ValueError, match="cannot be opened"):
        session.keys.open_answer(body, 1, session.bound_to(), 200, KIND)


def test_a_session_has_to_be_asked_for_under_the_signature(server):
    assert Session(server, cover=False).id is None
    session = Session(server, ask="old")
    assert session.id is None
    assert "error" in session.outcome


def test_refusals_of_the_server_itself_are_sealed(server):
    session = Session(server)
    number, body = session.prepare(1, path="/PYRPC")
    answer = session.post(number, body, **{"Origin": "http://evil.example"})
    assert answer.status_code == 403
    content = session.keys.open_answer(
        answer.content,
        number,
        session.bound_to(),
        403,
        answer.headers["content-type"],
    )
    assert b"origin" in content


def test_an_ended_session_is_not_known(server):
    session = Session(server)
    sessions = server.worker._access._signatures._sessions
    number, body = session.prepare(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "_clock", lambda: time.time() + 601)
        assert is_refused(session.post(number, body), unknown=True)
    assert session.post(number, body).status_code == 200


def test_a_session_ends_with_the_key_of_its_client(server, home):
    session = Session(server)
    path = home / "pubkeys" / "ann.pem"
    own = path.read_text()
    signatures = server.worker._access._signatures
    assert session.call(1) == {"value": 1}
    try:
        for other in (None, public_pem(generate("ed25519").public_key())):
            if other is None:
                path.unlink()
            else:
                path.write_text(other)
            signatures.refresh()
            assert is_refused(session.post(*session.prepare(2)), unknown=True)
    finally:
        path.write_text(own)
        signatures.refresh()
    # It is the same key again.
    assert session.call(3) == {"value": 3}


def test_denied_hosts_are_refused_first(server, home):
    session = Session(server)
    access = server.worker._access
    deny = home / "config" / "hosts.deny"
    deny.write_text("all:127.0.0.1\n")
    access._deny.refresh()
    access._arrange()
    try:
        assert session.post(*session.prepare(1)).status_code == 403
    finally:
        deny.unlink()
        access._deny.refresh()
        access._arrange()
    assert session.call(2) == {"value": 2}


def test_a_session_outlives_the_server_but_no_number_does(server, home):
    session = Session(server)
    used, body = session.prepare(1)
    assert session.post(used, body).status_code == 200
    # Another process of the same home, now or later.
    with toolserver.testing.serve(Pickled, home=home, config=CONFIG) as twin:
        twin_authority = twin.url("/").split("/")[2]
        host = {"Host": session.authority}
        fresh, content = session.prepare(2)
        session.server = twin
        assert twin_authority != session.authority
        assert is_refused(session.post(used, body, **host))
        answer = session.post(fresh, content, **host)
        assert session.open(fresh, answer) == {"value": 2}
    session.server = server
    assert is_refused(session.post(fresh, content))


def test_sessions_can_be_switched_off(tmp_path, monkeypatch):
    monkeypatch.setattr("toolserver.auth.signatures.AHEAD", -3600)
    config = {**CONFIG, "picklerpc": {"enabled": True, "session_lifetime": 0}}
    home = make_home(tmp_path)
    with toolserver.testing.serve(Pickled, home=home, config=config) as running:
        session = Session(running)
        assert (session.outcome, session.id) == ({"value": "hello"}, None)
        answer = running.http.post(
            "/PYRPC",
            data=b"",
            headers={
                "Content-Type": KIND,
                "Toolserver-Session": write_session("A" * 24),
            },
        )
        assert answer.status_code == 401


def test_a_call_that_was_made_is_not_made_in_place_of_a_refused_one(server):
    session = Session(server)
    number, body = session.prepare(1)
    assert session.post(number, body).status_code == 200
    before = Pickled.calls
    refused = Session(server, ask=ask_instead(Numbered(session.id, number)))
    assert refused.outcome["error"]["type"] == "Conflict"
    assert Pickled.calls == before
    # One that was held up on its way is not made afterwards.
    number, body = session.prepare(2)
    again = Session(server, ask=ask_instead(Numbered(session.id, number)))
    assert again.outcome == {"value": "hello"}
    assert is_refused(session.post(number, body))
    # Nobody can spend the numbers of others.
    number, body = session.prepare(3)
    bob = Session(server, "bob", BOB, ask=ask_instead(Numbered(session.id, number)))
    assert bob.outcome == {"value": "hello"}
    assert session.open(number, session.post(number, body)) == {"value": 3}


@pytest.fixture
def keys(tmp_path):
    """The keys of a client."""
    (tmp_path / "ann.pem").touch(0o600)
    (tmp_path / "ann.pem").write_text(private_pem(ANN))
    (tmp_path / "server.pem").write_text(public_pem(SERVER.public_key()))
    return {
        "privkey": str(tmp_path / "ann.pem"),
        "pubkey": str(tmp_path / "server.pem"),
    }


def how(remote):
    return remote.call("pickled.who")[1]


def test_the_client_signs_once(server, keys):
    with RemoteToolserver(server.url("/"), "PYRPC", **keys) as remote:
        assert [how(remote) for _ in range(3)] == ["Signature", "Session", "Session"]
        assert remote.call("pickled.echo", "x" * 300_000) == "x" * 300_000
        with pytest.raises(KeyError):
            remote.call("pickled.fail", "key")
        with pytest.raises(InvalidParams):
            remote.call("pickled.part", {"name": 1})
        # Documents are asked for by signed requests.
        assert remote.fetch("/WSDL/")
        assert how(remote) == "Session"


def test_the_client_opens_another_session_where_one_is_gone(server, keys):
    with RemoteToolserver(server.url("/"), "PYRPC", **keys) as remote:
        assert [how(remote), how(remote)] == ["Signature", "Session"]
        file = server.worker._access._signatures._sessions._file
        file._slots[128:] = bytes(len(file._slots) - 128)
        before = Pickled.calls
        assert remote.call("pickled.echo", 1) == 1
        assert Pickled.calls == before + 1
        assert how(remote) == "Session"


def test_the_client_does_not_share_a_session_with_its_fork(server, keys, monkeypatch):
    with RemoteToolserver(server.url("/"), "PYRPC", **keys) as remote:
        assert [how(remote), how(remote)] == ["Signature", "Session"]
        monkeypatch.setattr("toolserver.client.sessions.os.getpid", lambda: 1)
        assert [how(remote), how(remote)] == ["Signature", "Session"]


def test_many_threads_share_a_session(server, keys):
    with RemoteToolserver(server.url("/"), "PYRPC", **keys) as remote:
        assert how(remote) == "Signature"
        with ThreadPoolExecutor(16) as pool:
            values = range(200)
            found = list(pool.map(lambda n: remote.call("pickled.echo", n), values))
        assert found == list(values)
        assert how(remote) == "Session"
        numbers = remote._transport._signer.args[0].sessions.session.number()
        assert numbers.number >= 202


def test_who_is_on_the_way_cannot_have_a_call_made_twice(server, keys):
    """A refusal that somebody else has written, after the call was made."""
    kept, lock = [], threading.Lock()

    def forward(head, body):
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
        fields = {name.lower(): value for name, value in lines}
        answer = server.http.post("/PYRPC", data=body, headers=fields)
        with lock:
            kept.append(fields)
        if fields["toolserver-session"].startswith('"'):
            challenge = f"WWW-Authenticate: {UNKNOWN}"
            return respond("401 Unauthorized", b"", "", challenge)
        names = ("Content-Digest", "Signature", "Signature-Input", "Toolserver-Session")
        return respond(
            "200 OK",
            answer.content,
            KIND,
            *(
                f"{each}: {answer.headers[each]}"
                for each in names
                if each in answer.headers
            ),
        )

    with Scripted(forward) as relay:
        options = {"proxies": {"http": relay.url}, **keys}
        with RemoteToolserver(server.url("/"), "PYRPC", **options) as remote:
            assert how(remote) == "Signature"
            before = Pickled.calls
            with pytest.raises(Conflict, match="made already"):
                remote.call("pickled.echo", 1)
            assert Pickled.calls == before + 1
    assert len(kept) == 3
    assert "signature" not in kept[1]
    covered, _ = read_label((kept[2]["signature-input"], kept[2]["signature"]))
    assert "toolserver-session" in [item.value for item in covered.items]


def test_changed_answers_are_refused(server, keys):
    def forward(head, body):
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
        answer = server.http.post("/PYRPC", data=body, headers=dict(lines))
        fields = [
            f"{name}: {answer.headers[name]}"
            for name in (
                "Content-Digest",
                "Signature",
                "Signature-Input",
                "Toolserver-Session",
            )
            if name in answer.headers
        ]
        content = answer.content
        if not any("Signature:" in each for each in fields):
            content = bytes([content[0] ^ 1]) + content[1:]
        return respond("200 OK", content, KIND, *fields)

    with Scripted(forward) as relay:
        options = {"proxies": {"http": relay.url}, **keys}
        with RemoteToolserver(server.url("/"), "PYRPC", **options) as remote:
            assert how(remote) == "Signature"
            with pytest.raises(AnswerError, match="cannot be opened"):
                how(remote)


def test_answers_that_are_not_sealed_are_refused(server, keys):
    def forward(head, body):
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
        if b"\r\nsignature:" not in head.lower():
            return respond("200 OK", b"forged", KIND)
        answer = server.http.post("/PYRPC", data=body, headers=dict(lines))
        names = ("Content-Digest", "Signature", "Signature-Input", "Toolserver-Session")
        fields = [f"{name}: {answer.headers[name]}" for name in names]
        return respond("200 OK", answer.content, KIND, *fields)

    with Scripted(forward) as relay:
        options = {"proxies": {"http": relay.url}, **keys}
        with RemoteToolserver(server.url("/"), "PYRPC", **options) as remote:
            assert how(remote) == "Signature"
            with pytest.raises(AnswerError, match="not sealed; it says: forged"):
                how(remote)


def test_a_new_key_of_the_server_is_read(server, home, keys, caplog):
    path = home / "privkeys" / "server.pem"
    own, other = path.read_text(), generate("rsa")
    signatures = server.worker._access._signatures
    public = Path(keys["pubkey"]).read_text()
    with RemoteToolserver(server.url("/"), "PYRPC", **keys) as remote:
        assert how(remote) == "Signature"
        try:
            path.write_text(private_pem(other))
            signatures.refresh()
            # A session goes on, and new ones are opened under the new key.
            assert how(remote) == "Session"
            Path(keys["pubkey"]).write_text(public_pem(other.public_key()))
            with RemoteToolserver(server.url("/"), "PYRPC", **keys) as second:
                assert [how(second), how(second)] == ["Signature", "Session"]
            for wrong in (private_pem(generate("ed25519")), "no key", None):
                if wrong is None:
                    path.unlink()
                else:
                    path.write_text(wrong)
                signatures.refresh()
                with RemoteToolserver(server.url("/"), "PYRPC", **keys) as third:
                    assert how(third) == "Signature"
        finally:
            path.touch(0o600)
            path.write_text(own)
            Path(keys["pubkey"]).write_text(public)
            signatures.refresh()
    messages = "\n".join(record.message for record in caplog.records)
    for part in ("of another kind", "no private key", "removed"):
        assert part in messages
    with RemoteToolserver(server.url("/"), "PYRPC", **keys) as remote:
        assert how(remote) == "Signature"


def test_callers_that_ask_for_none_have_none(server):
    """Clients of other versions, which sign each call."""
    caller = Caller(server)
    for value in (1, 2):
        assert caller.call("pickled.echo", value) == {"value": value}
