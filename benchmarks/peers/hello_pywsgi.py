"""gevent's own WSGI server. It forgets TCP_NODELAY, which would cost it two thirds."""

from gevent import monkey

monkey.patch_all()

import socket  # noqa: E402
import sys  # noqa: E402

from gevent.pywsgi import WSGIServer  # noqa: E402


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [b"Hello World!"]


class Server(WSGIServer):
    def handle(self, client, address):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().handle(client, address)


Server(("127.0.0.1", int(sys.argv[1])), app, log=None, backlog=4096).serve_forever()
