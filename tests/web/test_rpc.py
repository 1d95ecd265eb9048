"""RPC over a real server, by real clients."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import xmlrpc.client

import gevent.pool
import pytest
import requests

import toolserver.testing
from tests.sample import Faults, Types

WHEN = dt.datetime(2026, 1, 2, 3, 4, 5)
IDENTITY = "00000000-0000-0000-0000-000000000005"
#: Method, argument and result over XML-RPC, over JSON.
VALUES = [
    ("bool_", True, True),
    ("int_", -5, -5),
    ("int_", -(2**31), -(2**31)),
    ("float_", 1.5, 1.5),
    ("float_", 1e300, 1e300),
    ("decimal", "1.50", "1.50"),
    ("str_", "ä <&> \n 𝄞", "ä <&> \n 𝄞"),
    ("bytes_", b"\x00\xff", "AP8="),
    ("datetime", WHEN, "2026-01-02T03:04:05"),
    ("date", "2026-01-02", "2026-01-02"),
    ("time", "03:04:05", "03:04:05"),
    ("timedelta", "PT90S", "PT90S"),
    ("uuid", IDENTITY, IDENTITY),
    ("enum", "red", "red"),
    ("literal", 1, 1),
    ("list_", [1, 2], [1, 2]),
    ("list_", [], []),
    ("tuple_", [1, "a"], [1, "a"]),
    ("set_", [7], [7]),
    ("dict_", {"a": 1}, {"a": 1}),
    ("union", "x", "x"),
    ("record", {"id": 1, "lines": [{"item": "a", "count": 2}], "note": "n"},
     {"id": 1, "lines": [{"item": "a", "count": 2}], "note": "n"}),
    ("typed_dict", {"title": "M"}, {"title": "M"}),
    ("named_tuple", [1, 2], [1, 2]),
    ("struct", {"key": "k"}, {"key": "k"}),
    ("constrained", 5, 5),
    ("untyped", [1, {"a": "b"}], [1, {"a": "b"}]),
]  # fmt: skip


@pytest.fixture(scope="module")
def server():
    with toolserver.testing.serve(Types, Faults) as running:
        yield running


@pytest.fixture
def proxy(server):
    with xmlrpc.client.ServerProxy(
        server.url("/RPC2"), use_builtin_types=True, allow_none=True
    ) as made:
        yield made


@pytest.fixture
def jsonrpc(server):
    def call(method, *args, **kwargs):
        message = {"jsonrpc": "2.0", "id": 7, "method": method}
        message["params"] = kwargs or args
        answer = server.http.post("/JSONRPC", json=message)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        body = answer.json()
        assert body["id"] == 7
        return body

    return call


@pytest.mark.parametrize(("method", "xml", "plain"), VALUES)
def test_each_type_goes_through_xmlrpc(proxy, method, xml, plain):
    assert getattr(proxy.sample.types, method)(xml) == xml


@pytest.mark.parametrize(("method", "xml", "plain"), VALUES)
def test_each_type_goes_through_jsonrpc(jsonrpc, method, xml, plain):
    assert jsonrpc(f"sample.types.{method}", plain)["result"] == plain
    assert jsonrpc(f"sample.types.{method}", value=plain)["result"] == plain


def test_integers_past_32_bits_have_a_type_of_their_own(server):
    body = """<methodCall><methodName>sample.types.int_</methodName><params><param>
        <value><i8>9000000000</i8></value></param></params></methodCall>"""
    headers = {"Content-Type": "text/xml"}
    answer = server.http.post("/RPC2", data=body, headers=headers)
    assert "<i8>9000000000</i8>" in answer.text
    answer = server.http.post(
        "/RPC2", data=body.replace("9", "9" * 15), headers=headers
    )
    assert "<int>-32500</int>" in answer.text


def test_nothing_comes_back_as_nothing(proxy, jsonrpc):
    assert proxy.sample.types.none() is None
    assert jsonrpc("sample.types.none")["result"] is None


def test_defaults_and_further_arguments(proxy, jsonrpc):
    assert proxy.sample.types.optional() == 5
    assert proxy.sample.types.many(1, 2, 3) == [1, [2, 3], 1, {}]
    assert jsonrpc("sample.types.many", first=1, factor=2, x="y")["result"] == [
        *(1, [], 2, {"x": "y"})
    ]


#: Name, arguments, code, and what the message says.
MISTAKES = [
    ("sample.types.int_", ["x"], -32602, "value: expected int, got str 'x'"),
    ("sample.types.int_", [], -32602, "value: missing, expected int"),
    ("sample.types.int_", [1, 2], -32602, "got 2 positional arguments"),
    ("sample.types.constrained", [6], -32602, "expected int <= 5, got int 6"),
    ("sample.types.nope", [], -32601, "no method 'sample.types.nope'"),
    ("nowhere.nope", [], -32601, "no tool 'nowhere'"),
    ("sample.faults.secret", [], -32601, "no method 'sample.faults.secret'"),
    ("sample.faults._private", [], -32601, "no method"),
    ("sample.faults.__init__", [], -32601, "no method"),
    ("sample.faults.__class__.__bases__", [], -32601, "no tool"),
    ("sample.faults.raises", [], -32500, "ValueError: broken"),
    ("sample.faults.missing", [], -32004, "no such thing"),
    ("sample.faults.conflict", [], -32009, "not now"),
    ("sample.faults.own", [], -32150, "sold out"),
    ("sample.faults.unsendable", [], -32500, "object"),
    ("sample.faults.leaves", [], -32500, "SystemExit"),
]


@pytest.mark.parametrize(("name", "args", "code", "message"), MISTAKES)
def test_each_mistake_has_its_fault_in_xmlrpc(proxy, name, args, code, message):
    with pytest.raises(xmlrpc.client.Fault) as caught:
        getattr(proxy, name)(*args)
    assert caught.value.faultCode == code
    assert message in caught.value.faultString
    assert "Traceback" not in caught.value.faultString


@pytest.mark.parametrize(("name", "args", "code", "message"), MISTAKES)
def test_each_mistake_has_its_error_in_jsonrpc(jsonrpc, name, args, code, message):
    error = jsonrpc(name, *args)["error"]
    assert error["code"] == code
    assert message in error["message"]
    assert "type" in error["data"]


def test_an_error_tells_its_class_and_facts(jsonrpc):
    assert jsonrpc("sample.faults.own")["error"]["data"] == {
        "type": "OutOfStock",
        "left": 0,
    }
    assert jsonrpc("sample.faults.raises")["error"]["data"]["type"] == "ValueError"


def test_a_tool_has_a_url_of_its_own(server):
    url = server.url("/RPC2/sample/types")
    with xmlrpc.client.ServerProxy(url) as proxy:
        assert proxy.int_(3) == 3
        assert "sample.types.int_" in proxy.system.listMethods()
    answer = server.http.post(
        "/JSONRPC/sample/types/",
        json={"jsonrpc": "2.0", "id": 1, "method": "int_", "params": [3]},
    )
    assert answer.json()["result"] == 3


def test_a_batch_is_answered_call_by_call(server):
    batch = [
        {"jsonrpc": "2.0", "id": 1, "method": "sample.types.int_", "params": [1]},
        {"jsonrpc": "2.0", "method": "sample.types.int_", "params": [2]},
        {"jsonrpc": "2.0", "id": 3, "method": "sample.faults.unsendable"},
        "nonsense",
    ]
    answers = server.http.post("/JSONRPC", json=batch).json()
    assert [answer.get("id") for answer in answers] == [1, 3, None]
    assert answers[0]["result"] == 1
    assert [answer["error"]["code"] for answer in answers[1:]] == [-32500, -32600]


def test_a_notification_has_no_answer(server):
    message = {"jsonrpc": "2.0", "method": "sample.types.int_", "params": [2]}
    answer = server.http.post("/JSONRPC", json=message)
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize(
    ("path", "content_type", "body", "code"),
    [
        ("/JSONRPC", "application/json", b"{", "-32700"),
        ("/JSONRPC", "application/json", b'{"a": 1, "a": 2}', "-32700"),
        ("/JSONRPC", "application/json", b"[" * 100, "-32700"),
        ("/JSONRPC", "application/json", b"5", "-32600"),
        ("/RPC2", "text/xml", b"<methodCall>", "-32700"),
        ("/RPC2", "text/xml", b"<!DOCTYPE a><methodCall/>", "-32700"),
        ("/RPC2", "text/xml", b"<other/>", "-32600"),
    ],
)
def test_what_is_no_request_is_answered_so(server, path, content_type, body, code):
    answer = server.http.post(path, data=body, headers={"Content-Type": content_type})
    assert answer.status_code in (200, 400)
    assert code in answer.text


def test_other_verbs_and_types_are_refused(server):
    answer = server.http.get("/RPC2")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    answer = server.http.post("/RPC2", json={})
    assert answer.status_code == 415
    assert "text/xml" in answer.text


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://evil.example", 403),
        ("null", 403),
        (None, 200),
        ("http://[::1", 403),
        ("http://a]b[c", 403),
        ("", 403),
    ],
)
def test_pages_of_strangers_may_not_make_calls(server, origin, status):
    message = {"jsonrpc": "2.0", "id": 1, "method": "sample.faults.fine"}
    headers = {} if origin is None else {"Origin": origin}
    answer = server.http.post("/JSONRPC", json=message, headers=headers)
    assert answer.status_code == status
    own = {"Origin": server.url("")}
    assert server.http.post("/JSONRPC", json=message, headers=own).status_code == 200
    other = {"Origin": server.url("").replace("http:", "https:")}
    assert server.http.post("/JSONRPC", json=message, headers=other).status_code == 403


def test_a_foreign_host_is_refused(server):
    answer = server.http.get("/", headers={"Host": "evil.example"})
    assert answer.status_code == 421
    port = server.worker.http.local[1]
    for host in ("localhost", f"localhost:{port}", "127.0.0.1", "LOCALHOST:1"):
        answer = server.http.get("/sample/faults/fine", headers={"Host": host})
        assert answer.text == "fine"


def test_a_body_past_its_bound_is_refused():
    with toolserver.testing.serve(Types, config={"limits": {"body": 1000}}) as server:
        for path, kind in (("/RPC2", "text/xml"), ("/JSONRPC", "application/json")):
            headers = {"Content-Type": kind}
            at = server.http.post(path, data=b" " * 1000, headers=headers)
            assert at.status_code != 413
            past = server.http.post(path, data=b" " * 1001, headers=headers)
            assert past.status_code == 413


def test_a_call_past_its_time_has_its_own_fault():
    config = {"server": {"call_timeout": 0.05}}
    with toolserver.testing.serve(Faults, config=config) as server:
        message = {"jsonrpc": "2.0", "id": 1, "method": "sample.faults.waits"}
        message["params"] = [30]
        answer = server.http.post("/JSONRPC", json=message).json()
        assert answer["error"]["code"] == -32008


def test_exceptions_can_be_kept_from_callers(caplog):
    config = {"errors": {"detail": "reference"}}
    with (
        toolserver.testing.serve(Faults, config=config) as server,
        xmlrpc.client.ServerProxy(server.url("/RPC2")) as proxy,
        pytest.raises(xmlrpc.client.Fault) as caught,
    ):
        proxy.sample.faults.raises()
    assert "broken" not in caught.value.faultString
    assert caught.value.faultString.rpartition(" ")[2] in caplog.text


def test_calls_are_logged_on_demand_without_secrets(caplog):
    with (
        caplog.at_level("INFO"),
        toolserver.testing.serve(Types, config={"log": {"rpc": True}}) as server,
    ):
        message = {"jsonrpc": "2.0", "id": 1, "method": "sample.types.many"}
        message["params"] = {"first": 1, "password": "hunter2"}
        assert "result" in server.http.post("/JSONRPC", json=message).json()
    assert "sample.types.many(first=1, password=***)" in caplog.text


def test_introspection(proxy):
    methods = proxy.system.listMethods()
    assert "sample.types.int_" in methods
    assert "sample.faults.secret" not in methods
    assert proxy.system.methodSignature("sample.types.optional") == [
        ["int", "int"],
        ["int"],
    ]
    assert proxy.system.methodSignature("sample.types.record") == [["struct", "struct"]]
    assert "Return nothing." in proxy.system.methodHelp("sample.types.none")
    assert "sample.types" in proxy.system.listTools()
    assert proxy.system.getCapabilities()["xmlrpc"]["specVersion"] == 1
    (described,) = [
        method
        for method in proxy.system.describe("sample.types")
        if method["name"] == "optional"
    ]
    assert described["signature"] == "(value: int | None = 5) -> int | None"
    with pytest.raises(xmlrpc.client.Fault, match="no method"):
        proxy.system.methodHelp("sample.faults.secret")


def test_several_calls_at_once(proxy):
    multi = xmlrpc.client.MultiCall(proxy)
    multi.sample.types.int_(1)
    multi.sample.faults.raises()
    multi.sample.types.str_("a")
    multi.sample.faults.unsendable()
    multi.sample.faults.nan()
    results = multi()
    assert results[0] == 1
    with pytest.raises(xmlrpc.client.Fault, match="broken"):
        results[1]
    assert results[2] == "a"
    with pytest.raises(xmlrpc.client.Fault, match="cannot be sent"):
        results[3]
    with pytest.raises(xmlrpc.client.Fault, match="cannot be sent"):
        results[4]


def test_several_calls_are_bounded_and_not_nested(proxy):
    one = {"methodName": "sample.types.int_", "params": [1]}
    assert len(proxy.system.multicall([one] * 100)) == 100
    with pytest.raises(xmlrpc.client.Fault, match="at most 100"):
        proxy.system.multicall([one] * 101)
    nested = {"methodName": "system.multicall", "params": [[one]]}
    (answer,) = proxy.system.multicall([nested])
    assert answer["faultCode"] == -32602
    (answer,) = proxy.system.multicall([{"methodName": 5}])
    assert answer["faultCode"] == -32602


def test_calls_run_at_the_same_time(server):
    def wait(_):
        connection = http.client.HTTPConnection(*server.worker.http.local)
        message = {"jsonrpc": "2.0", "id": 1, "method": "sample.faults.waits"}
        message["params"] = [0.2]
        connection.request(
            "POST",
            "/JSONRPC",
            json.dumps(message),
            {"Content-Type": "application/json"},
        )
        answer = connection.getresponse().read()
        connection.close()
        return json.loads(answer)["result"]

    with gevent.Timeout(5):
        group = gevent.pool.Group()
        assert group.map(wait, range(50)) == [0.2] * 50


def test_a_session_of_its_own_sees_the_same_server(server):
    assert requests.get(server.url("/sample/faults/fine"), timeout=5).text == "fine"
