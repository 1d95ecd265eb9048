"""What `tsctl doctor` finds, in homes where something is wrong."""

import datetime as dt
import fcntl
import itertools
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.cli.conftest import TOOL, ask, run
from tests.tracing import IS_MEASURED
from toolserver import __version__
from toolserver.auth.keys import generate, private_pem, public_pem
from toolserver.auth.passwords import hash_password
from toolserver.configuration import load
from toolserver.doctor import examination
from toolserver.doctor.findings import Case
from toolserver.doctor.folders import check_permissions, check_room
from toolserver.doctor.keys import check_certificates, check_keys
from toolserver.doctor.machine import check_clock, check_descriptors, check_patches
from toolserver.doctor.starting import (
    check_exposure,
    check_extras,
    check_port,
    check_running,
)
from toolserver.home import Home
from toolserver.pidfile import State, pid_path

AS_IT_IS = pytest.mark.skipif(
    IS_MEASURED, reason="coverage loads modules before gevent can patch them"
)


@pytest.fixture
def home(tmp_path):
    path = tmp_path / "home"
    assert ask(path, "init").code == 0
    return Home(path)


def case(home, settings="", running=None):
    home.settings_file.write_text(settings)
    return Case(home, load(home.settings_file), running)


def examine(check, *given, **options):
    """Problems and warnings, as texts with their advice."""
    found = list(check(*given, **options))
    texts = [f"{each.message} -> {each.advice}" for each in found]
    return (
        [text for text, each in zip(texts, found, strict=True) if each.is_problem],
        [text for text, each in zip(texts, found, strict=True) if not each.is_problem],
    )


# --- the command


@AS_IT_IS
def test_a_healthy_home(home):
    (home.tools / "orders.py").write_text(TOOL)
    (home.settings_file).write_text("[server]\nport = 0\n")
    begun = time.monotonic()
    done = run(home.path, "doctor", "--json")
    assert done.code == 0, done.out
    assert time.monotonic() - begun < 20
    told = json.loads(done.out)
    assert told["healthy"] is True
    names = [each["check"] for each in told["checks"]]
    assert names[:2] == ["home", "settings"]
    assert names[-2:] == ["gevent", "tools"]


def test_tools_that_do_not_load(home):
    (home.tools / "orders.py").write_text("import nothing_like_it\n")
    (home.settings_file).write_text("[server]\nport = 0\n")
    done = ask(home.path, "doctor")
    assert done.code == 1
    assert "ok       settings\n" in done.out
    assert "PROBLEM  tools: " in done.out
    assert "nothing_like_it" in done.out
    assert "\n         -> put that right" in done.out


def test_settings_that_are_not_known(home):
    home.settings_file.write_text("[server]\nprot = 1\n")
    done = ask(home.path, "doctor", "--json")
    assert done.code == 1
    *_, last = json.loads(done.out)["checks"]
    assert last["check"] == "settings"
    message = last["findings"][0]["message"]
    assert message.endswith(":2: unknown setting server.prot, did you mean port?")


def test_a_pid_file_that_somebody_else_holds(home, monkeypatch):
    monkeypatch.setattr("toolserver.pidfile._UNCLEAR_S", 0.05)
    home.settings_file.write_text("[server]\nport = 0\n")
    path = pid_path(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        *_, (name, (finding,)) = examination.examine(home)
    assert name == "server"
    assert str(path) in finding.message
    assert finding.advice


def test_no_home(tmp_path):
    done = ask(tmp_path, "doctor")
    assert done.code == 1
    assert f"-> run 'tsctl --home {tmp_path} init' to make it one" in done.out


# --- folders


def test_nothing_is_open_in_a_new_home(home):
    assert examine(check_permissions, case(home)) == ([], [])


@pytest.mark.parametrize(
    ("name", "mode", "advice"),
    [
        ("privkeys", 0o750, "chmod 700"),
        ("privkeys/ann.pem", 0o640, "chmod 600"),
        ("config/passwd", 0o644, "chmod 640"),
        ("tools/shop.py", 0o666, "chmod o-w"),
        ("lib", 0o777, "chmod o-w"),
    ],
)
def test_what_is_open_to_others(home, name, mode, advice):
    path = home.path / name
    if not path.exists():
        path.touch(0o600)
    path.chmod(mode)
    (problem,), _ = examine(check_permissions, case(home))
    assert problem.startswith(f"{path}: ")
    assert f"(mode {mode:o})" in problem
    assert problem.endswith(f"run: {advice} {path}")


def test_a_key_for_tls_that_is_open_to_others(home):
    key = home.config / "tls.key"
    key.touch()
    key.chmod(0o644)
    settings = '[server]\ntls_key = "config/tls.key"\n'
    (problem,), _ = examine(check_permissions, case(home, settings))
    assert problem.endswith(f"run: chmod 640 {key}")
    # There is none, which is told of the certificate.
    missing = case(home, '[server]\ntls_key = "privkeys/no.pem"\n')
    assert examine(check_permissions, missing) == ([], [])
    assert examine(check_keys, missing) == ([], [])


def test_a_group_may_look_after_accounts(home):
    (home.config / "passwd").touch()
    (home.config / "passwd").chmod(0o640)
    assert examine(check_permissions, case(home)) == ([], [])


def test_a_folder_that_is_missing(home):
    home.www.rmdir()
    (problem,), _ = examine(check_permissions, case(home))
    assert problem.startswith(f"{home.www}: no such folder -> run: tsctl --home")
    done = ask(home.path, "doctor")
    # Nothing is tried then, as that would make the folder.
    assert done.code == 1
    assert "tools" not in done.out.replace(str(home.path), "")
    assert not home.www.exists()


@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None,
    reason="root may write anywhere",
)
def test_a_folder_that_cannot_be_written(home):
    home.var.chmod(0o500)
    command = [sys.executable, "-m", "toolserver", "--home", str(home.path), "doctor"]
    if os.geteuid() == 0:
        command = ["setpriv", "--bounding-set", "-dac_override", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert f"PROBLEM  permissions: {home.var}: cannot be written by" in done.stdout


def test_a_full_disk(home):
    assert examine(check_room, case(home), least=0) == ([], [])
    problems, _ = examine(check_room, case(home), least=2**62)
    assert [each.split(":")[0] for each in problems] == [str(home.var), str(home.log)]


def test_a_disk_on_which_few_more_files_fit(home, monkeypatch):
    shutil.rmtree(home.log)
    own = os.statvfs(home.var)

    def statvfs(path, free=3):
        fields = list(own)
        fields[5], fields[7] = 1000, free  # f_files and f_favail
        return os.statvfs_result((*fields, own.f_fsid))

    monkeypatch.setattr("toolserver.doctor.folders.os.statvfs", statvfs)
    (problem,), _ = examine(check_room, case(home), least=0)
    assert problem.startswith(f"{home.var}: 3 more files fit on its disk")


# --- the machine


def test_a_clock_that_is_right(home):
    assert examine(check_clock, case(home)) == ([], [])


def test_a_clock_that_jumps(home):
    jumps = itertools.count(0, 1.0)
    (problem,), _ = examine(
        check_clock, case(home), clock=lambda: time.time() + min(next(jumps), 1.0)
    )
    assert problem.startswith("the clock has jumped by 1.0")


def test_a_clock_that_is_late(home):
    (problem,), (warning,) = examine(
        check_clock, case(home), clock=lambda: time.time() - 600
    )
    assert "differs by 600 s from that of this machine" in problem
    assert "was changed 600 s from now" in warning


def test_too_few_descriptors(home):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fits = case(home, f"[limits]\nconnections = {hard // 2}\n")
    assert examine(check_descriptors, fits) == ([], [])
    settings = f"[limits]\nconnections = {hard}\n"
    _, (warning,) = examine(check_descriptors, case(home, settings))
    assert f"the hard bound of this shell is {hard}" in warning
    running = State(os.getpid())
    _, (warning,) = examine(check_descriptors, case(home, settings, running))
    assert f"the hard bound of the running server is {hard}" in warning


def test_a_server_that_ends_as_it_is_examined(home):
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    settings = "[limits]\nconnections = 1_000_000_000\n"
    ended = case(home, settings, State(done.pid))
    assert examine(check_descriptors, ended) == ([], [])


@AS_IT_IS
def test_a_module_that_is_loaded_too_early(home, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    custom = tmp_path / "sitecustomize.py"
    custom.write_text("import ssl, urllib.request\n")
    assert examine(check_patches, case(home)) == ([], [])
    custom.write_text("import early\n")
    (tmp_path / "early.py").write_text("from time import sleep as pause\n")
    (problem,), _ = examine(check_patches, case(home))
    assert ": early.pause remains time.sleep -> find what loads it" in problem
    (tmp_path / "early.py").write_text("import ssl\nclass C(ssl.SSLContext): pass\n")
    (problem,), _ = examine(check_patches, case(home))
    assert "MonkeyPatchWarning" in problem


# --- starting


def test_a_port_that_is_taken(home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = f"[server]\nport = {port}\n"
        (problem,), _ = examine(check_port, case(home, text))
        assert f"port {port} of 127.0.0.1 is taken" in problem
        assert "-> stop it or set server.port" in problem
        ours = State(os.getpid(), port=port)
        assert examine(check_port, case(home, text, ours)) == ([], [])
    assert examine(check_port, case(home, text)) == ([], [])


def test_a_unix_socket_that_cannot_be_had(home, tmp_path):
    def found(path, **options):
        problems, _ = examine(
            check_port, case(home, f'[server]\nunix_socket = "{path}"\n', **options)
        )
        return " ".join(problems)

    assert found(tmp_path / "s") == ""
    assert "cannot be written" in found(tmp_path / "nowhere" / "s")
    (tmp_path / "file").touch()
    assert "is no socket" in found(tmp_path / "file")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "s"))
        # Left behind by a server that was killed.
        assert found(tmp_path / "s") == ""
        other.listen()
        assert "is taken" in found(tmp_path / "s")
        assert found(tmp_path / "s", running=State(os.getpid())) == ""


def test_a_server_that_is_not_what_is_installed(home):
    running = State(os.getpid(), version="0.0.1", reload_error="no such module")
    (problem,), (warning,) = examine(check_running, case(home, running=running))
    assert "serves old code: no such module -> put that right" in problem
    assert "is of version 0.0.1" in warning
    same = State(os.getpid(), version=__version__)
    assert examine(check_running, case(home, running=same)) == ([], [])


@pytest.mark.parametrize(
    ("settings", "problems", "warnings"),
    [
        ("", [], []),
        ("debug = true", [], []),
        ('host = "0.0.0.0"', [], ["server.hosts"]),
        ('host = "::"\nhosts = ["a.example"]\ndebug = true', ["server.debug"], []),
        ('trusted_proxies = ["0.0.0.0/0"]', ["server.trusted_proxies"], []),
        ('trusted_proxies = ["10.0.0.0/8"]', [], []),
    ],
)
def test_settings_for_others(home, settings, problems, warnings):
    found = examine(check_exposure, case(home, f"[server]\n{settings}\n"))
    assert [[text.split(":")[0] for text in kind] for kind in found] == [
        problems,
        warnings,
    ]


def test_extras_that_are_missing(home, monkeypatch):
    (home.config / "passwd").write_text(
        f"ann:{hash_password('secret', argon2id=True)}\n"
    )
    settings = '[auth]\njwt_issuer = "https://issuer.example"\n'
    assert examine(check_extras, case(home, settings)) == ([], [])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    problems, _ = examine(check_extras, case(home, settings))
    assert [each.split(" -> ")[1] for each in problems] == [
        "run: pip install 'toolserver[jwt]'",
        "run: pip install 'toolserver[argon2]'",
    ]


# --- keys and certificates


@pytest.fixture(scope="module")
def small_key():
    return rsa.generate_private_key(65537, 1024)


def private(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def test_keys(home, small_key):
    for name in ("ann", "server"):
        path = home.privkeys / f"{name}.pem"
        path.touch(0o600)
        path.write_text(private_pem(generate("ed25519")))
    (home.pubkeys / "ann.pem").write_text(public_pem(generate("ed25519").public_key()))
    assert examine(check_keys, case(home)) == ([], [])
    (home.privkeys / "server.pem").write_bytes(private(small_key))
    (home.pubkeys / "bob.pem").write_text(public_pem(small_key.public_key()))
    (home.pubkeys / "eve.pem").write_text("rubbish")
    problems, _ = examine(check_keys, case(home))
    assert "1024 bits" in problems[0]
    assert problems[0].endswith("tsctl keygen --force --server")
    assert "1024 bits" in problems[1]
    assert "ask bob for another one" in problems[1]
    assert "expected a public key in PEM" in problems[2]


TLS = """[server]
tls_certificate = "config/chain.pem"
tls_key = "privkeys/tls.pem"
"""


@pytest.mark.parametrize(
    ("begins", "ends", "problem", "warning"),
    [
        (-10, 100, "", ""),
        (-10, 5, "", "expires on"),
        (-10, -1, "has expired on", ""),
        (1, 100, "is not valid before", ""),
    ],
)
def test_certificates(home, small_key, begins, ends, problem, warning):
    key = ec.generate_private_key(ec.SECP256R1())
    write_certificate(home, key, begins, ends)
    (home.privkeys / "tls.pem").write_bytes(private(key))
    (home.privkeys / "tls.pem").chmod(0o600)
    problems, warnings = examine(check_certificates, case(home, TLS))
    assert [problem] * bool(problem) == [
        problem for text in problems if problem in text and "CN=example" in text
    ]
    assert len(problems) == bool(problem)
    assert len(warnings) == bool(warning)
    assert warning in " ".join(warnings)


def test_a_certificate_of_another_key(home):
    key, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    write_certificate(home, key, -1, 100)
    (home.privkeys / "tls.pem").write_bytes(private(other))
    (problem,), _ = examine(check_certificates, case(home, TLS))
    assert "certificate and key cannot be used" in problem


@pytest.fixture
def of_tls(home):
    key = ec.generate_private_key(ec.SECP256R1())
    write_certificate(home, key, -1, 100)
    (home.privkeys / "tls.pem").write_bytes(private(key))
    (home.privkeys / "tls.pem").chmod(0o600)


def test_the_key_of_tls_is_judged_with_its_certificate(home, of_tls):
    assert examine(check_keys, case(home, TLS)) == ([], [])
    (problem,), _ = examine(check_keys, case(home))
    assert str(home.privkeys / "tls.pem") in problem


def test_certificates_of_authorities(home, of_tls):
    chain = home.config / "chain.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    trusted = home.config / "trusted"
    trusted.mkdir()
    (trusted / "a.pem").write_bytes(chain.read_bytes())
    write_certificate(home, key, -10, -1)
    chain.rename(trusted / "b.pem")
    (home.config / "chain.pem").write_bytes((trusted / "a.pem").read_bytes())
    settings = f'{TLS}tls_client_ca = "config/trusted"\n'
    (problem,), _ = examine(check_certificates, case(home, settings))
    assert problem.startswith(f"{trusted / 'b.pem'}: ")
    assert problem.endswith("-> clients that it has certified are refused")
    settings = f'{TLS}tls_client_ca = "config/trusted/b.pem"\n'
    (problem,), _ = examine(check_certificates, case(home, settings))
    assert "has expired on" in problem


def write_certificate(home, key, begins, ends):
    name = x509.Name.from_rfc4514_string("CN=example")
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now + dt.timedelta(days=begins))
        .not_valid_after(now + dt.timedelta(days=ends))
        .sign(key, hashes.SHA256())
    )
    chain = home.config / "chain.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
