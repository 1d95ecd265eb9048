"""Requests that are sent again: the field Idempotency-Key."""

import json
import string
from collections.abc import Iterator

import gevent
import pytest
import requests
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st

import toolserver.testing
from tests.processes.servers import wait_for
from toolserver import (
    AuthenticatedTool,
    FactoryTool,
    Response,
    StandardTool,
    TransientTool,
    context,
    idempotent,
    limit,
    read_only,
    register,
    require,
    rest,
    validate,
)
from toolserver.auth.tokens import make_token
from toolserver.errors import (
    AlreadyDone,
    Conflict,
    InvalidRequest,
    KeyReused,
    Overload,
)
from toolserver.testing import serve
from toolserver.web.keyedrequests import Attempt, read_key

PLACE = "/keyed/shop/place"


@register("keyed.shop")
class Shop(StandardTool):
    def on_start(self):
        self.orders = []
        self.gate = Event()
        self.entered = Event()
        self.is_full = False

    def place(self, item: str, count: int = 1) -> dict:
        self.orders.append(item)
        return {"number": len(self.orders), "item": item, "count": count}

    def fail(self) -> None:
        self.orders.append("failed")
        raise LookupError("no such book")

    def sold_out(self) -> None:
        self.orders.append("sold out")
        raise Conflict("sold out")

    @require(lambda self: not self.is_full, "there is room")
    def store(self) -> int:
        self.orders.append("stored")
        return len(self.orders)

    def busy(self) -> int:
        self.orders.append("busy")
        if self.is_full:
            raise Overload("no room")
        return len(self.orders)

    def wait(self) -> int:
        self.orders.append("waited")
        self.entered.set()
        self.gate.wait(10)
        return len(self.orders)

    @idempotent
    def wait_again(self) -> int:
        return self.wait()

    @validate(place)
    def _check(self, call) -> None:
        if self.is_full:
            raise Conflict("closed")

    @read_only
    def count(self) -> int:
        self.orders.append("counted")
        return len(self.orders)

    def stream(self) -> Iterator[str]:
        self.orders.append("streamed")
        yield "a"

    def cookie(self) -> Response:
        self.orders.append("cookie")
        return Response("set", headers={"Set-Cookie": "a=b"})

    def large(self) -> str:
        self.orders.append("large")
        return "x" * 5000

    def created(self) -> Response:
        self.orders.append("created")
        return Response("made", status=201, headers={"Location": "/keyed/shop/1"})

    def by_hand(self) -> None:
        self.orders.append("by hand")
        writer = context.request.writer
        writer.start(200, [("Content-Length", "2")])
        writer.write(b"ok")
        raise AlreadyDone

    def size(self, data: bytes) -> int:
        return len(data)

    @limit(max_body=1_000_000)
    def story(self, text: str) -> int:
        self.orders.append("story")
        return len(text)

    @rest("PUT")
    def item(self, request) -> str:
        self.orders.append(request.body.decode())
        return str(len(self.orders))


class Book(TransientTool):
    def place(self, item: str) -> str:
        return item


@register("keyed.broken")
class Broken(FactoryTool):
    children = (Book,)

    def child_exists(self, key: str) -> bool:
        raise LookupError("the shelf is gone")


@register("keyed.members")
class Members(AuthenticatedTool):
    clients = ("ann", "bob")

    def who(self) -> str:
        return f"{context.client} {context.request_id}"


@pytest.fixture
def server():
    config = {"jobs": {"idempotency_answer": 2000}, "limits": {"body": 100_000}}
    with toolserver.testing.serve(Shop, Members, config=config) as found:
        yield found


@pytest.fixture
def shop(server):
    return server.tool("keyed.shop")


def post(server, path=PLACE, key='"k1"', **facts):
    headers = {**({} if key is None else {"Idempotency-Key": key})}
    if not facts:
        facts = {"json": {"item": "book"}} if path == PLACE else {"data": b""}
    headers |= facts.pop("headers", {})
    return server.http.post(path, headers=headers, **facts)


def is_replayed(answer):
    return answer.headers.get("Idempotency-Replayed") == "true"


def test_a_repeated_request_gets_the_first_answer_again(server, shop):
    first = post(server, json={"item": "book", "count": 2})
    again = post(server, json={"item": "book", "count": 2})
    assert first.json() == again.json() == {"number": 1, "item": "book", "count": 2}
    assert first.headers["Content-Type"] == again.headers["Content-Type"]
    assert not is_replayed(first)
    assert is_replayed(again)
    assert shop.orders == ["book"]


def test_without_a_key_each_request_is_carried_out(server, shop):
    for _ in range(2):
        assert not is_replayed(post(server, key=None))
    assert len(shop.orders) == 2


def test_each_key_is_a_request_of_its_own_quoted_or_not(server, shop):
    assert not is_replayed(post(server, key='"k1"'))
    assert not is_replayed(post(server, key='"k2"'))
    assert is_replayed(post(server, key="k1"))
    assert len(shop.orders) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"json": {"item": "pen"}},
        {"path": f"{PLACE}?count=2"},
        {"path": "/keyed/shop/busy"},
        {"data": b'{"item":"book"}', "headers": {"Content-Type": "application/json"}},
    ],
)
def test_another_request_with_the_same_key_is_refused(server, shop, change):
    post(server)
    facts = {} if "data" in change else {"json": {"item": "book"}}
    answer = post(server, **{**facts, **change})
    assert answer.status_code == 422
    assert answer.json()["error"] == "KeyReused"
    assert shop.orders == ["book"]


def test_status_and_fields_are_given_again(server, shop):
    for _ in range(2):
        answer = post(server, "/keyed/shop/created")
        assert (answer.status_code, answer.text) == (201, "made")
        assert answer.headers["Location"] == "/keyed/shop/1"
    assert shop.orders == ["created"]


@pytest.mark.parametrize(("name", "status"), [("fail", 500), ("sold_out", 409)])
def test_the_failure_of_a_tool_is_given_again(server, shop, name, status):
    first, again = (post(server, f"/keyed/shop/{name}") for _ in range(2))
    assert first.status_code == again.status_code == status
    assert first.json() == again.json()
    assert is_replayed(again)
    assert len(shop.orders) == 1


@pytest.mark.parametrize("path", [PLACE, "/keyed/shop/store", "/keyed/shop/busy"])
def test_what_was_refused_may_be_tried_again(server, shop, path):
    facts = {"json": {"item": "book"}} if path == PLACE else {"json": {}}
    shop.is_full = True
    assert post(server, path, **facts).status_code in (409, 422, 503)
    shop.is_full = False
    answer = post(server, path, **facts)
    assert answer.status_code == 200
    assert not is_replayed(answer)
    assert is_replayed(post(server, path, **facts))


def test_a_call_that_cannot_be_made_leaves_nothing_behind(server, shop):
    assert post(server, json={"item": "book", "count": "many"}).status_code == 400
    assert post(server, json={"item": "book"}).status_code == 200


@pytest.mark.parametrize("name", ["stream", "cookie", "large", "by_hand"])
def test_of_an_answer_that_is_not_kept_it_is_told_that_it_was_given(server, shop, name):
    first = post(server, f"/keyed/shop/{name}")
    assert first.status_code == 200
    assert first.content
    again = post(server, f"/keyed/shop/{name}")
    assert again.status_code == 409
    assert again.json()["error"] == "OutcomeUnknown"
    assert "could not be kept" in again.json()["detail"]
    assert len(shop.orders) == 1


def test_while_the_first_one_runs_others_are_told_to_come_again(server, shop):
    first = gevent.spawn(post, server, "/keyed/shop/wait", data=b"")
    assert shop.entered.wait(5)
    again = requests.post(
        server.url("/keyed/shop/wait"), headers={"Idempotency-Key": '"k1"'}
    )
    assert again.status_code == 409
    assert again.json()["error"] == "KeyInUse"
    assert again.headers["Retry-After"] == "1"
    shop.gate.set()
    assert first.get(5).json() == 1
    assert is_replayed(post(server, "/keyed/shop/wait", data=b""))


def test_a_call_goes_on_where_its_caller_hangs_up(server, shop):
    for path in ("/keyed/shop/wait", "/MCP"):
        shop.orders.clear()
        shop.gate.clear()
        shop.entered.clear()
        lost = gevent.spawn(_wait_in_vain, server, path)
        assert shop.entered.wait(5)
        lost.kill()
        shop.gate.set()
        answer = wait_for(lambda path=path: _answered(server, path))
        assert is_replayed(answer)
        assert shop.orders == ["waited"]


def _wait_in_vain(server, path):
    with requests.Session() as session:
        _send_wait(session, server.url(path))


def _answered(server, path):
    answer = _send_wait(server.http, server.url(path))
    return answer if answer.ok else None


def _send_wait(session, url):
    message = None
    if url.endswith("MCP"):
        params = {"name": "keyed.shop.wait"}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    key = f'"{url}"'
    headers = {"Accept": "application/json, text/event-stream", "Idempotency-Key": key}
    return session.post(url, json=message, headers=headers)


def test_of_many_at_once_one_is_carried_out(server, shop):
    shop.gate.set()

    def one():
        return requests.post(
            server.url(PLACE),
            json={"item": "book"},
            headers={"Idempotency-Key": '"k1"'},
        )

    found = [gevent.spawn(one) for _ in range(50)]
    gevent.joinall(found, raise_error=True)
    answers = [each.value for each in found]
    assert shop.orders == ["book"]
    for answer in answers:
        assert answer.status_code in (200, 409)
        if answer.status_code == 409:
            assert answer.json()["error"] == "KeyInUse"
            assert answer.headers["Retry-After"] == "1"
        else:
            assert answer.json()["number"] == 1
    assert is_replayed(post(server))


@pytest.mark.parametrize(
    "field",
    ['""', '"a b"', '"a', "a b", "a,b", '"a", "b"', "1.5;", '"' + "a" * 256 + '"', ":"],
)
def test_a_malformed_key_is_refused(server, shop, field):
    answer = post(server, key=field)
    assert answer.status_code == 400
    assert "Idempotency-Key: got" in answer.json()["detail"]
    assert shop.orders == []


VISIBLE = st.text(
    "".join(c for c in string.printable if "!" <= c <= "~"), min_size=1, max_size=255
)


@given(VISIBLE)
def test_each_key_in_quotes_is_read(key):
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    assert read_key(f'"{escaped}"') == key
    assert read_key(f'"{escaped}";a=1') == key


@given(st.text(st.characters(max_codepoint=255), max_size=300))
def test_any_field_is_a_key_or_malformed(field):
    try:
        key = read_key(field)
    except InvalidRequest:
        return
    assert 1 <= len(key) <= 255
    assert all("!" <= char <= "~" for char in key)


def test_what_changes_nothing_needs_no_key(server, shop):
    for method in ("get", "post"):
        for _ in range(2):
            call = getattr(server.http, method)
            answer = call("/keyed/shop/count", headers={"Idempotency-Key": "not a key"})
            assert answer.ok
            assert not is_replayed(answer)
    assert len(shop.orders) == 4


def test_a_method_by_get_that_changes_something_takes_keys(server, shop):
    for _ in range(2):
        server.http.get(f"{PLACE}?item=book", headers={"Idempotency-Key": "k"})
    assert shop.orders == ["book"]


def test_methods_for_rest_alone_take_keys(server, shop):
    for _ in range(2):
        answer = server.http.put(
            "/keyed/shop/item", data=b"pen", headers={"Idempotency-Key": "k"}
        )
        assert answer.text == "1"
    assert shop.orders == ["pen"]


@pytest.fixture
def members(tmp_path):
    with toolserver.testing.serve(Shop, Members, home=tmp_path) as server:
        shown = {name: make_token(name) for name in ("ann", "bob", "carl")}
        shown["ann elsewhere"] = make_token("ann", namespaces=("keyed.shop",))
        lines = [f"{kept.line()}\n" for _, kept in shown.values()]
        server.worker.home.config.joinpath("tokens").write_text("".join(lines))
        server.worker._access.load()

        def ask(who=None):
            headers = {"Idempotency-Key": "k"}
            if who is not None:
                headers["Authorization"] = f"Bearer {shown[who][0]}"
            return server.http.post("/keyed/members/who", headers=headers)

        yield ask


def test_the_answer_of_one_caller_is_none_of_another(members):
    ann, bob = members("ann"), members("bob")
    assert (ann.text.split()[0], bob.text.split()[0]) == ("ann", "bob")
    again = members("ann")
    assert (again.text, is_replayed(again)) == (ann.text, True)
    assert members("carl").status_code == 403
    assert members().status_code == 401


def test_who_may_not_use_a_tool_any_more_gets_no_answer_again(members, monkeypatch):
    assert members("ann").ok
    assert members("ann elsewhere").status_code == 422
    monkeypatch.setattr(Members, "clients", ("bob",))
    assert members("ann").status_code == 403


def test_answers_are_forgotten_when_their_time_is_over(server, shop):
    post(server)
    server.run_jobs(advance=86_000)
    assert is_replayed(post(server))
    server.run_jobs(advance=401)
    assert not is_replayed(post(server))
    assert len(shop.orders) == 2


def test_a_body_that_is_still_arriving_is_compared_too(server, shop):
    def pieces():
        yield b'{"item":'
        yield b' "book"}'

    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    for _ in range(2):
        answer = server.http.post(PLACE, data=pieces(), headers=headers)
        assert answer.json()["number"] == 1
    assert shop.orders == ["book"]


def test_an_answer_by_a_job_names_the_same_job(server, shop):
    headers = {"Prefer": "respond-async", "Idempotency-Key": "k"}
    first, again = (
        server.http.post(PLACE, json={"item": "book"}, headers=headers)
        for _ in range(2)
    )
    assert first.status_code == again.status_code == 202
    assert first.headers["Location"] == again.headers["Location"]
    server.run_jobs()
    assert shop.orders == ["book"]
    result = server.http.get(f"{first.headers['Location']}/result")
    assert result.json()["number"] == 1


def rpc(server, message, key="k", **headers):
    return server.http.post(
        "/JSONRPC", json=message, headers={"Idempotency-Key": key, **headers}
    )


def call(item="book", id=1, **facts):
    params = {"item": item}
    return {
        "jsonrpc": "2.0",
        "method": "keyed.shop.place",
        "params": params,
        "id": id,
        **facts,
    }


def test_json_rpc_calls_are_made_once_whatever_their_numbers(server, shop):
    first = rpc(server, call(id=1))
    again = rpc(server, call(id="two"))
    assert first.json()["result"] == again.json()["result"]
    assert (first.json()["id"], again.json()["id"]) == (1, "two")
    assert is_replayed(again)
    assert shop.orders == ["book"]
    other = rpc(server, call("pen"))
    assert other.status_code == 422


def test_a_batch_is_made_once_as_a_whole(server, shop):
    batch = [call("a", 1), call("b", 2, method="keyed.shop.fail", params=[])]
    first, again = rpc(server, batch), rpc(server, batch)
    assert first.json() == again.json()
    renumbered = rpc(server, [{**each, "id": each["id"] + 10} for each in batch])
    assert [each["id"] for each in renumbered.json()] == [11, 12]
    assert shop.orders == ["a", "failed"]
    assert rpc(server, batch[:1]).status_code == 422


def test_a_batch_with_a_call_that_cannot_be_found_is_made_once(server, shop):
    batch = [call("a", 1), call("b", 2, method="keyed.shop.plaice")]
    first, again = rpc(server, batch), rpc(server, batch)
    assert is_replayed(again)
    assert first.json() == again.json()
    assert first.json()[1]["error"]["code"] == -32601
    assert shop.orders == ["a"]


def test_what_a_factory_raises_is_told_to_who_sends_a_key():
    with serve(Broken) as server:
        made = rpc(server, call(method="keyed.broken.key.place"))
        assert made.json()["error"]["message"].endswith("the shelf is gone")


def test_calls_with_keys_are_logged(caplog):
    config = {"log": {"rpc": True}}
    with caplog.at_level("INFO"), serve(Shop, config=config) as server:
        assert rpc(server, call()).json()["result"]["number"] == 1
    assert "keyed.shop.place(item='book') -> " in caplog.text


def test_nobody_knows_of_a_call_that_was_broken_off_as_it_ran(server):
    attempt = Attempt()
    attempt.note_break()
    assert not attempt.is_broken_off
    target = server.worker.registry.target("keyed.shop.place")
    assert attempt.noting(target).function("book")["item"] == "book"
    attempt.note_break()
    assert attempt.is_broken_off


def test_notifications_are_made_once(server, shop):
    note = call()
    del note["id"]
    for _ in range(2):
        assert rpc(server, note).status_code == 204
    assert shop.orders == ["book"]


def test_a_refused_json_rpc_call_may_be_tried_again(server, shop):
    shop.is_full = True
    assert rpc(server, call()).json()["error"]["message"] == "closed"
    shop.is_full = False
    assert rpc(server, call()).json()["result"]["number"] == 1


def agent(server, item="book", id=1, key=None, field=None, name="keyed.shop.place"):
    """Call a tool as an agent does, with a key in the message or in a field."""
    meta = {"progressToken": id}
    if key is not None:
        meta["toolserver/idempotencyKey"] = key
    params = {"name": name, "arguments": {"item": item}, "_meta": meta}
    message = {"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}
    headers = {
        "MCP-Protocol-Version": "2025-11-25",
        "Accept": "application/json, text/event-stream",
        **({} if field is None else {"Idempotency-Key": field}),
    }
    return server.http.post("/MCP", json=message, headers=headers)


@pytest.mark.parametrize("way", ["key", "field"])
def test_calls_of_agents_are_made_once_whatever_their_numbers(server, shop, way):
    first = agent(server, id=1, **{way: "k"}).json()
    again = agent(server, id="two", **{way: "k"}).json()
    assert (first.pop("id"), again.pop("id")) == (1, "two")
    assert first == again
    assert first["result"]["structuredContent"]["number"] == 1
    assert shop.orders == ["book"]


def test_agents_are_told_of_wrong_keys_where_they_sent_them(server, shop):
    agent(server, key="k")
    told = agent(server, item="pen", key="k")
    assert told.status_code == 200
    assert told.json()["result"]["isError"] is True
    assert "expected the same" in told.json()["result"]["content"][0]["text"]
    assert agent(server, item="pen", field="k").status_code == 422
    for wrong in ("", "a b", "x" * 256, 5):
        answer = agent(server, key=wrong).json()
        assert "visible" in json.dumps(answer), wrong
    assert shop.orders == ["book"]


def test_agents_may_send_keys_with_what_changes_nothing(server, shop):
    for id in range(2):
        agent(server, key="k", id=id, name="keyed.shop.count")
    answers = [
        agent(server, key="k", id=id, name="no.such.method").json() for id in range(2)
    ]
    assert [answer["id"] for answer in answers] == [0, 1]


def test_other_protocols_take_keys_too(server, shop):
    body = (
        "<methodCall><methodName>keyed.shop.place</methodName><params><param>"
        "<value>book</value></param></params></methodCall>"
    )
    headers = {"Idempotency-Key": "k", "Content-Type": "text/xml"}
    first, again = (
        server.http.post("/RPC2", data=body, headers=headers) for _ in range(2)
    )
    assert first.content == again.content
    assert is_replayed(again)
    assert shop.orders == ["book"]


def test_answers_with_keys_are_the_same_for_all_codings(server):
    facts = {"json": {"item": "book" * 100}}
    first = post(server, headers={"Accept-Encoding": "gzip"}, **facts)
    again = post(server, headers={"Accept-Encoding": "identity"}, **facts)
    assert is_replayed(again)
    assert first.json() == again.json()
    assert "Content-Encoding" not in again.headers


def test_a_large_body_is_compared_too(server, shop):
    # It is so large that the call begins while it is arriving.
    for _ in range(2):
        answer = post(server, "/keyed/shop/story", json={"text": "x" * 90_000})
        assert answer.json() == 90_000
    answer = post(server, "/keyed/shop/story", json={"text": "x" * 89_999 + "y"})
    assert answer.status_code == 422
    assert shop.orders == ["story"]


def test_a_signed_body_is_compared_too():
    """Whoever has checked its signature has read it before."""
    with toolserver.testing.serve(Shop, clients={"ann": ()}) as server:
        shop = server.remote("JSONRPC", "ann").get_tool("keyed.shop")
        for _ in range(2):
            assert shop.story.once("k1", "x" * 90_000) == 90_000
        assert server.tool("keyed.shop").orders == ["story"]
        with pytest.raises(KeyReused):
            shop.story.once("k1", "y" * 90_000)


def test_a_body_too_large_to_be_compared_is_refused(server, shop):
    answer = post(server, "/keyed/shop/size", data=b"x" * 200_000)
    assert answer.status_code == 413
    answer = post(server, "/keyed/shop/story", json={"text": "x" * 200_000})
    assert answer.status_code == 413
    assert "with an idempotency key" in answer.json()["detail"]
    answer = post(server, "/keyed/shop/story", None, json={"text": "x" * 200_000})
    assert answer.json() == 200_000
    assert shop.orders == ["story"]


def test_a_call_that_ends_with_the_server_was_broken_off(tmp_path):
    config = {"jobs": {"engine": "sqlite"}}
    paths = ("/keyed/shop/wait", "/keyed/shop/wait_again")
    with toolserver.testing.serve(Shop, home=tmp_path, config=config) as server:
        for path in paths:
            server.tool("keyed.shop").entered.clear()
            gevent.spawn(_post_alone, server, path)
            assert server.tool("keyed.shop").entered.wait(5)
    with toolserver.testing.serve(Shop, home=tmp_path, config=config) as server:
        server.tool("keyed.shop").gate.set()
        once, again = (_post_alone(server, path) for path in paths)
        assert "broken off" in once.json()["detail"]
        assert again.json() == 1


def _post_alone(server, path):
    return requests.post(server.url(path), headers={"Idempotency-Key": f'"{path}"'})
