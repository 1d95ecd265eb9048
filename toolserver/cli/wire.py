"""Calls methods of a server for the command line, with the standard library alone."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import xmlrpc.client
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit
from xml.parsers.expat import ExpatError

from toolserver import errors
from toolserver.cli.group import Fail

__all__ = ["PROTOCOLS", "Server"]

PROTOCOLS = ("JSONRPC", "RPC2", "REST")

#: Names of errors by their codes; of those that share one the first is the usual.
_NAMES: dict[int, str] = {}
for _name in errors.__all__:
    _NAMES.setdefault(getattr(getattr(errors, _name), "code", 0), _name)


class _UnixConnection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Server:
    """A server that is running somewhere.

    Args:
        url: Its address.
        timeout: Seconds to wait for an answer.
        ca: File with the certificates of who is trusted; the system's by default.

    Raises:
        Fail: The address is none.
    """

    def __init__(self, url: str, *, timeout: float = 60.0, ca: str = "") -> None:
        try:
            parts = urlsplit(url)
            self._port = parts.port
        except ValueError as error:
            raise Fail(f"{url}: {error}", 2) from error
        if parts.scheme not in ("http", "https", "http+unix") or not (
            parts.hostname or parts.path
        ):
            raise Fail(f"{url}: got no URL, expected http://HOST:PORT/", 2)
        self._url = url
        self._parts = parts
        self._timeout = timeout
        self._ca = ca
        self._base = "" if parts.scheme == "http+unix" else parts.path.rstrip("/")

    def call(
        self, protocol: str, name: str, args: Sequence[Any], named: Mapping[str, Any]
    ) -> Any:
        """Call a method.

        Args:
            protocol: One of `PROTOCOLS`.
            name: Its full name.
            args: Positional arguments.
            named: Named arguments.

        Returns:
            The result; REST's is text where it is no JSON.

        Raises:
            Fail: The server, or the call, failed; says how.
        """
        if args and named:
            raise Fail(
                "arguments go either all by position or all by name, not mixed", 2
            )
        if protocol == "JSONRPC":
            return self._call_jsonrpc(name, list(args) or dict(named))
        if protocol == "RPC2":
            if named:
                raise Fail("XML-RPC has no named arguments", 2)
            return self._call_xmlrpc(name, tuple(args))
        if args:
            raise Fail("REST takes arguments by name: NAME=VALUE", 2)
        return self._call_rest(name, named)

    def fetch(self, path: str, query: str = "") -> bytes:
        """Fetch a document.

        Args:
            path: Its path below the server's own, with a slash in front.
            query: What follows the question mark.

        Returns:
            The document.

        Raises:
            Fail: There is none, or the server does not answer.
        """
        target = quote(path, safe="/~") + (f"?{query}" if query else "")
        status, kind, data = self._ask("GET", target)
        if status == http.HTTPStatus.OK:
            return data
        if kind == "application/problem+json":
            text = json.loads(data).get("detail", "")
            raise Fail(f"HTTP {status}: {_one_line(str(text))}")
        raise self._strange(status, data)

    def _call_jsonrpc(self, name: str, params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": name, "params": params}
        status, _, data = self._post("/JSONRPC", _json(body), "application/json")
        try:
            answer = json.loads(data)
        except ValueError:
            raise self._strange(status, data) from None
        if not isinstance(answer, dict) or not {"result", "error"} & set(answer):
            raise self._strange(status, data)
        error = answer.get("error")
        if error:
            facts = error.get("data")
            kind = facts.get("type") if isinstance(facts, dict) else None
            raise _failed(error.get("code"), error.get("message"), kind)
        return answer.get("result")

    def _call_xmlrpc(self, name: str, args: tuple[Any, ...]) -> Any:
        try:
            body = xmlrpc.client.dumps(args, name, allow_none=True).encode()
        except OverflowError as error:
            raise Fail(f"XML-RPC: {error}", 2) from error
        status, _, data = self._post("/RPC2", body, "text/xml")
        if status != http.HTTPStatus.OK:
            raise self._strange(status, data)
        try:
            (result,), _ = xmlrpc.client.loads(data.decode(), use_builtin_types=True)
        except xmlrpc.client.Fault as fault:
            raise _failed(fault.faultCode, fault.faultString) from None
        except (ExpatError, ValueError, xmlrpc.client.Error) as error:
            raise self._strange(status, data) from error
        return result

    def _call_rest(self, name: str, named: Mapping[str, Any]) -> Any:
        path = "/" + quote(name.replace(".", "/"))
        status, kind, data = self._post(path, _json(named), "application/json")
        is_json = kind in ("application/json", "application/problem+json")
        value: Any = data.decode("utf-8", "replace")
        if is_json:
            try:
                value = json.loads(data)
            except ValueError:
                raise self._strange(status, data) from None
        if status >= http.HTTPStatus.BAD_REQUEST:
            if kind == "application/problem+json" and isinstance(value, dict):
                text = value.get("detail") or value.get("title") or ""
                raise Fail(f"HTTP {status}: {_one_line(str(text))}")
            raise self._strange(status, data)
        return value

    def _strange(self, status: int, data: bytes) -> Fail:
        try:
            phrase = f" {http.HTTPStatus(status).phrase}"
        except ValueError:
            phrase = ""
        text = _one_line(data.decode("utf-8", "replace"))
        return Fail(f"{self._url}: HTTP {status}{phrase}: {text}")

    def _post(self, path: str, body: bytes, kind: str) -> tuple[int, str, bytes]:
        return self._ask("POST", path, body, {"Content-Type": kind})

    def _ask(
        self,
        verb: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, str, bytes]:
        connection = self._connect()
        headers = {
            "Accept": "application/json, text/xml, */*;q=0.5",
            "User-Agent": "tsctl",
            **(headers or {}),
        }
        try:
            connection.request(verb, self._base + path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
        except TimeoutError as error:
            raise Fail(f"{self._url}: no answer within {self._timeout:g} s") from error
        except ConnectionRefusedError as error:
            raise Fail(f"{self._url}: no server answers there") from error
        except ssl.SSLError as error:
            raise Fail(f"{self._url}: TLS: {error.reason or error}") from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise Fail(
                f"{self._url}: {type(error).__name__}: {_one_line(reason)}"
            ) from error
        finally:
            connection.close()
        kind = answer.headers.get_content_type()
        return answer.status, kind, data

    def _connect(self) -> http.client.HTTPConnection:
        parts = self._parts
        if parts.scheme == "http+unix":
            return _UnixConnection(parts.path, self._timeout)
        host = parts.hostname or ""
        if parts.scheme == "https":
            try:
                context = ssl.create_default_context(cafile=self._ca or None)
            except (OSError, ssl.SSLError) as error:
                raise Fail(f"{self._ca}: no certificates: {error}", 2) from error
            return http.client.HTTPSConnection(
                host, self._port, timeout=self._timeout, context=context
            )
        return http.client.HTTPConnection(host, self._port, timeout=self._timeout)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape")


def _failed(code: Any, message: Any, kind: Any = None) -> Fail:
    name = kind or (_NAMES.get(code) if isinstance(code, int) else None) or "error"
    text = _one_line(str(message)).removeprefix(f"{name}: ")
    return Fail(f"{_one_line(str(name))} ({code}): {text}")


def _one_line(text: str) -> str:
    """Text of a server, so that it can play no tricks with the terminal."""
    line = " ".join(text.split())
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= 500 else f"{line[:497]}..."
