"""Clients of the Model Context Protocol, in both of its eras."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from soak.clients.base import PATIENCE, Client, Place, checked, events, expect
from soak.record import Job
from toolserver.errors import Conflict, Overload

__all__ = ["EarlyMCPClient", "MCPClient"]


class MCPClient(Client):
    """An agent of the revision in which each request stands by itself."""

    label = "MCP 2026-07-28"
    version: ClassVar[str] = "2026-07-28"

    def __init__(self, place: Place, number: int | str, seed: object) -> None:
        super().__init__(place, number, seed)
        self._session = self.session()

    def actions(self) -> Sequence[Callable[[], None]]:
        return [
            *(self.greet, self.tools, self.echo, self.note_it, self.fail),
            *(self.steps, self.read, self.prompt),
        ]

    def message(self, method: str, params: dict[str, Any]) -> Any:
        """What is sent: header fields and body."""
        meta = params.get("_meta", {}) | {
            "io.modelcontextprotocol/protocolVersion": self.version,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        headers = {"MCP-Protocol-Version": self.version, "Mcp-Method": method}
        name = params.get("name", params.get("uri"))
        if name:
            headers["Mcp-Name"] = name
        return headers, params | {"_meta": meta}

    def post(self, method: str, params: dict[str, Any] | None = None) -> Any:
        headers, params = self.message(method, dict(params or {}))
        id_ = self.dice.randint(0, 10**6)
        sent = {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}
        answer = self._session.post(
            f"{self.place.url}/mcp",
            json=sent,
            headers={"Accept": "application/json, text/event-stream"} | headers,
            timeout=PATIENCE,
        )
        checked(answer)
        if answer.headers["Content-Type"].startswith("text/event-stream"):
            told = [data for _, data in events(answer.content.splitlines())]
        else:
            told = [answer.json()]
        expect(told[-1].get("id"), id_, f"id in {told[-1]}")
        # A task that is waited for in a process that stops has to be asked for again.
        if told[-1].get("error", {}).get("code") in (Overload.code, Conflict.code):
            raise Overload(told[-1]["error"]["message"])
        return told[-1]["result"], told[:-1]

    def call(self, name: str, /, **arguments: Any) -> Any:
        found, _ = self.post("tools/call", {"name": name, "arguments": arguments})
        expect(found.get("isError", False), False, str(found)[:300])
        return found["structuredContent"]

    def greet(self) -> None:
        found, _ = self.post("server/discover")
        expect(found["supportedVersions"], [self.version], "greet")

    def tools(self) -> None:
        found, _ = self.post("tools/list")
        names = {each["name"] for each in found["tools"]}
        expect("soak.echo.text" in names, True, "tools")

    def echo(self) -> None:
        text, order = self.text(), self.order()
        expect(self.call("soak.echo.text", text=text), {"result": text}, "echo")
        expect(self.call("soak.echo.order", order=order), order, "order")

    def note_it(self) -> None:
        self.note(lambda name: self.call("soak.ledger.note", name=name)["result"])

    def fail(self) -> None:
        asked = {"name": "soak.echo.refuse", "arguments": {"number": 4}}
        found, _ = self.post("tools/call", asked)
        expect(found.get("isError"), True, "fail")
        told = "Conflict: number: got 4, expected another one"
        expect(found["content"][0]["text"], told, "fail")

    def steps(self) -> None:
        count, token = self.dice.randint(3, 5), self.name()
        found, news = self.post(
            "tools/call",
            {
                "name": "soak.echo.steps",
                "arguments": {"count": count},
                "_meta": {"progressToken": token},
            },
        )
        expect(found["structuredContent"], {"result": count}, "steps")
        told = [each["params"]["progress"] for each in news]
        expect(told == sorted(told) and len(told) > 0, True, f"progress {told}")
        expect({each["params"]["progressToken"] for each in news}, {token}, "token")

    def read(self) -> None:
        uri = f"soak://orders/{self.dice.randint(0, 1000)}"
        found, _ = self.post("resources/read", {"uri": uri})
        told = f"the order {uri.rpartition('/')[2]}"
        expect([each["text"] for each in found["contents"]], [told], "read")
        found, _ = self.post("resources/templates/list")
        uris = [each["uriTemplate"] for each in found["resourceTemplates"]]
        expect("soak://orders/{number}" in uris, True, "templates")

    def prompt(self) -> None:
        code = self.text()
        asked = {"name": "soak.echo.review"}
        arguments = {"language": "Greek", "code": code}
        found, _ = self.post("prompts/get", asked | {"arguments": arguments})
        told = [each["content"]["text"] for each in found["messages"]]
        expect(told, [f"Review in Greek: {code}"], "prompt")
        completed, _ = self.post(
            "completion/complete",
            {
                "ref": asked | {"type": "ref/prompt"},
                "argument": {"name": "language", "value": "ger"},
            },
        )
        expect(completed["completion"]["values"], ["German"], "completion")


class EarlyMCPClient(MCPClient):
    """An agent of a revision that begins with a handshake."""

    label = "MCP 2025-11-25"
    version = "2025-11-25"

    def message(self, method: str, params: dict[str, Any]) -> Any:
        return {"MCP-Protocol-Version": self.version}, params

    def greet(self) -> None:
        asked = {
            "protocolVersion": self.version,
            "capabilities": {},
            "clientInfo": {"name": "soak", "version": "1"},
        }
        found, _ = self.post("initialize", asked)
        expect(found["protocolVersion"], self.version, "greet")
        answer = self._session.post(
            f"{self.place.url}/mcp",
            json={"jsonrpc": "2.0", "method": "notifications/initialized"},
            headers={"MCP-Protocol-Version": self.version},
            timeout=PATIENCE,
        )
        checked(answer, 202)

    def actions(self) -> Sequence[Callable[[], None]]:
        return [*super().actions(), self.task]

    def task(self) -> None:
        name = self.name()
        asked = {
            "name": "soak.ledger.work",
            "arguments": {"name": name, "seconds": self.dice.choice((0.0, 0.2))},
            "task": {"ttl": 600_000},
        }
        made, _ = self.post("tools/call", asked)
        id_ = made["task"]["taskId"]
        job = self.record.jobs[id_] = Job("tasks of agents", name)
        found, _ = self.insist(lambda: self.post("tasks/result", {"taskId": id_}))
        expect(found["structuredContent"], {"result": name}, "task")
        job.is_done = True
        found, _ = self.insist(lambda: self.post("tasks/get", {"taskId": id_}))
        expect(found["status"], "completed", "task")
        self.record.answers[job.client] += 1
