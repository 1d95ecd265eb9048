"""The command that speaks MCP over standard input and output, for desktop agents.

Each line that comes in is a message, which is sent to the running server; each message
that the server answers, one line out.

Spec: Model Context Protocol, basic, transports, stdio and Streamable HTTP.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click
import requests

from toolserver.cli.asking import Asked, account_of, address_of, server_options
from toolserver.cli.group import Fail
from toolserver.home import Home
from toolserver.protocols.mcp_envelope import routing_headers

__all__ = ["mcp"]

_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
}
#: Messages under way at once.
_AT_ONCE = 32


@click.command()
@click.option(
    "--config", "as_config", is_flag=True, help="Print what agents are to be told."
)
@server_options
def mcp(asked: Asked, /, as_config: bool) -> None:
    """Let an agent of this machine use the tools of a running server.

    Agents start it by themselves: --config prints what their configuration needs.
    """
    if as_config:
        click.echo(json.dumps(_config(asked), indent=2))
        return
    if asked.privkey is not None:
        raise Fail("--privkey: agents cannot sign; use --user or $TOOLSERVER_TOKEN", 2)
    bridge = _Bridge(asked)
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for line in sys.stdin:
            if line.strip():
                message = bridge.read(line)
                # What comes before anything else decides how all others are sent.
                if message is not None and message.get("method") == "initialize":
                    bridge.send(message)
                elif message is not None:
                    threads.submit(bridge.send, message)


class _Bridge:
    """Sends messages to the server and writes down its answers."""

    def __init__(self, asked: Asked) -> None:
        self._url = f"{address_of(asked).rstrip('/')}/mcp"
        self._timeout = asked.timeout
        self._session = session = requests.Session()
        session.auth = account_of(asked.user)
        token = os.environ.get("TOOLSERVER_TOKEN")
        if asked.user is None and token:
            session.headers["Authorization"] = f"Bearer {token}"
            session.trust_env = False
        session.verify = asked.ca or True
        session.cert = asked.cert
        session.headers.update(_HEADERS)
        self._writing = threading.Lock()

    def read(self, line: str) -> dict[str, Any] | None:
        """Read a message; None where it is none, which the agent is told."""
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if isinstance(message, dict):
            return message
        self._fail(None, -32700, "not a JSON object")
        return None

    def send(self, message: dict[str, Any]) -> None:
        """Send a message and write down what is answered."""
        id_ = message.get("id")
        try:
            with self._session.post(
                self._url,
                json=message,
                headers=_routing(message),
                stream=True,
                timeout=(10, self._timeout),
            ) as answer:
                self._take(message, answer)
        except requests.RequestException as error:
            if id_ is not None:
                self._fail(id_, -32603, f"the server cannot be asked: {error}")

    def _take(self, message: dict[str, Any], answer: requests.Response) -> None:
        if message.get("method") == "initialize" and answer.ok:
            self._begin(answer)
        kind = answer.headers.get("Content-Type", "").partition(";")[0]
        if kind == "text/event-stream":
            for data in _events(answer):
                self._write(data)
        elif kind == "application/json":
            self._write(answer.text)
        elif message.get("id") is not None:
            text = f"the server has answered {answer.status_code}: {answer.text[:200]}"
            self._fail(message["id"], -32603, text)

    def _begin(self, answer: requests.Response) -> None:
        """Send what follows in the revision that was agreed on."""
        try:
            version = answer.json()["result"]["protocolVersion"]
        except (ValueError, KeyError, TypeError):
            return
        self._session.headers["MCP-Protocol-Version"] = version
        session = answer.headers.get("Mcp-Session-Id")
        if session:
            self._session.headers["Mcp-Session-Id"] = session

    def _fail(self, id_: Any, code: int, text: str) -> None:
        error = {"code": code, "message": text}
        self._write(json.dumps({"jsonrpc": "2.0", "id": id_, "error": error}))

    def _write(self, text: str) -> None:
        with self._writing:
            print(" ".join(text.splitlines()), flush=True)


def _routing(message: dict[str, Any]) -> dict[str, str]:
    params = message.get("params")
    if not isinstance(params, dict):
        return {}
    return routing_headers(str(message.get("method")), params)


def _events(answer: requests.Response) -> Iterator[str]:
    """The messages in the events of a stream (HTML standard, section 9.2)."""
    data: list[str] = []
    kind = ""
    for line in answer.iter_lines(chunk_size=None):
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            kind = value
        elif not line:
            # Other types tell of the stream, such as that the server stops; one without
            # data, from where to take it up again.
            if any(data) and kind in ("", "message"):
                yield "\n".join(data)
            data, kind = [], ""


def _config(asked: Asked) -> dict[str, Any]:
    """What many agents read: how a server of tools is started."""
    words = ["-m", "toolserver"]
    if asked.given is not None or asked.url is None:
        # Agents start it in a folder of theirs.
        words += ["--home", str(Home.find(asked.given).path)]
    words.append("mcp")
    for option, value in (("--url", asked.url), ("--user", asked.user)):
        if value is not None:
            words += [option, value]
    if asked.ca:
        words += ["--ca", os.path.abspath(asked.ca)]
    return {"mcpServers": {"toolserver": {"command": sys.executable, "args": words}}}
