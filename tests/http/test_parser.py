from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolserver.http.parser import CHUNKED, Head, HeadParser
from toolserver.http.refused import Refused
from toolserver.settings import Limits

HEAD = (
    b"POST /a%20b/%C3%BC?x=1&y=%2F HTTP/1.1\r\n"
    b"Host: Example.ORG:8080\r\n"
    b"Accept: text/html\r\n"
    b"accept:\tapplication/json \r\n"
    b"X-Empty:\r\n"
    b"X-Latin: caf\xe9\r\n"
    b"Content-Length: 12\r\n"
    b"\r\n"
)


def parse(data: bytes, **limits: int) -> Head:
    parser = HeadParser(Limits(**limits))
    end = parser.find(data)
    assert end == len(data)
    return parser.parse(data)


def head(
    line: bytes = b"GET / HTTP/1.1", fields: bytes = b"", host: bytes = b"Host: a\r\n"
) -> bytes:
    return line + b"\r\n" + host + fields + b"\r\n"


def refusal(data: bytes, **limits: int) -> Refused:
    with pytest.raises(Refused) as caught:
        parse(data, **limits)
    return caught.value


def find_refusal(parser: HeadParser, data: bytes) -> Refused | None:
    try:
        end = parser.find(data)
        if end >= 0:
            parser.parse(data[:end])
    except Refused as refused:
        return refused
    return None


def test_a_head_is_taken_apart():
    got = parse(HEAD)
    assert got.method == "POST"
    assert got.raw_path == "/a%20b/%C3%BC"
    assert got.path == "/a b/ü"
    assert got.query_string == "x=1&y=%2F"
    assert got.host == "example.org:8080"
    assert got.http_version == "1.1"
    assert got.length == 12
    assert got.keep_alive
    assert not got.expects_continue
    assert got.headers["accept"] == "text/html, application/json"
    assert got.headers.get_all("Accept") == ["text/html", "application/json"]
    assert got.headers["x-empty"] == ""
    assert got.headers["x-latin"] == "caf\xe9"


@pytest.mark.parametrize("end", range(len(HEAD)))
def test_a_part_of_a_head_is_neither_complete_nor_refused(end):
    assert HeadParser(Limits()).find(HEAD[:end]) == -1


def test_what_follows_a_head_is_left():
    assert HeadParser(Limits()).find(HEAD + b"body\r\n\r\n") == len(HEAD)


def test_bytes_that_are_no_utf8_survive_in_the_path():
    path = parse(head(b"GET /%ff HTTP/1.1")).path
    assert path.encode("utf-8", "surrogateescape") == b"/\xff"


def test_heads_are_kept_by_their_bytes_but_not_those_with_secrets():
    parser = HeadParser(Limits())
    assert parser.parse(HEAD) is parser.parse(HEAD) is parser.cached(HEAD)
    for field in (
        b"Authorization: Basic YTpi\r\n",
        b"Proxy-Authorization: x\r\n",
        b"Cookie: a=b\r\n",
        b"Expect: 100-continue\r\n",
        b'Idempotency-Key: "order-17"\r\n',
        b"Transfer-Encoding: chunked\r\n",
    ):
        data = head(b"POST / HTTP/1.1", field)
        assert not parser.parse(data).cached
        assert parser.cached(data) is None


def test_the_number_of_kept_heads_is_bounded():
    parser = HeadParser(Limits())
    for number in range(3000):
        parser.parse(head(b"GET /%d HTTP/1.1" % number))
    assert len(parser._heads) <= 1024


def test_long_heads_are_not_kept():
    data = head(fields=b"X: " + b"a" * 2000 + b"\r\n")
    parser = HeadParser(Limits())
    parser.parse(data)
    assert parser.cached(data) is None


MALFORMED = {
    "no version": (head(b"GET /"), 400),
    "two spaces": (head(b"GET  / HTTP/1.1"), 400),
    "trailing space": (head(b"GET / HTTP/1.1 "), 400),
    "leading space": (head(b" GET / HTTP/1.1"), 400),
    "tab": (head(b"GET\t/ HTTP/1.1"), 400),
    "unknown method": (head(b"BREW / HTTP/1.1"), 501),
    "lower case method": (head(b"get / HTTP/1.1"), 501),
    "invalid method": (head(b"G(T / HTTP/1.1"), 400),
    "connect": (head(b"CONNECT a:1 HTTP/1.1"), 501),
    "fragment": (head(b"GET /#a HTTP/1.1"), 400),
    "raw utf-8": (head(b"GET /\xc3\xbc HTTP/1.1"), 400),
    "relative": (head(b"GET a/b HTTP/1.1"), 400),
    "asterisk": (head(b"GET * HTTP/1.1"), 400),
    "other scheme": (head(b"GET ftp://a/ HTTP/1.1"), 400),
    "user in target": (head(b"GET http://u:p@a/ HTTP/1.1"), 400),
    "no authority": (head(b"GET http:///x HTTP/1.1"), 400),
    "version 2.0": (head(b"GET / HTTP/2.0"), 505),
    "version 1.2": (head(b"GET / HTTP/1.2"), 505),
    "version 0.9": (head(b"GET / HTTP/0.9"), 505),
    "version 1.10": (head(b"GET / HTTP/1.10"), 400),
    "version name": (head(b"GET / HTTPS/1.1"), 400),
    "preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\n", 505),
    "no host": (head(host=b""), 400),
    "two hosts": (head(fields=b"Host: a\r\n"), 400),
    "two hosts on 1.0": (head(b"GET / HTTP/1.0", b"Host: a\r\n"), 400),
    "two types": (
        head(fields=b"Content-Type: text/a\r\ncontent-type: text/b\r\n"),
        400,
    ),
    "empty host": (head(host=b"Host:\r\n"), 400),
    "host with space": (head(host=b"Host: a b\r\n"), 400),
    "host with path": (head(host=b"Host: a/b\r\n"), 400),
    "host with user": (head(host=b"Host: u@a\r\n"), 400),
    "host with bad port": (head(host=b"Host: a:b\r\n"), 400),
    "host with list": (head(host=b"Host: a, b:1:2\r\n"), 400),
    "bare lf": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    "bare lf in field": (head(fields=b"A: b\nC: d\r\n"), 400),
    "bare cr in field": (head(fields=b"A: b\rc\r\n"), 400),
    "cr cr lf": (head(fields=b"A: b\r\r\n"), 400),
    "folded": (head(fields=b"A: b\r\n c\r\n"), 400),
    "folded first": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "space before colon": (head(fields=b"A : b\r\n"), 400),
    "no colon": (head(fields=b"A\r\n"), 400),
    "no name": (head(fields=b": b\r\n"), 400),
    "invalid name": (head(fields=b"A(: b\r\n"), 400),
    "name beyond ASCII": (head(fields=b"\xc3\xbc: b\r\n"), 400),
    "nul": (head(fields=b"A: b\0\r\n"), 400),
    "control": (head(fields=b"A: b\x01\r\n"), 400),
    "delete": (head(fields=b"A: b\x7f\r\n"), 400),
    "both lengths": (
        head(fields=b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
        400,
    ),
    "differing lengths": (
        head(fields=b"Content-Length: 1\r\nContent-Length: 2\r\n"),
        400,
    ),
    "same length twice": (
        head(fields=b"Content-Length: 1\r\nContent-Length: 1\r\n"),
        400,
    ),
    "length list": (head(fields=b"Content-Length: 1, 1\r\n"), 400),
    "length sign": (head(fields=b"Content-Length: +1\r\n"), 400),
    "length negative": (head(fields=b"Content-Length: -1\r\n"), 400),
    "length hex": (head(fields=b"Content-Length: 0x1\r\n"), 400),
    "length underscore": (head(fields=b"Content-Length: 1_0\r\n"), 400),
    "length empty": (head(fields=b"Content-Length:\r\n"), 400),
    "length huge": (head(fields=b"Content-Length: 99999999999999999999\r\n"), 400),
    "coding unknown": (head(fields=b"Transfer-Encoding: xchunked\r\n"), 501),
    "coding identity": (head(fields=b"Transfer-Encoding: identity\r\n"), 501),
    "coding gzip": (head(fields=b"Transfer-Encoding: gzip, chunked\r\n"), 501),
    # RFC 9112, section 6.3: chunked has to be the last one.
    "coding behind": (head(fields=b"Transfer-Encoding: chunked, gzip\r\n"), 400),
    "chunked twice": (head(fields=b"Transfer-Encoding: chunked, chunked\r\n"), 400),
    "chunked in two fields": (
        head(fields=b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        400,
    ),
    "coding with tab": (head(fields=b"Transfer-Encoding: \x0bchunked\r\n"), 400),
    "coding on 1.0": (
        head(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked\r\n"),
        400,
    ),
    "unknown expectation": (head(fields=b"Expect: tea\r\n"), 417),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_heads_are_refused(name):
    data, status = MALFORMED[name]
    refused = refusal(data)
    assert refused.status == status
    assert refused.message == refused.message.strip()


@pytest.mark.parametrize(
    "part",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: b\n",
        b"GET / HTTP/1.1\r\nA: \0",
        b"GET / HTTP %\r\n",
        b"GET / HTTP/3.0\r\n",
        b"{}",
    ],
)
def test_a_part_that_can_never_become_a_head_is_refused_at_once(part):
    with pytest.raises(Refused):
        HeadParser(Limits()).find(part)


class _Counting(HeadParser):
    whole = 0

    def _check_part(self, data: bytes) -> None:
        self.whole += 1
        super()._check_part(data)


def find_by_bytes(parser: HeadParser, data: bytes, *, remembers: bool) -> object:
    """What comes of a head that arrives byte by byte, and where."""
    checked = 0
    for size in range(1, len(data) + 1):
        part = data[:size]
        try:
            end = parser.find(part, checked)
        except Refused as refused:
            return size, refused.status, refused.message
        if end >= 0:
            return end
        if remembers:
            checked = max(0, part.rfind(b"\r\n") + 2)
    return None


@given(
    st.lists(
        st.sampled_from([b"\r\n", b"\r", b"\n", b"A: ", b"b" * 60, b"\0", b"\t", b"x"]),
        max_size=30,
    ).map(b"".join)
)
def test_heads_byte_by_byte_are_judged_as_if_read_anew_each_time(fields):
    parser = HeadParser(Limits(header_field=100, headers_size=400, headers_count=5))
    data = b"GET / HTTP/1.1\r\nHost: a\r\n" + fields
    expected = find_by_bytes(parser, data, remembers=False)
    assert find_by_bytes(parser, data, remembers=True) == expected


def test_a_head_byte_by_byte_is_not_read_anew_each_time():
    parser = _Counting(Limits())
    data = head(fields=b"X: " + b"a" * 1000 + b"\r\nY: " + b"b" * 1000 + b"\r\n")
    assert find_by_bytes(parser, data, remembers=True) == len(data)
    assert parser.whole < 60


@pytest.mark.parametrize(
    ("data", "path", "query", "host"),
    [
        (head(b"GET http://B.org:81/x?y HTTP/1.1"), "/x", "y", "b.org:81"),
        (head(b"GET http://b.org?y HTTP/1.1"), "/", "y", "b.org"),
        (head(b"GET HTTPS://b.org HTTP/1.1"), "/", "", "b.org"),
        (head(b"OPTIONS * HTTP/1.1"), "*", "", "a"),
        (head(b"GET //a//b HTTP/1.1"), "//a//b", "", "a"),
        (head(b"GET /?? HTTP/1.1"), "/", "?", "a"),
        (head(b"GET / HTTP/1.0", host=b""), "/", "", ""),
        (head(host=b"Host: [::1]:80\r\n"), "/", "", "[::1]:80"),
    ],
)
def test_forms_of_the_target(data, path, query, host):
    got = parse(data)
    assert (got.path, got.query_string, got.host) == (path, query, host)
    # RFC 9112, section 3.2.2: the Host field yields to an absolute target.
    assert got.headers.get("host", "").lower() == host


@pytest.mark.parametrize(
    ("line", "fields", "expected"),
    [
        (b"GET / HTTP/1.1", b"", True),
        (b"GET / HTTP/1.1", b"Connection: close\r\n", False),
        (b"GET / HTTP/1.1", b"Connection: x, CLOSE\r\n", False),
        (b"GET / HTTP/1.0", b"", False),
        (b"GET / HTTP/1.0", b"Connection: Keep-Alive\r\n", True),
        (b"GET / HTTP/1.0", b"Connection: keep-alive, close\r\n", False),
        (b"GET / HTTP/1.1", b"Connection: upgrade\r\nUpgrade: h2c\r\n", True),
    ],
)
def test_keep_alive(line, fields, expected):
    assert parse(head(line, fields)).keep_alive is expected


def test_expectations_are_those_of_1_1_with_a_body():
    field = b"Expect: 100-Continue\r\nContent-Length: 1\r\n"
    assert parse(head(b"PUT / HTTP/1.1", field)).expects_continue
    assert not parse(head(b"PUT / HTTP/1.0", field)).expects_continue
    empty = b"Expect: 100-continue\r\n"
    assert not parse(head(b"PUT / HTTP/1.1", empty)).expects_continue


def test_chunked_is_known_whatever_its_case():
    data = head(b"PUT / HTTP/1.1", b"Transfer-Encoding: Chunked\r\n")
    assert parse(data).length == CHUNKED


def at_edge(limit: str, size: int) -> bytes:
    if limit == "request_line":
        return head(b"GET /%s HTTP/1.1" % (b"a" * (size - 14)))
    if limit == "header_field":
        return head(fields=b"X: " + b"a" * (size - 3) + b"\r\n")
    if limit == "headers_size":
        return head(fields=b"X: " + b"a" * (size - 9 - 5) + b"\r\n")
    return head(fields=b"X: y\r\n" * (size - 1))


@pytest.mark.parametrize(
    ("limit", "size", "status"),
    [
        ("request_line", 100, 414),
        ("header_field", 100, 431),
        ("headers_size", 300, 431),
        ("headers_count", 10, 431),
    ],
)
def test_sizes_of_heads_at_the_edge_and_past_it(limit, size, status):
    parse(at_edge(limit, size), **{limit: size})
    past = at_edge(limit, size + 1)
    assert refusal(past, **{limit: size}).status == status
    # Also refused where its end does not come.
    parser = HeadParser(Limits(**{limit: size}))
    with pytest.raises(Refused) as caught:
        parser.find(past.removesuffix(b"\r\n\r\n") + b"a\r\nX: y\r\n")
    assert caught.value.status == status


@pytest.mark.parametrize(
    "endless",
    [b"GET /", b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"GET / HTTP/1.1\r\nHost: a\r\n"],
)
def test_a_head_that_never_ends_is_refused_at_the_limit(endless):
    limits = Limits()
    parser = HeadParser(limits)
    filler = b"a" * 100 if not endless.endswith(b"\n") else b"X: y\r\n"
    data = endless
    refused = None
    while refused is None and len(data) < limits.request_line + limits.headers_size:
        data += filler
        refused = find_refusal(parser, data)
    assert refused is not None
    assert refused.status in (414, 431)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_head_or_a_refusal(data):
    parser = HeadParser(Limits())
    refused = find_refusal(parser, data)
    assert refused is None or 400 <= refused.status <= 505


@given(st.integers(0, len(HEAD) - 1), st.binary(min_size=1, max_size=3))
def test_a_mutated_head_gives_a_head_or_a_refusal(position, change):
    data = HEAD[:position] + change + HEAD[position + 1 :]
    parser = HeadParser(Limits())
    refused = find_refusal(parser, data)
    assert refused is None or 400 <= refused.status <= 505


TOKEN = st.text("abcXYZ09-_.!~", min_size=1, max_size=8)
VALUE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20)


@given(
    method=st.sampled_from(["GET", "POST", "DELETE", "OPTIONS", "PATCH"]),
    path=st.text("abc/%20.~-", max_size=20),
    fields=st.lists(st.tuples(TOKEN.map("x-{}".format), VALUE), max_size=8),
    length=st.integers(0, 1000),
)
def test_what_h11_accepts_reads_the_same(method, path, fields, length):
    pairs = [("Host", "a.org"), *fields, ("Content-Length", str(length))]
    lines = "".join(f"{name}: {value}\r\n" for name, value in pairs)
    data = f"{method} /{path} HTTP/1.1\r\n{lines}\r\n".encode()
    other = h11.Connection(h11.SERVER)
    other.receive_data(data)
    event = other.next_event()
    assert isinstance(event, h11.Request)
    got = parse(data)
    assert got.method.encode() == event.method
    assert got.raw_path.encode() == event.target
    assert got.length == length
    assert [
        (name.lower().encode(), value.encode()) for name, value in got.headers.pairs
    ] == [(name, value) for name, value in event.headers]


@given(st.binary(max_size=40))
def test_what_h11_refuses_in_a_field_is_refused(noise):
    data = head(fields=b"X: a" + noise + b"b\r\n")
    other = h11.Connection(h11.SERVER)
    other.receive_data(data)
    try:
        other.next_event()
    except h11.RemoteProtocolError:
        with pytest.raises(Refused):
            HeadParser(Limits()).parse(data[: data.find(b"\r\n\r\n") + 4])
