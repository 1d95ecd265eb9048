"""spyne, SOAP 1.1 in the document/literal style, on gevent's WSGI server.

gevent's server is the one whose way is nearest to ours; without TCP_NODELAY, which it
forgets, it would answer far fewer requests. Types are checked softly, as by default
they are not at all.
"""

from gevent import monkey

monkey.patch_all()

import logging  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402

from gevent.pywsgi import WSGIServer  # noqa: E402
from spyne import (  # noqa: E402
    Application,
    Array,
    Boolean,
    ComplexModel,
    Float,
    Integer64,
    ServiceBase,
    Unicode,
    rpc,
)
from spyne.protocol.soap import Soap11  # noqa: E402
from spyne.server.wsgi import WsgiApplication  # noqa: E402

logging.disable()


class Record(ComplexModel):
    __namespace__ = "bench"
    id = Integer64
    name = Unicode
    email = Unicode
    price = Float
    quantity = Integer64
    active = Boolean
    tags = Array(Unicode)
    note = Unicode
    rank = Integer64
    ratio = Float


class Bench(ServiceBase):
    @rpc(Unicode, _returns=Unicode)
    def echo(ctx, text):
        return text

    @rpc(Array(Record), _returns=Array(Record))
    def echo_records(ctx, records):
        return records


application = Application(
    [Bench], "bench", in_protocol=Soap11(validator="soft"), out_protocol=Soap11()
)


class Server(WSGIServer):
    def handle(self, client, address):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().handle(client, address)


address = ("127.0.0.1", int(sys.argv[1]))
Server(address, WsgiApplication(application), log=None, backlog=4096).serve_forever()
