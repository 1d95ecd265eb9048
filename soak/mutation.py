"""Requests of real clients, changed so that they are wrong in ways of their own.

A mutant keeps most of the structure of what it was made from, as noise is refused by
the first line that reads it: of a request one or a few parts are changed, and then the
length is set right again, or left wrong.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

__all__ = ["Mutator", "RawRequest", "parse"]

_METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"get")
_METHODS += (b"TRACE", b"CONNECT", b"PRI", b"BREW", b"", b"G\0T", b"POST" * 20)
_VERSIONS = (
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"HTTP/0.9",
    b"HTTP/2.0",
    b"HTTP/1.2",
    b"http/1.1",
)
_VERSIONS += (b"", b"HTTP/1.1 ", b"HTTP/11", b"FTP/1.1")
_PIECES = (
    "..",
    ".",
    "",
    "%",
    "%00",
    "%2e%2e",
    "%2F",
    "%ff",
    "\\",
    ";a=b",
    "~",
    "*",
    "_",
)
_PIECES += (
    "soak",
    "system",
    "jobs",
    "index",
    "RPC2",
    "API",
    "WSDL",
    "x" * 3000,
    "\u2028",
)
_FIELDS: tuple[tuple[bytes, bytes], ...] = (
    *((b"Transfer-Encoding", each) for each in (b"chunked", b"gzip, chunked", b"x")),
    *((b"Content-Length", each) for each in (b"0", b"-1", b"+5", b"5, 5", b"9" * 40)),
    *((b"Expect", each) for each in (b"100-continue", b"200-ok")),
    *((b"Connection", each) for each in (b"close", b"upgrade", b"keep-alive, x")),
    (b"Upgrade", b"websocket"),
    *((b"Host", each) for each in (b"evil.example", b"a b", b"[::1]", b"", b"\xff")),
    *(
        (b"Content-Type", each)
        for each in (b"text/xml", b"application/json", b"a", b"")
    ),
    (b"Content-Type", b"multipart/form-data; boundary="),
    (b"Content-Type", b"multipart/form-data; boundary=" + b"b" * 200),
    (b"Content-Type", b"application/x-www-form-urlencoded; charset=utf-7"),
    (b"Content-Type", b'text/xml; charset="utf-16'),
    *((b"Content-Encoding", each) for each in (b"gzip", b"identity", b"br, br")),
    *(
        (b"Accept", each)
        for each in (b"*/*;q=0", b"text/html", b"application/xml", b",")
    ),
    (b"Accept", b"a/b;q=" + b"1" * 500),
    (b"Accept", b"text/event-stream"),
    *(
        (b"Accept-Encoding", each)
        for each in (b"gzip;q=x", b"*;q=0", b"br", b"zstd,gzip")
    ),
    *((b"Range", each) for each in (b"bytes=0-0", b"bytes=-1", b"bytes=9-1", b"x=1-2")),
    (b"Range", b"bytes=" + b",".join(b"%d-%d" % (n, n) for n in range(300))),
    *((b"If-None-Match", each) for each in (b"*", b'W/"', b'"a", "b"', b"\xff")),
    (b"If-Modified-Since", b"Sun, 99 Foo 99999 99:99:99 GMT"),
    (b"If-Range", b'"x"'),
    *(
        (b"Prefer", each)
        for each in (b"respond-async", b"wait=-1", b"respond-async,wait=0")
    ),
    *((b"Idempotency-Key", each) for each in (b'"a"', b'"', b"a" * 300, b"\xe4")),
    *((b"Authorization", each) for each in (b"Basic", b"Basic !!", b"Basic OjpAOg==")),
    (b"Authorization", b"Bearer " + b"a." * 500),
    (b"Authorization", b"Digest username=x"),
    *((b"Origin", each) for each in (b"null", b"http://evil.example", b"\x80")),
    *((b"Sec-Fetch-Site", each) for each in (b"cross-site", b"same-origin", b"")),
    *((b"MCP-Protocol-Version", each) for each in (b"2026-07-28", b"2024-11-05", b"9")),
    (b"Mcp-Method", b"tools/call"),
    (b"Mcp-Name", b"=?base64?x?="),
    (b"Last-Event-ID", b"9" * 50),
    (b"traceparent", b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-ff"),
    (b"Forwarded", b'for="[::1";proto=https;host=\\'),
    (b"X-Forwarded-For", b"::::"),
    (b"Signature-Input", b"sig1=();created=x"),
    (b"Signature-Input", b"sig1=(" + b'"a" ' * 200 + b")"),
    (b"Signature", b"sig1=:AAAA:"),
    (b"Content-Digest", b"sha-256=:AAAA:"),
    (b"Toolserver-Key", b"AAAA"),
    (b"Toolserver-Session", b"new"),
    (b"SOAPAction", b'"urn:x#y'),
    (b"Cookie", b"a=b; " * 400),
    (b"X-Long", b"x" * 9000),
    (b"Bad Name", b"x"),
    (b"X-Control", b"a\x00b"),
    (b" Folded", b"x"),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 2**31, 2**63, 2**64, 10**400, -0.0, 1e308, 1e-308),
    *("", "x", "\0", "\ud800", "\uffff", "\x1b[0m", "𝄞", "x" * 20_000, "%s%n", "../.."),
    *([], {}, [[]], {"": {}}, [None] * 300, {"a": 1}, {"__class__": "x"}, "soak.echo"),
    *("soak.echo.text", "system.multicall", "rpc.discover", "tools/call", "1e5", "NaN"),
)
_XML = (
    b"<!DOCTYPE a [<!ENTITY e 'x'>]>",
    b"<?xml version='1.1'?>",
    b"<![CDATA[x]]>",
    b"&e;",
    b"&#0;",
    b"&#xD800;",
    b"&#x1F600;",
    b"<a/>",
    b"</a>",
    b"<a:b xmlns:a='u'/>",
    b"<a b='c' b='d'/>",
    b"<!-- -- -->",
    b"<nil/>",
    b"<i4>9999999999999999999999</i4>",
    b"<double>nan</double>",
    b"<dateTime.iso8601>20260230T25:61:61</dateTime.iso8601>",
    b"<base64>%%%</base64>",
    b"<array><data></data></array>",
    b'<x href="#x" id="x"/>',
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\x00",
    b"<a>" * 300,
    b"<a>" * 3000 + b"</a>" * 3000,
)
_TAG = re.compile(rb"<[^<>]{1,200}>")


@dataclass(frozen=True)
class RawRequest:
    """A request in its parts.

    Attributes:
        method: The first word of its first line.
        target: The second one.
        version: The last one.
        fields: Its header fields in order, without that of the length.
        body: Its body.
        length: What it says is its length; None for what it is.
        is_chunked: Whether it is sent in chunks.
    """

    method: bytes
    target: bytes
    version: bytes
    fields: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    length: bytes | None = None
    is_chunked: bool = False

    def encode(self) -> bytes:
        """Its bytes."""
        fields = [b"%b: %b\r\n" % each for each in self.fields]
        body = self.body
        if self.is_chunked:
            fields.append(b"Transfer-Encoding: chunked\r\n")
            body = b"".join(
                b"%x\r\n%b\r\n" % (len(piece), piece)
                for piece in (body[: len(body) // 2], body[len(body) // 2 :])
                if piece
            )
            body += b"0\r\n\r\n"
        elif body or self.length is not None:
            length = b"%d" % len(body) if self.length is None else self.length
            fields.append(b"Content-Length: %b\r\n" % length)
        line = b" ".join((self.method, self.target, self.version))
        return b"%b\r\n%b\r\n%b" % (line, b"".join(fields), body)


def parse(data: bytes) -> RawRequest:
    """Take a request of a real client apart.

    Args:
        data: Its bytes, which are a whole one.
    """
    head, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head.split(b"\r\n")
    method, target, version = line.split(b" ")
    fields = []
    is_chunked = False
    for each in lines:
        name, _, value = each.partition(b":")
        is_chunked = is_chunked or name.lower() == b"transfer-encoding"
        if name.lower() not in (b"content-length", b"transfer-encoding"):
            fields.append((name, value.strip()))
    if is_chunked:
        body = _joined(body)
    return RawRequest(method, target, version, tuple(fields), body)


def _joined(chunked: bytes) -> bytes:
    found = b""
    while chunked:
        size, _, rest = chunked.partition(b"\r\n")
        length = int(size, 16)
        found, chunked = found + rest[:length], rest[length + 2 :]
        if not length:
            break
    return found


@dataclass
class Mutator:
    """Makes mutants of requests.

    Attributes:
        seeds: Whole requests as clients send them.
        dice: Tells what is changed.
    """

    seeds: Sequence[bytes]
    dice: random.Random
    _parsed: list[RawRequest] = field(init=False)

    def __post_init__(self) -> None:
        self._parsed = [parse(seed) for seed in self.seeds]

    def mutant(self) -> bytes:
        """The next mutant."""
        request = self.dice.choice(self._parsed)
        changes = self.dice.choices(_CHANGES, weights=_WEIGHTS, k=self._some())
        for change in changes:
            request = change(self, request)
        data = request.encode()
        if self.dice.random() < 0.15:
            data = self._bytewise(data)
        if self.dice.random() < 0.05:
            # A second request on the heels of the first.
            data += self.dice.choice(self._parsed).encode()
        return data

    def _some(self) -> int:
        return self.dice.choice((1, 1, 1, 2, 2, 3))

    def _bytewise(self, data: bytes) -> bytes:
        """Change some bytes anywhere."""
        found = bytearray(data)
        for _ in range(self._some()):
            at = self.dice.randrange(len(found) + 1)
            match self.dice.randrange(4):
                case 0:
                    found[at : at + 1] = self.dice.randbytes(1)
                case 1:
                    del found[at : at + self.dice.randint(1, 20)]
                case 2:
                    found[at:at] = self.dice.choice(
                        (b"\r\n", b"\0", b"\r", b"\n", b" ")
                    )
                case 3:
                    del found[at:]
        return bytes(found)

    def _method(self, request: RawRequest) -> RawRequest:
        return replace(request, method=self.dice.choice(_METHODS))

    def _version(self, request: RawRequest) -> RawRequest:
        return replace(request, version=self.dice.choice(_VERSIONS))

    def _path(self, request: RawRequest) -> RawRequest:
        path, mark, query = request.target.partition(b"?")
        parts = path.split(b"/")
        at = self.dice.randrange(len(parts) + 1)
        piece = self.dice.choice(_PIECES)
        if self.dice.random() < 0.3:
            parts[at : at + 1] = []
        else:
            parts.insert(at, quote(piece, safe="%\\;=*~").encode())
        return replace(request, target=(b"/".join(parts) or b"/") + mark + query)

    def _query(self, request: RawRequest) -> RawRequest:
        path, _, query = request.target.partition(b"?")
        pairs = query.split(b"&") if query else []
        pairs.append(self.dice.choice(pairs or [b"a=b"]))
        names = [pair.partition(b"=")[0] for pair in pairs]
        value = self.dice.choice(_VALUES)
        text = value if isinstance(value, str) else json.dumps(value)
        escaped = quote(text.encode("utf-8", "surrogatepass")[:4000]).encode()
        at = self.dice.randrange(len(pairs))
        pairs[at] = names[at] + b"=" + escaped
        return replace(request, target=path + b"?" + b"&".join(pairs))

    def _other_target(self, request: RawRequest) -> RawRequest:
        return replace(request, target=self.dice.choice(self._parsed).target)

    def _other_body(self, request: RawRequest) -> RawRequest:
        return replace(request, body=self.dice.choice(self._parsed).body)

    def _field(self, request: RawRequest) -> RawRequest:
        """Add a field, or put one in the place of another."""
        fields = list(request.fields)
        made = self.dice.choice(_FIELDS)
        kept = [each for each in fields if each[0].lower() != made[0].lower()]
        fields = kept if self.dice.random() < 0.7 else fields
        fields.insert(self.dice.randrange(len(fields) + 1), made)
        return replace(request, fields=tuple(fields))

    def _own_field(self, request: RawRequest) -> RawRequest:
        """Drop a field, repeat it, or change its value."""
        fields = list(request.fields)
        if not fields:
            return request
        at = self.dice.randrange(len(fields))
        name, value = fields[at]
        match self.dice.randrange(4):
            case 0:
                del fields[at]
            case 1:
                fields.insert(at, fields[at])
            case 2:
                fields[at] = (name, self.dice.choice(_FIELDS)[1])
            case 3:
                middle = self.dice.randrange(len(value) + 1)
                noise = bytes(self.dice.choices(b'"=;, :()\t?0aZ/\\', k=2))
                fields[at] = (name, value[:middle] + noise + value[middle + 1 :])
        return replace(request, fields=tuple(fields))

    def _length(self, request: RawRequest) -> RawRequest:
        sizes = (0, 1, len(request.body) - 1, len(request.body) + 1, 2**40)
        return replace(request, length=b"%d" % self.dice.choice(sizes))

    def _chunk(self, request: RawRequest) -> RawRequest:
        return replace(request, is_chunked=True)

    def _body(self, request: RawRequest) -> RawRequest:
        """Change the body as what it is."""
        body = request.body
        if not body:
            return self._query(request)
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):
            if body.lstrip().startswith(b"<"):
                return replace(request, body=self._xml(body))
            return replace(request, body=self._bytewise(body))
        return replace(request, body=self._json(value))

    def _json(self, value: Any) -> bytes:
        match self.dice.randrange(10):
            case 0:
                return b"[" * 2000 + json.dumps(value).encode()
            case 1:
                text = json.dumps(value)
                return text.replace("{", '{"id": 1, "id": 2, ', 1).encode()
            case 2:
                return self._bytewise(json.dumps(value).encode())
            case 3:
                return json.dumps([value] * self.dice.choice((0, 1, 3, 150))).encode()
        changed = self._changed(value)
        return json.dumps(changed).encode("utf-8", "surrogatepass")

    def _changed(self, value: Any) -> Any:
        """The same value with another one somewhere in it."""
        if isinstance(value, dict) and value and self.dice.random() < 0.85:
            found = dict(value)
            key = self.dice.choice(list(found))
            match self.dice.randrange(6):
                case 0:
                    del found[key]
                case 1:
                    found[str(self.dice.choice(_VALUES))[:100]] = found[key]
                case _:
                    found[key] = self._changed(found[key])
            return found
        if isinstance(value, list) and value and self.dice.random() < 0.85:
            copied = list(value)
            at = self.dice.randrange(len(copied))
            if self.dice.random() < 0.2:
                copied.append(copied[at])
            else:
                copied[at] = self._changed(copied[at])
            return copied
        return self.dice.choice(_VALUES)

    def _xml(self, body: bytes) -> bytes:
        tags = list(_TAG.finditer(body))
        if not tags:
            return self._bytewise(body)
        tag = self.dice.choice(tags)
        begin, end = tag.span()
        match self.dice.randrange(7):
            case 0:
                return body[:begin] + body[end:]
            case 1:
                return body[:end] + tag[0] + body[end:]
            case 2:
                return body[:end] + self.dice.choice(_XML) + body[end:]
            case 3:
                other = self.dice.choice(tags)[0]
                return body[:begin] + other + body[end:]
            case 4:
                # An element with all that is in it, twice or not at all.
                last = self.dice.choice(tags).end()
                middle = body[begin:last] * self.dice.choice((0, 2, 30))
                return body[:begin] + middle + body[last:]
            case 5:
                value = self.dice.choice(_VALUES)
                text = str(value).encode("utf-8", "surrogatepass")[:5000]
                return body[:end] + text + body[end:]
            case _:
                return self._bytewise(body)


_Change = Callable[[Mutator, RawRequest], RawRequest]
_CHANGES: tuple[_Change, ...] = (
    *(Mutator._body, Mutator._field, Mutator._own_field, Mutator._path),
    *(Mutator._query, Mutator._method, Mutator._version, Mutator._length),
    *(Mutator._chunk, Mutator._other_target, Mutator._other_body),
)
_WEIGHTS = (40, 12, 12, 6, 6, 4, 2, 3, 4, 5, 3)
