"""What was used once in one process of a server is used up in all of them."""

import json
import socket
from contextlib import ExitStack
from urllib.parse import urlsplit

import gevent
import pytest

from tests.auth.test_signatures import ANN, make_home
from tests.auth.twins import SECRET, process
from toolserver.auth.challenges import respond
from toolserver.auth.signing import sign_request
from toolserver.client import RemoteToolserver


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """The URLs of two processes that share a home with keys."""
    home = make_home(tmp_path_factory.mktemp("home"))
    with ExitStack() as stack:
        yield [stack.enter_context(process(home)) for _ in range(2)]


def send_at_once(urls, head, body):
    """Send one request to several servers, so that they have it at the same moment."""
    whole = f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    with ExitStack() as stack:
        opened = []
        for url in urls:
            parts = urlsplit(url)
            address = parts.hostname, parts.port
            opened.append(stack.enter_context(socket.create_connection(address, 20)))
            opened[-1].sendall(whole[:-1])
        last = [gevent.spawn(each.sendall, whole[-1:]) for each in opened]
        gevent.joinall(last, raise_error=True)
        return sorted(int(each.recv(4096).split()[1]) for each in opened)


def signed_request(url, path="twins/who/ask", keyid="ann", key=ANN):
    """The head of a request that is signed for one of the servers."""
    fields = {"Content-Type": "application/json"}
    made = sign_request("POST", f"{url}{path}", fields, b"{}", keyid=keyid, key=key)
    fields = {"Host": urlsplit(url).netloc, **fields, **made.fields}
    lines = [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([f"POST /{path} HTTP/1.1", *lines])


def test_a_signed_request_is_refused_by_the_other_process(twins):
    head = signed_request(twins[0])
    assert send_at_once(twins[:1], head, b"{}") == [200]
    assert send_at_once(twins[1:], head, b"{}") == [401]
    assert send_at_once(twins[:1], head, b"{}") == [401]


def test_of_two_processes_one_takes_a_signed_request(twins):
    for _ in range(20):
        assert send_at_once(twins, signed_request(twins[0]), b"{}") == [200, 401]


def test_of_two_processes_one_takes_what_a_shared_secret_signs(twins):
    shared = "twins/vault/open", "twins.vault", SECRET.encode()
    for _ in range(10):
        head = signed_request(twins[0], *shared)
        assert send_at_once(twins, head, b"{}") == [200, 401]
        assert send_at_once(twins, head, b"{}") == [401, 401]


def test_of_two_processes_one_takes_an_answered_challenge(twins):
    with RemoteToolserver(twins[0], "JSONRPC", proxies={}) as remote:
        challenges = [
            each
            for _ in range(2)
            for each in remote.call("twins.vault.get_challenges", 10)
        ]
    head = (
        "POST /twins/vault/open HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Type: application/json"
    )
    for challenge in challenges:
        token = [challenge, respond(challenge, SECRET)]
        body = json.dumps({"token": token}).encode()
        assert send_at_once(twins, head, body) == [200, 401]
        assert send_at_once(twins, head, body) == [401, 401]
