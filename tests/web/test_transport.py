"""The server as its clients see it: real sockets, real requests."""

from __future__ import annotations

import http.client

from toolserver.message import Request, Response
from toolserver.settings import Limits, ServerSettings
from toolserver.web.transport import HTTPServer


def echo(request: Request) -> Response:
    return Response(request.body or b"nothing", content_type="text/plain")


def test_one_connection_serves_several_requests():
    server = HTTPServer(echo, settings=ServerSettings(port=0), limits=Limits())
    server.listen()
    server.start()
    try:
        client = http.client.HTTPConnection(*server.address, timeout=5)
        for body in (b"one", b"two", b""):
            client.request("POST", "/", body)
            answer = client.getresponse()
            assert answer.status == 200
            assert answer.read() == (body or b"nothing")
        assert server.connections == 1
        assert server.requests == 3
        client.close()
    finally:
        server.stop(1)
    assert server.connections == 0
