"""Calls with a key: made once, however often they are sent."""

import json
import re

import gevent
import pytest
from gevent.event import Event

from tests.client.protocols import OPEN
from tests.client.scripted import Scripted, respond, result
from toolserver import CRAMSettings, OnlyRPCCRAMTool, StandardTool, register
from toolserver.auth.nonces import Nonces
from toolserver.client import ConnectionFailed, RemoteToolserver
from toolserver.errors import KeyInUse, KeyReused, Unauthenticated
from toolserver.testing import serve


@register("once.shop")
class Shop(StandardTool):
    def on_start(self):
        self.orders = []
        self.gate, self.entered = Event(), Event()

    def place(self, item: str, count: int = 1) -> list[int]:
        self.orders.append(item)
        return [len(self.orders), count]

    def wait(self) -> int:
        self.orders.append("waited")
        self.entered.set()
        self.gate.wait(10)
        return len(self.orders)


@register("once.shop.nested")
class Nested(StandardTool):
    def once(self, text: str) -> str:
        return f"own {text}"


class Typed:
    def place(self, item: str, count: int = 1) -> tuple[int, int]: ...


@register("once.vault")
class Vault(OnlyRPCCRAMTool):
    settings = CRAMSettings(secret="s3cret")

    def on_start(self):
        self.looks = 0

    def look(self) -> int:
        self.looks += 1
        return self.looks


@pytest.fixture
def server(tmp_path):
    (tmp_path / "var").mkdir()
    # As if a server had run here before, which kept its memory of signatures.
    Nonces(tmp_path / "var/nonces.db", most=1, since=0).close()
    with serve(Shop, Nested, Vault, home=tmp_path) as found:
        yield found


def key_of(head):
    return re.search(rb"idempotency-key: (.*?)\r\n", head, re.IGNORECASE)[1].decode()


@pytest.mark.parametrize("protocol", OPEN)
def test_a_repeated_call_gets_the_first_result_again(server, protocol):
    remote = server.remote(protocol)
    place = remote.get_tool("once.shop").place
    first = place.once("order-17", "book", count=2)
    assert first == place.once("order-17", "book", count=2) == [1, 2]
    assert remote.once("order-17", "once.shop.place", "book", count=2) == [1, 2]
    assert server.tool("once.shop").orders == ["book"]
    with pytest.raises(KeyReused, match="another request"):
        place.once("order-17", "pen")
    assert place.once("order-18", "book") == [2, 1]


def test_calls_that_are_signed_with_a_secret_take_keys(server):
    remote = server.remote(secrets={"once.vault": "s3cret"})
    look = remote.get_tool("once.vault").look
    assert [look.once("k"), look.once("k"), look.once("l")] == [1, 1, 2]
    # Who does not know the secret gets nothing, not even what is kept.
    with pytest.raises(KeyReused):
        server.remote().once("k", "once.vault.look")
    with pytest.raises(Unauthenticated):
        server.remote().once("m", "once.vault.look", "no answer")
    answered = server.remote().get_tool("once.vault", secret="s3cret").look
    assert answered.once(None) == 3


def test_random_keys_are_new_ones(server):
    place = server.remote().get_tool("once.shop").place
    assert place.once(None, "book") == [1, 1]
    assert place.once(None, "book") == [2, 1]


def test_results_are_what_the_hints_say(server):
    shop = server.remote().get_tool("once.shop", Typed)
    assert shop.place.once("k", "book") == (1, 1)


def test_a_tool_may_have_a_method_of_that_name(server):
    assert server.remote().get_tool("once.shop").nested.once("k") == "own k"


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 256, 5])
def test_what_is_no_key_is_refused(server, key):
    remote = server.remote()
    with pytest.raises(ValueError, match="visible"):
        remote.once(key, "once.shop.place", "book")
    with pytest.raises(TypeError, match="expected a key"):
        remote.get_tool("once.shop").place.once()


def test_a_call_with_a_key_is_sent_again_where_the_connection_broke():
    def answer(head, body):
        if json.loads(body)["method"].startswith("system."):
            return result([])
        if len(server.bodies()) < 3:
            return b""
        return result("made")

    with Scripted(answer) as server, RemoteToolserver(server.url) as remote:
        assert remote.once('a"\\b', "shop.place", "book") == "made"
        assert [key_of(head) for head, _ in server.requests] == [r'"a\"\\b"'] * 3
        assert len({body for _, body in server.requests}) == 1


def test_retries_end_with_their_number_and_keep_a_random_key():
    with (
        Scripted(lambda head, body: b"") as server,
        RemoteToolserver(server.url, retries=1) as remote,
    ):
        with pytest.raises(ConnectionFailed):
            remote.once(None, "shop.place", "book")
        first, again = (key_of(head) for head, _ in server.requests)
        assert first == again


def test_a_call_that_still_runs_is_waited_for(server):
    remote = server.remote(retries=0)
    first = gevent.spawn(remote.once, "k", "once.shop.wait")
    assert server.tool("once.shop").entered.wait(5)
    again = gevent.spawn(remote.once, "k", "once.shop.wait")
    with pytest.raises(KeyReused):
        remote.once("k", "once.shop.place", "book")
    server.tool("once.shop").gate.set()
    assert (first.get(10), again.get(10)) == (1, 1)
    assert server.tool("once.shop").orders == ["waited"]


def test_who_waits_no_longer_is_told_that_the_call_still_runs():
    body = {"code": -32060, "error": "KeyInUse", "detail": "still runs"}
    busy = respond(
        "409 Conflict",
        json.dumps(body).encode(),
        "application/problem+json",
        "Retry-After: 30",
        "X-REST-Errorobject: KeyInUse",
    )
    with (
        Scripted(lambda head, body: busy) as server,
        RemoteToolserver(server.url, timeout=20) as remote,
        pytest.raises(KeyInUse, match="still runs"),
    ):
        remote.once("k", "shop.place")
