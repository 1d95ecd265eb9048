"""Each limit of what clients send, at its edge and one past it, at each door."""

from __future__ import annotations

import json
import random
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from tests import test_eventstreams, test_forms, test_resultcache, test_throttles
from tests.http import test_fairness, test_transport
from tests.http.raw_http import Answer, Client
from toolserver import StandardTool, register
from toolserver.client import AnswerError
from toolserver.errors import ToolserverError
from toolserver.protocols.pickles import KNOWN, write_pickle
from toolserver.settings import Limits, Settings
from toolserver.testing import serve

LIMITS = Limits(
    request_line=200,
    header_field=1500,
    headers_size=4000,
    headers_count=20,
    body=12_000,
    chunk_extension=10,
    chunk_extensions=30,
    small_chunks=400,
    trailers=60,
    form_fields=9,
    json_depth=9,
    json_values=60,
    batch=5,
    xml_depth=16,
    xml_elements=120,
    xml_attributes=7,
)
BOUNDARY = "parted"
XML = "text/xml; charset=utf-8"
SOAP11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP12 = "http://www.w3.org/2003/05/soap-envelope"
STYLE = ' s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"'


@register("limits")
class Taker(StandardTool):
    """Takes what it gets."""

    def take(self, value: Any) -> str:
        return "taken"

    def many(self, value: list[str]) -> str:
        return "taken"

    def mapping(self, value: dict[str, Any]) -> str:
        return "taken"


@pytest.fixture(scope="module")
def server():
    config = {"limits": msgspec.to_builtins(LIMITS)}
    with serve(Taker, config=config, clients={"ann": ()}) as running:
        yield running


class Sent(NamedTuple):
    """A request: the fields of its head, and a body."""

    path: str
    kind: str = ""
    body: bytes = b""
    fields: tuple[str, ...] = ()

    def head(self, length: str) -> bytes:
        method = "POST" if self.kind else "GET"
        lines = [f"{method} {self.path} HTTP/1.1", "Host: localhost"]
        if self.kind:
            lines += [f"Content-Type: {self.kind}", length]
        return "\r\n".join([*lines, *self.fields, "", ""]).encode()

    def whole(self) -> bytes:
        return self.head(f"Content-Length: {len(self.body)}") + self.body


# --- doors: how a value is sent by each, as its own text


class Door(NamedTuple):
    """A way in.

    Attributes:
        path: Where calls are sent.
        kind: Their media type.
        text: The body, with ``@`` in the place of the value.
        status: What a client gets whose message is past a limit,
        code: and the code of the error, or what else tells it.
    """

    path: str
    kind: str
    text: str
    status: int
    code: str

    def send(self, value: str) -> Sent:
        return Sent(self.path, self.kind, self.text.replace("@", value).encode())


def envelope(uri: str, style: str = "") -> str:
    operation = '<m:take xmlns:m="urn:toolserver:limits"><value>@</value></m:take>'
    return (
        f'<s:Envelope xmlns:s="{uri}"{style}><s:Body>{operation}</s:Body></s:Envelope>'
    )


JSON = {
    "REST": Door("/limits/take", "application/json", '{"value":@}', 400, "detail"),
    "JSON-RPC": Door(
        "/JSONRPC",
        "application/json",
        '{"jsonrpc":"2.0","id":1,"method":"limits.take","params":[@]}',
        200,
        '"code":-32700',
    ),
    "MCP": Door(
        "/mcp",
        "application/json",
        '{"jsonrpc":"2.0","id":1,"method":"tools/call",'
        '"params":{"name":"limits.take","arguments":{"value":@}}}',
        400,
        '"code":-32700',
    ),
}
XMLS = {
    "XML-RPC": Door(
        "/RPC2",
        XML,
        "<methodCall><methodName>limits.take</methodName><params><param><value>@"
        "</value></param></params></methodCall>",
        200,
        "<int>-32700</int>",
    ),
    "SOAP 1.1": Door("/SOAP", XML, envelope(SOAP11), 500, "Client</faultcode>"),
    "SOAP encoded": Door(
        "/SOAP", XML, envelope(SOAP11, STYLE), 500, "Client</faultcode>"
    ),
    "SOAP 1.2": Door(
        "/SOAP", "application/soap+xml", envelope(SOAP12), 400, ":Sender<"
    ),
}
DOORS = {**JSON, **XMLS}
PLAIN = {name: "1" if name in JSON else "x" for name in DOORS}


# --- what is just as large as a limit says, by the limit and the door

Make = Callable[[int], Sent]
CASES: list[Any] = []


def case(limit: str, door: str, status: int, code: str, make: Make) -> None:
    name = f"{limit}-{door}"
    CASES.append(pytest.param(limit, make, status, code, id=name))


def count_values(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + sum(map(count_values, value)) if isinstance(value, list) else 1


def json_cases() -> None:
    for name, door in JSON.items():
        before = door.text.partition("@")[0]
        depth = before.count("{") + before.count("[") - before.count("}")
        values = count_values(json.loads(door.text.replace("@", "[]")))

        def deep(size: int, door: Door = door, around: int = depth) -> Sent:
            return door.send("[" * (size - around) + "]" * (size - around))

        def wide(size: int, door: Door = door, around: int = values) -> Sent:
            return door.send(json.dumps([0] * (size - around)))

        case("json_depth", name, door.status, door.code, deep)
        case("json_values", name, door.status, door.code, wide)
    for name, send in TEXTS.items():
        case("json_depth", name, 400, "as JSON", lambda n, s=send: s(nest(n)))
        case("json_values", name, 400, "as JSON", lambda n, s=send: s(widen(n)))


def nest(size: int) -> str:
    return '{"a":' + "[" * (size - 1) + "]" * (size - 1) + "}"


def widen(size: int) -> str:
    return '{"a":[' + ",".join("0" * (size - 2)) + "]}"


FORM = "application/x-www-form-urlencoded"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


def parts(*values: str) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="value"\r\n\r\n'
    body = "".join(f"{head}{value}\r\n" for value in values)
    return f"{body}--{BOUNDARY}--\r\n".encode()


TEXTS: dict[str, Callable[[str], Sent]] = {
    "query": lambda text: Sent(f"/limits/mapping?value={text}".replace('"', "%22")),
    "form": lambda text: Sent("/limits/mapping", FORM, f"value={text}".encode()),
    "multipart": lambda text: Sent("/limits/mapping", MULTIPART, parts(text)),
}


def form_cases() -> None:
    sent: dict[str, Make] = {
        "query": lambda n: Sent("/limits/many?" + "&".join(["value=x"] * n)),
        "form": lambda n: Sent("/limits/many", FORM, b"&".join([b"value=x"] * n)),
        "multipart": lambda n: Sent("/limits/many", MULTIPART, parts(*"x" * n)),
    }
    for name, make in sent.items():
        case("form_fields", name, 400, "form" if name != "query" else name, make)


def xml_cases() -> None:
    def xmlrpc_depth(size: int) -> Sent:
        # Four elements are around the value, and an array in an array takes three.
        times, is_typed = divmod(size - 4, 3)
        value = "<array><data><value>" * times
        value += "<int>1</int>" * is_typed + "</value></data></array>" * times
        return XMLS["XML-RPC"].send(value)

    def xmlrpc_elements(size: int) -> Sent:
        values = "<value/>" * (size - 7)
        return XMLS["XML-RPC"].send(f"<array><data>{values}</data></array>")

    for name, door in XMLS.items():
        is_soap = name != "XML-RPC"

        def depth(size: int, door: Door = door) -> Sent:
            return door.send("<i>" * (size - 4) + "x" + "</i>" * (size - 4))

        def elements(size: int, door: Door = door) -> Sent:
            return door.send("<i>x</i>" * (size - 4))

        def attributes(size: int, door: Door = door, is_soap: bool = is_soap) -> Sent:
            tag = "i" if is_soap else "int"
            listed = " ".join(f"a{n}=''" for n in range(size))
            return door.send(f"<{tag} {listed}>1</{tag}>")

        refused = door.status, door.code
        case("xml_depth", name, *refused, depth if is_soap else xmlrpc_depth)
        case("xml_elements", name, *refused, elements if is_soap else xmlrpc_elements)
        case("xml_attributes", name, *refused, attributes)


def batch_cases() -> None:
    call = JSON["JSON-RPC"].text.replace("@", "1")
    tool = JSON["MCP"].text.replace("@", "1")
    inner = '{"methodName":"limits.take","params":[1]}'
    struct = (
        "<value><struct><member><name>methodName</name><value>limits.take</value>"
        "</member><member><name>params</name><value><array><data><value/></data>"
        "</array></value></member></struct></value>"
    )
    kind = "application/json"

    def rest(count: int) -> Sent:
        body = json.dumps({"calls": [json.loads(inner)] * count})
        return Sent("/system/multicall", kind, body.encode())

    def multicall(count: int) -> Sent:
        calls = f"[{','.join([inner] * count)}]"
        text = JSON["JSON-RPC"].text.replace("limits.take", "system.multicall")
        return Sent("/JSONRPC", kind, text.replace("@", calls).encode())

    def xmlrpc(count: int) -> Sent:
        text = XMLS["XML-RPC"].text.replace("limits.take", "system.multicall")
        array = f"<array><data>{struct * count}</data></array>"
        return Sent("/RPC2", XML, text.replace("@", array).encode())

    def listed(path: str, text: str, count: int, *fields: str) -> Sent:
        return Sent(path, kind, f"[{','.join([text] * count)}]".encode(), fields)

    version = "MCP-Protocol-Version: 2025-03-26"
    case("batch", "REST", 400, "at most 5", rest)
    case(
        "batch", "JSON-RPC", 200, '"code":-32600', lambda n: listed("/JSONRPC", call, n)
    )
    case("batch", "JSON-RPC multicall", 200, '"code":-32600', multicall)
    case(
        "batch",
        "MCP",
        400,
        '"code":-32600',
        lambda n: listed("/mcp", tool, n, version),
    )
    case("batch", "XML-RPC", 200, "<int>-32600</int>", xmlrpc)


def body_cases() -> None:
    for name, door in DOORS.items():

        def padded(size: int, door: Door = door, value: str = PLAIN[name]) -> Sent:
            sent = door.send(value)
            return sent._replace(body=sent.body.ljust(size))

        case("body", name, 413, "more than 12000 bytes", padded)

    def form(size: int) -> Sent:
        return Sent("/limits/take", FORM, b"value=".ljust(size, b"x"))

    def multipart(size: int) -> Sent:
        text = "x" * (size - len(parts("")))
        return Sent("/limits/take", MULTIPART, parts(text))

    case("body", "form", 413, "more than 12000 bytes", form)
    case("body", "multipart", 413, "more than 12000 bytes", multipart)


def head_cases() -> None:
    doors = {name: door.send(PLAIN[name]) for name, door in DOORS.items()}
    doors["query"] = Sent("/limits/take?value=1")
    for name, sent in doors.items():

        def line(size: int, sent: Sent = sent) -> Sent:
            short = len(sent.head("").partition(b"\r\n")[0])
            # Further slashes change nothing, where a query would be an argument.
            path, mark, query = sent.path.partition("?")
            padding = size - short
            if mark:
                return sent._replace(path=f"{path}?{query}{'1' * padding}")
            return sent._replace(path=f"{path}{'?':&<{padding}}")

        def field(size: int, sent: Sent = sent) -> Sent:
            return sent._replace(fields=("X-Long: ".ljust(size, "x"),))

        def fields_size(size: int, sent: Sent = sent) -> Sent:
            long = ["X: ".ljust(1400, "x")] * 2
            whole = sent._replace(fields=(*long, "Y: "))
            head = whole.head(f"Content-Length: {len(sent.body)}")
            # The fields, each with its line end.
            rest = size - (len(head) - head.find(b"\r\n") - 4)
            return sent._replace(fields=(*long, "Y: " + "y" * rest))

        def count(number: int, sent: Sent = sent) -> Sent:
            others = 3 if sent.kind else 1
            return sent._replace(fields=("X: y",) * (number - others))

        if name != "REST":
            case("request_line", name, 414, "request line", line)
        case("header_field", name, 431, "header field:", field)
        case("headers_size", name, 431, "header fields:", fields_size)
        case("headers_count", name, 431, "header fields:", count)


json_cases()
form_cases()
xml_cases()
batch_cases()
body_cases()
head_cases()


def ask(server: Any, *pieces: bytes) -> Answer:
    with Client(server.worker.http) as client:
        return client.send(*pieces).answer()


def is_taken(answer: Answer) -> bool:
    text = answer.body.decode()
    return answer.status == 200 and "taken" in text and "rror" not in text


@pytest.mark.parametrize(("limit", "make", "status", "code"), CASES)
def test_at_the_edge_and_past_it(server, limit, make, status, code):
    bound = getattr(LIMITS, limit)
    taken = ask(server, make(bound).whole())
    assert is_taken(taken), taken
    refused = ask(server, make(bound + 1).whole())
    assert (refused.status, code in refused.body.decode()) == (status, True), refused
    assert b"taken" not in refused.body


# --- bodies in chunks


def chunks(body: bytes, *, small: int = 1, extension: bytes = b"") -> list[bytes]:
    """A body in so many small chunks and a large one."""
    # The last one, which has no content, is small, too.
    pieces = [body[n : n + 1] for n in range(small - 1)] + [body[small - 1 :]]
    return [b"%x%b\r\n%b\r\n" % (len(p), extension, p) for p in pieces]


def extended(body: bytes, size: int) -> bytes:
    name = b";" + b"e" * (size - 1)
    return b"".join(chunks(body, extension=name)) + b"0\r\n\r\n"


def all_extended(body: bytes, size: int) -> bytes:
    """Extensions of three chunks that have this size together."""
    sizes = [10, 10, size - 20] if size <= 30 else [10, 10, 10, size - 30]
    names = [b";" + b"e" * (each - 1) if each > 1 else b"" for each in sizes]
    if size == 31:
        names[2:] = [b";" + b"e" * 8, b";e"]
    pieces = chunks(body, small=len(names))
    sent = [
        piece.replace(b"\r\n", name + b"\r\n", 1)
        for piece, name in zip(pieces, names, strict=True)
    ]
    return b"".join(sent) + b"0\r\n\r\n"


def in_small_chunks(body: bytes, count: int) -> bytes:
    return b"".join(chunks(body, small=count)) + b"0\r\n\r\n"


def trailed(body: bytes, size: int) -> bytes:
    return (
        b"".join(chunks(body)) + b"0\r\n" + b"T: ".ljust(size - 2, b"t") + b"\r\n\r\n"
    )


CHUNKED = {
    "chunk_extension": (extended, 400),
    "chunk_extensions": (all_extended, 400),
    "small_chunks": (in_small_chunks, 400),
    "trailers": (trailed, 431),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("limit", CHUNKED)
def test_chunks_at_the_edge_and_past_it(server, limit, door):
    make, status = CHUNKED[limit]
    bound = getattr(LIMITS, limit)
    sent = DOORS[door].send(PLAIN[door])
    body = sent.body + b" " * 500
    head = sent.head("Transfer-Encoding: chunked")
    taken = ask(server, head + make(body, bound))
    assert is_taken(taken), taken
    refused = ask(server, head + make(body, bound + 1))
    assert refused.status == status, refused
    assert b"taken" not in refused.body


# --- PickleRPC


def base64_size(size: int) -> int:
    return -(-size // 3) * 4


@pytest.mark.parametrize("in_session", [False, True])
def test_a_sealed_body_at_the_edge_and_past_it(server, in_session):
    noise = random.Random(1).randbytes(LIMITS.body)

    def call(size: int) -> str:
        remote = server.remote("PYRPC")
        if in_session:
            # The first call is signed and opens one.
            remote.call("limits.take", 1)
        return remote.call("limits.take", noise[:size])

    def body_size(size: int) -> int:
        message = {"method": "limits.take", "args": (noise[:size],), "kwargs": {}}
        # With the tag of AES-GCM; what goes before it, see the modules of both forms.
        sealed = len(write_pickle(message, KNOWN)) + 16
        return sealed + 8 if in_session else base64_size(1 + 12 + sealed)

    edge = max(n for n in range(8500, LIMITS.body) if body_size(n) <= LIMITS.body)
    assert body_size(edge) == LIMITS.body
    assert call(edge) == "taken"
    with pytest.raises(AnswerError, match="413"):
        call(edge + 1)


def test_a_pickle_at_the_edge_and_past_it(server):
    remote = server.remote("PYRPC")

    def pickle_size(size: int) -> int:
        message = {"method": "limits.take", "args": ("x" * size,), "kwargs": {}}
        return len(zlib.decompress(write_pickle(message, KNOWN)))

    edge = LIMITS.body - pickle_size(10_000) + 10_000
    assert pickle_size(edge) == LIMITS.body
    assert remote.call("limits.take", "x" * edge) == "taken"
    with pytest.raises(ToolserverError, match="more than 12000 bytes") as caught:
        remote.call("limits.take", "x" * (edge + 1))
    assert caught.value.code == -32700


# --- the page about them

PAGE = Path(__file__).parents[2] / "docs" / "limits.md"
#: Numbers of the settings that bound nothing of a client's.
NO_LIMITS = {
    *("server.port", "server.workers", "server.loop_block_warn"),
    *("auth.jwt_leeway", "static.max_age", "ops.drain", "jobs.lease_timeout"),
}


def shown(value: Any) -> set[str]:
    """How the page may show the default of a setting."""
    if not value:
        return {"none"}
    if isinstance(value, float):
        return {f"{value:,.0f} s"}
    sizes = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
    found = {f"{value:,}", f"{value:,} s"}
    return found | {
        f"{value // n} {unit}" for unit, n in sizes.items() if not value % n
    }


def test_the_page_tells_each_limit_and_its_default():
    row = re.compile(r"^\| [^|]+ \| `([a-z_.]+)` \| ([^|]+) \| [^|]+ \|$", re.MULTILINE)
    told = dict(row.findall(PAGE.read_text()))
    defaults = {
        f"{section}.{name}": value
        for section, values in msgspec.structs.asdict(Settings()).items()
        if isinstance(values, msgspec.Struct)
        for name, value in msgspec.structs.asdict(values).items()
        if section == "limits" or type(value) in (int, float)
    }
    assert told.keys() == defaults.keys() - NO_LIMITS
    for name, text in told.items():
        assert text in shown(defaults[name]), name


#: Limits that are not of one message: the tests of their edges.
ELSEWHERE = {
    "header_time": test_transport.test_a_late_head_is_told_so,
    "body_idle": test_transport.test_a_body_that_stalls_is_refused,
    "body_rate": test_transport.test_a_body_that_trickles_is_refused,
    "uploads": test_fairness.test_bodies_that_arrive_leave_workers_to_others,
    "uploads_per_address": test_fairness.test_one_address_leaves_places_for_uploads,
    "streams": test_eventstreams.test_who_waits_is_bounded,
    "write_idle": test_transport.test_a_client_that_takes_nothing_is_cut,
    "write_rate": test_fairness.test_a_reader_below_the_rate_is_cut,
    "keep_alive_idle": test_transport.test_an_idle_connection_is_closed_in_time,
    "keep_alive_requests": test_transport.test_requests_per_connection_are_bounded,
    "connections": test_transport.test_connections_are_bounded,
    "connections_per_address": test_transport.test_connections_per_address_are_bounded,
    "pipelined": test_transport.test_reading_ahead_is_bounded,
    "buffered_answer": test_transport.test_an_endless_answer_waits_for_its_reader,
    "upload_memory": test_forms.test_large_files_go_to_disk,
    "calls_per_client": test_throttles.test_settings_bound_clients_and_addresses,
    "calls_per_address": test_throttles.test_settings_bound_clients_and_addresses,
    "calls": test_throttles.test_settings_bound_tools_and_methods_and_go_before_marks,
    "concurrency": test_throttles.test_no_more_run_at_once_than_was_said,
    "callers": test_throttles.test_no_more_callers_are_remembered_than_was_said,
    "cached_results": test_resultcache.test_the_least_recently_used_goes_first,
    "cached_size": test_resultcache.test_what_is_kept_is_bounded,
}


def test_each_limit_has_a_test_of_its_edge():
    here = {each.values[0] for each in CASES} | CHUNKED.keys()
    assert here | ELSEWHERE.keys() == set(Limits.__struct_fields__)
    assert not here & ELSEWHERE.keys()
