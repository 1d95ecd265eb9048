"""XML-RPC echo against the standard library's server."""

import xmlrpc.client
from typing import Any

from benchmarks.messages import Request, as_xmlrpc
from benchmarks.payloads import RECORDS, TEXT
from benchmarks.report import Line
from benchmarks.rounds import Contestant, Run
from benchmarks.servers import Peer, ServerSpec, Toolserver


def call(server: ServerSpec, method: str, value: Any) -> Contestant:
    body = xmlrpc.client.dumps((value,), method).encode()
    return Contestant(server, Request("/RPC2", body, "text/xml"), as_xmlrpc(value))


def measure(run: Run) -> list[Line]:
    ours, peer = Toolserver(), Peer("xmlrpc_stdlib.py")
    rates = run.rates(
        {
            "XML-RPC, a text": call(ours, "bench.echo", TEXT),
            "xmlrpc.server, a text": call(peer, "bench.echo", TEXT),
            "XML-RPC, 10 records": call(ours, "bench.echo_records", RECORDS),
            "xmlrpc.server, 10 records": call(peer, "bench.echo_records", RECORDS),
        }
    )
    return [
        rates.compare(
            f"XML-RPC echo of {what}",
            f"XML-RPC, {what}",
            f"xmlrpc.server, {what}",
            at_least=2.5,
        )
        for what in ("a text", "10 records")
    ]
