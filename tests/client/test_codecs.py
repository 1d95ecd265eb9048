"""Codecs without a network: whatever arrives is a value or a clear error."""

from __future__ import annotations

import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolserver.calls import Call, Outcome
from toolserver.client import AnswerError, RemoteFault
from toolserver.client.codecs import Answer, Style
from toolserver.client.faults import make_error
from toolserver.client.jsonrpc import JSONRPCCodec
from toolserver.client.mcp import MCPCodec
from toolserver.client.rest import RESTCodec
from toolserver.client.soap import SOAPCodec
from toolserver.client.xmlrpc import XMLRPCCodec
from toolserver.errors import (
    ApplicationError,
    Conflict,
    EnsureBroken,
    InternalError,
    InvalidParams,
    InvalidRequest,
    InvariantBroken,
    MethodNotFound,
    NotFound,
    Overload,
    ToolNotFound,
    ToolserverError,
    TooMany,
    Unauthenticated,
)
from toolserver.message import Request
from toolserver.protocols.jsonrpc import JSONRPC
from toolserver.protocols.xmlrpc_reader import read_call
from toolserver.settings import Limits

LIMITS = Limits()
NAMED = Style.NAMED
CODECS = [
    *(JSONRPCCodec(), XMLRPCCodec(LIMITS), SOAPCodec(LIMITS), RESTCodec()),
    MCPCodec(),
]
KINDS = [
    *("application/json", "text/xml", "application/problem+json", "text/html", ""),
    *("application/x-ndjson", "text/plain; charset=utf-16", "text/xml; charset=x"),
    "text/event-stream",
]
ENVELOPE = (
    b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" '
    b'xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><e:Body>%s</e:Body>'
    b"</e:Envelope>"
)
#: Parts of messages, of which arbitrary ones are put together.
PARTS = [
    *(
        b'{"jsonrpc": "2.0", ',
        b'"result": 1',
        b'"error": {"code": -32000, ',
        b"}",
        b"[]",
    ),
    *(
        b"data: ",
        b"\n\n",
        b"event: x\n",
        b'"result": {"content": [',
        b'"isError": true',
    ),
    *(b'{"type": "text"', b'"_meta": {"toolserver/error": {', b'"structuredContent": '),
    *(b'"message": "x"', b'"data": {"type": 3}', b'{"code": 5, "detail": []', b", "),
    *(b"<methodResponse>", b"<fault>", b"<params><param><value>", b"<nil/>", b"<int>x"),
    *(b"</value></param></params>", b"</methodResponse>", b"<struct>", b"\xff", b"\0"),
    ENVELOPE % b"<r><return i:type='int'>x</return></r>",
    ENVELOPE % b"<r><return i:type='Array'><a><b/></a></return></r>",
    ENVELOPE % b"<e:Fault><faultstring/><detail><ToolFault/></detail></e:Fault>",
    ENVELOPE % b"<r><return href='#a' id='a'/></r>",
    ENVELOPE % b"",
]
BODIES = st.binary(max_size=100) | st.lists(st.sampled_from(PARTS), max_size=8).map(
    b"".join
)


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: type(codec).__name__)
@given(st.data())
def test_any_answer_is_a_value_or_a_clear_error(codec, data):
    answer = Answer(
        url="http://h/",
        status=data.draw(st.sampled_from([200, 204, 301, 401, 404, 500, 503, 999])),
        headers={
            "content-type": data.draw(st.sampled_from(KINDS)),
            "retry-after": data.draw(st.sampled_from(["1", "x", "²"])),
        },
        body=data.draw(BODIES),
    )
    with contextlib.suppress(ToolserverError, AnswerError):
        codec.read(answer)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=5
    ).filter(lambda text: "\ufffe" not in text and "\uffff" not in text),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc <&", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.lists(PLAIN, max_size=3), st.dictionaries(st.text(max_size=3), PLAIN))
def test_servers_read_what_is_written(args, kwargs):
    sent = JSONRPCCodec().write("a.b", args, {} if args else kwargs)
    request = Request(method="POST", path=sent.path, content=sent.body)
    (call,) = JSONRPC(LIMITS).decode(request)
    assert (call.name, list(call.args)) == ("a.b", args)
    assert dict(call.kwargs) == ({} if args else kwargs)
    sent = XMLRPCCodec(LIMITS).write("a.b", args, {})
    assert read_call(sent.body, "", LIMITS) == ("a.b", args)


@given(PLAIN)
def test_what_servers_write_is_read(value):
    body = JSONRPC(LIMITS).encode(Request(), [Outcome(Call("a.b", id=1), value=value)])
    answer = Answer("", 200, {"content-type": "application/json"}, body)
    assert JSONRPCCodec().read(answer) == value


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: type(codec).__name__)
def test_arguments_that_cannot_be_sent(codec):
    for value in (object(), {1: 2, "1": 3}):
        args, kwargs = ((), {"a": value}) if codec.style is NAMED else ([value], {})
        with pytest.raises(InvalidParams, match="argument cannot be sent"):
            codec.write("a.b", args, kwargs)


def test_arguments_that_one_protocol_cannot_carry():
    with pytest.raises(InvalidParams, match="argument cannot be sent as XML: it holds"):
        SOAPCodec(LIMITS).write("a.b", [], {"a": "\0"})
    with pytest.raises(InvalidParams, match="argument cannot be sent as XML-RPC"):
        XMLRPCCodec(LIMITS).write("a.b", [2**64], {})
    with pytest.raises(InvalidParams, match="argument cannot be sent as JSON"):
        JSONRPCCodec().write("a.b", [math.inf], {})


class SoldOut(ApplicationError):
    code = -31998

    def __init__(self, item, left):
        super().__init__(f"{item}: {left} left")
        self.item = item


class Late(Conflict):
    """Has the number of its base."""


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"code": -32602}, InvalidParams),
        ({"code": -32601, "kind": "ToolNotFound"}, ToolNotFound),
        ({"code": -32601}, MethodNotFound),
        ({"code": -32023, "kind": "InvariantBroken"}, InvariantBroken),
        ({"code": -32023}, EnsureBroken),
        ({"code": -32029, "kind": "TooMany"}, TooMany),
        ({"code": -32029}, Overload),
        ({"code": -32001}, Unauthenticated),
        ({"kind": "NotFound"}, NotFound),
        ({"code": -32004, "kind": "Strange"}, NotFound),
        ({"code": -32009, "kind": "Late"}, Late),
        ({"code": -31998}, SoldOut),
        ({"code": -31998, "kind": "SoldOut"}, SoldOut),
        ({"kind": "SoldOut"}, SoldOut),
        ({"code": -31997, "kind": "SoldOut"}, RemoteFault),
        ({"code": -32500, "kind": "ApplicationError"}, ApplicationError),
        ({"code": -32500, "kind": "KeyError"}, RemoteFault),
        ({"code": -32500, "kind": "ToolserverError"}, RemoteFault),
        ({"code": -32500, "kind": "ToolFault"}, RemoteFault),
        ({"kind": "NotFound", "code": 7}, RemoteFault),
        ({}, RemoteFault),
    ],
)
def test_classes_of_errors(facts, kind):
    error = make_error("no way", **facts, data={"left": 0})
    assert type(error) is kind
    assert error.message == str(error) == "no way"
    assert error.data["left"] == 0
    assert error.code == facts.get("code", kind.code)


def test_references_of_internal_errors():
    told = make_error("internal error, reference 4f2a", code=-32603)
    assert isinstance(told, InternalError)
    assert told.reference == "4f2a"
    named = make_error("oh", code=-32603, data={"reference": "7"})
    assert (named.reference, named.message) == ("7", "oh")


def test_facts_of_a_fault_may_be_of_any_kind():
    assert make_error("no", kind="Strange", data=[1]).data == [1]
    assert make_error("no", kind="Strange").data == {"type": "Strange"}


def test_a_soap_fault_without_a_detail():
    fault = ENVELOPE % b"<e:Fault><faultstring>too large</faultstring></e:Fault>"
    answer = Answer("http://h/", 500, {"content-type": "text/xml"}, fault)
    with pytest.raises(InvalidRequest, match="too large"):
        SOAPCodec(LIMITS).read(answer)


def test_content_that_is_none_of_ours_comes_as_it_is():
    link = {"type": "resource_link", "uri": "http://h/a", "name": "a"}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"content": [link]}})
    headers = {"content-type": "application/json"}
    assert MCPCodec().read(Answer("http://h/", 200, headers, body.encode())) == link


def test_a_fault_that_passes_through_a_tool_is_told_on():
    fault = make_error("no way", code=-31997, kind="SoldOut", data={"left": 0})
    assert fault.data == {"left": 0, "type": "SoldOut"}
    assert (fault.kind, fault.status, fault.exception) == ("SoldOut", 500, fault)
