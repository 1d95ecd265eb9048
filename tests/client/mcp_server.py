"""A server of the official SDK: ``python mcp_server.py`` prints its port.

Below ``/early`` it refuses revisions without a handshake, as earlier SDKs do.
"""

import json
import socket

import uvicorn
from mcp.server.mcpserver import Image, MCPServer

server = MCPServer("foreign")


@server.tool()
def add(a: int, b: int = 1) -> int:
    return a + b


@server.tool()
def say(name: str) -> str:
    return f"hi {name}"


@server.tool()
def fail() -> str:
    raise ValueError("no luck")


@server.tool()
def picture() -> Image:
    return Image(data=b"\x89PNG", format="png")


def with_early(app):
    async def choose(scope, receive, send):
        if not scope.get("path", "").startswith("/early"):
            return await app(scope, receive, send)
        headers = dict(scope["headers"])
        if headers.get(b"mcp-protocol-version", b"") < b"2026":
            path = scope["path"].removeprefix("/early")
            return await app({**scope, "path": path}, receive, send)
        body = {"jsonrpc": "2.0", "id": "server-error"}
        body["error"] = {"code": -32600, "message": "Unsupported protocol version"}
        kind = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 400, "headers": kind})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})

    return choose


if __name__ == "__main__":
    app = server.streamable_http_app(streamable_http_path="/MCP")
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(with_early(app), log_level="error")
    uvicorn.Server(config).run([listener])
