"""Clients are told where they get tokens, and agents get them by themselves."""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs

import httpx2
import msgspec
import pytest
import requests
from gevent import subprocess
from joserfc import jwk, jwt
from mcp.client.auth.utils import (
    build_protected_resource_metadata_discovery_urls,
    extract_resource_metadata_from_www_auth,
    extract_scope_from_www_auth,
)
from mcp.shared.auth import ProtectedResourceMetadata
from mcp.shared.auth_utils import check_resource_allowed

import toolserver.testing
from toolserver import (
    AuthenticatedTool,
    CRAMSettings,
    OnlyRPCCRAMTool,
    StandardTool,
    context,
    register,
)
from toolserver.errors import StartError
from toolserver.message import Response

WELL_KNOWN = "/.well-known/oauth-protected-resource"
KEY = jwk.ECKey.generate_key("P-256", {"kid": "ec"})


@register("shop.orders")
class Orders(AuthenticatedTool):
    clients = "*"

    def who(self) -> list[str | None]:
        """Who calls."""
        return [context.client, context.auth_type]


@register("bank")
class Bank(StandardTool):
    def rob(self) -> str:
        return "rich"

    def sign(self) -> Response:
        return Response("not so", status=401)


@register("vault")
class Vault(OnlyRPCCRAMTool):
    settings = CRAMSettings("secret")


class Authority(ThreadingHTTPServer):
    """An authorization server that knows one agent (RFC 8414, RFC 6749)."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), AuthorityPage)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.granted = []

    def __enter__(self):
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def token(self, audience, scope):
        claims = {
            "iss": self.url,
            "aud": audience,
            "sub": "agent",
            "exp": int(time.time()) + 60,
            "scope": scope,
        }
        return jwt.encode({"alg": "ES256", "kid": "ec"}, claims, KEY)


class AuthorityPage(BaseHTTPRequestHandler):
    def do_GET(self):
        url = self.server.url
        documents = {
            "/.well-known/oauth-authorization-server": {
                "issuer": url,
                "authorization_endpoint": f"{url}/authorize",
                "token_endpoint": f"{url}/token",
                "grant_types_supported": ["client_credentials"],
            },
            "/keys": {"keys": [KEY.as_dict(private=False)]},
        }
        self.say(documents.get(self.path))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        self.server.granted.append(asked)
        # At first nobody gets more than this.
        is_first = len(self.server.granted) == 1
        scope = "tools:shop" if is_first else asked.get("scope", "")
        self.say(
            {
                "access_token": self.server.token(asked["resource"], scope),
                "token_type": "Bearer",
                "expires_in": 60,
                "scope": scope,
            }
        )

    def say(self, document):
        body = json.dumps(document).encode()
        self.send_response(404 if document is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def authority():
    with Authority() as running:
        yield running


@pytest.fixture(scope="module")
def server(authority, tmp_path_factory):
    auth = {
        "jwt_issuer": authority.url,
        "jwt_audience": ["shop", "http://shop.example/mcp"],
        "jwt_keys": f"{authority.url}/keys",
        "jwt_scopes": "tools:",
        "authorization_servers": [authority.url],
        "scopes_supported": ["tools:shop", "tools:bank"],
    }
    home = tmp_path_factory.mktemp("home")
    with toolserver.testing.serve(
        Orders, Bank, Vault, home=home, config={"auth": auth}
    ) as running:
        yield running


def address(server, path):
    # Whatever the public one is.
    return server.worker.http.url + path


def get(server, path, method="GET", **headers):
    url = address(server, path)
    return requests.request(method, url, headers=headers, timeout=20)


PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


def call(server, path="/mcp", token=None):
    headers = {"Accept": "application/json, text/event-stream"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    url = address(server, path)
    return requests.post(url, json=PING, headers=headers, timeout=20)


def as_seen(answer):
    """An answer as the client of the SDK sees it."""
    return httpx2.Response(answer.status_code, headers=dict(answer.headers))


def metadata_of(answer):
    return extract_resource_metadata_from_www_auth(as_seen(answer))


@pytest.mark.parametrize("path", ["", "/mcp", "/MCP"])
def test_the_document_tells_of_a_resource(server, authority, path):
    answer = get(server, WELL_KNOWN + path)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == {
        "resource": server.url(path).rstrip("/") if not path else server.url(path),
        "authorization_servers": [authority.url],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["tools:shop", "tools:bank"],
    }
    assert get(server, WELL_KNOWN + path, "HEAD").status_code == 200
    assert get(server, WELL_KNOWN + path, "DELETE").status_code == 405


def test_pages_of_any_origin_may_read_it(server):
    asked = {
        "Origin": "https://agent.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "mcp-protocol-version",
    }
    allowed = get(server, WELL_KNOWN + "/mcp", "OPTIONS", **asked)
    assert allowed.headers["Access-Control-Allow-Origin"] == "*"
    assert allowed.headers["Access-Control-Allow-Headers"] == "mcp-protocol-version"
    read = get(server, WELL_KNOWN + "/mcp", Origin="https://agent.example")
    assert read.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", ["/shop", "/mcp/x", "x", "/../mcp", "/%6dcp/", "//"])
def test_there_is_no_document_of_other_things(server, path):
    assert get(server, WELL_KNOWN + path).status_code == 404


@pytest.mark.parametrize("path", ["/mcp", "/MCP", "/mcp/shop"])
def test_an_agent_without_a_token_is_told_where_to_get_one(server, path):
    refused = call(server, path)
    assert refused.status_code == 401
    told = metadata_of(refused)
    assert told == server.url(WELL_KNOWN + path.removesuffix("/shop"))
    for url in build_protected_resource_metadata_discovery_urls(
        told, server.url(path.removesuffix("/shop"))
    ):
        found = ProtectedResourceMetadata.model_validate_json(
            requests.get(url, timeout=20).content
        )
        assert check_resource_allowed(server.url(path), str(found.resource))
    assert get(server, path).status_code == 401


def test_a_token_lets_in_and_a_wrong_one_is_told_why(server, authority):
    right = authority.token("shop", "tools:shop")
    assert call(server, token=right).status_code == 200
    for wrong in (right + "x", authority.token("others", "tools:shop"), "tsv_0_0"):
        refused = call(server, token=wrong)
        assert refused.status_code == 401
        challenge = refused.headers["WWW-Authenticate"]
        assert challenge.count("Bearer") == 1
        assert 'error="invalid_token"' in challenge
        assert metadata_of(refused) is not None


def test_other_refusals_point_there_too(server, authority):
    refused = get(server, "/shop/orders/who")
    assert refused.status_code == 401
    told = metadata_of(refused)
    assert told == server.url(WELL_KNOWN)
    assert refused.headers["WWW-Authenticate"].startswith("Basic ")
    assert get(server, "/bank/rob").text == "rich"
    # A tool's own answer, too.
    assert metadata_of(get(server, "/bank/sign")) == told
    token = authority.token("shop", "tools:shop")
    refused = get(server, "/bank/rob", Authorization=f"Bearer {token}")
    assert refused.status_code == 403
    assert extract_scope_from_www_auth(as_seen(refused)) == "tools:bank"
    assert metadata_of(refused) == told
    # No token would help here.
    refused = get(server, "/vault/get_challenges")
    assert refused.status_code == 403
    assert "WWW-Authenticate" not in refused.headers


def test_the_official_sdk_gets_a_token_by_itself(server, authority, monkeypatch):
    script = Path(__file__).parent / "oauth_agent.py"
    # What it asks for is the resource that the server says it is.
    url = server.url("/mcp")
    issuer = server.worker._access._issuer
    known = msgspec.structs.replace(issuer._settings, jwt_audience=(url,))
    monkeypatch.setattr(issuer, "_settings", known)
    process = subprocess.Popen(
        [sys.executable, str(script), url, authority.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, error = process.communicate(timeout=40)
    assert process.returncode == 0, error
    told = json.loads(out)
    assert told["who"] == ["agent", "JWT"]
    assert told["tools"] == ["shop.orders.who"]
    assert told["robbed"] == "rich"
    assert told["scopes"][0] == "tools:shop"
    assert set(told["scopes"][1].split()) == {"tools:shop", "tools:bank"}
    assert [asked["resource"] for asked in authority.granted] == [url, url]


def test_who_needs_another_scope_is_told_which(server, authority):
    token = authority.token("shop", "tools:shop")
    headers = {
        "Accept": "application/json, text/event-stream",
        "Authorization": f"Bearer {token}",
    }
    body = {"jsonrpc": "2.0", "id": 7, "method": "tools/call"}
    body["params"] = {"name": "bank_rob", "arguments": {}}
    url = server.url("/mcp")
    refused = requests.post(url, json=body, headers=headers, timeout=20)
    assert refused.status_code == 403
    assert extract_scope_from_www_auth(as_seen(refused)) == "tools:bank"
    assert metadata_of(refused) == server.url(WELL_KNOWN + "/mcp")
    told = refused.json()
    assert told["id"] == 7
    assert told["result"]["isError"]
    # With others the answer is as it is.
    answer = requests.post(url, json=[body], headers=headers, timeout=20)
    assert answer.status_code != 403


def test_behind_a_proxy_the_public_address_counts(tmp_path):
    config = {
        "server": {"public_url": "https://shop.example/api/"},
        "auth": {"authorization_servers": ["https://id.example/"]},
    }
    with toolserver.testing.serve(Bank, home=tmp_path, config=config) as server:
        known = f"https://shop.example{WELL_KNOWN}/api"
        for path in ("/mcp", "/api/mcp"):
            document = get(server, WELL_KNOWN + path).json()
            assert document["resource"] == "https://shop.example/api/mcp"
            assert "scopes_supported" not in document
        assert get(server, WELL_KNOWN).json()["resource"] == "https://shop.example/api"
        assert metadata_of(call(server)) == f"{known}/mcp"


def test_others_are_told_nothing(tmp_path):
    with toolserver.testing.serve(Orders, home=tmp_path) as server:
        assert get(server, WELL_KNOWN).status_code == 404
        assert call(server).status_code == 200
        refused = get(server, "/shop/orders/who")
        assert "Bearer" not in refused.headers["WWW-Authenticate"]


def test_without_agents_there_is_one_document(tmp_path):
    config = {
        "auth": {"authorization_servers": ["https://id.example"]},
        "tools": {"omit": ["mcp"]},
    }
    with toolserver.testing.serve(Bank, home=tmp_path, config=config) as server:
        assert get(server, WELL_KNOWN).status_code == 200
        assert get(server, WELL_KNOWN + "/mcp").status_code == 404
        assert call(server).status_code == 404


@pytest.mark.parametrize(
    "url",
    [
        *("id.example", "ftp://id.example", "https://i/?a=b", "https://i/#a"),
        *("http://id.example", "http://127.0.0.1.example", "https:///", "https://[x"),
    ],
)
def test_what_is_no_authorization_server_keeps_it_from_starting(tmp_path, url):
    config = {"auth": {"authorization_servers": [url]}}
    with (
        pytest.raises(StartError, match=r"auth\.authorization_servers: got"),
        toolserver.testing.serve(Bank, home=tmp_path, config=config),
    ):
        pass
