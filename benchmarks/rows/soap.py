"""SOAP 1.1 echo, document/literal, against spyne."""

from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree

from benchmarks.messages import Check, Request
from benchmarks.payloads import RECORDS, TEXT
from benchmarks.report import Line
from benchmarks.rounds import Contestant, Run
from benchmarks.servers import Peer, ServerSpec, Toolserver

ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"


def text_of(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def texts_of(value: Any) -> Iterable[str]:
    """The texts of all leaves, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        yield text_of(value)
        return
    for each in value:
        yield from texts_of(each)


def write_records(record_tag: str, tag_tag: str) -> str:
    def write(name: str, value: Any) -> str:
        if isinstance(value, list):
            content = "".join(write(tag_tag, each) for each in value)
        else:
            content = text_of(value)
        return f"<{name}>{content}</{name}>"

    return "".join(
        write_record(record_tag, [write(*member) for member in record.items()])
        for record in RECORDS
    )


def write_record(tag: str, members: list[str]) -> str:
    return f"<{tag}>{''.join(members)}</{tag}>"


def as_soap(expected: Any) -> Check:
    """The body is an answer whose texts are those of the value."""
    wanted = list(texts_of(expected))

    def check(body: bytes) -> bool:
        answer = ElementTree.fromstring(body)[0][0]
        if "Fault" in answer.tag:
            return False
        leaves = [e.text or "" for e in answer.iter() if not len(e)]
        return same(leaves, wanted)

    return check


def same(sent: list[str], wanted: list[str]) -> bool:
    # One writes 20.5, another 20.500000.
    return len(sent) == len(wanted) and all(
        a == b or (b[0].isdigit() and float(a) == float(b))
        for a, b in zip(sent, wanted, strict=True)
    )


def call(
    server: ServerSpec, path: str, namespace: str, method: str, content: str, value: Any
) -> Contestant:
    body = (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<soap:Envelope xmlns:soap="{ENVELOPE}"><soap:Body>'
        f'<{method} xmlns="{namespace}">{content}</{method}>'
        "</soap:Body></soap:Envelope>"
    )
    return Contestant(server, Request(path, body.encode(), "text/xml"), as_soap(value))


def measure(run: Run) -> list[Line]:
    text = f"<text>{TEXT}</text>"
    ours = (Toolserver(), "/SOAP/bench", "urn:toolserver:bench")
    spyne = (Peer("soap_spyne.py"), "/", "bench")
    mine = f"<records>{write_records('item', 'item')}</records>"
    theirs = f"<records>{write_records('Record', 'string')}</records>"
    rates = run.rates(
        {
            "SOAP, a text": call(*ours, "echo", text, TEXT),
            "spyne, a text": call(*spyne, "echo", text, TEXT),
            "SOAP, 10 records": call(*ours, "echo_records", mine, RECORDS),
            "spyne, 10 records": call(*spyne, "echo_records", theirs, RECORDS),
        }
    )
    return [
        rates.compare(
            f"SOAP echo of {what}", f"SOAP, {what}", f"spyne, {what}", at_least=7
        )
        for what in ("a text", "10 records")
    ]
