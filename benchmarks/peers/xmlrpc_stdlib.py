"""The standard library's XML-RPC server, a thread per connection.

It speaks HTTP/1.0 unless told otherwise; kept connections are to its advantage.
"""

import sys
from socketserver import ThreadingMixIn
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer


class Handler(SimpleXMLRPCRequestHandler):
    protocol_version = "HTTP/1.1"


class Server(ThreadingMixIn, SimpleXMLRPCServer):
    daemon_threads = True
    request_queue_size = 4096


def echo(value):
    return value


server = Server(("127.0.0.1", int(sys.argv[1])), Handler, logRequests=False)
server.register_function(echo, "bench.echo")
server.register_function(echo, "bench.echo_records")
server.serve_forever()
