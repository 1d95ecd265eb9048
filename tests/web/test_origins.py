"""Which pages are the server's own."""

import pytest

import toolserver.testing
from tests.sample import Faults
from toolserver.message import Headers, Request
from toolserver.web.origins import foreign_origin, origin_of


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("http", "shop.example", "http://shop.example"),
        ("http", "shop.example:80", "http://shop.example"),
        ("https", "shop.example:443", "https://shop.example"),
        ("http", "shop.example", "http://SHOP.example"),
        ("http", "[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_pages_of_the_server_that_was_asked(scheme, host, origin):
    request = Request(scheme=scheme, host=host, headers=Headers([("Origin", origin)]))
    assert foreign_origin(request) is None


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("http", "shop.example", "http://shop.example:8080"),
        ("http", "shop.example:443", "https://shop.example"),
        ("https", "shop.example:80", "https://shop.example"),
        ("http", "shop.example", "http://shop.example.evil.example"),
    ],
)
def test_pages_of_others(scheme, host, origin):
    request = Request(scheme=scheme, host=host, headers=Headers([("Origin", origin)]))
    assert foreign_origin(request) == origin


def test_a_rewritten_host_does_not_count():
    headers = Headers([("Origin", "http://shop.example")])
    request = Request(host="inside.example", headers=headers)
    assert foreign_origin(request) == "http://shop.example"
    request.notes["host"] = "shop.example"
    assert foreign_origin(request) is None


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Shop.example/a/b", "https://shop.example"),
        ("https://shop.example:443/", "https://shop.example"),
        ("http://shop.example:8080", "http://shop.example:8080"),
    ],
)
def test_the_origin_of_a_url(url, origin):
    assert origin_of(url) == origin


def test_the_public_address_is_the_servers_own():
    config = {"server": {"public_url": "https://shop.example/"}}
    with toolserver.testing.serve(Faults, config=config) as server:
        message = {"jsonrpc": "2.0", "id": 1, "method": "sample.faults.fine"}
        for origin, may in (
            ("https://shop.example", True),
            ("http://a.example", False),
        ):
            headers = {"Origin": origin}
            for path, sent in (("JSONRPC", message), ("sample/faults/raises", {})):
                url = f"{server.worker.http.url}/{path}"
                answer = server.http.post(url, json=sent, headers=headers)
                assert (answer.status_code != 403) == may
