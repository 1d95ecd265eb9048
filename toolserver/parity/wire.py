"""One connection to a server that is kept open: nothing but what HTTP asks for.

What the client does besides, from retries to proxies, would hide what is compared here,
and take longer than the calls. The server is our own, in the same process.

Spec: RFC 9112.
"""

from __future__ import annotations

import socket
from io import BufferedReader
from urllib.parse import urlsplit

from toolserver.client.codecs import Answer, Outgoing

__all__ = ["Wire"]

#: Seconds after which an answer is no longer waited for.
_TIMEOUT = 120.0


class Wire:
    """Sends requests one after the other; it is opened again when it was closed.

    Args:
        url: The address of the server.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        parts = urlsplit(url)
        self._address = parts.hostname or "", parts.port or 80
        self._host = parts.netloc
        self._socket: socket.socket | None = None
        self._reader: BufferedReader | None = None

    def exchange(self, request: Outgoing) -> Answer:
        """Send a request and wait for the answer.

        Args:
            request: The request.

        Returns:
            The answer, whatever its status.

        Raises:
            OSError: There is no server, or it does not answer to the end.
        """
        body = request.body or b""
        fields = {
            "Host": self._host,
            "Content-Length": str(len(body)),
            **request.headers,
        }
        lines = [f"POST {request.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        head = "\r\n".join(lines).encode("latin-1")
        try:
            self._open().sendall(b"%s\r\n\r\n%s" % (head, body))
            return self._read()
        except BaseException:
            # What may follow belongs to no request any more.
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._reader is not None:
            self._reader.close()
        if self._socket is not None:
            self._socket.close()
        self._socket = self._reader = None

    def _open(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, _TIMEOUT)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._reader = self._socket.makefile("rb")
        return self._socket

    def _read(self) -> Answer:
        status = int(self._line().split(b" ", 2)[1])
        fields: dict[str, str] = {}
        while line := self._line():
            name, _, value = line.decode("latin-1").partition(":")
            fields[name.lower()] = value.strip()
        if "transfer-encoding" in fields:
            body = self._chunks()
        else:
            body = self._bytes(int(fields.get("content-length", "0")))
        if fields.get("connection", "").lower() == "close":
            self.close()
        return Answer(self._url, status, fields, body)

    def _chunks(self) -> bytes:
        """A body in chunks (section 7.1)."""
        found = []
        while size := int(self._line().partition(b";")[0], 16):
            found.append(self._bytes(size))
            self._line()
        while self._line():
            pass
        return b"".join(found)

    def _line(self) -> bytes:
        line = self._reader.readline() if self._reader is not None else b""
        if not line.endswith(b"\n"):
            raise ConnectionError(f"{self._url}: the answer breaks off")
        return line.rstrip(b"\r\n")

    def _bytes(self, size: int) -> bytes:
        found = self._reader.read(size) if self._reader is not None else b""
        if len(found) < size:
            raise ConnectionError(f"{self._url}: the answer breaks off")
        return found
