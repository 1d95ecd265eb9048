"""The server's certificates, and those of its clients."""

import os
import socket
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
import trustme

import toolserver.testing
from tests.http.raw_http import wait_for
from tests.passwords import quick_hash
from toolserver import StandardTool, context, register
from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.http.certificates import Certificates
from toolserver.settings import ServerSettings


@register("gate")
class Gate(StandardTool):
    def who(self) -> list[object]:
        return [context.client, context.auth_type, sorted(context.groups)]

    def subject(self) -> str:
        found = context.request.certificate if context.request else None
        return str(found["subjectAltName"]) if found else "none"

    def echo(self, data: bytes) -> int:
        return len(data)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def stranger():
    return trustme.CA()


class Folder:
    """The home of a server under TLS, and the files of its clients."""

    def __init__(self, path: Path, authority: trustme.CA) -> None:
        self.path = path
        self.authority = authority
        self.home = Home(path)
        self.home.create()
        self.trust = str(path / "ca.pem")
        authority.cert_pem.write_to_path(self.trust)
        self.issue()

    def issue(self, **facts) -> bytes:
        made = self.authority.issue_cert("localhost", "127.0.0.1", **facts)
        for name, blob in (
            ("cert.pem", made.cert_chain_pems[0]),
            ("key.pem", made.private_key_pem),
        ):
            draft = self.path / f"{name}.new"
            draft.write_bytes(blob.bytes())
            os.replace(draft, self.path / name)
        return made.cert_chain_pems[0].bytes()

    def client(self, name, authority=None, **facts):
        made = (authority or self.authority).issue_cert(
            common_name=name, organization_name=None, **facts
        )
        path = self.path / f"{time.monotonic_ns()}.pem"
        path.write_bytes(made.private_key_and_cert_chain_pem.bytes())
        return str(path)

    def serve(self, *, auth=None, **server):
        names = {"tls_certificate": "cert.pem", "tls_key": "key.pem"}
        config = {"server": {**names, **server}, "auth": auth or {}}
        return toolserver.testing.serve(Gate, config=config, home=self.path)

    def ask(self, server, method="who", **options):
        return requests.post(
            server.url(f"/gate/{method}"), verify=self.trust, timeout=10, **options
        )


@pytest.fixture
def folder(tmp_path, authority):
    return Folder(tmp_path, authority)


def shown(server):
    """The certificate that a new connection is shown."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    address = "127.0.0.1", server.worker.http.local[1]
    with (
        socket.create_connection(address, 5) as plain,
        trusting.wrap_socket(plain) as secure,
    ):
        found = secure.getpeercert(binary_form=True)
    return ssl.DER_cert_to_PEM_cert(found).strip().encode()


def test_a_new_certificate_is_for_new_connections(folder, monkeypatch):
    monkeypatch.setattr("toolserver.worker._CERTIFICATE_INTERVAL", 0.02)
    with folder.serve() as server:
        session = requests.Session()
        url = server.url("/gate/who")
        assert session.post(url, verify=folder.trust, timeout=5).status_code == 200
        new = folder.issue().strip()
        wait_for(lambda: shown(server) == new)
        # The open connection goes on as it was.
        assert session.post(url, verify=folder.trust, timeout=5).status_code == 200
        assert folder.ask(server).status_code == 200


def test_a_broken_pair_changes_nothing(folder, monkeypatch, caplog):
    monkeypatch.setattr("toolserver.worker._CERTIFICATE_INTERVAL", 0.02)
    with folder.serve() as server:
        before = shown(server)
        (folder.path / "cert.pem").write_text("-----BEGIN nonsense")
        wait_for(lambda: "what was there before still holds" in caplog.text)
        assert shown(server) == before
        assert folder.ask(server).status_code == 200
        assert caplog.text.count("still holds") == 1
        new = folder.issue().strip()
        wait_for(lambda: shown(server) == new)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tls_certificate": "cert.pem"}, "go together"),
        ({"tls_certificate": "no.pem", "tls_key": "key.pem"}, "no such file"),
        ({"tls_client_auth": "required"}, "need tls_certificate"),
        (
            {
                "tls_certificate": "cert.pem",
                "tls_key": "key.pem",
                "tls_client_auth": "required",
            },
            "who is trusted",
        ),
        (
            {
                "tls_certificate": "cert.pem",
                "tls_key": "key.pem",
                "tls_client_auth": "required",
                "tls_client_ca": "nobody",
            },
            "no such file",
        ),
        ({"tls_certificate": "cert.pem", "tls_key": "cert.pem"}, "cannot be used"),
    ],
)
def test_settings_that_cannot_be_used_are_told(folder, settings, message):
    config = {"server": settings}
    with (
        pytest.raises(StartError, match=message),
        toolserver.testing.serve(Gate, config=config, home=folder.path),
    ):
        pass


def test_files_that_cannot_be_used_are_told(folder):
    command = "openssl pkey -aes128 -passout pass:x -in key.pem -out locked.pem"
    subprocess.run(command.split(), cwd=folder.path, check=True)
    with (
        pytest.raises(StartError, match="encrypted"),
        folder.serve(tls_key="locked.pem"),
    ):
        pass
    with (
        pytest.raises(StartError, match="no certificates"),
        folder.serve(tls_client_auth="required", tls_client_ca="key.pem"),
    ):
        pass


def test_certificates_of_callers_need_somebody_to_ask_for_them(folder):
    with (
        pytest.raises(StartError, match="tls_client_auth has to ask"),
        folder.serve(auth={"certificate": True}),
    ):
        pass


@pytest.mark.parametrize("mode", ["none", "optional", "required"])
def test_clients_show_certificates_as_asked(folder, stranger, mode, caplog):
    ann = folder.client("ann", None)
    mallory = folder.client("mallory", stranger)
    old = folder.client("old", not_after=datetime.now(UTC) - timedelta(days=1))
    with folder.serve(tls_client_auth=mode, tls_client_ca="ca.pem") as server:
        if mode == "required":
            with pytest.raises(requests.ConnectionError):
                folder.ask(server)
            assert "TLS: no connection for 127.0.0.1" in caplog.text
        else:
            assert folder.ask(server).json()[0] is None
        for wrong in (mallory, old):
            if mode == "none":
                assert folder.ask(server, cert=wrong).status_code == 200
            else:
                with pytest.raises(requests.ConnectionError):
                    folder.ask(server, cert=wrong)
        assert folder.ask(server, cert=ann).status_code == 200
        # Whoever is refused holds up nobody.
        assert folder.ask(server, cert=ann).json()[:2] == [None, None]


def test_a_certificate_names_the_caller(folder):
    (folder.home.config / "groups").write_text("editors:ann\n")
    ann = folder.client("ann")
    settings = {"tls_client_auth": "optional", "tls_client_ca": "ca.pem"}
    with folder.serve(auth={"certificate": True}, **settings) as server:
        assert folder.ask(server, cert=ann).json() == [
            "ann",
            "Certificate",
            ["editors"],
        ]
        assert folder.ask(server).json() == [None, None, []]
        for name in ("server", "no name", "x" * 300):
            if len(name) < 65:
                wrong = folder.client(name)
                assert folder.ask(server, cert=wrong).status_code == 403


@pytest.mark.parametrize(
    ("kind", "identity", "expected"),
    [
        ("dns", "ann.example.org", "ann.example.org"),
        ("email", "ann@example.org", "ann@example.org"),
        ("dns", "ann@example.org", None),
    ],
)
def test_alternative_names_will_do(folder, kind, identity, expected):
    made = folder.authority.issue_cert(identity)
    cert = folder.path / "ann.pem"
    cert.write_bytes(made.private_key_and_cert_chain_pem.bytes())
    auth = {"certificate": True, "certificate_name": kind}
    settings = {"tls_client_auth": "optional", "tls_client_ca": "ca.pem"}
    with folder.serve(auth=auth, **settings) as server:
        answer = folder.ask(server, cert=str(cert))
        if expected is None:
            assert answer.status_code == 403
        else:
            assert answer.json()[0] == expected


def test_all_credentials_have_to_name_the_same_client(folder):
    hashed = quick_hash("secret")
    passwd = folder.home.config / "passwd"
    passwd.write_text(f"ann:{hashed}\nbob:{hashed}\n")
    (folder.home.config / "hosts.deny").write_text("# nobody yet\n")
    ann = folder.client("ann")
    settings = {"tls_client_auth": "optional", "tls_client_ca": "ca.pem"}
    with folder.serve(auth={"certificate": True}, **settings) as server:
        both = folder.ask(server, cert=ann, auth=("ann", "secret"))
        assert both.json()[0] == "ann"
        assert folder.ask(server, cert=ann, auth=("bob", "secret")).status_code == 401
        assert folder.ask(server, cert=ann, auth=("ann", "wrong")).status_code == 401
        (folder.home.config / "hosts.deny").write_text("all:127.0.0.0/8\n")
        wait_for(lambda: folder.ask(server, cert=ann).status_code == 403)


def test_the_command_line_shows_a_certificate(folder):
    ann = folder.client("ann")
    settings = {"tls_client_auth": "required", "tls_client_ca": "ca.pem"}

    def call(*words):
        command = [sys.executable, "-m", "toolserver", "call", "gate.who", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=30)

    with folder.serve(auth={"certificate": True}, **settings) as server:
        words = ["--url", server.url(), "--ca", folder.trust]
        assert "Certificate" in call(*words, "--cert", ann).stdout
        without = call(*words)
        assert without.returncode == 1
        assert "Traceback" not in without.stderr
        wrong = call(*words, "--cert", "nothing.pem")
        assert wrong.returncode == 1
        assert "nothing.pem" in wrong.stderr


def test_large_bodies_go_both_ways_with_certificates(folder):
    ann = folder.client("ann")
    settings = {"tls_client_auth": "required", "tls_client_ca": "ca.pem"}
    with folder.serve(auth={"certificate": True}, **settings) as server:
        data = os.urandom(2_000_000)
        answer = folder.ask(server, "echo", cert=ann, files={"data": data})
        assert answer.json() == len(data)


def test_an_end_that_comes_soon_is_warned_of_once_a_day(folder, caplog):
    now = time.time()
    folder.issue(not_after=datetime.now(UTC) + timedelta(days=10))
    settings = ServerSettings(tls_certificate="cert.pem", tls_key="key.pem")
    found = Certificates(settings, folder.path, lambda: now)
    found.load()
    assert caplog.text.count("the certificate expires on") == 1
    found.refresh()
    assert caplog.text.count("the certificate expires on") == 1
    now += 86401
    found.refresh()
    assert caplog.text.count("the certificate expires on") == 2
    now += 20 * 86400
    found.refresh()
    assert caplog.text.count("the certificate has expired on") == 1
    caplog.clear()
    folder.issue(not_after=datetime.now(UTC) + timedelta(days=300))
    assert found.refresh()
    now = time.time()
    found.refresh()
    assert "expire" not in caplog.text
