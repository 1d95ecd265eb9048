"""Nobody attaches but the owner, and who knows the password."""

import json
import os
import pwd
import re
import socket
import stat
import subprocess
import sys
import textwrap
import time

import gevent
import pytest
from gevent.server import StreamServer
from msgspec.structs import replace

import toolserver.testing
from tests.debugger.conftest import until
from tests.debugger.shop import Shop
from toolserver.debugger.client import attach_over_tcp, attach_to_socket
from toolserver.debugger.places import (
    folder_of,
    loopback_address,
    short_path,
    socket_of,
    workers_of,
)
from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.settings import DebuggerSettings, Settings
from toolserver.worker import Worker

PASSWORD = "correct horse battery"


@pytest.fixture
def guarded(tmp_path):
    """A server to which clients attach over TCP, too."""
    secret = tmp_path / "secret"
    secret.write_text(f"{PASSWORD}\n")
    secret.chmod(0o600)
    settings = {"enabled": True, "address": "127.0.0.1:0", "password_file": "secret"}
    with toolserver.testing.serve(
        Shop, home=tmp_path, config={"debugger": settings}
    ) as server:
        yield server


@pytest.fixture
def address(guarded):
    return until(lambda: guarded.worker._debugger.address)


def audit_of(server):
    path = server.worker.home.log / "audit.log"
    return path.read_text() if path.exists() else ""


def test_it_is_off_by_default(tmp_path):
    with toolserver.testing.serve(Shop, home=tmp_path) as server:
        assert not folder_of(server.worker.home).exists()


def test_the_socket_is_its_owners_alone(server):
    folder, path = folder_of(server.worker.home), socket_of(server.worker.home, 0)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_ISSOCK(path.stat().st_mode)


def test_a_folder_that_others_could_enter_is_shut(tmp_path):
    (tmp_path / "var" / "debug").mkdir(parents=True, mode=0o777)
    (tmp_path / "var" / "debug").chmod(0o777)
    with toolserver.testing.serve(
        Shop, home=tmp_path, config={"debugger": {"enabled": True}}
    ):
        assert stat.S_IMODE((tmp_path / "var" / "debug").stat().st_mode) == 0o700


def test_what_killed_workers_have_left_behind_is_removed(tmp_path):
    home = Home(tmp_path)
    folder_of(home).mkdir(parents=True)
    for worker in (0, 7):
        with (
            socket.socket(socket.AF_UNIX) as left,
            short_path(socket_of(home, worker)) as path,
        ):
            left.bind(path)
    with toolserver.testing.serve(
        Shop, home=tmp_path, config={"debugger": {"enabled": True}}
    ):
        assert workers_of(home) == [0]
        attach_to_socket(socket_of(home, 0), print).close()
    assert workers_of(home) == []


def as_another_user(path):
    """What another user is told at a socket, or why he does not even get there."""
    source = textwrap.dedent(
        f"""
        import os, socket
        nobody = {pwd.getpwnam("nobody").pw_uid}
        os.setgroups([])
        os.setgid(nobody)
        os.setuid(nobody)
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect({str(path)!r})
            sock.settimeout(20)
            print(sock.recv(1000).decode())
            print(sock.recv(1000).decode())
        except OSError as error:
            print(type(error).__name__)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=30
    )
    assert not done.returncode, done.stderr
    return done.stdout


needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can try as another user"
)


@needs_root
def test_another_user_does_not_get_to_the_socket(server):
    assert as_another_user(socket_of(server.worker.home, 0)) == "PermissionError\n"


@needs_root
def test_another_user_who_gets_to_the_socket_is_refused(server, audit, tmp_path):
    path = socket_of(server.worker.home, 0)
    path.chmod(0o777)
    modes = {each: stat.S_IMODE(each.stat().st_mode) for each in path.parents}
    shut = {each: mode for each, mode in modes.items() if not mode & 0o001}
    try:
        for folder, mode in shut.items():
            folder.chmod(mode | 0o001)
        told = as_another_user(path)
    finally:
        for folder, mode in shut.items():
            folder.chmod(mode)
    assert json.loads(told.splitlines()[0])["type"] == "refused"
    assert "belongs to another user" in told
    (refused,) = audit()
    nobody = pwd.getpwnam("nobody").pw_uid
    assert re.fullmatch(rf"refused: uid {nobody}, pid \d+", refused)


def test_who_knows_the_password_attaches(guarded, address):
    shown = []
    attachment = attach_over_tcp(address, PASSWORD.encode(), shown.append)
    assert attachment.run("6 * 7").value == "42"
    attachment.close()
    assert PASSWORD not in until(lambda: audit_of(guarded))
    assert ", 127.0.0.1 port " in audit_of(guarded)


def test_a_wrong_password_is_refused_slowly_and_written_down(
    guarded, address, monkeypatch
):
    monkeypatch.setattr("toolserver.debugger.admission._PENALTY_S", 0.2)
    begin = time.monotonic()
    with pytest.raises(StartError, match="wrong password"):
        attach_over_tcp(address, b"incorrect horse battery", print)
    assert time.monotonic() - begin >= 0.2
    assert "refused: 127.0.0.1 port" in audit_of(guarded)
    # Nothing else was let through.
    assert "begins" not in audit_of(guarded)


def test_an_answer_is_good_for_one_challenge(guarded, address):
    with socket.create_connection(address) as first:
        hello = json.loads(first.makefile().readline())
        challenge = hello["challenge"]
        assert len(challenge) == 64
    with socket.create_connection(address) as second:
        assert json.loads(second.makefile().readline())["challenge"] != challenge


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b'{"type":"run","source":"1"}\n',
        b'{"type":"answer","nonce":"","response":""}\n',
        b"[" * 5000 + b"\n",
        b"x" * 5000,
        b'{"type":"interrupt"}\n{"type":"run","source":"1"}\n',
    ],
)
def test_who_says_anything_else_before_is_cut_off(guarded, address, sent):
    with socket.create_connection(address, 20) as sock:
        sock.sendall(sent)
        told = b""
        try:
            while data := sock.recv(65536):
                told += data
        except ConnectionResetError:
            pass
    assert b"welcome" not in told
    assert "begins" not in audit_of(guarded)


def test_a_server_that_does_not_know_the_password_is_left(tmp_path):
    """Somebody else may have taken the port: he must not learn what is typed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def pretend():
            sock, _ = listener.accept()
            with sock:
                sock.sendall(b'{"type":"hello","challenge":"00"}\n')
                sock.recv(1000)
                sock.sendall(
                    b'{"type":"welcome","worker":0,"pid":1,"version":"1",'
                    b'"response":"00"}\n'
                )
                return sock.recv(1000)

        pretending = gevent.spawn(pretend)
        with pytest.raises(StartError, match="does not know the password"):
            attach_over_tcp(listener.getsockname(), PASSWORD.encode(), print)
        assert pretending.get() == b""


def test_another_host_finds_no_port(guarded, address):
    """The port is open on the loopback address alone."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: it only asks which address would be used.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("the machine has no address but the loopback one")
        own = probe.getsockname()[0]
    if own.startswith("127."):
        pytest.skip("the machine has no address but the loopback one")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((own, address[1]), 5)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0.0.0.0:4335", "can be reached from other machines"),
        ("[::]:4335", "can be reached from other machines"),
        ("192.0.2.1:4335", "can be reached from other machines"),
        ("example.org:4335", "expected one such as"),
        ("127.0.0.1", "expected one such as"),
        ("127.0.0.1:", "expected one such as"),
        ("127.0.0.1:70000", "expected one such as"),
        ("127.0.0.1:-1", "expected one such as"),
    ],
)
def test_addresses_that_are_not_the_machines_own_are_refused(text, told):
    with pytest.raises(StartError, match=told):
        loopback_address(text)


def test_addresses_of_the_machine_itself():
    assert loopback_address("127.0.0.1:4335") == ("127.0.0.1", 4335)
    assert loopback_address("localhost:1") == ("127.0.0.1", 1)
    assert loopback_address("[::1]:4335") == ("::1", 4335)


@pytest.mark.parametrize(
    ("settings", "mode", "password", "told"),
    [
        ({"address": "0.0.0.0:1", "password_file": "secret"}, 0o600, PASSWORD, "other"),
        ({"address": "127.0.0.1:0"}, 0o600, PASSWORD, "no debugger.password_file"),
        (
            {"address": "127.0.0.1:65535", "password_file": "secret"},
            0o600,
            PASSWORD,
            "port 65536, expected at most 65535",
        ),
        (
            {"address": "127.0.0.1:0", "password_file": "secret"},
            0o640,
            PASSWORD,
            "others may read",
        ),
        (
            {"address": "127.0.0.1:0", "password_file": "secret"},
            0o600,
            "short",
            "has 5 bytes",
        ),
        (
            {"address": "127.0.0.1:0", "password_file": "missing"},
            0o600,
            PASSWORD,
            "cannot be read",
        ),
    ],
)
def test_a_server_that_would_be_open_does_not_start(
    tmp_path, settings, mode, password, told
):
    secret = tmp_path / "secret"
    secret.write_text(password)
    secret.chmod(mode)
    made = Settings(debugger=DebuggerSettings(enabled=True, **settings))
    with pytest.raises(StartError, match=told):
        Worker(made, Home(tmp_path), tools=[], number=1).start()


def test_too_many_strangers_do_not_keep_the_owner_out_for_long(guarded, address):
    strangers = [socket.create_connection(address) for _ in range(4)]
    for stranger in strangers:
        assert b"hello" in stranger.recv(1000)
    with pytest.raises(StartError, match="too many"):
        attach_over_tcp(address, PASSWORD.encode(), print)
    # They wait at another door.
    path = socket_of(guarded.worker.home, 0)
    attach_to_socket(path, print).close()
    for stranger in strangers:
        stranger.close()


def test_a_home_deep_below(tmp_path):
    """The path of a Unix socket may have some hundred bytes only."""
    home = tmp_path / ("deep" * 30)
    with toolserver.testing.serve(
        Shop, home=home, config={"debugger": {"enabled": True}}
    ) as server:
        attachment = attach_to_socket(socket_of(server.worker.home, 0), print)
        assert attachment.run("1 + 1").value == "2"
        attachment.close()
    assert os.listdir(folder_of(server.worker.home)) == []


def test_a_process_leaves_its_places_to_the_one_that_replaces_it(
    guarded, address, monkeypatch, caplog
):
    monkeypatch.setattr("toolserver.debugger.listener._RETRY_S", 0.02)
    worker, port = guarded.worker, address[1]
    debugger = DebuggerSettings(
        enabled=True, address=f"127.0.0.1:{port}", password_file="secret"
    )
    settings = replace(worker.settings, debugger=debugger)
    later = Worker(settings, worker.home, tools=[])
    try:
        later.start()
        until(lambda: "cannot listen on port" in caplog.text)
        gevent.sleep(0.05)  # It tries several times, and tells of the first one.
        assert caplog.text.count("cannot listen on port") == 1
        worker._debugger.leave()
        assert until(lambda: later._debugger.address) == address
        for attachment in (
            attach_to_socket(socket_of(worker.home, 0), print),
            attach_over_tcp(address, PASSWORD.encode(), print),
        ):
            same = attachment.run("server.settings.debugger.address").value
            assert same == repr(debugger.address)
            attachment.close()
    finally:
        later.stop(1.0)


def test_not_too_many_are_attached_at_once(server):
    path = socket_of(server.worker.home, 0)
    attached = [attach_to_socket(path, print) for _ in range(8)]
    try:
        with pytest.raises(StartError, match="8 are attached already"):
            attach_to_socket(path, print)
    finally:
        for each in attached:
            each.close()
    # Who has left makes room.
    until(lambda: not server.worker._debugger._sessions)
    attach_to_socket(path, print).close()


def test_nobody_attaches_where_that_cannot_be_written_down(server, caplog):
    audit = server.worker.home.log / "audit.log"
    audit.unlink(missing_ok=True)
    audit.mkdir(parents=True)
    with pytest.raises(StartError, match="the audit log cannot be written"):
        attach_to_socket(socket_of(server.worker.home, 0), print)
    assert "the audit log cannot be written: " in caplog.text
    assert not server.worker._debugger._sessions
    audit.rmdir()
    attach_to_socket(socket_of(server.worker.home, 0), print).close()


def test_a_folder_that_is_none_keeps_the_server_from_starting(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "debug").symlink_to(tmp_path / "elsewhere")
    with (
        pytest.raises(StartError, match=r"var/debug is not the server's own folder"),
        toolserver.testing.serve(
            Shop, home=tmp_path, config={"debugger": {"enabled": True}}
        ),
    ):
        pass


def test_what_is_no_debugger_is_told():
    def answer(sock, _):
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    other = StreamServer(("127.0.0.1", 0), answer)
    other.start()
    try:
        with pytest.raises(StartError, match="debugger: cannot attach: "):
            attach_over_tcp(other.address, PASSWORD.encode(), print)
    finally:
        other.stop()


def test_where_nobody_listens_is_told(tmp_path):
    with pytest.raises(StartError, match=r"cannot attach to .*No such file"):
        attach_to_socket(tmp_path / "nothing", print)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(StartError, match="Connection refused"):
        attach_over_tcp(("127.0.0.1", port), PASSWORD.encode(), print)
