"""A server that answers as a test tells it to, however wrong that is."""

from __future__ import annotations

import contextlib
import json
import socket

import gevent


class Scripted:
    """Gives each request to a function, and sends what that returns.

    Args:
        answer: Takes the head and the body of a request; returns the bytes to send, a
            list of pieces between which it waits, or None to send nothing. The
            connection is closed after it, unless it hangs.
    """

    def __init__(self, answer):
        self.requests = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._greenlets = [gevent.spawn(self._accept)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        gevent.killall(self._greenlets)
        self._listener.close()

    def bodies(self):
        """What was asked, as JSON, without asking for descriptions."""
        asked = [json.loads(body) for _, body in self.requests if body]
        return [call for call in asked if not call["method"].startswith("system.")]

    def _accept(self):
        while True:
            connection, _ = self._listener.accept()
            self._greenlets.append(gevent.spawn(self._serve, connection))

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                piece = connection.recv(65536)
                if not piece:
                    return
                data += piece
            head, _, body = data.partition(b"\r\n\r\n")
            length = 0
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            while len(body) < length:
                body += connection.recv(65536)
            self.requests.append((head, body))
            made = self._answer(head, body)
            if made is None:
                gevent.sleep(60)
            for piece in [made] if isinstance(made, bytes) else made:
                connection.sendall(piece)
                if not isinstance(made, bytes):
                    gevent.sleep(0.02)


def respond(status, body=b"", content_type="application/json", *fields):
    """The bytes of an answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def result(value):
    """A result of JSON-RPC."""
    body = {"jsonrpc": "2.0", "result": value, "id": 1}
    return respond("200 OK", json.dumps(body).encode())
