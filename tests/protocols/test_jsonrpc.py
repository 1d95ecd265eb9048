import collections
import dataclasses
import datetime
import decimal
import json
import math
import typing

import hypothesis.strategies as st
import pytest
from hypothesis import given

from toolserver.calls import Call, Outcome
from toolserver.errors import (
    ApplicationError,
    InternalError,
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    ParseError,
    ToolFault,
    ToolserverError,
)
from toolserver.message import Request, Response
from toolserver.protocols.base import RPCProtocol
from toolserver.protocols.jsonrpc import JSONRPC
from toolserver.settings import Limits

CODEC = JSONRPC(Limits())

KEYS = st.text(max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5)
    ),
    max_leaves=20,
)


def request_of(message):
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return Request(method="POST", path="/JSONRPC", content=body)


def methods(name, args, kwargs):
    """The methods that the examples of the specification call."""
    if name == "subtract":
        return (lambda minuend, subtrahend: minuend - subtrahend)(*args, **kwargs)
    if name == "sum":
        return sum(args)
    if name == "get_data":
        return ["hello", 5]
    if name in ("update", "notify_hello", "notify_sum", "echo"):
        return args[0] if args else None
    raise MethodNotFound(f"no method {name!r}")


def make(call):
    if call.error is not None:
        return Outcome(call, error=call.error)
    try:
        return Outcome(call, methods(call.name, call.args, call.kwargs))
    except ToolserverError as error:
        return Outcome(call, error=error)


def answer(message, codec=CODEC):
    """Take a request through the codec as a server does; None for no content."""
    request = request_of(message)
    try:
        calls = codec.decode(request)
    except ToolserverError as error:
        outcomes = [Outcome(Call(""), error=error)]
    else:
        outcomes = list(map(make, calls))
    body = codec.encode(request, outcomes)
    if isinstance(body, Response):
        assert body.status == 204
        assert body.body == b""
        return None
    return json.loads(body)


def encode(value, id_=1):
    (call,) = CODEC.decode(request_of({"jsonrpc": "2.0", "method": "m", "id": id_}))
    return CODEC.encode(Request(), [Outcome(call, value)])


def test_it_is_a_protocol():
    assert isinstance(CODEC, RPCProtocol)


def failed(code, id_=None):
    return (code, id_)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (
            b'{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}',
            {"jsonrpc": "2.0", "result": 19, "id": 1},
        ),
        (
            b'{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}',
            {"jsonrpc": "2.0", "result": -19, "id": 2},
        ),
        (
            b'{"jsonrpc": "2.0", "method": "subtract", '
            b'"params": {"subtrahend": 23, "minuend": 42}, "id": 3}',
            {"jsonrpc": "2.0", "result": 19, "id": 3},
        ),
        (
            b'{"jsonrpc": "2.0", "method": "subtract", '
            b'"params": {"minuend": 42, "subtrahend": 23}, "id": 4}',
            {"jsonrpc": "2.0", "result": 19, "id": 4},
        ),
        (b'{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}', None),
        (b'{"jsonrpc": "2.0", "method": "foobar"}', None),
        (b'{"jsonrpc": "2.0", "method": "foobar", "id": "1"}', failed(-32601, "1")),
        (b'{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', -32700),
        (b'{"jsonrpc": "2.0", "method": 1, "params": "bar"}', -32600),
        (
            b'[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},'
            b'{"jsonrpc": "2.0", "method"]',
            -32700,
        ),
        (b"[]", -32600),
        (b"[1]", [-32600]),
        (b"[1,2,3]", [-32600, -32600, -32600]),
        (
            b'[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},'
            b'{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},'
            b'{"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},'
            b'{"foo": "boo"},'
            b'{"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, '
            b'"id": "5"},'
            b'{"jsonrpc": "2.0", "method": "get_data", "id": "9"}]',
            [
                {"jsonrpc": "2.0", "result": 7, "id": "1"},
                {"jsonrpc": "2.0", "result": 19, "id": "2"},
                -32600,
                failed(-32601, "5"),
                {"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"},
            ],
        ),
        (
            b'[{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},'
            b'{"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}]',
            None,
        ),
    ],
)
def test_the_examples_of_the_specification(sent, expected):
    def check(got, expected):
        if isinstance(expected, list):
            assert len(got) == len(expected)
            for one, wanted in zip(got, expected, strict=True):
                check(one, wanted)
        elif isinstance(expected, (int, tuple)):
            code, id_ = expected if isinstance(expected, tuple) else (expected, None)
            assert got.keys() == {"jsonrpc", "error", "id"}
            assert got["jsonrpc"] == "2.0"
            assert got["id"] == id_
            assert got["error"]["code"] == code
            assert got["error"]["message"]
        else:
            assert got == expected

    check(answer(sent), expected)


@pytest.mark.parametrize("id_", ["", "x", 0, -1, 2**70, 1.5, 1e300, None])
def test_an_id_comes_back_as_it_was(id_):
    got = answer({"jsonrpc": "2.0", "method": "get_data", "id": id_})
    assert got["id"] == id_
    assert type(got["id"]) is type(id_)
    assert got["result"] == ["hello", 5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"jsonrpc": "1.0"}, "jsonrpc: got '1.0', expected '2.0'"),
        ({"jsonrpc": None}, "jsonrpc: got None, expected '2.0'"),
        ({"jsonrpc": 2.0}, "jsonrpc: got 2.0, expected '2.0'"),
        ({"method": None}, "method: got None, expected a string"),
        ({"method": ["a"]}, "method: got list, expected a string"),
        ({"params": "a"}, "params: got 'a', expected an array or an object"),
        ({"params": 0}, "params: got 0, expected an array or an object"),
        ({"params": False}, "params: got False, expected an array or an object"),
        ({"id": {}}, "id: got dict, expected a string, a number or null"),
        ({"id": True}, "id: got True, expected a string, a number or null"),
    ],
)
def test_what_is_no_request_is_refused(change, message):
    valid = {"jsonrpc": "2.0", "method": "sum", "params": [], "id": 1}
    got = answer({**valid, **change})
    assert got["error"]["code"] == -32600
    assert got["error"]["message"] == message
    assert got["id"] == (None if "id" in change else 1)


def test_requests_of_version_1_are_refused():
    got = answer({"method": "sum", "params": [1], "id": 1})
    assert got["error"]["code"] == -32600


@pytest.mark.parametrize("params", [{}, {"params": None}, {"params": []}])
def test_parameters_may_be_left_out(params):
    assert answer({"jsonrpc": "2.0", "method": "sum", "id": 1, **params})["result"] == 0


def test_a_batch_is_bounded():
    codec = JSONRPC(Limits(batch=3))
    one = {"jsonrpc": "2.0", "method": "sum", "params": [1], "id": 1}
    assert len(answer([one] * 3, codec)) == 3
    got = answer([one] * 4, codec)
    assert got["error"]["code"] == -32600
    assert got["error"]["message"] == "batch: got 4 calls, expected at most 3"


def test_the_number_of_values_is_bounded():
    codec = JSONRPC(Limits(json_values=10))
    message = {"jsonrpc": "2.0", "method": "sum", "params": [1] * 5, "id": 1}
    assert answer(message, codec)["result"] == 5
    message["params"].append(1)
    got = answer(message, codec)
    assert got["error"]["code"] == -32700
    assert got["error"]["message"] == "JSON of more than 10 values"


def test_depth_is_bounded():
    codec = JSONRPC(Limits(json_depth=4))
    text = b'{"jsonrpc": "2.0", "method": "echo", "params": [%s], "id": 1}'
    assert answer(text % b"[[]]", codec)["result"] == [[]]
    assert answer(text % b"[[[]]]", codec)["error"]["code"] == -32700


@pytest.mark.parametrize("text", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_numbers_that_are_none_are_refused(text):
    sent = b'{"jsonrpc": "2.0", "method": "echo", "params": [%s], "id": 1}' % text
    assert answer(sent)["error"]["code"] == -32700


def test_repeated_members_are_refused():
    sent = b'{"jsonrpc": "2.0", "method": "echo", "method": "sum", "id": 1}'
    got = answer(sent)
    assert got["error"]["code"] == -32700
    assert "'method'" in got["error"]["message"]


@pytest.mark.parametrize("value", [math.nan, [math.inf], {"a": -math.inf}, "\ud800"])
def test_a_result_that_json_cannot_carry_is_an_error(value):
    with pytest.raises(ApplicationError, match="cannot be sent as JSON"):
        encode(value)


def test_in_a_batch_such_a_result_spoils_only_its_own_call():
    sent = [{"jsonrpc": "2.0", "method": "m", "id": n} for n in (1, 2, 3)]
    request = request_of(sent)
    values = [math.nan, 2, object()]
    outcomes = [
        Outcome(call, value)
        for call, value in zip(CODEC.decode(request), values, strict=True)
    ]
    first, second, third = json.loads(CODEC.encode(request, outcomes))
    assert first["error"]["code"] == third["error"]["code"] == -32500
    assert "NaN" in first["error"]["message"]
    assert "type object" in third["error"]["message"]
    assert second == {"jsonrpc": "2.0", "result": 2, "id": 2}


def test_in_a_batch_facts_that_fail_spoil_only_their_own_call():
    class Closed(collections.UserDict):
        def keys(self):
            raise OSError("closed")

    sent = [{"jsonrpc": "2.0", "method": "m", "id": n} for n in (1, 2)]
    request = request_of(sent)
    first, second = CODEC.decode(request)
    error = ApplicationError("gone", data=Closed(a=1))
    outcomes = [
        Outcome(
            first,
            error=error,
            judge=lambda call, raised: ToolFault(f"told: {raised}", exception=raised),
        ),
        Outcome(second, 2),
    ]
    failed, made = json.loads(CODEC.encode(request, outcomes))
    assert failed["error"]["message"] == "told: closed"
    assert made == {"jsonrpc": "2.0", "result": 2, "id": 2}


class Point(typing.NamedTuple):
    x: int


@dataclasses.dataclass
class Item:
    sku: str
    at: Point


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (b"\x00\xff", "AP8="),
        (decimal.Decimal("1.50"), "1.50"),
        (datetime.datetime(2024, 2, 29, 1, 2, 3), "2024-02-29T01:02:03"),
        (datetime.date(2024, 2, 29), "2024-02-29"),
        (Item("a", Point(1)), {"sku": "a", "at": [1]}),
        ({1, 2}, [1, 2]),
        (2**70, 2**70),
        ("null", "null"),
        ([None], [None]),
    ],
)
def test_results_are_told_as_json_has_them(value, expected):
    assert json.loads(encode(value))["result"] == expected


class Busy(ApplicationError):
    code = -32050


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InvalidParams("count: missing"), (-32602, {"type": "InvalidParams"})),
        (
            Busy("later", data={"after": 5}),
            (-32050, {"type": "Busy", "after": 5}),
        ),
        (Busy("later", data=[1]), (-32050, {"type": "Busy", "detail": [1]})),
        (
            ToolFault("KeyError: 'a'", exception=KeyError("a"), kind="KeyError"),
            (-32500, {"type": "KeyError"}),
        ),
        (
            InternalError("r-1"),
            (-32603, {"type": "InternalError", "reference": "r-1"}),
        ),
        (Busy("later", data={"n": math.nan}), (-32050, {"type": "Busy"})),
        (Busy("later", data={"n": object()}), (-32050, {"type": "Busy"})),
    ],
)
def test_errors_tell_code_message_and_data(error, expected):
    code, data = expected
    body = CODEC.encode(Request(), [Outcome(Call("m", id="a"), error=error)])
    assert json.loads(body) == {
        "jsonrpc": "2.0",
        "error": {"code": code, "message": error.message, "data": data},
        "id": "a",
    }


def test_an_error_arrives_whatever_its_message_holds():
    error = ApplicationError("bad \ud800 text", data={"text": "\udfff"})
    body = CODEC.encode(Request(), [Outcome(Call("m", id=1), error=error)])
    told = json.loads(body)["error"]
    assert told["message"] == "bad \\ud800 text"
    assert told["data"] == {"type": "ApplicationError"}


@given(VALUES)
def test_values_survive_the_way_there_and_back(value):
    got = answer({"jsonrpc": "2.0", "method": "echo", "params": [value], "id": 1})
    assert got == {"jsonrpc": "2.0", "result": value, "id": 1}


@given(VALUES)
def test_any_json_is_read_as_calls_or_refused(message):
    try:
        calls = CODEC.decode(request_of(message))
    except InvalidRequest:
        assert message == []
    else:
        assert all(call.error is not None for call in calls)


@given(st.binary())
def test_any_bytes_are_read_or_refused(body):
    try:
        calls = CODEC.decode(request_of(body))
    except ParseError:
        return
    except InvalidRequest:
        assert body.strip() == b"[]" or body.lstrip()[:1] == b"["
        return
    assert all(type(call) is Call for call in calls)


VALID = (
    b'[{"jsonrpc": "2.0", "method": "echo", "params": [{"a": [1, 2.5, null]}], '
    b'"id": "x"}, {"jsonrpc": "2.0", "method": "echo", "params": {"a": true}}]'
)


@given(st.data())
def test_damaged_requests_are_answered(data):
    body = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not body:
            break
    got = answer(bytes(body))
    assert got is None or isinstance(got, (dict, list))
