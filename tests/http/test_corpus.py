"""The requests that gunicorn is tested with, replayed against our server.

Where the two part, the decision is ours; the rules that it follows stand beside it. The
requests come from gunicorn's source distribution, which is fetched when they are not
there yet.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from typing import NamedTuple

import pytest

from tests.http.raw_http import serving
from toolserver.message import Response

VERSION = "27.0.1"

#: Valid for gunicorn, refused by us.
REFUSED = {
    "005": "RFC 9112, section 3.2: a target has no fragment",
    "024": "limits.header_field: 8192 bytes, where gunicorn was set to more",
    "025": "RFC 9112, section 6.1: 501 for a coding other than chunked",
    "025_line": "RFC 9112, section 6.1: 501 for a coding other than chunked",
    "026": "limits.header_field: 8192 bytes, where gunicorn was set to more",
    "028": "RFC 9112, section 5.1: 400 for a space before the colon",
    "029": "RFC 9112, section 6.1: 501; identity is no coding any more",
    "030": "RFC 9112, section 6.1: 501; identity is no coding any more",
    "031": "RFC 9110, section 9.1: 501 for a method that is not known",
    "031compat": "RFC 9110, section 9.1: 501 for a method that is not known",
    "031compat2": "RFC 9110, section 9.1: 501 for a method that is not known",
    "099": "RFC 9112, section 8: its body is shorter than its length",
    "compat_obs_fold": "RFC 9112, section 5.2: 400 for a folded line",
    "compat_obs_fold_huge": "RFC 9112, section 5.2: 400 for a folded line",
    "pp_01": "the PROXY protocol is not part of HTTP",
    "pp_02": "the PROXY protocol is not part of HTTP",
    "pp_04": "the PROXY protocol is not part of HTTP",
    "pp_05": "the PROXY protocol is not part of HTTP",
    "rfc9112_smuggle_gzip_chunked_01": "RFC 9112, section 6.1: 501",
    "rfc9112_smuggle_te_identity_chunked_01": "RFC 9112, section 6.1: 501",
    "rfc9112_target_absolute_userinfo_01": "RFC 9110, section 4.2.4: no user names",
    "rfc9112_target_authority_connect_01": "RFC 9110, section 9.3.6: 501, no proxy",
    "rfc9112_target_authority_ipv6_01": "RFC 9110, section 9.3.6: 501, no proxy",
}
#: Refused by gunicorn, answered by us.
ANSWERED = {
    "006": "limits.request_line is longer by default",
    "008": "limits.header_field is longer by default",
    "010": "limits.header_field is longer than what gunicorn was set to",
    "011": "limits.headers are more than what gunicorn was set to",
    "012": "limits.header_field is longer than what gunicorn was set to",
    "017": "limits.header_field is longer than what gunicorn was set to",
    "019": "X-Forwarded-Proto is not believed but from proxies that are configured",
    "040": "RFC 9110, section 5.1: a name may have underscores; no WSGI sees them",
    "chunked_07": "RFC 9110, section 5.1: a name may have underscores; as above",
    "limit_header_default_01": "limits.header_field is longer by default",
    "rfc9110_trailer_forbidden_cl_01": "RFC 9110, section 6.5.1: trailers are dropped",
    "rfc9110_trailer_forbidden_host_01": "RFC 9110, section 6.5.1: as above",
    "rfc9110_trailer_forbidden_te_01": "RFC 9110, section 6.5.1: as above",
    "rfc9112_leading_crlf_02": "RFC 9112, section 2.2: empty lines are ignored",
}
#: Closed without an answer, as it ended in the middle of its head.
BROKEN_OFF = {"001"}


class Case(NamedTuple):
    """A request of the corpus.

    Attributes:
        data: Its bytes.
        expected: Methods, targets and bodies of the requests in it; None where it is
            refused.
    """

    data: bytes
    expected: list[tuple[str, str, bytes]] | None


@pytest.fixture(scope="module")
def corpus(pytestconfig):
    """The folder with the requests; without it the tests are skipped, but for CI."""
    folder = pytestconfig.cache.mkdir("gunicorn")
    archive = folder / f"gunicorn-{VERSION}.tar.gz"
    if not archive.exists():
        fetched = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--no-binary", "gunicorn", f"gunicorn=={VERSION}"),
                *("--dest", str(folder)),
            ],
            capture_output=True,
            text=True,
            timeout=100,
        )
        if fetched.returncode:
            reason = f"no source of gunicorn: {fetched.stderr[-300:]}"
            pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / f"gunicorn-{VERSION}" / "tests" / "requests"


@pytest.fixture(scope="module")
def replay():
    """Sends bytes, and gives the statuses of the answers and what was asked."""
    asked = []

    def answer(request):
        asked.append((request.method, request.target, request.body))
        return Response(b"")

    with serving(answer) as server:

        def replay(data):
            asked.clear()
            received = b""
            with (
                socket.create_connection(server.address, timeout=5) as client,
                contextlib.suppress(ConnectionError),
            ):
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                while piece := client.recv(65536):
                    received += piece
            statuses = re.findall(rb"^HTTP/1\.1 (\d+)", received, re.MULTILINE)
            return [int(status) for status in statuses], list(asked)

        yield replay


def unescape(text: bytes) -> bytes:
    """The bytes of a request: lines end where they say so."""
    data = text.replace(b"\n", b"").replace(b"\\r\\n", b"\r\n")
    for escape, byte in ((b"\\0", b"\0"), (b"\\n", b"\n"), (b"\\t", b"\t")):
        data = data.replace(escape, byte)
    data = data.replace(b"\\r", b"\r")
    return re.sub(rb"\\x([0-9a-fA-F]{2})", lambda each: bytes([int(each[1], 16)]), data)


def with_host(data: bytes, bodies: Iterable[bytes]) -> bytes:
    """The same with a host where there is none.

    RFC 9112, section 3.2, has a request of HTTP/1.1 without one refused; so there would
    be nothing to see of the rest.
    """
    places = [(data.find(body), len(body)) for body in bodies]

    def add(line: re.Match[bytes]) -> bytes:
        if any(0 <= at <= line.start() < at + length for at, length in places):
            return line[0]
        head = data[line.end() : data.find(b"\r\n\r\n", line.start())]
        has_one = re.search(rb"^host *:", head, re.MULTILINE | re.IGNORECASE)
        return line[0] if has_one else line[0] + b"Host: localhost\r\n"

    return re.sub(rb" HTTP/1\.1\r\n", add, data)


def read(path) -> Case:
    class Settings:
        def set(self, name, value):
            """Ours are our own."""

    class Errors(dict):
        def __missing__(self, name):
            return None

    names = Errors(uri=lambda text: text, cfg=Settings(), Config=Settings)
    # Their errors are named only, and need not be there.
    source = path.with_suffix(".py").read_text()
    source = re.sub(r"^from gunicorn.*$", "", source, flags=re.MULTILINE)
    code = compile(source, str(path), "exec")
    exec(code, names)  # what is to come of it is told in Python
    told = names["request"]
    expected = None
    if told is not None:
        several = told if isinstance(told, list) else [told]
        expected = [
            (each["method"], each["uri"], each["body"] or b"") for each in several
        ]
    bodies = [body for _, _, body in expected or ()]
    return Case(with_host(unescape(path.read_bytes()), bodies), expected)


def taken_apart(request: tuple[str, str, bytes]) -> tuple[str, str, bytes]:
    """The same without the host of its target (RFC 9112, section 3.2.2)."""
    method, target, body = request
    return method, re.sub(r"^https?://[^/]*", "", target), body


def test_what_is_valid_is_answered_but_for_what_is_listed(corpus, replay):
    refused = set()
    for path in sorted(corpus.glob("valid/*.http")):
        data, expected = read(path)
        statuses, asked = replay(data)
        assert statuses, path.stem
        if statuses[-1] != 200:
            assert statuses[-1] in (400, 431, 501), path.stem
            refused.add(path.stem)
            continue
        assert statuses == [200] * len(expected), path.stem
        assert asked == list(map(taken_apart, expected)), path.stem
    assert refused == set(REFUSED)


def test_what_is_invalid_is_refused_but_for_what_is_listed(corpus, replay):
    answered, broken_off = set(), set()
    for path in sorted(corpus.glob("invalid/*.http")):
        statuses, _ = replay(read(path).data)
        if not statuses:
            broken_off.add(path.stem)
        elif statuses[-1] == 200:
            answered.add(path.stem)
        else:
            # Nothing that follows it on the connection is taken for a request.
            assert [status for status in statuses if status != 200] == statuses[-1:]
    assert answered == set(ANSWERED)
    assert broken_off == BROKEN_OFF
