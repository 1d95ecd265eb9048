"""Web pages of other origins: who may call which tool, and what browsers are told."""

from __future__ import annotations

import pytest

import toolserver.testing
from toolserver import CORS, Request, Response, StandardTool, read_only, register, rest
from toolserver.errors import Conflict

SHOP = "https://shop.example"
OTHER = "https://other.example"
CROSS_SITE = {"Sec-Fetch-Site": "cross-site"}
ANSWER = Response("the same object each time")


@register("cross.shared")
class Shared(StandardTool):
    cors = CORS([SHOP], credentials=True, expose=["X-Total"], max_age=60)

    def place(self, item: str) -> str:
        return item

    def fail(self) -> None:
        raise Conflict("not now")

    def list(self) -> Response:
        return ANSWER

    @rest("PUT", name="note")
    def write(self, request: Request) -> str:
        return "written"


@register("cross.open")
class Open(StandardTool):
    cors = CORS("*")

    @read_only
    def look(self) -> str:
        return "all of it"


@register("cross.closed")
class Closed(StandardTool):
    @read_only
    def look(self) -> str:
        return "nothing"

    def cors(self) -> str:
        """A method that is called like the attribute of other tools."""
        return "a word"


@register("cross.late")
class Late(StandardTool):
    def on_start(self) -> None:
        self.cors = CORS(OTHER)

    def look(self) -> str:
        return "late"


@pytest.fixture(scope="module")
def server():
    with toolserver.testing.serve(Shared, Open, Closed, Late) as running:
        yield running


def allowed(answer):
    return {
        name.lower().removeprefix("access-control-"): value
        for name, value in answer.headers.items()
        if name.lower().startswith("access-control-")
    }


def preflight(server, path, origin=SHOP, method="POST", fields=""):
    headers = {"Origin": origin, "Access-Control-Request-Method": method}
    if fields:
        headers["Access-Control-Request-Headers"] = fields
    return server.http.options(path, headers=headers)


def test_a_page_of_an_allowed_origin_may_call(server):
    answer = server.http.post(
        "/cross/shared/place",
        json={"item": "a"},
        headers={"Origin": SHOP, **CROSS_SITE},
    )
    assert answer.text == "a"
    assert allowed(answer) == {
        "allow-origin": SHOP,
        "allow-credentials": "true",
        "expose-headers": "X-Total",
    }
    assert "Origin" in answer.headers["Vary"]


def rpc(server, message, **headers):
    headers = {"Origin": SHOP, **CROSS_SITE, **headers}
    return server.http.post("/JSONRPC", json=message, headers=headers)


def test_a_page_of_an_allowed_origin_may_send_keys(server):
    params = {"item": "a"}
    call = {"jsonrpc": "2.0", "id": 1, "method": "cross.shared.place", "params": params}
    for _ in range(2):
        answer = rpc(server, call, **{"Idempotency-Key": "k-17"})
        assert answer.json()["result"] == "a"
        assert allowed(answer)["allow-origin"] == SHOP
    assert answer.headers["Idempotency-Replayed"] == "true"


def test_what_is_no_call_is_told_to_pages_of_any_origin(server):
    answer = rpc(server, {"jsonrpc": "2.0", "id": 1, "method": 5})
    assert answer.json()["error"]["code"] == -32600
    assert allowed(answer) == {}


@pytest.mark.parametrize("origin", [OTHER, "null", SHOP.upper(), f"{SHOP}:444", ""])
def test_pages_of_other_origins_may_not(server, origin):
    answer = server.http.post(
        "/cross/shared/place",
        json={"item": "a"},
        headers={"Origin": origin, **CROSS_SITE},
    )
    assert answer.status_code == 403
    assert allowed(answer) == {}
    assert "Origin" in answer.headers["Vary"]


def test_caches_are_told_also_without_an_origin(server):
    assert "Origin" in server.http.get("/cross/shared/place?item=a").headers["Vary"]


def test_a_page_sees_failures_too(server):
    headers = {"Origin": SHOP}
    for path, status in (("fail", 409), ("place", 400), ("place?item=1&item=2", 400)):
        answer = server.http.post(f"/cross/shared/{path}", headers=headers)
        assert answer.status_code == status
        assert allowed(answer)["allow-origin"] == SHOP
    refused = server.http.patch("/cross/shared/place", headers=headers)
    assert (refused.status_code, allowed(refused)["allow-origin"]) == (405, SHOP)


def test_an_answer_of_the_tools_own_is_left_as_it_is(server):
    before = list(ANSWER.headers)
    for _ in range(2):
        answer = server.http.get("/cross/shared/list", headers={"Origin": SHOP})
        assert allowed(answer)["allow-origin"] == SHOP
    assert before == ANSWER.headers


def test_a_preflight_is_answered(server):
    answer = preflight(server, "/cross/shared/place", fields="content-type, x-odd")
    assert answer.status_code == 204
    assert allowed(answer) == {
        "allow-origin": SHOP,
        "allow-credentials": "true",
        "allow-methods": "GET, HEAD, POST",
        "allow-headers": "content-type, x-odd",
        "max-age": "60",
    }
    assert answer.headers["Vary"].split(", ") == [
        *("Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"),
    ]
    answer = preflight(server, "/cross/shared/note", method="PUT")
    assert allowed(answer)["allow-methods"] == "PUT"


def test_a_preflight_of_another_origin_is_told_nothing(server):
    answer = preflight(server, "/cross/shared/place", OTHER)
    assert (answer.status_code, allowed(answer)) == (204, {})
    assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize("path", ["/cross/closed/look", "/nothing/here"])
def test_other_tools_know_nothing_of_it(server, path):
    answer = preflight(server, path)
    assert allowed(answer) == {}
    answer = server.http.get(path, headers={"Origin": SHOP})
    assert allowed(answer) == {}
    assert "Origin" not in answer.headers.get("Vary", "")


def test_a_method_may_be_called_like_the_attribute(server):
    assert server.http.get("/cross/closed/cors").text == "a word"


def test_an_open_tool_is_for_all_and_varies_by_none(server):
    answer = server.http.get("/cross/open/look", headers={"Origin": OTHER})
    assert allowed(answer) == {"allow-origin": "*"}
    assert "Origin" not in answer.headers["Vary"]
    assert allowed(preflight(server, "/cross/open/look", OTHER))["allow-origin"] == "*"


def test_a_tool_may_say_it_when_it_starts(server):
    answer = server.http.get("/cross/late/look", headers={"Origin": OTHER})
    assert allowed(answer)["allow-origin"] == OTHER


def call(name, *params, id=1):
    return {"jsonrpc": "2.0", "id": id, "method": name, "params": params}


def test_rpc_of_a_shared_tool(server):
    headers = {"Origin": SHOP, **CROSS_SITE}
    for path, name in (("", "cross.shared.place"), ("/cross/shared", "place")):
        answer = server.http.post(
            f"/JSONRPC{path}", json=call(name, "a"), headers=headers
        )
        assert answer.json()["result"] == "a"
        assert allowed(answer)["allow-origin"] == SHOP
        assert allowed(preflight(server, f"/JSONRPC{path}")) == {
            "allow-origin": SHOP,
            "allow-credentials": "true",
            "allow-methods": "POST",
            "max-age": "60",
        }


@pytest.mark.parametrize(
    ("path", "body", "origin"),
    [
        ("", call("cross.shared.place", "a"), "https://stranger.example.org"),
        ("", call("cross.closed.look"), SHOP),
        ("/cross/closed", call("look"), SHOP),
        ("/cross/nothing", call("look"), SHOP),
        ("", call("look"), SHOP),
        ("", call("system.listMethods"), SHOP),
        ("/cross/shared", call("system.listMethods"), SHOP),
        ("", [call("cross.shared.place", "a"), call("cross.closed.look")], SHOP),
    ],
)
def test_rpc_of_other_tools_is_refused_as_a_whole(path, body, origin):
    with toolserver.testing.serve(Shared, Closed, Late) as server:
        answer = server.http.post(
            f"/JSONRPC{path}", json=body, headers={"Origin": origin}
        )
        assert answer.status_code == 403
        assert allowed(answer) == {}


def test_a_batch_for_two_tools_is_as_strict_as_the_stricter_one(server):
    batch = [call("cross.shared.place", "a", id=1), call("cross.open.look", id=2)]
    answer = server.http.post("/JSONRPC", json=batch, headers={"Origin": SHOP})
    assert [each["result"] for each in answer.json()] == ["a", "all of it"]
    assert allowed(answer) == {"allow-origin": "*"}


def test_a_preflight_for_rpc_that_nobody_shares_is_refused(server):
    answer = preflight(server, "/JSONRPC/cross/closed")
    assert (answer.status_code, allowed(answer)) == (405, {})


def test_a_page_of_the_server_itself_needs_no_leave(server):
    answer = server.http.post(
        "/JSONRPC", json=call("cross.closed.look"), headers={"Origin": server.url("")}
    )
    assert answer.json()["result"] == "nothing"


@pytest.mark.parametrize(
    "origin",
    ["null", "shop.example", f"{SHOP}/", "HTTPS://shop.example", f"{SHOP}:443", ""],
)
def test_malformed_origins_are_refused(origin):
    with pytest.raises(ValueError, match=r"origins: got .*, expected"):
        CORS([origin])


def test_credentials_are_not_for_everybody():
    with pytest.raises(ValueError, match="name the origins"):
        CORS("*", credentials=True)


def test_malformed_fields_are_refused():
    with pytest.raises(ValueError, match="expose: got 'X Total'"):
        CORS(SHOP, expose="X Total")
