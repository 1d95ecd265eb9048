"""The literal door says what zeep says: requests of zeep are answered alike."""

from __future__ import annotations

import pytest
import requests
import zeep
import zeep.transports
from lxml import etree

from tests.parity.echoes import Echoes
from tests.parity.opening import opened, told
from toolserver.client.codecs import Outgoing
from toolserver.errors import ApplicationError
from toolserver.parity.running import asked_of
from toolserver.parity.wiredoors import LiteralDoor
from toolserver.plain import to_plain
from toolserver.types import Kind

#: Without dates: zeep writes years before 1000 with less than four digits.
METHODS = [
    *("boolean", "integer", "number", "decimal", "text", "data", "price", "identity"),
    *("color", "integers", "mapping", "optional", "movie", "point", "short", "shape"),
    "several",
]


class ZeepDoor(LiteralDoor):
    """Writes requests by zeep, from the WSDL document alone."""

    name = "SOAP document/literal"

    def __init__(self, url, client):
        super().__init__(url)
        self._client = client

    def _codec(self, asked):
        codec = super()._codec(asked)
        return ZeepCodec(codec, self._client, asked.target.spec)


class ZeepCodec:
    def __init__(self, codec, client, spec):
        self.codec, self.client, self.spec = codec, client, spec

    def write(self, name, args, kwargs):
        types = {each.name: each.type for each in self.spec.parameters}
        given = {key: for_zeep(types[key], to_plain(kwargs[key])) for key in kwargs}
        try:
            made = self.client.create_message(
                self.client.service, self.spec.name, **given
            )
        except ValueError as error:  # lxml's, of what XML cannot carry
            raise ApplicationError(str(error)) from error
        fields = {"Content-Type": "text/xml; charset=utf-8"}
        return Outgoing("/SOAP", etree.tostring(made, encoding="utf-8"), fields)

    def read(self, answer):
        return self.codec.read(answer)


def for_zeep(type_, value):
    """A plain value in the form that zeep has for the schema's types."""
    if value is None:
        return zeep.xsd.Nil
    match type_.kind:
        case Kind.LIST:
            return {"item": [for_zeep(type_.items[0], each) for each in value]}
        case Kind.MAP:
            pairs = value.items()
            return {"item": [{"key": key, "value": each} for key, each in pairs]}
        case Kind.TUPLE:
            return dict(zip(("x", "y"), value, strict=True))
        case Kind.UNION:
            name = {"circle": "Circle", "square": "Square"}[value["type"]]
            return {name: {"size": value["size"]}}
    return value


@pytest.fixture(scope="module")
def server():
    with opened(Echoes) as running, requests.Session() as session:
        session.trust_env = False
        url = running.worker.url.rstrip("/")
        client = zeep.Client(
            f"{url}/WSDL/parity/echoes",
            transport=zeep.transports.Transport(session=session),
        )
        door = ZeepDoor(url, client)
        for other in running.doors:
            other.close()
        running.doors[:] = [door]
        yield running


@pytest.mark.parametrize("name", METHODS)
def test_requests_of_zeep(server, name):
    target = server.worker.registry.target(f"parity.echoes.{name}")
    asked = asked_of(target, 60, 1)
    report = server.judge(target.name, asked)
    assert told(report) == []
    assert report.calls == {"SOAP document/literal": len(asked)}
