"""uvicorn with uvloop and httptools, and a bare ASGI application."""

import sys

import uvicorn


async def app(scope, receive, send):
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"12"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"Hello World!"})


uvicorn.run(
    app,
    port=int(sys.argv[1]),
    loop="uvloop",
    http="httptools",
    lifespan="off",
    access_log=False,
    log_level="warning",
)
