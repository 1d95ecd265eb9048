"""Reply heads: status and header fields to bytes.

The same fields are sent again and again, so their bytes are kept; the checks that
keep a field from smuggling in another one run when they are made.

Spec: RFC 9110, sections 5.5 and 6.6.1; RFC 9112, sections 4 and 6.
"""

from __future__ import annotations

import re
import time
from email.utils import formatdate
from http import HTTPStatus

__all__ = [
    "CLOSE",
    "KEEP_ALIVE",
    "PERSISTENT",
    "ReplyHead",
    "ReplyHeads",
    "check_field",
    "date_line",
    "has_no_body",
    "refusal",
]

#: How a reply speaks of its connection: nothing to say on 1.1, "keep-alive" on 1.0.
PERSISTENT, KEEP_ALIVE, CLOSE = range(3)
_CONNECTION = (b"", b"Connection: keep-alive\r\n", b"Connection: close\r\n")

_CACHED_HEADS = 1024
_CACHED_SIZE = 2048

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_LENGTH = re.compile(r"[0-9]{1,18}")
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
    for status in HTTPStatus
}


def check_field(name: str, value: str) -> None:
    """Refuse a header field that cannot be sent as it is.

    Raises:
        ValueError: Its name is no token, or its value could end the field.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"header field: invalid name {name!r}")
    if not _VALUE.fullmatch(value):
        raise ValueError(f"header field {name}: invalid value")


class ReplyHead:
    """The bytes of a status line and its header fields, without framing and date.

    Attributes:
        block: The bytes.
        length: The Content-Length that was asked for, or None.
        closes: Whether the fields ask for the connection to be closed.
        dated: Whether the fields have a date.
    """

    __slots__ = ("block", "closes", "dated", "length")

    def __init__(
        self,
        status: int,
        reason: str,
        headers: tuple[tuple[str, str], ...],
        connection: int,
    ) -> None:
        self.length: int | None = None
        self.closes = connection == CLOSE
        self.dated = False
        lines = []
        for name, value in headers:
            check_field(name, value)
            key = name.lower()
            if key == "content-length":
                if not _LENGTH.fullmatch(value):
                    raise ValueError(f"content-length: got {value!r}, expected digits")
                self.length = int(value)
            elif key == "connection":
                self.closes = self.closes or "close" in value.lower()
            elif key not in ("transfer-encoding", "keep-alive"):
                # Those two are the server's own to decide.
                self.dated = self.dated or key == "date"
                lines.append(f"{name}: {value}\r\n")
        self.block = b"".join(
            (
                _status_line(status, reason),
                "".join(lines).encode("latin-1"),
                _CONNECTION[CLOSE if self.closes else connection],
            )
        )


class ReplyHeads:
    """Makes reply heads, and keeps what it made."""

    def __init__(self) -> None:
        self._heads: dict[object, ReplyHead] = {}

    def get(
        self,
        status: int,
        headers: list[tuple[str, str]],
        connection: int,
        reason: str = "",
    ) -> ReplyHead:
        """The head of a reply.

        Args:
            status: HTTP status, 200 to 599.
            headers: The header fields.
            connection: `PERSISTENT`, `KEEP_ALIVE` or `CLOSE`.
            reason: The words behind the status; empty for the standard ones.

        Raises:
            ValueError: Status or fields cannot be sent.
        """
        fields = tuple(headers)
        key = status, reason, connection, fields
        found = self._heads.get(key)
        if found is None:
            found = ReplyHead(status, reason, fields, connection)
            if len(found.block) <= _CACHED_SIZE:
                if len(self._heads) >= _CACHED_HEADS:
                    self._heads.clear()
                self._heads[key] = found
        return found


def _status_line(status: int, reason: str = "") -> bytes:
    if not 200 <= status <= 599:
        raise ValueError(f"status: got {status!r}, expected 200 to 599")
    if reason:
        if not _VALUE.fullmatch(reason):
            raise ValueError("reason: contains a control character")
        return f"HTTP/1.1 {status} {reason}\r\n".encode("latin-1")
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status


def has_no_body(status: int) -> bool:
    """Whether a reply of this status ends with its head (RFC 9112, section 6.3)."""
    return status in (204, 304)


_date = (0, b"")


def date_line() -> bytes:
    """The Date field of now, as a whole line."""
    global _date
    now = int(time.time())
    if now != _date[0]:
        _date = now, b"Date: %b\r\n" % formatdate(now, usegmt=True).encode()
    return _date[1]


def refusal(
    status: int,
    message: str,
    *,
    keep: bool = False,
    retry_after: int = 0,
    is_bodiless: bool = False,
) -> bytes:
    """A whole reply with a sentence in plain text.

    Args:
        status: HTTP status.
        message: What was wrong; must not quote the request.
        keep: Whether the connection stays open.
        retry_after: Seconds after which to ask again; 0 to leave it out.
        is_bodiless: Whether the reply ends with its head, as to HEAD.
    """
    text = message.encode("ascii", "replace") + b"\n"
    return b"".join(
        (
            _status_line(status),
            b"Content-Type: text/plain; charset=utf-8\r\n",
            b"Retry-After: %d\r\n" % retry_after if retry_after else b"",
            b"" if keep else _CONNECTION[CLOSE],
            date_line(),
            b"Content-Length: %d\r\n\r\n" % len(text),
            b"" if is_bodiless else text,
        )
    )
