"""Behind nginx, which ends TLS: addresses, clients, streams and uploads are right."""

import hashlib
import http.client
import json
import os
import re
import ssl
import xml.etree.ElementTree as ElementTree
from urllib.parse import urljoin

import gevent
import pytest
import requests
from gevent.event import Event
from zeep import Client
from zeep.transports import Transport

from tests.deploy.nginx import PROGRAM, Nginx
from toolserver import (
    Request,
    StandardTool,
    context,
    limit,
    progress,
    read_only,
    register,
    rest,
)
from toolserver.auth.keys import generate, private_pem, public_pem
from toolserver.auth.nonces import Nonces
from toolserver.client import RemoteToolserver
from toolserver.testing import serve

NAME = "tools.example.org"
#: Of the loopback network, so that nginx sees clients of several addresses.
ANN, EVE = "127.0.0.8", "127.0.0.9"


@register("behind")
class Behind(StandardTool):
    """What there is to ask about a proxy."""

    def __init__(self) -> None:
        self.release = Event()
        self.arrived = 0

    @read_only
    def who(self) -> list[str | None]:
        request = context.request
        return [request.peer, request.scheme, request.host, context.client]

    def count(self):
        """Count, and go on when somebody has seen how far it has come."""
        for number in range(3):
            yield f"{number}\n"
            assert self.release.wait(10)
            self.release.clear()

    def work(self) -> int:
        progress(0.5, "half of it")
        assert self.release.wait(10)
        return 42

    @limit(max_body=64_000_000)
    @rest("PUT")
    def take(self, request: Request) -> list[int | str]:
        digest, size = hashlib.sha256(), 0
        while piece := request.stream.read(65536):
            digest.update(piece)
            self.arrived = size = size + len(piece)
        return [size, digest.hexdigest()]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


@pytest.fixture(scope="module")
def keys():
    return generate("ed25519"), generate("ed25519")


@pytest.fixture(scope="module")
def server(tmp_path_factory, keys):
    home = tmp_path_factory.mktemp("home")
    write(home / "config" / "hosts.deny", f"eve:{EVE}\n")
    write(home / "privkeys" / "server.pem", private_pem(keys[0]))
    write(home / "pubkeys" / "ann.pem", public_pem(keys[1].public_key()))
    (home / "var").mkdir()
    Nonces(home / "var" / "nonces.db", most=1000, since=0).close()
    config = {
        "server": {"trusted_proxies": ["127.0.0.1"], "hosts": [NAME]},
        "limits": {"body": 2_000_000},
    }
    with serve(Behind, home=home, config=config) as running:
        yield running


@pytest.fixture(scope="module")
def nginx(server, tmp_path_factory):
    if PROGRAM is None:
        if os.environ.get("CI"):
            pytest.fail("nginx is not installed")
        pytest.skip("nginx is not installed")
    host, port = server.worker.http.local
    proxy = Nginx(tmp_path_factory.mktemp("nginx"), f"{host}:{port}")
    yield proxy
    proxy.close()


@pytest.fixture
def tool(server):
    found = server.tool("behind")
    found.release.clear()
    found.arrived = 0
    yield found
    found.release.set()


@pytest.fixture
def ask(nginx):
    """Sends a request to nginx; gives the answer, whose body is still to be read."""
    made = []

    def send(method, path, body=None, headers=None, client=ANN):
        tls = ssl.create_default_context(cafile=nginx.authority)
        connection = http.client.HTTPSConnection(
            "127.0.0.1", nginx.port, timeout=15, source_address=(client, 0), context=tls
        )
        made.append(connection)
        connection.request(method, path, body, {"Host": NAME, **(headers or {})})
        return connection.getresponse()

    yield send
    for connection in made:
        connection.close()


# --- addresses


def test_the_server_knows_what_the_client_has_asked(ask):
    told = json.loads(ask("GET", "/behind/who").read())
    assert told == [ANN, "https", NAME, None]


def test_documents_name_the_public_address(ask):
    wsdl = ElementTree.fromstring(ask("GET", "/WSDL/behind").read())
    places = {
        each.get("location") for each in wsdl.iter() if each.tag.endswith("}address")
    }
    assert places == {f"https://{NAME}/SOAP/behind"}
    openapi = json.loads(ask("GET", "/openapi.json?tool=behind").read())
    assert openapi["servers"] == [{"url": f"https://{NAME}"}]


@pytest.mark.parametrize("path", ["/API/", "/API/behind/"])
def test_pages_name_no_other_address(ask, server, path):
    answer = ask("GET", path)
    page = answer.read().decode()
    assert answer.status == 200
    assert str(server.worker.http.local[1]) not in page
    assert not re.search(r"http://(?!www\.w3\.org/)|127\.0\.0\.1|localhost", page)


def test_redirects_stay_at_the_public_address(ask):
    answer = ask("GET", "/API/behind")
    assert answer.status == 308
    place = urljoin(f"https://{NAME}/API/behind", answer.headers["Location"])
    assert place == f"https://{NAME}/API/behind/"


def test_a_soap_client_finds_the_server_by_its_document(nginx):
    with requests.Session() as session:
        session.verify = str(nginx.authority)
        session.trust_env = False
        transport = Transport(session=session)
        client = Client(f"{nginx.url}/WSDL/behind", transport=transport)
        assert client.service.who()[1:3] == ["https", f"localhost:{nginx.port}"]


def test_a_page_of_the_public_address_is_ours(ask):
    call = '{"jsonrpc": "2.0", "id": 1, "method": "behind.who"}'
    json_type = {"Content-Type": "application/json"}
    for origin, status in [
        (f"https://{NAME}", 200),
        (f"http://{NAME}", 403),
        ("https://evil.example", 403),
    ]:
        headers = {**json_type, "Origin": origin}
        assert ask("POST", "/JSONRPC", call, headers).status == status


def test_signatures_are_of_the_public_address(nginx, keys, tmp_path):
    client = RemoteToolserver(
        nginx.url,
        privkey=write(tmp_path / "ann.pem", private_pem(keys[1])),
        pubkey=write(tmp_path / "server.pem", public_pem(keys[0].public_key())),
        verify=str(nginx.authority),
        proxies={},
    )
    with client:
        assert client.call("behind.who")[3] == "ann"


# --- clients


def test_who_is_denied_is_denied_behind_the_proxy(ask):
    for lie in (
        {},
        {"X-Forwarded-For": ANN},
        {"X-Forwarded-For": "127.0.0.1, 127.0.0.1"},
        {"Forwarded": f"for={ANN}"},
        {"X-Real-IP": ANN},
    ):
        assert ask("GET", "/behind/who", headers=lie, client=EVE).status == 403


@pytest.mark.parametrize(
    "lie",
    [
        {"X-Forwarded-For": "192.0.2.1"},
        {"Forwarded": "for=192.0.2.1;proto=http;host=localhost"},
        {"X-Forwarded-Proto": "http", "X-Forwarded-Host": "localhost"},
    ],
)
def test_clients_do_not_speak_for_the_proxy(ask, lie):
    told = json.loads(ask("GET", "/behind/who", headers=lie).read())
    assert told == [ANN, "https", NAME, None]


def test_other_names_are_refused(ask):
    assert ask("GET", "/behind/who", headers={"Host": "evil.example"}).status == 421


# --- streams and uploads


def test_a_stream_arrives_as_it_is_made(ask, tool):
    answer = ask("GET", "/behind/count")
    for number in range(3):
        # The next line is made only now.
        assert answer.readline() == f"{number}\n".encode()
        tool.release.set()
    assert answer.read() == b""


def test_a_job_is_followed_by_its_events(ask, tool):
    started = ask("POST", "/behind/work", headers={"Prefer": "respond-async"})
    assert started.status == 202
    path = started.headers["Location"]
    assert path.startswith("/jobs/")
    events = ask("GET", path, headers={"Accept": "text/event-stream"})
    assert events.headers["Content-Type"].startswith("text/event-stream")
    seen = []
    for line in events:
        if line.startswith(b"data: "):
            told = json.loads(line.removeprefix(b"data: "))
            seen.append((told["state"], told["fraction"]))
            if told["fraction"] == 0.5:
                # Whoever hears of it lets the call go on.
                tool.release.set()
    assert ("running", 0.5) in seen
    assert seen[-1][0] == "done"
    assert json.loads(ask("GET", f"{path}/result").read()) == 42


def test_a_long_upload_arrives_while_it_is_sent(ask, tool):
    piece = os.urandom(65536)
    pieces = 200
    digest = hashlib.sha256(piece * pieces).hexdigest()

    def body():
        for number in range(pieces):
            if number == pieces // 2:
                with gevent.Timeout(10):
                    while tool.arrived < number * len(piece):
                        gevent.sleep(0.01)
            yield piece

    sizes = [{"Content-Length": str(len(piece) * pieces)}, {}]
    for headers in sizes:
        tool.arrived = 0
        answer = ask("PUT", "/behind/take", body(), headers)
        assert json.loads(answer.read()) == [len(piece) * pieces, digest]


@pytest.mark.parametrize("is_chunked", [False, True])
def test_an_upload_that_is_too_large_is_told_so(ask, is_chunked):
    body = iter([bytes(65536)] * 120) if is_chunked else bytes(120 * 65536)
    answer = ask("POST", "/behind/who", body, {"Content-Type": "application/json"})
    assert answer.status == 413
    assert b"body: more than 2000000 bytes" in answer.read()
