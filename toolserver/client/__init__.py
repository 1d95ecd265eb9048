"""Calls the methods of a remote server, from any program.

It needs no gevent, and works in programs that use it:

    with connect("http://localhost:4334/") as server:
        shop = server.get_tool("shop.orders")
        print(shop.place("book", count=2))
"""

from toolserver.client.failures import (
    AnswerError,
    AnswerTimeout,
    ConnectionFailed,
    TransportError,
)
from toolserver.client.faults import RemoteFault
from toolserver.client.jobs import RemoteJob, remote_method
from toolserver.client.remote import PROTOCOLS, Protocol, RemoteToolserver, connect
from toolserver.client.tools import RemoteMethod, RemoteTool

__all__ = [
    "PROTOCOLS",
    "AnswerError",
    "AnswerTimeout",
    "ConnectionFailed",
    "Protocol",
    "RemoteFault",
    "RemoteJob",
    "RemoteMethod",
    "RemoteTool",
    "RemoteToolserver",
    "TransportError",
    "connect",
    "remote_method",
]
