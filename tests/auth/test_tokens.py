"""Bearer tokens: who holds one, what it is for, and its end."""

import subprocess
import sys

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

import toolserver.testing
from tests.http.raw_http import wait_for
from tests.passwords import quick_hash
from toolserver import AuthenticatedTool, StandardTool, context, prompt, register
from toolserver.auth.base import Identity
from toolserver.auth.tokens import (
    TokenAuthenticator,
    make_token,
    parse_tokens,
)
from toolserver.errors import Unauthenticated
from toolserver.message import Headers, Request


@register("shop.orders")
class Orders(AuthenticatedTool):
    clients = "*"

    def who(self) -> list[object]:
        return [context.client, context.auth_type, sorted(context.groups)]


@register("bank")
class Bank(StandardTool):
    def rob(self) -> str:
        return "rich"

    @prompt
    def plan(self) -> str:
        return "dig"


@pytest.fixture
def server(tmp_path):
    with toolserver.testing.serve(Orders, Bank, home=tmp_path) as running:
        yield running


@pytest.fixture
def grant(server):
    access, config = server.worker._access, server.worker.home.config

    def grant(client="ann", **facts):
        shown, kept = make_token(client, **facts)
        file = config / "tokens"
        before = file.read_text() if file.exists() else ""
        file.write_text(f"{before}{kept.line()}\n")
        access.load()
        return shown

    return grant


def ask(server, token, path="/shop/orders/who", **options):
    headers = {"Authorization": f"Bearer {token}"}
    return requests.post(server.url(path), headers=headers, timeout=10, **options)


def test_a_token_names_the_caller(server, grant):
    (server.worker.home.config / "groups").write_text("editors:ann\n")
    token = grant()
    assert ask(server, token).json() == ["ann", "Bearer", ["editors"]]
    assert requests.post(server.url("/shop/orders/who"), timeout=10).status_code == 401


def test_wrong_tokens_are_refused(server, grant):
    token, old = grant(), grant(expires=1)
    wrong = (token[:-1], token + "x", old, "tsv_00000000_x", "tsv_", "x", "tsv_" * 99)
    for each in wrong:
        answer = ask(server, each)
        assert answer.status_code == 401, each
        challenge = answer.headers["WWW-Authenticate"]
        start = 'Bearer realm="toolserver", error="invalid_token", error_description="'
        assert challenge.startswith(start)


def test_a_token_opens_what_it_is_for_alone(server, grant):
    token = grant(namespaces=("shop",))
    assert ask(server, token).status_code == 200
    refused = ask(server, token, "/bank/rob")
    assert refused.status_code == 403
    assert "not for bank" in refused.text
    for path in ("/JSONRPC", "/JSONRPC/bank"):
        name = "rob" if path.endswith("bank") else "bank.rob"
        body = {"jsonrpc": "2.0", "id": 1, "method": name}
        told = ask(server, token, path, json=body).json()
        assert told["error"]["code"] == -32003
    headers = {"Prefer": "respond-async", "Authorization": f"Bearer {token}"}
    async_ = requests.post(server.url("/bank/rob"), headers=headers, timeout=10)
    assert async_.status_code == 403
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    names = [
        tool["name"]
        for tool in ask(server, token, "/mcp", json=body).json()["result"]["tools"]
    ]
    assert names == ["shop_orders_who"]
    body = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "prompts/get",
        "params": {"name": "bank_plan"},
    }
    assert "error" in ask(server, token, "/mcp", json=body).json()
    # Without a token nothing is confined.
    assert requests.post(server.url("/bank/rob"), timeout=10).text == "rich"


def test_the_client_sends_it(server, grant):
    with server.remote("JSONRPC", token=grant()) as remote:
        assert remote.get_tool("shop.orders").who()[:2] == ["ann", "Bearer"]
    with pytest.raises(ValueError, match="exclude each other"):
        server.remote("JSONRPC", token="a", basic=("a", "b"))
    with pytest.raises(ValueError, match="one word"):
        server.remote("JSONRPC", token="a b\n")


def test_it_agrees_with_other_credentials_or_fails(server, grant):
    config = server.worker.home.config
    config.joinpath("passwd").write_text(f"bob:{quick_hash('secret')}\n")
    token = grant("ann")
    assert ask(server, token).status_code == 200
    answer = requests.post(
        server.url("/shop/orders/who"), auth=("bob", "secret"), timeout=10
    )
    assert answer.json()[0] == "bob"


def test_the_command_makes_lists_and_revokes(server):
    home = str(server.worker.home.path)
    (server.worker.home.config / "toolserver.toml").write_text("")

    def tsctl(*words):
        command = [sys.executable, "-m", "toolserver", "--home", home, "token", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=30)

    made = tsctl("ann", "--for", "shop", "--days", "3")
    assert made.returncode == 0
    token = made.stdout.strip()
    assert "ann" in made.stderr
    assert token.split("_")[2] not in (server.worker.home.config / "tokens").read_text()
    assert (server.worker.home.config / "tokens").stat().st_mode & 0o777 == 0o600
    wait_for(lambda: ask(server, token).status_code == 200)
    id_ = token.split("_")[1]
    assert f"{id_}  ann  until " in tsctl().stdout
    assert tsctl("--revoke", "nope").returncode == 1
    assert tsctl("--revoke", id_).returncode == 0
    wait_for(lambda: ask(server, token).status_code == 401)
    for words in (["an n"], ["ann", "--for", "a b"], ["ann", "--days", "0"]):
        wrong = tsctl(*words)
        assert wrong.returncode == 2
        assert "Traceback" not in wrong.stderr


@given(st.text())
def test_whatever_is_sent_is_judged(text):
    shown, kept = make_token("ann")
    found = TokenAuthenticator(lambda: {kept.id: kept})
    for sent in (f"Bearer {text}", f"Bearer {shown}{text}", text):
        request = Request(method="GET", headers=Headers([("authorization", sent)]))
        try:
            identity = found.authenticate(request)
        except Unauthenticated:
            continue
        assert identity is None or (text.strip() == "" and identity.client == "ann")


def test_the_file_is_read_as_it_is_written():
    tokens = [
        make_token("ann")[1],
        make_token("b.c@d", expires=9, namespaces=("a", "b"))[1],
    ]
    text = "# tokens\n" + "".join(f"{each.line()}\n" for each in tokens)
    assert list(parse_tokens(text).values()) == tokens
    for wrong in ("a:b", "a:b c 0 *", f"a:b {'0' * 64} x *", f"a:b/c {'0' * 64} 0 *"):
        with pytest.raises(ValueError, match=r"^1: expected"):
            parse_tokens(wrong)
    assert Identity("a", "Bearer").namespaces is None
