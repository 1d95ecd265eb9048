"""Request heads: bytes to values, and the refusal of everything doubtful.

A head is parsed only when it is here completely, so every limit of its size is
counted on the bytes themselves, and a head that never ends is refused at the limit
(`HeadParser.find`). The C library `httptools` (llhttp) then takes it apart; what it
leaves open is checked here. Nothing is repaired: where two readers could disagree
about what a request means, the request is refused, since that disagreement is what
request smuggling lives on (RFC 9112, section 11.2).

Clients of an open connection send the same bytes again and again, so parsed heads
are kept by their exact bytes. Heads with credentials or cookies are not: they need
not stay in memory after their request.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import httptools

from toolserver.http.refused import Refused
from toolserver.message import Headers
from toolserver.settings import Limits

__all__ = ["CHUNKED", "Head", "HeadParser"]

#: `Head.length` of a body whose length its chunks tell.
CHUNKED = -1

_CACHED_HEADS = 1024
_CACHED_SIZE = 1024
_NEVER_CACHED = frozenset(
    {
        *("authorization", "proxy-authorization", "cookie", "transfer-encoding"),
        # Each is signed anew, or named by a key of its own.
        *("expect", "signature", "idempotency-key"),
    }
)

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(%b) ([!-~]+) HTTP/([0-9]\.[0-9])" % _TOKEN)
_REQUEST_START = re.compile(rb"%b(?: |\Z)" % _TOKEN)
# Everything below 0x20 but tab, CR and LF, which are looked at one by one.
_CONTROLS = bytes(set(range(0x20)) - {0x09, 0x0A, 0x0D}) + b"\x7f"
_HOST = re.compile(
    r"(?:[a-z0-9\-._~!$&'()*+,;=]|%[0-9a-f]{2})+(?::[0-9]{0,5})?"
    r"|\[[0-9a-f:.]+(?:%25[a-z0-9\-._~]+)?\](?::[0-9]{0,5})?"
)
_ABSOLUTE = re.compile(r"https?://([^/?]*)([^?]*)(?:\?(.*))?", re.IGNORECASE)
_LENGTH = re.compile(r"[0-9]{1,18}")


class Head:
    """What the head of a request says; shared by all requests with the same bytes.

    Attributes:
        method: The verb.
        path: The path, percent-decoded.
        raw_path: The path as it was sent.
        query_string: What followed the question mark.
        host: The authority that was asked for, in lower case.
        headers: The header fields.
        http_version: ``"1.1"`` or ``"1.0"``.
        length: Size of the body in bytes, or `CHUNKED`.
        keep_alive: Whether the client wants the connection to stay open.
        expects_continue: Whether it waits for ``100 Continue``.
        cached: Whether the head is kept for the next request with its bytes.
        environ: What a gateway has derived from this head alone, or None.
    """

    __slots__ = (
        "cached",
        "environ",
        "expects_continue",
        "headers",
        "host",
        "http_version",
        "keep_alive",
        "length",
        "method",
        "path",
        "query_string",
        "raw_path",
    )

    method: str
    path: str
    raw_path: str
    query_string: str
    host: str
    headers: Headers
    http_version: str
    length: int
    keep_alive: bool
    expects_continue: bool
    cached: bool
    environ: Any


class _Fields:
    """Receives the header fields of one head from `httptools`."""

    __slots__ = ("pairs",)

    def __init__(self) -> None:
        self.pairs: list[tuple[str, str]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        pair = name.decode("latin-1"), value.decode("latin-1").strip(" \t")
        self.pairs.append(pair)


class HeadParser:
    """Finds and parses request heads.

    Args:
        limits: The sizes past which a head is refused.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._heads: dict[bytes, Head] = {}
        #: The parsed head of exactly these bytes, if it is kept.
        self.cached = self._heads.get

    def find(self, data: bytes, checked: int = 0) -> int:
        """Find the end of the head at the start of the data.

        Args:
            data: What has arrived, without empty lines in front.
            checked: Where the last line began when less of this data was found
                incomplete; it is not all checked again then.

        Returns:
            The size of the head with the empty line that ends it, or -1 where it
            has not arrived completely.

        Raises:
            Refused: No continuation could make it a valid head.
        """
        end = data.find(b"\r\n\r\n") + 4
        if end == 3:
            if not checked or b"\r\n" in data[checked:]:
                self._check_part(data)
            else:
                self._check_last_line(data, checked)
            return -1
        return end

    def parse(self, data: bytes) -> Head:
        """Parse one head.

        Args:
            data: The bytes of the head, with the empty line that ends it.

        Returns:
            What it says.

        Raises:
            Refused: It is malformed, ambiguous, or passes a limit.
        """
        found = self._heads.get(data)
        if found is not None:
            return found
        self._check_sizes(data)
        _check_bytes(data)
        head = _parse(data)
        if head.cached and len(data) <= _CACHED_SIZE:
            if len(self._heads) >= _CACHED_HEADS:
                self._heads.clear()
            self._heads[data] = head
        else:
            head.cached = False
        return head

    def _check_sizes(self, data: bytes) -> None:
        limits = self._limits
        line = data.find(b"\r\n")
        if line > limits.request_line:
            raise _request_line_too_long(limits)
        # The last field ends before the empty line.
        if len(data) - line - 4 > limits.headers_size:
            raise _headers_too_large(limits)
        if data.count(b"\r\n") - 2 > limits.headers_count:
            raise _too_many_headers(limits)
        _check_fields(data[line + 2 :], limits)

    def _check_part(self, data: bytes) -> None:
        """Refuse what cannot become a valid head whatever follows."""
        limits = self._limits
        line = data.find(b"\r\n")
        # A CR at the end may be half of a line end.
        size = len(data) - data.endswith(b"\r")
        if line > limits.request_line or (line < 0 and size > limits.request_line):
            raise _request_line_too_long(limits)
        if line < 0:
            if size and not _REQUEST_START.match(data):
                raise Refused(400, "request line: does not start with a method")
            _check_bytes(data[:size])
            return
        _read_request_line(data[:line])
        if size - line - 2 > limits.headers_size + 2:
            raise _headers_too_large(limits)
        if data.count(b"\r\n") - 1 > limits.headers_count:
            raise _too_many_headers(limits)
        _check_fields(data[line + 2 : size], limits)
        _check_bytes(data[:size])

    def _check_last_line(self, data: bytes, start: int) -> None:
        """Check what goes on in a line that is not the first and has not ended."""
        limits = self._limits
        size = len(data) - data.endswith(b"\r")
        first = data.find(b"\r\n")
        if size - first - 2 > limits.headers_size + 2:
            raise _headers_too_large(limits)
        line = data[start:size]
        _check_fields(line, limits)
        _check_bytes(line)


def _request_line_too_long(limits: Limits) -> Refused:
    return Refused(414, f"request line: more than {limits.request_line} bytes")


def _check_fields(fields: bytes, limits: Limits) -> None:
    bound = limits.header_field
    if len(fields) > bound and any(
        len(field) > bound for field in fields.split(b"\r\n")
    ):
        raise Refused(431, f"header field: more than {bound} bytes")


def _headers_too_large(limits: Limits) -> Refused:
    return Refused(431, f"header fields: more than {limits.headers_size} bytes")


def _too_many_headers(limits: Limits) -> Refused:
    return Refused(431, f"header fields: more than {limits.headers_count}")


def _check_bytes(data: bytes) -> None:
    """Refuse control characters and line ends that are not CR and LF together."""
    if len(data.translate(None, _CONTROLS)) != len(data):
        raise Refused(400, "head: contains a control character")
    ends = data.count(b"\r\n")
    if data.count(b"\n") != ends or data.count(b"\r") != ends:
        raise Refused(400, "head: a line does not end with CR and LF")


def _parse(data: bytes) -> Head:
    head = Head()
    head.environ = None
    line = data[: data.find(b"\r\n")]
    head.method, target, head.http_version = _read_request_line(line)
    pairs = _read_fields(head, data)
    names = [name.lower() for name, _ in pairs]
    head.cached = _NEVER_CACHED.isdisjoint(names)
    host = _read_host(head, pairs, names)
    _read_target(head, target, host)
    if head.host != host:
        # RFC 9112, section 3.2.2: the absolute form replaces the Host field.
        pairs = [pair for pair in pairs if pair[0].lower() != "host"]
        pairs.insert(0, ("Host", head.host))
    head.headers = Headers(pairs)
    if names.count("content-type") > 1:
        # RFC 9110, section 8.3: readers would take one or the other.
        raise Refused(400, "content-type: more than one")
    _read_framing(head, names)
    _read_connection(head)
    return head


def _read_request_line(line: bytes) -> tuple[str, str, str]:
    """Method, target and version (RFC 9112, section 3)."""
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise Refused(400, "request line: malformed")
    method, target, version = match.groups()
    if version not in (b"1.1", b"1.0"):
        raise Refused(505, "version: expected HTTP/1.1 or HTTP/1.0")
    if method == b"CONNECT":
        raise Refused(501, "CONNECT: this server is no proxy")
    return method.decode("ascii"), target.decode("ascii"), version.decode("ascii")


def _read_fields(head: Head, data: bytes) -> list[tuple[str, str]]:
    fields = _Fields()
    parser = httptools.HttpRequestParser(fields)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        # RFC 9110, section 7.8: a server may ignore what it was asked to switch to.
        pass
    except httptools.HttpParserInvalidMethodError as error:
        raise Refused(501, "method: unknown") from error
    except httptools.HttpParserError as error:
        # Our own rules for the framing tell more, and 501 from 400.
        head.headers = Headers(fields.pairs)
        _read_framing(head, [name.lower() for name, _ in fields.pairs])
        # The library's sentences name the broken rule and quote nothing.
        raise Refused(400, f"head: {str(error).lower()}") from error
    return fields.pairs


def _read_host(head: Head, pairs: list[tuple[str, str]], names: list[str]) -> str:
    """The Host field, in lower case (RFC 9112, section 3.2)."""
    count = names.count("host")
    if count > 1:
        raise Refused(400, "host: more than one")
    if count == 0:
        if head.http_version == "1.1":
            raise Refused(400, "host: missing")
        return ""
    host = pairs[names.index("host")][1].lower()
    if not _HOST.fullmatch(host):
        raise Refused(400, "host: malformed")
    return host


def _read_target(head: Head, target: str, host: str) -> None:
    """Take the request target apart (RFC 9112, section 3.2)."""
    if "#" in target:
        raise Refused(400, "request target: has a fragment")
    head.host = host
    if target[0] == "/":
        head.raw_path, _, head.query_string = target.partition("?")
    elif target == "*" and head.method == "OPTIONS":
        head.raw_path, head.query_string = "*", ""
    else:
        match = _ABSOLUTE.fullmatch(target)
        if match is None:
            raise Refused(400, "request target: neither a path nor an http URL")
        head.host = match[1].lower()
        if not _HOST.fullmatch(head.host):
            raise Refused(400, "request target: malformed authority")
        head.raw_path = match[2] or "/"
        head.query_string = match[3] or ""
    head.path = head.raw_path
    if "%" in head.raw_path:
        head.path = unquote(head.raw_path, errors="surrogateescape")


def _read_framing(head: Head, names: list[str]) -> None:
    """Find out where the body ends (RFC 9112, section 6.3).

    Where a line is marked, llhttp itself refuses the request before: here the rule
    stands in case it does not, as who guesses at the end of a body lets requests be
    smuggled.
    """
    head.length = 0
    lengths = names.count("content-length")
    if "transfer-encoding" in names:
        if lengths:  # pragma: no cover
            raise Refused(400, "both content-length and transfer-encoding")
        if head.http_version == "1.0":
            raise Refused(400, "transfer-encoding: not part of HTTP/1.0")
        codings = [
            coding.strip(" \t").lower()
            for coding in head.headers["transfer-encoding"].split(",")
        ]
        if any(coding != "chunked" for coding in codings):
            raise Refused(501, "transfer-encoding: expected chunked alone")
        if len(codings) > 1:  # pragma: no cover
            raise Refused(400, "transfer-encoding: chunked more than once")
        head.length = CHUNKED
    elif lengths > 1:  # pragma: no cover
        raise Refused(400, "content-length: more than one")
    elif lengths:
        if not _LENGTH.fullmatch(head.headers["content-length"]):  # pragma: no cover
            raise Refused(400, "content-length: malformed")
        head.length = int(head.headers["content-length"])


def _read_connection(head: Head) -> None:
    is_current = head.http_version == "1.1"
    options = [
        option.strip(" \t").lower()
        for option in head.headers.get("connection", "").split(",")
    ]
    head.keep_alive = "close" not in options and (is_current or "keep-alive" in options)
    expected = head.headers.get("expect") if is_current else None
    # RFC 9110, section 10.1.1: HTTP/1.0 knows no expectations.
    if expected is not None and expected.lower() != "100-continue":
        raise Refused(417, "expect: only 100-continue is known")
    head.expects_continue = expected is not None and head.length != 0
