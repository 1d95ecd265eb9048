"""A server of the official SDK: ``python mcp_server.py MODE`` prints its port.

In the mode "early" it refuses revisions without a handshake, as earlier SDKs do.
"""

import json
import socket
import sys

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


def early(app):
    async def refuse(scope, receive, send):
        headers = dict(scope.get("headers", ()))
        if headers.get(b"mcp-protocol-version", b"") < b"2026":
            return await app(scope, receive, send)
        body = {"jsonrpc": "2.0", "id": "server-error"}
        body["error"] = {"code": -32600, "message": "Unsupported protocol version"}
        kind = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 400, "headers": kind})
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})

    return refuse


if __name__ == "__main__":
    app = server.streamable_http_app(streamable_http_path="/MCP")
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        early(app) if sys.argv[1] == "early" else app, log_level="error"
    )
    uvicorn.Server(config).run([listener])
