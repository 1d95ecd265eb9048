"""Clients of the RPC protocols that anybody may speak."""

from __future__ import annotations

import xml.etree.ElementTree as ET
import xmlrpc.client
from collections.abc import Callable, Sequence
from typing import Any
from xml.sax.saxutils import escape

import zeep
import zeep.helpers
import zeep.transports

from soak.clients.base import PATIENCE, Client, Place, checked, expect
from toolserver.errors import Overload

__all__ = [
    "EncodedSOAPClient",
    "JSONRPCClient",
    "LiteralSOAPClient",
    "XMLRPCClient",
]

SCHEMA = "http://www.w3.org/2001/XMLSchema"
SOAP11 = "http://schemas.xmlsoap.org/soap"
ENCODED = f"""<?xml version="1.0" encoding="UTF-8"?>
<s:Envelope xmlns:s="{SOAP11}/envelope/" xmlns:xsd="{SCHEMA}"
 xmlns:xsi="{SCHEMA}-instance" s:encodingStyle="{SOAP11}/encoding/"><s:Body>
<m:{{method}} xmlns:m="urn:toolserver:{{tool}}">{{arguments}}</m:{{method}}>
</s:Body></s:Envelope>"""


class _Transport(xmlrpc.client.Transport):
    """One that makes a call once: the usual one makes it again where that breaks."""

    def request(self, host: Any, handler: str, request_body: Any, verbose: Any = False):
        return self.single_request(host, handler, request_body, verbose)

    def make_connection(self, host: Any) -> Any:
        connection = super().make_connection(host)
        connection.timeout = PATIENCE
        return connection


class XMLRPCClient(Client):
    """Python's own client of XML-RPC."""

    label = "XML-RPC"

    def __init__(self, place: Place, number: int | str, seed: object) -> None:
        super().__init__(place, number, seed)
        self._proxy: Any = xmlrpc.client.ServerProxy(
            f"{place.url}/RPC2", allow_none=True, transport=_Transport()
        )

    def actions(self) -> Sequence[Callable[[], None]]:
        return [self.echo, self.records, self.note_it, self.multicall, self.fault]

    def close(self) -> None:
        self._proxy("close")()
        super().close()

    def attempt(self, action: Callable[[], None], good: float) -> bool:
        try:
            return super().attempt(action, good)
        finally:
            if not self.record.answers[self.label] % 50:
                # Others connect anew now and then, too.
                self._proxy("close")()

    def echo(self) -> None:
        text = self.text()
        expect(_asked(lambda: self._proxy.soak.echo.text(text)), text, "echo")

    def records(self) -> None:
        order = self.order()
        echo = self._proxy.soak.echo
        expect(_asked(lambda: echo.order(order)), order, "order")
        expect(_asked(lambda: echo.total(order)), self.total(order), "total")

    def note_it(self) -> None:
        self.note(lambda name: _asked(lambda: self._proxy.soak.ledger.note(name)))

    def multicall(self) -> None:
        texts = [self.text()[:50] for _ in range(5)]
        calls = [
            {"methodName": "soak.echo.text", "params": [text]} for text in texts
        ] + [{"methodName": "soak.echo.nothing", "params": []}]
        found = _asked(lambda: self._proxy.system.multicall(calls))
        expect(found[:5], [[text] for text in texts], "multicall")
        expect(found[5]["faultCode"], -32601, "multicall")

    def fault(self) -> None:
        try:
            _asked(lambda: self._proxy.soak.echo.refuse(9))
        except xmlrpc.client.Fault as fault:
            expect(fault.faultCode, -32009, "fault")
        else:
            expect("an answer", "a fault", "fault")


def _asked(call: Callable[[], Any]) -> Any:
    """The result of a call over XML-RPC, where HTTP itself has not refused it."""
    try:
        return call()
    except xmlrpc.client.ProtocolError as error:
        if error.errcode == 503:
            raise Overload(error.errmsg) from error
        raise


class LiteralSOAPClient(Client):
    """A client that zeep makes of the WSDL document: document/literal."""

    label = "SOAP document/literal"

    def __init__(self, place: Place, number: int | str, seed: object) -> None:
        super().__init__(place, number, seed)
        transport = zeep.transports.Transport(
            session=self.session(), operation_timeout=PATIENCE
        )
        client = zeep.Client(f"{place.url}/WSDL/soak/echo", transport=transport)
        ledger = zeep.Client(f"{place.url}/WSDL/soak/ledger", transport=transport)
        self._ledger = ledger.service
        (name,) = client.wsdl.services
        self._echoes = [client.bind(name, f"{name}Soap{port}Port") for port in (11, 12)]

    def actions(self) -> Sequence[Callable[[], None]]:
        return [self.echo, self.records, self.note_it, self.fault]

    def echo(self) -> None:
        text = self.text()
        for echo in self._echoes:
            expect(echo.text(text), text, "echo")

    def records(self) -> None:
        order = self.order()
        sent = order | {"lines": {"item": order["lines"]}}
        found = zeep.helpers.serialize_object(self._echoes[1].order(sent), dict)
        expect(found, sent, "order")

    def note_it(self) -> None:
        self.note(self._ledger.note)

    def fault(self) -> None:
        try:
            self._echoes[0].refuse(3)
        except zeep.exceptions.Fault as fault:
            expect(fault.message, "number: got 3, expected another one", "fault")
        else:
            expect("an answer", "a fault", "fault")


class EncodedSOAPClient(Client):
    """Callers without a WSDL document: rpc/encoded."""

    label = "SOAP rpc/encoded"

    def __init__(self, place: Place, number: int | str, seed: object) -> None:
        super().__init__(place, number, seed)
        self._session = self.session()

    def actions(self) -> Sequence[Callable[[], None]]:
        return [self.echo, self.pause_, self.note_it, self.fault]

    def call(self, method: str, arguments: str, status: int = 200) -> ET.Element:
        tool, _, method = method.rpartition(".")
        body = ENCODED.format(tool=tool, method=method, arguments=arguments)
        answer = self._session.post(
            f"{self.place.url}/SOAP",
            data=body.encode(),
            headers={"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '""'},
            timeout=PATIENCE,
        )
        return ET.fromstring(checked(answer, status).content)[0][0]

    def echo(self) -> None:
        text = self.text()
        sent = f'<text xsi:type="xsd:string">{escape(text)}</text>'
        (found,) = self.call("soak.echo.text", sent)
        expect(found.text, text, "echo")

    def pause_(self) -> None:
        number = self.dice.randint(-1000, 1000)
        sent = (
            '<seconds xsi:type="xsd:double">0.01</seconds>'
            f'<number xsi:type="xsd:int">{number}</number>'
        )
        (found,) = self.call("soak.echo.pause", sent)
        expect(found.text, str(number), "pause")

    def note_it(self) -> None:
        def call(name: str) -> str | None:
            sent = f'<name xsi:type="xsd:string">{name}</name>'
            (found,) = self.call("soak.ledger.note", sent)
            return found.text

        self.note(call)

    def fault(self) -> None:
        sent = '<number xsi:type="xsd:int">5</number>'
        found = self.call("soak.echo.refuse", sent, 500)
        texts = [each.text for each in found]
        expect("number: got 5, expected another one" in texts, True, str(texts))


class JSONRPCClient(Client):
    """JSON-RPC: single calls, notifications and batches."""

    label = "JSON-RPC"

    def __init__(self, place: Place, number: int | str, seed: object) -> None:
        super().__init__(place, number, seed)
        self._session = self.session()

    def actions(self) -> Sequence[Callable[[], None]]:
        return [self.echo, self.records, self.note_it, self.batch, self.notification]

    def post(self, message: Any, status: int = 200) -> Any:
        answer = self._session.post(
            f"{self.place.url}/JSONRPC", json=message, timeout=PATIENCE
        )
        content = checked(answer, status).content
        return answer.json() if content else None

    def call(self, method: str, params: Any) -> Any:
        id_ = self.dice.randint(0, 10**9)
        answer = self.post(_message(method, params, id_))
        expect(answer.get("id"), id_, "id")
        expect(answer.get("jsonrpc"), "2.0", str(answer))
        return answer["result"] if "result" in answer else answer["error"]["code"]

    def echo(self) -> None:
        text = self.text()
        expect(self.call("soak.echo.text", {"text": text}), text, "echo")
        expect(self.call("soak.echo.refuse", [1]), -32009, "refuse")

    def records(self) -> None:
        order = self.order()
        expect(self.call("soak.echo.order", [order]), order, "order")
        expect(self.call("soak.echo.total", [order]), self.total(order), "total")

    def note_it(self) -> None:
        self.note(lambda name: self.call("soak.ledger.note", [name]))

    def batch(self) -> None:
        texts = [self.text()[:50] for _ in range(self.dice.randint(1, 20))]
        names = [self.name() for _ in texts]
        batch: list[Any] = [
            _message("soak.echo.text", [text], number)
            for number, text in enumerate(texts)
        ]
        batch += [_message("soak.ledger.note", [name]) for name in names]
        batch += [_message("soak.echo.nothing", [], "none"), 7]
        self.dice.shuffle(batch)
        answers = self.post(batch)
        results = {each["id"]: each["result"] for each in answers if "result" in each}
        expect(results, dict(enumerate(texts)), "batch")
        errors = [each["error"]["code"] for each in answers if "error" in each]
        expect(sorted(errors), [-32601, -32600], "batch")
        for name in names:
            self.record.notes[name] = self.label

    def notification(self) -> None:
        name = self.name()
        expect(self.post(_message("soak.ledger.note", [name]), 204), None)
        self.record.notes[name] = self.label


def _message(method: str, params: Any, id_: Any = None) -> dict[str, Any]:
    found = {"jsonrpc": "2.0", "method": method, "params": params}
    return found if id_ is None else found | {"id": id_}
