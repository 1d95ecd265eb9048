"""What the parts of authentication do at their edges, each by itself."""

from __future__ import annotations

import errno
import io
import os
import sys
import tempfile
import time
from dataclasses import dataclass

import pytest

import toolserver.testing
from toolserver import CRAMSettings, CRAMTool, Response, StandardTool, register
from toolserver.auth import sessions as sessions_module
from toolserver.auth.access import _make_issuer
from toolserver.auth.answers import changed, gather
from toolserver.auth.cram import AnsweredChallenges
from toolserver.auth.issueraddresses import is_safe
from toolserver.auth.keys import PublicKeys, generate, public_pem
from toolserver.auth.nonces import Nonces
from toolserver.auth.operators import Networks
from toolserver.auth.passwords import check_hash, hash_password, verify_password
from toolserver.auth.profile import read_label
from toolserver.auth.sessionfile import SessionFile
from toolserver.auth.sessionkeys import Grant, Numbered, SessionKeys
from toolserver.auth.sessions import Sessions, _seal
from toolserver.auth.signatures import SignatureAuthenticator
from toolserver.auth.signedrequests import DigestCheck, _spool, _SpooledBody
from toolserver.auth.signing import content_digest
from toolserver.auth.watched import WatchedFile
from toolserver.dispatcher import Dispatcher
from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.message import FileBody, Request
from toolserver.registry import Registry
from toolserver.services import Services, install
from toolserver.settings import AuthSettings, Settings

KEY = generate("ed25519").public_key()


@register("edges.plain")
class Plain(StandardTool):
    pass


# --- answers that are signed or sealed


class Own(Response):
    """A tool may have a class of its own."""


def test_a_copy_is_of_the_same_class():
    own = Own("a", status=201)
    made = changed(own, b"b", [("X", "y")])
    assert (type(made), made.status, made.body) == (Own, 201, b"b")
    assert own.body == b"a"


def file_body(tmp_path, length):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    return FileBody(os.open(path, os.O_RDONLY), 0, length)


def test_a_file_is_gathered_whole_or_not_at_all(tmp_path):
    assert gather(Response(file_body(tmp_path, 10))) == b"x" * 10
    with pytest.raises(EOFError, match="before its span"):
        gather(Response(file_body(tmp_path, 11)))


def test_events_are_not_held_back():
    events = Response(iter([b"data: 1\n\n"]), content_type="text/event-stream")
    assert gather(events) is None
    sealed = _seal(SessionKeys(bytes(32), "s" * 24), 1, b"", "", events)
    assert sealed is events


class Pieces:
    def __init__(self, *pieces):
        self.pieces = iter(pieces)
        self.is_closed = False

    def __iter__(self):
        return self

    def __next__(self):
        piece = next(self.pieces)
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self):
        self.is_closed = True


def test_a_source_that_fails_is_closed():
    pieces = Pieces(b"a", LookupError("gone"))
    with pytest.raises(LookupError):
        gather(Response(pieces))
    assert pieces.is_closed


@pytest.mark.parametrize("has_close", [True, False])
def test_what_is_too_long_to_be_held_back_is_sent_as_it_comes(monkeypatch, has_close):
    monkeypatch.setattr("toolserver.auth.answers._LARGEST", 2)
    pieces = Pieces(b"ab", b"c", b"d")
    response = Response(pieces)
    if not has_close:
        response.body = list(pieces)
    assert gather(response) is None
    assert b"".join(response.body) == b"abcd"
    response.close()
    assert pieces.is_closed is has_close


# --- challenges


def test_a_challenge_can_be_answered_for_some_time():
    with pytest.raises(ValueError, match="lifetime: got 0, expected more than 0"):
        CRAMSettings(secret="s", lifetime=0)


def test_without_a_home_there_is_no_memory_of_challenges():
    registry = Registry()
    offered = Services(registry, Dispatcher(registry), Settings())
    install(offered)
    try:
        with pytest.raises(RuntimeError, match="no home to remember them in"):
            AnsweredChallenges()
    finally:
        install(None, offered)


@dataclass(frozen=True)
class OtherSettings:
    secret: str = "s"


@register("edges.odd")
class Odd(CRAMTool):
    settings = OtherSettings()


def test_settings_of_another_class_are_refused():
    told = r"Odd.settings: got .*, expected an instance of CRAMSettings"
    with pytest.raises(StartError, match=told), toolserver.testing.serve(Odd):
        pass


# --- who may come, and by what


def test_a_server_without_keys_judges_no_signatures(caplog):
    with toolserver.testing.serve(Plain) as server:
        access = server.worker._access
        assert access.offer_sessions(60) is None
        assert access.own_key is None
        assert not access.is_known("ann", "Signature")
        assert not access.is_known("ann", "Bearer")
        watcher = access._watcher
        access.watch()
        assert access._watcher is watcher
        # The first key that comes is none.
        (server.worker.home.pubkeys / "ann.pem").write_text("no key")
        for _ in range(2):
            access._refresh()
        assert caplog.text.count("no signature holds: ") == 1
        (server.worker.home.pubkeys / "ann.pem").write_text(public_pem(KEY))
        access._refresh()
        assert access.is_known("ann", "Signature")
        assert not access.is_known("bob", "Signature")
        judge = access._signatures
        access.load()
        assert access._signatures is judge


def test_what_cannot_be_looked_for_is_told_once(caplog, monkeypatch):
    monkeypatch.setattr("toolserver.auth.access._INTERVAL", 0.001)
    looks = []

    def fails(self):
        looks.append(1)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("toolserver.auth.access.Access._refresh", fails)
    with toolserver.testing.serve(Plain):
        end = time.monotonic() + 30
        while len(looks) < 3 and time.monotonic() < end:
            time.sleep(0.001)
    assert len(looks) >= 3
    assert caplog.text.count("cannot look for changes for now") == 1


def test_a_part_of_our_own_that_is_missing_is_no_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "toolserver.auth.jsonwebtokens", None)
    settings = AuthSettings(jwt_issuer="https://id.example/")
    with pytest.raises(ModuleNotFoundError, match="jsonwebtokens"):
        _make_issuer(Home(tmp_path), settings, None)


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://id.example/", True),
        ("http://localhost:8080/keys", True),
        ("http://127.0.0.1/", True),
        ("http://[::1]/", True),
        ("http://id.example/", False),
        ("http://[::1", False),
        ("https:///keys", False),
    ],
)
def test_addresses_of_issuers(url, safe):
    assert is_safe(url) is safe


@pytest.mark.parametrize(
    ("listed", "peer", "expected"),
    [
        (["unix"], "", True),
        (["127.0.0.1"], "", False),
        (["127.0.0.1"], "127.0.0.1", True),
        (["unix"], "127.0.0.1", False),
    ],
)
def test_operators(listed, peer, expected):
    operators = Networks("ops.admins", listed)
    assert operators.have(Request(peer=peer)) is expected
    assert not operators.have(None)


# --- passwords


def test_hashes_that_cannot_be_checked_here(monkeypatch):
    assert not verify_password("x", "nonsense")
    monkeypatch.setattr("toolserver.auth.passwords.HAS_ARGON2", False)
    with pytest.raises(ModuleNotFoundError, match=r"toolserver\[argon2\]"):
        hash_password("x", argon2id=True)
    with pytest.raises(ValueError, match=r"toolserver\[argon2\]"):
        check_hash("$argon2id$v=19$m=65536,t=3,p=4$c2FsdHk$aGFzaA")


# --- files


def test_a_folder_of_keys_that_is_none(tmp_path, caplog, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="Not a directory"):
        PublicKeys(tmp_path / "file").load()
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "ann.pem").write_text(public_pem(KEY))
    (folder / "bob.pem").write_text("no key")
    keys = PublicKeys(folder)
    with pytest.raises(StartError, match=r"bob\.pem"):
        keys.load()
    (folder / "bob.pem").unlink()
    keys.load()

    def fails(_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr("os.scandir", fails)
        keys.refresh()
    assert "the keys stay as they are" in caplog.text
    assert keys.find("ann") is not None
    (folder / "bob.pem").write_text("no key")
    keys.refresh()
    assert "bob.pem" in caplog.text
    (folder / "bob.pem").unlink()
    keys.refresh()
    assert keys.find("ann") is not None
    assert keys.find("bob") is None


def test_a_key_that_cannot_be_read(tmp_path, monkeypatch):
    (tmp_path / "ann.pem").write_text(public_pem(KEY))

    def fails(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("pathlib.Path.open", fails)
    with pytest.raises(StartError, match=r"ann\.pem: Input/output error"):
        PublicKeys(tmp_path).load()


def test_a_memory_of_nonces_that_cannot_be_used(tmp_path):
    path = tmp_path / "nonces.db"
    (tmp_path / "nonces.db-wal").mkdir()
    with pytest.raises(StartError, match=r"nonces\.db: cannot be used"):
        Nonces(path, most=10, since=0)


def test_a_file_that_goes_on_being_wrong_is_told_of_once(tmp_path, caplog):
    path = tmp_path / "file"
    path.write_text("a")
    watched = WatchedFile(path, str)
    watched.load()
    path.unlink()
    path.mkdir()
    for _ in range(2):
        assert not watched.refresh()
    assert caplog.text.count("what was there before still holds") == 1
    assert watched.value == "a"


# --- signatures and sessions


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (("sig1=5", "sig1=:AAAA:"), "expected a list of components"),
        (("sig1=()", "sig1=5"), "expected bytes in base64"),
        (("sig1=()", "sig1=:AAAA:;a=1"), "expected bytes in base64"),
        (("sig1=()", "sig1=()"), "expected bytes in base64"),
        (("sig2=()", "sig2=:AAAA:"), "expected one signature, sig1"),
    ],
)
def test_what_is_no_signature(fields, told):
    with pytest.raises(ValueError, match=told):
        read_label(fields)


def test_what_judges_signatures_is_opened_and_closed_once(tmp_path):
    home = Home(tmp_path)
    home.create()
    judge = SignatureAuthenticator(home, AuthSettings(), 0.0, lambda namespace: None)
    judge.load()
    nonces = judge._nonces
    judge.load()
    assert judge._nonces is nonces
    assert judge.offer_sessions(60) is judge.offer_sessions(60)
    judge.close()
    judge.close()


@pytest.mark.parametrize("kind", [Numbered, Grant])
@pytest.mark.parametrize("field", ["", "x", '"short";n=1', '"' + "a" * 24 + '"'])
def test_what_names_no_session(kind, field):
    with pytest.raises(ValueError, match="toolserver-session: expected"):
        kind.read(field)


def test_a_file_of_sessions_that_was_cut_off_is_made_whole(tmp_path):
    path = tmp_path / "sessions"
    first = SessionFile(path, lifetime=60)
    id_ = first.open("ann", bytes(32), bytes(32))
    first.close()
    size = path.stat().st_size
    os.truncate(path, size // 2)
    second = SessionFile(path, lifetime=60)
    assert path.stat().st_size == size
    assert second.find(id_).client == "ann"
    second.close()


def test_what_is_known_of_sessions_is_bounded(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(sessions_module, "_KEPT", 2)
    monkeypatch.setattr(sessions_module, "_BOUND", 2)
    file = SessionFile(tmp_path / "sessions", lifetime=60)
    sessions = Sessions(file, lambda name: KEY)
    grants = [sessions.open("ann", KEY, bytes(32)) for _ in range(5)]
    found = [sessions._find(grant.session) for grant in grants]
    assert len(sessions._known) <= 2
    for number in range(5):
        request = Request(method="POST", raw_path=f"/{number}", host="h", scheme="http")
        assert found[0].bound_to(request) == found[0].bound_to(request)
        assert len(found[0].bound) <= 2
    monkeypatch.setattr(file, "open", lambda *_: None)
    assert sessions.open("ann", KEY, bytes(32)) is None
    assert "ann: no session, there are too many" in caplog.text
    sessions.close()


def test_a_body_that_was_read_once_is_read_again():
    def body():
        file = tempfile.SpooledTemporaryFile(10)  # noqa: SIM115
        file.write(b"a\nb\nc")
        file.seek(0)
        return _SpooledBody(file)

    assert body().read() == b"a\nb\nc"
    assert body().readline() == b"a\n"
    assert body().readlines() == list(body()) == [b"a\n", b"b\n", b"c"]


@pytest.mark.parametrize("size", [5, 200_000])
def test_a_body_that_arrives_is_kept_where_it_fits(size):
    text = b"x" * size
    request = Request(content=io.BytesIO(text))
    digest = DigestCheck(content_digest(text))
    kept = _spool(request, digest)
    assert digest.holds
    assert (kept if isinstance(kept, bytes) else kept.read()) == text
