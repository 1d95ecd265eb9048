"""Bytes to a server and back, and whether what comes back is an answer of HTTP."""

from __future__ import annotations

import re
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass

__all__ = ["Answer", "Malformed", "exchange", "read_answers", "reset", "take"]

_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [\t\x20-\x7e]*\r\n")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\t\x20-\x7e\x80-\xff]*)\r\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")
#: Answers of this size are enough to judge.
_MOST = 4 * 2**20


class Malformed(Exception):
    """What a server has sent is no answer of HTTP."""


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        status: Its status.
        headers: Its fields, by their names in small letters.
        body: Its body.
        is_whole: Whether it was not cut off in its body.
    """

    status: int
    headers: dict[bytes, bytes]
    body: bytes
    is_whole: bool = True


def exchange(
    port: int, data: bytes, *, timeout: float = 20.0, half_close: bool = True
) -> bytes:
    """Send bytes, and read what comes until the server closes.

    Args:
        port: Where the server listens on the loopback.
        data: What to send.
        timeout: Seconds for all of it.
        half_close: Whether to tell that nothing more will be sent.

    Returns:
        What came.

    Raises:
        TimeoutError: The server neither answers nor closes.
        ConnectionRefusedError: There is no server.
    """
    deadline = time.monotonic() + timeout
    received = bytearray()
    with (
        socket.create_connection(("127.0.0.1", port), timeout) as connection,
        suppress(ConnectionResetError, BrokenPipeError),
    ):
        connection.sendall(data)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        take(connection, received, deadline)
    return bytes(received)


def take(connection: socket.socket, received: bytearray, deadline: float) -> None:
    """Read until the other side closes, or has sent enough."""
    while len(received) < _MOST:
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        piece = connection.recv(65536)
        if not piece:
            return
        received += piece


def reset(connection: socket.socket) -> None:
    """Vanish: the other side is told by a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def read_answers(data: bytes, *, is_head: bool = False) -> list[Answer]:
    """Read all answers that a server has sent on one connection.

    Args:
        data: What it has sent.
        is_head: Whether the first one is for HEAD.

    Returns:
        The answers; the last one may have been cut off.

    Raises:
        Malformed: Something of it is no answer.
    """
    answers = []
    while data:
        answer, data = _read(data, is_head and not answers)
        answers.append(answer)
    return answers


def _read(data: bytes, is_head: bool) -> tuple[Answer, bytes]:
    begin = b"HTTP/1.1 "
    if b"\r\n\r\n" not in data and data[: len(begin)] == begin[: len(data)]:
        # Cut off in its head, as where its process is killed.
        return Answer(0, {}, b"", is_whole=False), b""
    line = _STATUS.match(data)
    if line is None:
        raise Malformed(f"status line: {data[:200]!r}")
    status, at = int(line[1]), line.end()
    headers: dict[bytes, bytes] = {}
    while not data.startswith(b"\r\n", at):
        field = _FIELD.match(data, at)
        if field is None:
            raise Malformed(f"field: {data[at : at + 200]!r}")
        name = field[1].lower()
        if name in headers and name in (b"content-length", b"transfer-encoding"):
            raise Malformed(f"twice: {name!r}")
        headers[name] = field[2]
        at = field.end()
    rest = data[at + 2 :]
    if is_head or status < 200 or status in (204, 304):
        return Answer(status, headers, b""), rest
    if b"transfer-encoding" in headers:
        if b"content-length" in headers:
            raise Malformed("a length and a transfer coding")
        body, rest, is_whole = _chunks(rest)
        return Answer(status, headers, body, is_whole), rest
    if b"content-length" in headers:
        size = int(headers[b"content-length"])
        body = rest[:size]
        return Answer(status, headers, body, len(body) == size), rest[size:]
    return Answer(status, headers, rest), b""


def _chunks(data: bytes) -> tuple[bytes, bytes, bool]:
    found, at = [], 0
    while True:
        line = _CHUNK.match(data, at)
        if line is None:
            if len(data) - at > 20 or b"\n" in data[at:]:
                raise Malformed(f"chunk: {data[at : at + 200]!r}")
            return b"".join(found), b"", False
        size, at = int(line[1], 16), line.end()
        piece = data[at : at + size]
        found.append(piece)
        at += size
        if size and len(data) < at + 2:
            return b"".join(found), b"", False
        if data[at : at + 2] != b"\r\n":
            raise Malformed(f"end of a chunk: {data[at : at + 20]!r}")
        at += 2
        if not size:
            return b"".join(found), data[at:], True
