"""Calls of a method, ready to be copied: for shells and for programs."""

from __future__ import annotations

import json
import keyword
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from toolserver.describe.samples import sample
from toolserver.methods import MethodSpec

__all__ = ["Address", "Snippet", "snippets"]


@dataclass(frozen=True)
class Address:
    """Where a tool is.

    Attributes:
        server: URL of the server, with a slash at its end.
        namespace: Dotted name of the tool; empty for the root.
        path: Path of the tool's URL, with slashes around it.
    """

    server: str
    namespace: str
    path: str

    def name(self, method: str) -> str:
        """The full name of a method of the tool."""
        return f"{self.namespace}.{method}" if self.namespace else method

    def url(self, method: str) -> str:
        """The URL of a method of the tool over REST."""
        tail = "" if method == "index" else quote(method)
        return self.server.rstrip("/") + self.path + tail


@dataclass(frozen=True)
class Snippet:
    """A call to be copied.

    Attributes:
        label: What it is for.
        code: The call.
    """

    label: str
    code: str


def snippets(
    spec: MethodSpec,
    address: Address,
    *,
    verbs: Collection[str],
    is_rendered: bool = False,
) -> list[Snippet]:
    """Write calls of a method.

    Args:
        spec: The method.
        address: Where its tool is.
        verbs: The HTTP methods for which REST takes its arguments by name.
        is_rendered: Whether REST answers with something else than JSON to who does not
            ask for it.

    Returns:
        One for each way of calling it; arguments that may be left out are.
    """
    arguments = {
        parameter.name: sample(parameter.type)
        for parameter in spec.parameters
        if parameter.required
    }
    found = []
    if "POST" in verbs:
        code = _curl(spec, address, arguments, verbs, is_rendered)
        found.append(Snippet("curl", code))
    found.append(Snippet("Python, toolserver", _client(spec, address, arguments)))
    if "POST" in verbs:
        code = _requests(spec, address, arguments, is_rendered)
        found.append(Snippet("Python, requests", code))
    found += [
        Snippet("curl, JSON-RPC", _jsonrpc(spec, address, arguments)),
        Snippet("Python, xmlrpc.client", _xmlrpc(spec, address, arguments)),
        Snippet("Python, zeep", _zeep(spec, address, arguments)),
    ]
    return found


def _curl(
    spec: MethodSpec,
    address: Address,
    arguments: dict[str, Any],
    verbs: Collection[str],
    is_rendered: bool,
) -> str:
    accept = "-H 'Accept: application/json'" if is_rendered else ""
    url = address.url(spec.name)
    fits_query = all(isinstance(each, (str, int, float)) for each in arguments.values())
    if spec.is_read_only and fits_query and "GET" in verbs:
        texts = {
            name: json.dumps(value) if isinstance(value, bool) else value
            for name, value in arguments.items()
        }
        query = f"?{urlencode(texts, quote_via=quote)}" if texts else ""
        return f"curl {accept}{' ' if accept else ''}{shlex.quote(url + query)}"
    return _post(url, arguments, accept)


def _post(url: str, body: Any, accept: str = "") -> str:
    further = f" {accept}" if accept else ""
    return (
        f"curl {shlex.quote(url)} \\\n"
        f"  -H 'Content-Type: application/json'{further} \\\n"
        f"  -d {shlex.quote(json.dumps(body, ensure_ascii=False))}"
    )


def _jsonrpc(spec: MethodSpec, address: Address, arguments: dict[str, Any]) -> str:
    call = {"jsonrpc": "2.0", "id": 1, "method": address.name(spec.name)}
    return _post(f"{address.server}JSONRPC", {**call, "params": arguments})


def _client(spec: MethodSpec, address: Address, arguments: dict[str, Any]) -> str:
    tool = repr(address.namespace)
    if spec.unlocked is not None:
        # The client makes the token.
        tool += ", secret='…'"
        arguments = {key: arguments[key] for key in arguments if key != "token"}
    method = f"tool.{spec.name}"
    if not _is_name(spec.name):
        method = f"getattr(tool, {spec.name!r})"
    return (
        "import toolserver\n\n"
        f"with toolserver.connect({address.server!r}) as server:\n"
        f"    tool = server.get_tool({tool})\n"
        f"    print({method}({_by_name(arguments)}))"
    )


def _requests(
    spec: MethodSpec, address: Address, arguments: dict[str, Any], is_rendered: bool
) -> str:
    url = address.url(spec.name)
    given = f", json={arguments!r}" if arguments else ""
    if is_rendered:
        given += ", headers={'Accept': 'application/json'}"
    return (
        "import requests\n\n"
        f"answer = requests.post({url!r}{given})\n"
        "answer.raise_for_status()\n"
        "print(answer.text)"
    )


def _xmlrpc(spec: MethodSpec, address: Address, arguments: dict[str, Any]) -> str:
    name = address.name(spec.name)
    method = f"server.{name}"
    if not all(_is_name(part) for part in name.split(".")):
        method = f"getattr(server, {name!r})"
    given = ", ".join(map(repr, arguments.values()))
    return (
        "from xmlrpc.client import ServerProxy\n\n"
        f"server = ServerProxy({address.server + 'RPC2'!r}, allow_none=True)\n"
        f"print({method}({given}))"
    )


def _zeep(spec: MethodSpec, address: Address, arguments: dict[str, Any]) -> str:
    wsdl = f"{address.server}WSDL/{quote(address.namespace)}"
    return (
        "import zeep\n\n"
        f"client = zeep.Client({wsdl!r})\n"
        f"print(client.service[{spec.name!r}]({_by_name(arguments)}))"
    )


def _by_name(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in arguments.items())


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)
