"""Request and Response as values: what travels between the server and its parts.

Neither knows a socket. The transport makes a `Request` out of bytes and turns a
`Response` back into bytes; everything in between works with these two.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import quote, unquote, unquote_to_bytes, urlencode

import msgspec
from markupsafe import Markup

from toolserver import forms, strictjson
from toolserver.errors import InvalidParams, InvalidRequest, Redirect
from toolserver.settings import Limits

__all__ = [
    "BodyReader",
    "Fields",
    "FileBody",
    "Headers",
    "MissingField",
    "ReplyWriter",
    "Request",
    "Response",
    "redirect",
]


#: Characters of escaped fields that are decoded before others get a turn: where gevent
#: is at work, ``time.sleep`` gives them one.
_UNESCAPED_AT_ONCE = 16384
#: Not 0: with that, greenlets go on many times before the loop looks at any socket.
_TURN = 1e-9


class MissingField(InvalidParams, KeyError):
    """A query or form field that a parser asked for was not sent."""

    __str__ = Exception.__str__


class Headers(Mapping[str, str]):
    """Header fields, looked up without regard to case.

    Fields that were sent several times read as one value joined by commas
    (RFC 9110, section 5.3); `get_all` gives them apart.

    Args:
        pairs: Names and values in the order in which they were sent.
    """

    __slots__ = ("_joined", "pairs")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.pairs = tuple(pairs)
        joined: dict[str, str] = {}
        for name, value in self.pairs:
            key = name.lower()
            # RFC 6265, section 5.4: a cookie list is joined by semicolons.
            glue = "; " if key == "cookie" else ", "
            joined[key] = f"{joined[key]}{glue}{value}" if key in joined else value
        self._joined = joined

    def __getitem__(self, name: str) -> str:
        return self._joined[name.lower()]

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a field, or a default where it was not sent."""
        return self._joined.get(name.lower(), default)

    def get_all(self, name: str) -> list[str]:
        """Each value of a field that was sent several times."""
        key = name.lower()
        return [value for sent, value in self.pairs if sent.lower() == key]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._joined

    def __iter__(self) -> Iterator[str]:
        return iter(self._joined)

    def __len__(self) -> int:
        return len(self._joined)

    def __repr__(self) -> str:
        return f"Headers({self.pairs!r})"


class Fields(Mapping[str, str]):
    """Query or form fields; a name that was sent several times gives its first value.

    Args:
        pairs: Names and values in the order in which they were sent.
        source: What they are, for error messages: ``"query"`` or ``"form"``.
    """

    __slots__ = ("_values", "source")

    def __init__(self, pairs: Iterable[tuple[str, str]], source: str = "query") -> None:
        values: dict[str, list[str]] = {}
        for name, value in pairs:
            values.setdefault(name, []).append(value)
        self._values = values
        self.source = source

    def __getitem__(self, name: str) -> str:
        try:
            return self._values[name][0]
        except KeyError:
            raise MissingField(f"{name}: missing in the {self.source}") from None

    def get_all(self, name: str) -> list[str]:
        """Each value of a field; an empty list where it was not sent."""
        return list(self._values.get(name, ()))

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Fields({self._values!r})"


class BodyReader(Protocol):
    """A request body that is still arriving: a binary file to read from.

    Reading waits for the sender. It raises `ToolserverError` subclasses with
    the right status where the body passes a limit, stalls or breaks off.
    """

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, all that remain when negative; empty at the end."""
        ...

    def readline(self, size: int = -1, /) -> bytes:
        """One line with its end, cut at `size` bytes when not negative."""
        ...

    def readlines(self, hint: int = -1, /) -> list[bytes]:
        """The remaining lines, at least `hint` bytes of them when positive."""
        ...

    def __iter__(self) -> Iterator[bytes]: ...


class ReplyWriter(Protocol):
    """Writes the answer of one request by hand, piece by piece.

    For who cannot return a `Response`: WSGI's ``write``, and tools that then
    raise `AlreadyDone`. Each method waits while the receiver is slow.
    """

    @property
    def started(self) -> bool:
        """Whether the status line has been sent."""
        ...

    def start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Send the status line and the header fields."""
        ...

    def write(self, data: bytes) -> None:
        """Send a piece of the body."""
        ...

    def on_hangup(self, callback: Callable[[], object] | None) -> None:
        """Have a callback run, which must not wait, when the client hangs up.

        Args:
            callback: What to run, once; None to have nothing run any more. Where
                nobody can tell it is never run, and a write finds out.
        """
        ...


class FileBody:
    """A response body that is a span of an open file.

    The transport sends it by ``sendfile`` where it can and closes it.

    Args:
        fd: Descriptor of a regular file, owned by this object from now on.
        offset: First byte to send.
        length: Number of bytes to send.
    """

    __slots__ = ("_file", "length", "offset")

    def __init__(self, fd: int, offset: int, length: int) -> None:
        self._file = io.FileIO(fd, "rb", closefd=True)
        self.offset = offset
        self.length = length

    def fileno(self) -> int:
        """The descriptor."""
        return self._file.fileno()

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        self._file.close()


class Request(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One HTTP request; it cannot be changed, `replace` makes a changed copy.

    Attributes:
        method: The verb, in upper case.
        path: The path, percent-decoded; bytes that are not UTF-8 are kept as
            surrogate escapes.
        raw_path: The path as it was sent.
        query_string: What followed the question mark, as it was sent.
        host: The authority that was asked for, in lower case, with its port if sent.
        headers: The header fields.
        scheme: ``"http"`` or ``"https"``.
        http_version: ``"1.1"`` or ``"1.0"``.
        peer: Address of the client; empty over a Unix socket.
        peer_port: Port of the client, 0 over a Unix socket.
        local: Address and port that the server listens on.
        rest: The elements of the path that follow the method, percent-decoded.
        certificate: The client's certificate as ``ssl`` describes it, or None.
        content: The body: bytes when it is here already, else a reader.
        writer: Writes the answer by hand; see `AlreadyDone`.
        limits: Bounds for what is read out of the body.
        notes: What the parts of the server note about this request; a copy
            made by `replace` starts with the same notes.
    """

    method: str = "GET"
    path: str = "/"
    raw_path: str = "/"
    query_string: str = ""
    host: str = ""
    headers: Headers = Headers()
    scheme: str = "http"
    http_version: str = "1.1"
    peer: str = ""
    peer_port: int = 0
    local: tuple[str, int] = ("", 0)
    rest: tuple[str, ...] = ()
    certificate: Mapping[str, Any] | None = None
    content: bytes | BodyReader = b""
    writer: ReplyWriter | None = None
    limits: Limits = Limits()
    notes: dict[str, Any] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target!r} from {self.peer or 'unix'}>"

    @property
    def target(self) -> str:
        """Path and query as they were sent."""
        return (
            f"{self.raw_path}?{self.query_string}"
            if self.query_string
            else self.raw_path
        )

    @property
    def query(self) -> Fields:
        """The fields of the query string."""
        found = self.notes.get("query")
        if found is None:
            found = Fields(self._pairs(self.query_string, "query"))
            self.notes["query"] = found
        return found

    @property
    def media_type(self) -> str:
        """The content type of the body without its parameters, in lower case."""
        sent: str = self.headers.get("content-type", "")
        return sent.partition(";")[0].strip().lower()

    @property
    def body(self) -> bytes:
        """The whole body; reading it waits until it is here.

        Raises:
            ToolserverError: It passes a limit, stalls or breaks off.
        """
        if isinstance(self.content, bytes):
            return self.content
        found = self.notes.get("body")
        if found is None:
            found = self.notes["body"] = self.content.read()
        return found

    @property
    def stream(self) -> BodyReader:
        """The body as a binary file, to read it piece by piece.

        A body can be read once: either as a stream or as `body`.
        """
        if isinstance(self.content, bytes):
            found = self.notes.get("stream")
            if found is None:
                found = self.notes["stream"] = io.BytesIO(self.content)
            return found
        return self.content

    def json(self) -> Any:
        """The body, read as JSON.

        Returns:
            Plain values.

        Raises:
            ParseError: It is not well-formed, repeats a key or passes a bound.
        """
        found = self.notes.get("json")
        if found is None:
            found = self.notes["json"] = (
                strictjson.decode(
                    self.body,
                    max_depth=self.limits.json_depth,
                    max_values=self.limits.json_values,
                ),
            )
        return found[0]

    @property
    def form(self) -> Fields:
        """The fields of an urlencoded or multipart body; empty for other bodies.

        Raises:
            InvalidRequest: The body is not what its content type says.
        """
        return self._read_form()[0]

    @property
    def files(self) -> forms.Files:
        """The files of a multipart body by the names of their fields.

        Raises:
            InvalidRequest: The body is not what its content type says.
        """
        return self._read_form()[1]

    def _read_form(self) -> tuple[Fields, forms.Files]:
        found = self.notes.get("form")
        if found is None:
            files = forms.Files()
            if self.media_type == "multipart/form-data":
                pairs, files = forms.read_multipart(
                    self.stream, self.headers["content-type"], self.limits
                )
            elif self.media_type == "application/x-www-form-urlencoded":
                # Some clients, such as curl, send UTF-8 without escapes.
                text = self.body.decode("utf-8", "replace")
                pairs = self._pairs(text, "form")
            else:
                pairs = []
            found = self.notes["form"] = (Fields(pairs, "form"), files)
        return found

    def _pairs(self, text: str, source: str) -> list[tuple[str, str]]:
        bound = self.limits.form_fields
        if text.count("&") >= bound:
            raise InvalidRequest(f"{source}: more than {bound} fields")
        fields = text.replace("+", " ").split("&")
        parted = [field.partition("=") for field in fields if field]
        if "%" not in text:
            return [(name, value) for name, _, value in parted]
        pairs = []
        left = _UNESCAPED_AT_ONCE
        for name, _, value in parted:
            pairs.append((_unescape(name), _unescape(value)))
            left -= len(name) + len(value)
            if left < 0:
                time.sleep(_TURN)
                left = _UNESCAPED_AT_ONCE
        return pairs

    def replace(self, **changes: Any) -> Request:
        """A copy with some attributes changed.

        Args:
            **changes: New values by attribute; besides the attributes above
                `query` (a mapping) and `body` (bytes). A new `path` is the
                decoded one.

        Returns:
            The changed copy.

        Raises:
            TypeError: There is no such attribute.
        """
        notes = dict(self.notes)
        if "query" in changes:
            changes["query_string"] = urlencode(changes.pop("query"), doseq=True)
        if "path" in changes and "raw_path" not in changes:
            changes["raw_path"] = quote(changes["path"], errors="surrogateescape")
        elif "raw_path" in changes and "path" not in changes:
            changes["path"] = unquote(changes["raw_path"], errors="surrogateescape")
        if "body" in changes:
            changes["content"] = changes.pop("body")
        if "headers" in changes and not isinstance(changes["headers"], Headers):
            changes["headers"] = Headers(dict(changes["headers"]).items())
        if "query_string" in changes:
            notes.pop("query", None)
        if "content" in changes:
            for cached in ("body", "stream", "json", "form"):
                notes.pop(cached, None)
        return msgspec.structs.replace(self, notes=notes, **changes)


def _unescape(text: str) -> str:
    """Decode the escapes of a field (URL standard, section 5.1)."""
    if len(text) <= _UNESCAPED_AT_ONCE:
        return unquote(text)
    # Each escape becomes a piece of text for a moment, and a body may be all escapes.
    decoded = bytearray()
    start = 0
    while start < len(text):
        end = start + _UNESCAPED_AT_ONCE
        # No step ends within an escape.
        if "%" in text[end - 2 : end]:
            end = text.rindex("%", 0, end)
        decoded += unquote_to_bytes(text[start:end])
        start = end
        time.sleep(_TURN)
    return decoded.decode("utf-8", "replace")


class Response:
    """What is sent back.

    Args:
        body: Text, markup, bytes, an iterable of bytes or text (sent piece by
            piece) or a `FileBody`.
        status: HTTP status.
        content_type: Media type; by default by the kind of the body: plain
            text, HTML for markup, XML for what `xml` makes, octets for bytes. Text
            is sent as UTF-8.
        headers: Further header fields, as a mapping or as pairs where a name
            occurs several times.

    Attributes:
        status: HTTP status.
        headers: Header fields as pairs, with the content type in front.
        body: Bytes, an iterable of bytes, or a `FileBody`.
        reason: The words behind the status; empty for the standard ones.
    """

    __slots__ = ("body", "headers", "status")

    # Only the WSGI gateway has reasons of its own; a slot would cost every response.
    reason: str = ""

    body: bytes | FileBody | Iterable[bytes]

    def __init__(
        self,
        body: str | bytes | FileBody | Iterable[bytes] | Iterable[str] = "",
        *,
        status: int = 200,
        content_type: str = "",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> None:
        self.status = status
        if isinstance(body, bytes):
            self.body = body
            default = "application/octet-stream" if body else ""
        elif isinstance(body, str):
            self.body = body.encode("utf-8", "surrogateescape")
            default = _TEXT if body else ""
            if isinstance(body, Markup):
                # XML says that it is XML.
                default = getattr(body, "content_type", _HTML)
        elif isinstance(body, FileBody):
            self.body = body
            default = "application/octet-stream"
        else:
            self.body = _Encoded(body)
            default = _TEXT
        kind = content_type or default
        if not headers:
            self.headers = [("Content-Type", kind)] if kind else []
            return
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        if kind and not any(name.lower() == "content-type" for name, _ in pairs):
            pairs.insert(0, ("Content-Type", kind))
        self.headers = pairs

    def __repr__(self) -> str:
        return f"<Response {self.status}>"

    def close(self) -> None:
        """Let go of a body that is not going to be sent."""
        close = getattr(self.body, "close", None)
        if close is not None:
            close()


def redirect(url: str, status: int = 303) -> Response:
    """Send the caller to another URL, as the result of a method.

    Args:
        url: Where to; relative URLs are allowed. What a URL cannot hold, such as
            blanks and letters beyond ASCII, is percent-encoded.
        status: 301, 302, 303, 307 or 308 (RFC 9110, section 15.4).

    Returns:
        The response.

    Raises:
        ValueError: The status is none of these.
    """
    signal = Redirect(url, status)
    # RFC 3986 knows ASCII only, and a line end would end the field.
    location = quote(signal.url, safe=_URL_SAFE, errors="surrogateescape")
    return Response(status=signal.status, headers={"Location": location})


_TEXT = "text/plain; charset=utf-8"
_HTML = "text/html; charset=utf-8"
#: What a URL may hold as it is (RFC 3986, section 2), besides letters and digits.
_URL_SAFE = "!#$%&'()*+,/:;=?@[]~"


class _Encoded:
    """An iterable of text or bytes as one of bytes; closes what it wraps."""

    __slots__ = ("_iterable", "_pieces")

    def __init__(self, iterable: Iterable[bytes] | Iterable[str]) -> None:
        self._iterable = iterable
        self._pieces: Iterator[bytes | str] = iter(iterable)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        return piece.encode() if isinstance(piece, str) else bytes(piece)

    def close(self) -> None:
        close = getattr(self._iterable, "close", None)
        if close is not None:
            close()
