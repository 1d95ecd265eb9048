"""Toolserver's HTTP server with a bare WSGI application and nothing of its tools."""

from gevent import monkey

monkey.patch_all()

import signal  # noqa: E402
import sys  # noqa: E402
from urllib.parse import parse_qs  # noqa: E402

import gevent  # noqa: E402
from gevent.event import Event  # noqa: E402

from toolserver.http.transport import HTTPServer  # noqa: E402
from toolserver.http.wsgi_server import WSGIHandler  # noqa: E402
from toolserver.settings import Limits, ServerSettings  # noqa: E402

TEXT = [("Content-Type", "text/plain; charset=utf-8")]


def echo(text):
    return text


def app(environ, start_response):
    query = environ["QUERY_STRING"]
    start_response("200 OK", TEXT)
    if query:
        return [echo(parse_qs(query)["text"][0]).encode()]
    return [b"Hello World!"]


stop = Event()
gevent.signal_handler(signal.SIGTERM, stop.set)
server = HTTPServer(
    WSGIHandler(app),
    settings=ServerSettings(port=int(sys.argv[1])),
    # Room for the row that opens ten thousand idle connections.
    limits=Limits(connections=20000, keep_alive_idle=600.0),
)
server.listen()
server.start()
stop.wait()
server.stop(0)
