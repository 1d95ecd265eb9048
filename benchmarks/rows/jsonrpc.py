"""JSON-RPC echo against the same by POST to FastAPI."""

import json
from typing import Any

from benchmarks.messages import Check, Request, as_json
from benchmarks.payloads import RECORDS, TEXT
from benchmarks.report import Line
from benchmarks.rounds import Contestant, Run
from benchmarks.servers import Peer, ServerSpec, Toolserver


def post(server: ServerSpec, path: str, value: Any, check: Check) -> Contestant:
    body = json.dumps(value).encode()
    return Contestant(server, Request(path, body, "application/json"), check)


def call(method: str, value: Any) -> Contestant:
    envelope = {"jsonrpc": "2.0", "id": 1}
    question = envelope | {"method": method, "params": [value]}
    answer = as_json(envelope | {"result": value})
    return post(Toolserver(), "/JSONRPC", question, answer)


def measure(run: Run) -> list[Line]:
    peer = Peer("fastapi_json.py")
    rates = run.rates(
        {
            "JSON-RPC, a text": call("bench.echo", TEXT),
            "FastAPI, a text": post(peer, "/echo", {"text": TEXT}, as_json(TEXT)),
            "JSON-RPC, 10 records": call("bench.echo_records", RECORDS),
            "FastAPI, 10 records": post(
                peer, "/echo_records", RECORDS, as_json(RECORDS)
            ),
        }
    )
    return [
        rates.compare(
            f"JSON-RPC echo of {what}",
            f"JSON-RPC, {what}",
            f"FastAPI, {what}",
            at_least=8,
        )
        for what in ("a text", "10 records")
    ]
