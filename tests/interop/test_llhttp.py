"""Requests that are near the rules of HTTP, as llhttp and our server judge them.

llhttp is the parser of Node, whose HTTP server is asked here. Where the two part, the
decision is ours; the rules that it follows stand beside it.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
from pathlib import Path

import pytest

from tests.http.raw_http import serving
from tests.interop.test_mcp_clients import newer_node
from tests.interop.test_soap_clients import node
from toolserver.message import Response

__all__ = ["newer_node", "node"]

JUDGE = Path(__file__).parent / "clients" / "http_server.mjs"


def head(*lines: str, start: str = "POST / HTTP/1.1") -> str:
    return "\r\n".join((start, "Host: localhost", *lines, "", ""))


def chunked(body: str, *lines: str) -> str:
    return head("Transfer-Encoding: chunked", *lines) + body


def sized(length: str, body: str = "abc") -> str:
    return head(f"Content-Length:{length}") + body


def lines_of(name: str, line: str) -> dict[str, str]:
    return {name: head(line, start="GET / HTTP/1.1")}


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
OTHERS = ("CONNECT", "PROPFIND", "PURGE", "REPORT", "M-SEARCH", "LINK", "QUERY")
UNKNOWN = ("PTA", "GETS", "G ET", "get", "G\tET", '"GET"', "G/T", "", "PRI", "SOURCE")

#: What is sent, by what it is.
REQUESTS = {
    # The line of the request.
    **{f"method {each}": head(start=f"{each} / HTTP/1.1") for each in METHODS},
    **{f"method {each}": head(start=f"{each} / HTTP/1.1") for each in OTHERS},
    **{f"method {each!r}": head(start=f"{each} / HTTP/1.1") for each in UNKNOWN},
    **{
        f"version {each}": head(start=f"GET / {each}")
        for each in (
            *("HTTP/1.0", "HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3.0", "HTTP/1.01"),
            *("HTTP/1", "HTTP/11.1", "HTTP/1.1.1", "http/1.1", "HTTP 1.1", "HTTPS/1.1"),
            *("ICE/1.0", "RTSP/1.0", "IHTTP/1.0", "HTTP/1,1", "HTTP/x.1"),
        )
    },
    **{
        f"target {each}": head(start=f"GET {each} HTTP/1.1")
        for each in (
            *(
                "/a?b=c",
                "/?",
                "/a?b=?c",
                '/with"quotes"',
                "/a|b",
                "/a%20b",
                "/%",
                "/a#b",
            ),
            *(
                "/\xe4",
                "/a\x7fb",
                "/a\x00b",
                "/a\tb",
                "*",
                "a",
                "?a",
                "//a//b",
                "/a\\b",
            ),
            *(
                "http://localhost/a",
                "http://localhost?a",
                "http://localhost",
                "http:///a",
            ),
            *("http://a_b.org/", "http://user:word@localhost/", "ftp://localhost/a"),
            *("localhost:80", "http://local host/", "http://localhost:80a/", "/<a>"),
        )
    },
    "two spaces before the target": head(start="GET  / HTTP/1.1"),
    "two spaces before the version": head(start="GET /  HTTP/1.1"),
    "a space after the version": head(start="GET / HTTP/1.1 "),
    "a space before the method": head(start=" GET / HTTP/1.1"),
    "a tab between": head(start="GET\t/ HTTP/1.1"),
    "no version": head(start="GET /"),
    "no target": head(start="GET HTTP/1.1"),
    "a line before": "\r\n" + head(start="GET / HTTP/1.1"),
    "a bare line feed before": "\n" + head(start="GET / HTTP/1.1"),
    "a return without a line feed": "GET / HTTP/1.1\rHost: localhost\r\n\r\n",
    "only line feeds": "GET / HTTP/1.1\nHost: localhost\n\n",
    "only returns": "GET / HTTP/1.1\rHost: localhost\r\r",
    # Header fields.
    "no host": "GET / HTTP/1.1\r\n\r\n",
    "no host of HTTP/1.0": "GET / HTTP/1.0\r\n\r\n",
    "two hosts": head("Host: other", start="GET / HTTP/1.1"),
    "the same host twice": head("Host: localhost", start="GET / HTTP/1.1"),
    "an empty host": "GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "a host with a path": "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "a space before the first field": "GET / HTTP/1.1\r\n Host: localhost\r\n\r\n",
    **lines_of("no colon", "Name value"),
    **lines_of("no name", ": value"),
    **lines_of("no value", "Name:"),
    **lines_of("no space after the colon", "Name:value"),
    **lines_of("a space before the colon", "Name : value"),
    **lines_of("a tab before the colon", "Name\t: value"),
    **lines_of("a space in the name", "Na me: value"),
    **lines_of("a folded line", "Name: a\r\n b"),
    **lines_of("a folded line with a line feed", "Name: a\n b"),
    **lines_of("a line feed in a value", "Name: a\nOther: b"),
    **lines_of("a return in a value", "Name: a\rb"),
    **lines_of("two returns", "Name: a\r\r\nOther: b"),
    **lines_of("a return at the end of a value", "Name: a\r"),
    **lines_of("a tab in a value", "Name: a\tb"),
    **lines_of(
        "all of Latin-1 in a value", "Name: " + "".join(map(chr, range(160, 256)))
    ),
    **lines_of(
        "an emoji in a value", "Name: " + "\U0001f600".encode().decode("latin1")
    ),
    **{
        f"{char!r} in a {part}": head(line.format(char), start="GET / HTTP/1.1")
        for part, line in (("name", "Na{}me: value"), ("value", "Name: a{}b"))
        for char in '\x00\x01\x08\x0b\x0c\x1f\x7f\x80\xff"(),/;<=>?@[\\]{}'
        "_!#$%&'*+-.^`|~"
    },
    "no end of the head": "GET / HTTP/1.1\r\nHost: localhost\r\n",
    # The connection.
    **lines_of("close", "Connection: close"),
    **lines_of("several options", "Connection: a, keep-alive, b"),
    **lines_of("a space before the colon of Connection", "Connection : close"),
    **lines_of("a connection that is upgraded", "Connection: upgrade\r\nUpgrade: x"),
    "two requests": head(start="GET /a HTTP/1.1") + head(start="GET /b HTTP/1.1"),
    "lines between": head(start="GET /a HTTP/1.1")
    + "\r\n"
    + head(start="GET /b HTTP/1.1"),
    "one after it was to close": head("Connection: close", start="GET /a HTTP/1.1")
    + head(start="GET /b HTTP/1.1"),
    "a body that was not told": head(start="GET / HTTP/1.1") + "abc",
    # The length of a body.
    **{
        f"length {each!r}": sized(each)
        for each in (
            *(
                " 3",
                "3",
                " 3 ",
                "\t3\t",
                " 03",
                " +3",
                " -3",
                " 3.0",
                " 0x3",
                " 3a",
                " a",
            ),
            *("", " ", " 3 3", " 3, 3", " 3,4", " 3;", " 1_0", " \xb3", " 4"),
            *(
                " 18446744073709551616",
                " 18446744073709551619",
                " 99999999999999999999",
            ),
        )
    },
    "length 0": head("Content-Length: 0"),
    "two lengths": head("Content-Length: 3", "Content-Length: 4") + "abcd",
    "the same length twice": head("Content-Length: 3", "Content-Length: 3") + "abc",
    "a space before the colon of the length": head("Content-Length : 3") + "abc",
    "a return in the name of the length": head("Content\rLength: 3") + "abc",
    "a folded length": head("Content-Length:\r\n 3") + "abc",
    "a length after a line feed": head("Name: a\nContent-Length: 3") + "abc",
    "a length with a get": head("Content-Length: 3", start="GET / HTTP/1.1") + "abc",
    # Transfer codings.
    **{
        f"coding {each!r}": head(f"Transfer-Encoding:{each}") + "3\r\nabc\r\n0\r\n\r\n"
        for each in (
            *(" chunked", "chunked", " Chunked", " CHUNKED", " chunked ", "\tchunked"),
            *(" pigeons", " identity", "", " chunked, chunked", " chunked, gzip"),
            *(" gzip, chunked", " deflate,chunked", " chunkedchunked", " chunked,"),
            *(" ,chunked", " x-chunked", " chunked;a=b", ' "chunked"', " chun\x00ked"),
            *(" \x0bchunked", " chunked\x0b", " chunked\r\n gzip", "\r\n chunked"),
        )
    },
    "two codings": head("Transfer-Encoding: gzip", "Transfer-Encoding: chunked")
    + "3\r\nabc\r\n0\r\n\r\n",
    "chunked twice": head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")
    + "3\r\nabc\r\n0\r\n\r\n",
    "chunked and something after it": head(
        "Transfer-Encoding: chunked", "Transfer-Encoding: gzip"
    )
    + "3\r\nabc\r\n0\r\n\r\n",
    "chunked and a length": chunked("3\r\nabc\r\n0\r\n\r\n", "Content-Length: 3"),
    "a length and chunked": head("Content-Length: 3", "Transfer-Encoding: chunked")
    + "3\r\nabc\r\n0\r\n\r\n",
    "identity and a length": head("Transfer-Encoding: identity", "Content-Length: 3")
    + "abc",
    "no coding and a length": head("Transfer-Encoding:", "Content-Length: 3") + "abc",
    "a space before the colon of the coding": head("Transfer-Encoding : chunked")
    + "3\r\nabc\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": head("Transfer-Encoding: chunked", start="POST / HTTP/1.0")
    + "3\r\nabc\r\n0\r\n\r\n",
    **{
        f"chunks {each!r}": chunked(each)
        for each in (
            *("3\r\nabc\r\n0\r\n\r\n", "1e\r\n" + 30 * "a" + "\r\n0\r\n\r\n"),
            *("1E\r\n" + 30 * "a" + "\r\n0\r\n\r\n", "003\r\nabc\r\n000\r\n\r\n"),
            *("3;a=b\r\nabc\r\n0\r\n\r\n", "3;a\r\nabc\r\n0;b\r\n\r\n"),
            *('3;a="b;c"\r\nabc\r\n0\r\n\r\n', '3;a="b\r\nabc\r\n0\r\n\r\n'),
            *('3;a="\\""\r\nabc\r\n0\r\n\r\n', "3;\r\nabc\r\n0\r\n\r\n"),
            *("3; a\r\nabc\r\n0\r\n\r\n", "3 ;a\r\nabc\r\n0\r\n\r\n"),
            *("3 a\r\nabc\r\n0\r\n\r\n", "3 \r\nabc\r\n0\r\n\r\n"),
            *(" 3\r\nabc\r\n0\r\n\r\n", "3\t\r\nabc\r\n0\r\n\r\n"),
            *("3;a=b\x00\r\nabc\r\n0\r\n\r\n", "3;a\nb\r\nabc\r\n0\r\n\r\n"),
            *("3;a=b=c\r\nabc\r\n0\r\n\r\n", "3;a=b;c=d\r\nabc\r\n0\r\n\r\n"),
            *("3\nabc\r\n0\r\n\r\n", "3\r\nabc\n0\r\n\r\n", "3\rabc\r\n0\r\n\r\n"),
            *("3\r\nabc0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "3\r\nab\r\n0\r\n\r\n"),
            *(
                "0x3\r\nabc\r\n0\r\n\r\n",
                "+3\r\nabc\r\n0\r\n\r\n",
                "-3\r\nabc\r\n0\r\n\r\n",
            ),
            *(
                "3_\r\nabc\r\n0\r\n\r\n",
                "g\r\nabc\r\n0\r\n\r\n",
                "\r\nabc\r\n0\r\n\r\n",
            ),
            *("10000000000000003\r\nabc\r\n0\r\n\r\n", "0\r\n\r\n", "0\n\n", "0\r\n\n"),
            *("0\r\nName: value\r\n\r\n", "0\r\nName\r\n\r\n", "0\r\nName : a\r\n\r\n"),
            *(
                "0\r\nName: a\r\n b\r\n\r\n",
                "0\r\nName: a\x00\r\n\r\n",
                "0\r\n: a\r\n\r\n",
            ),
            *("0\r\nContent-Length: 3\r\n\r\n", "3\r\nabc\r\n", "3\r\nabc\r\n0\r\n"),
        )
    },
}

#: Answered by llhttp, refused by us.
STRICTER = {
    "version HTTP/0.9": "RFC 9110, section 15.6.6: 505, it has no header fields",
    "version HTTP/2.0": "RFC 9110, section 15.6.6: 505, its framing is another",
    "version RTSP/1.0": "RFC 9112, section 2.3: the name of the protocol is HTTP",
    "target /a#b": "RFC 9112, section 3.2: a target has no fragment",
    "target *": "RFC 9112, section 3.2.4: for OPTIONS alone",
    "target http:///a": "RFC 9110, section 4.2.1: the host is not empty",
    "target http://user:word@localhost/": "RFC 9110, section 4.2.4: no user names",
    "target ftp://localhost/a": "RFC 9110, section 7.4: another scheme is misdirected",
    "target http://localhost:80a/": "RFC 3986, section 3.2.3: a port has digits",
    "two spaces before the target": "RFC 9112, section 3: a single space",
    "two spaces before the version": "RFC 9112, section 3: a single space",
    "no version": "RFC 9112, section 3: a request line has one",
    "a bare line feed before": "RFC 9112, section 2.2: CRLF may be ignored there",
    "two hosts": "RFC 9112, section 3.2: 400",
    "the same host twice": "RFC 9112, section 3.2: 400",
    "an empty host": "RFC 9110, section 4.2.1: the host is not empty",
    "a host with a path": "RFC 9112, section 3.2: 400",
    "coding ' gzip, chunked'": "RFC 9112, section 6.1: 501",
    "coding ' deflate,chunked'": "RFC 9112, section 6.1: 501",
    "coding ' ,chunked'": "RFC 9112, section 11.2: parsers have disagreed about it",
    "two codings": "RFC 9112, section 6.1: 501",
    "chunked in HTTP/1.0": "RFC 9112, section 6.1: its framing is faulty",
}
#: Refused by llhttp, answered by us.
MORE_LENIENT = {
    "chunks '3; a\\r\\nabc\\r\\n0\\r\\n\\r\\n'": (
        "RFC 9112, section 7.1.1: white space may stand there"
    ),
    "one after it was to close": "RFC 9112, section 9.6: ignored, not judged",
    "a body that was not told": "RFC 9112, section 8: a request that ended too early",
    "chunks '0\\r\\nContent-Length: 3\\r\\n\\r\\n'": (
        "RFC 9110, section 6.5.1: trailers are dropped"
    ),
}


@pytest.fixture(scope="module")
def judged(node, newer_node):
    """What came of each request: here, and in Node."""
    told = subprocess.run(
        [newer_node, JUDGE],
        input=json.dumps(list(REQUESTS.values())),
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    ).stdout
    return dict(zip(REQUESTS, zip(ours(), json.loads(told), strict=True), strict=True))


def ours():
    """The statuses of the answers of our server, and what it was asked."""
    asked = []

    def answer(request):
        asked.append(
            [request.method, request.target, (request.body or b"").decode("latin1")]
        )
        return Response(b"")

    with serving(answer) as server:
        for data in REQUESTS.values():
            asked.clear()
            received = b""
            with (
                socket.create_connection(server.address, timeout=15) as client,
                contextlib.suppress(ConnectionError),
            ):
                client.sendall(data.encode("latin1"))
                client.shutdown(socket.SHUT_WR)
                while piece := client.recv(65536):
                    received += piece
            statuses = re.findall(rb"^HTTP/1\.1 (\d+)", received, re.MULTILINE)
            yield {"statuses": list(map(int, statuses)), "asked": list(asked)}


def is_answered(verdict):
    """Whether all of it was taken for requests."""
    return bool(verdict["statuses"]) and set(verdict["statuses"]) == {200}


def test_both_judge_alike_but_for_what_is_listed(judged):
    parted = {
        name: is_answered(our)
        for name, (our, their) in judged.items()
        if is_answered(our) is not is_answered(their)
    }
    assert parted == {
        **dict.fromkeys(STRICTER, False),
        **dict.fromkeys(MORE_LENIENT, True),
    }


def test_both_read_the_same(judged):
    for name, (our, their) in judged.items():
        if is_answered(our) and is_answered(their):
            read, known = (
                [(method, body) for method, _, body in verdict["asked"]]
                for verdict in (our, their)
            )
            assert read == known, name


def test_nothing_that_follows_what_is_refused_is_taken_for_a_request(judged):
    for name, (our, _) in judged.items():
        statuses = our["statuses"]
        assert all(status == 200 for status in statuses[:-1]), name
        if statuses[-1:] != [200]:
            assert set(statuses[-1:]) <= {400, 413, 431, 501, 505}, name
