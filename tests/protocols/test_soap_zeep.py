"""SOAP over a real server, by zeep in its strict mode."""

import datetime as dt
import typing
from decimal import Decimal

import pytest
import requests
import zeep
import zeep.exceptions
import zeep.transports
from lxml import etree

import toolserver.testing
from tests.sample import Faults, Types
from toolserver import FactoryTool, StandardTool, TransientTool, read_only, register

WHEN = dt.datetime(2026, 1, 2, 3, 4, 5, 600000)
IDENTITY = "00000000-0000-0000-0000-000000000005"
ORDER = {"id": 1, "lines": {"item": [{"item": "a", "count": 2}]}, "note": None}


@register("soap.library")
class Library(FactoryTool):
    """Lends books."""

    titles: typing.ClassVar = {"dune": "Dune", "emma~2": "Emma"}

    def child_keys(self):
        return sorted(self.titles)


class Book(TransientTool):
    def title(self) -> str:
        """Tell the title."""
        return self.parent.titles[self.key]


Library.children = (Book,)


@register("")
class Root(StandardTool):
    @read_only
    def greet(self, name: str) -> str:
        return f"Hello {name}!"


@pytest.fixture(scope="module")
def server():
    with toolserver.testing.serve(Types, Faults, Library, Root) as running:
        yield running


@pytest.fixture(scope="module")
def connect(server):
    sessions = []

    def make(path, port="11"):
        session = requests.Session()
        session.trust_env = False
        sessions.append(session)
        client = zeep.Client(
            server.url(path),
            transport=zeep.transports.Transport(session=session),
            settings=zeep.Settings(strict=True, xsd_ignore_sequence_order=False),
        )
        name = next(iter(client.wsdl.services))
        return client, client.bind(name, f"{name}Soap{port}Port")

    yield make
    for session in sessions:
        session.close()


@pytest.fixture(scope="module", params=["11", "12"])
def types(connect, request):
    return connect("/WSDL/sample/types", request.param)


@pytest.fixture(scope="module", params=["11", "12"])
def faults(connect, request):
    return connect("/WSDL/sample.faults", request.param)[1]


@pytest.mark.parametrize(
    ("method", "sent", "received"),
    [
        ("bool_", True, True),
        ("int_", 2**62, 2**62),
        ("float_", 1e300, 1e300),
        ("float_", float("inf"), float("inf")),
        ("decimal", Decimal("1.50"), Decimal("1.50")),
        ("str_", " ä <&> \n\t 𝄞", " ä <&> \n\t 𝄞"),
        ("str_", "", None),  # zeep takes an element without text for None
        ("bytes_", b"\x00\xff", b"\x00\xff"),
        ("datetime", WHEN, WHEN),
        ("datetime", WHEN.replace(tzinfo=dt.UTC), WHEN.replace(tzinfo=dt.UTC)),
        ("date", dt.date(2026, 1, 2), dt.date(2026, 1, 2)),
        ("time", dt.time(3, 4, 5), dt.time(3, 4, 5)),
        ("timedelta", dt.timedelta(days=1, seconds=5), dt.timedelta(days=1, seconds=5)),
        ("uuid", IDENTITY, IDENTITY),
        ("enum", "red", "red"),
        ("literal", "1", "1"),
        ("list_", {"item": [1, 2]}, [1, 2]),
        ("list_", {"item": []}, None),
        ("tuple_", {"item1": 1, "item2": "a"}, {"item1": 1, "item2": "a"}),
        ("set_", {"item": [7]}, [7]),
        ("dict_", {"item": [{"key": "a b", "value": 1}]}, [{"key": "a b", "value": 1}]),
        ("optional", 7, 7),
        ("optional", zeep.xsd.Nil, None),
        ("union", {"string": "5"}, {"long": None, "string": "5"}),
        ("union", {"long": 5}, {"long": 5, "string": None}),
        ("record", ORDER, ORDER),
        ("typed_dict", {"title": "M"}, {"title": "M", "year": None}),
        ("named_tuple", {"x": 1, "y": 2}, {"x": 1, "y": 2}),
        ("struct", {"key": "k"}, "k"),  # zeep takes it out of its only member
        ("constrained", 5, 5),
        ("untyped", "text", "text"),
    ],
)
def test_each_type(types, method, sent, received):
    _, service = types
    got = service[method](sent)
    assert zeep.helpers.serialize_object(got, dict) == received


def test_untyped_values_keep_their_types(types):
    client, service = types
    for type_, value in (
        (zeep.xsd.Long(), 5),
        (zeep.xsd.Boolean(), True),
        (zeep.xsd.DateTime(), WHEN),
        (zeep.xsd.String(), "5"),
    ):
        assert service.untyped(zeep.xsd.AnyObject(type_, value)) == value
    array = client.get_type("{urn:toolserver:sample.types}ArrayOfAnyType")
    long = zeep.xsd.AnyObject(zeep.xsd.Long(), 5)
    sent = zeep.xsd.AnyObject(array, array(item=[long, "x"]))
    got = service.untyped(sent)
    assert got == [5, "x"]


def test_no_result(types):
    _, service = types
    assert service.none() is None


def test_parameters_by_name_and_repeated_ones(types):
    _, service = types
    got = service.many(
        first=1,
        more=[2, 3],
        factor=4,
        names={"item": [{"key": "a", "value": "b"}]},
    )
    first, more, factor, names = got
    assert (first, factor) == (1, 4)
    assert more["item"] == [2, 3]
    assert [(each["key"], each["value"]) for each in names["item"]] == [("a", "b")]
    assert service.optional() == 5


def test_a_megabyte(types):
    _, service = types
    text = "x" * 500_000 + "ä&" * 250_000
    assert service.str_(text) == text


@pytest.mark.parametrize(
    ("method", "args", "kind", "is_callers", "message"),
    [
        ("raises", (), "ValueError", False, "ValueError: broken"),
        ("missing", (), "NotFound", True, "no such thing"),
        ("conflict", (), "Conflict", True, "not now"),
        ("own", (), "OutOfStock", True, "sold out"),
        ("unsendable", (), "ApplicationError", False, "result cannot be sent"),
        ("leaves", (), "SystemExit", False, "SystemExit: 1"),
    ],
)
def test_each_fault(faults, method, args, kind, is_callers, message):
    with pytest.raises(zeep.exceptions.Fault) as caught:
        faults[method](*args)
    fault = caught.value
    assert fault.message.startswith(message)
    assert fault.code in (
        ("soapenv:Client", "env:Sender")
        if is_callers
        else ("soapenv:Server", "env:Receiver")
    )
    (told,) = fault.detail
    assert told.tag == "{urn:toolserver:sample.faults}ToolFault"
    assert told[0].text == kind
    assert told[1].text == fault.message


def test_hidden_methods_are_neither_described_nor_called(faults, server):
    with pytest.raises(AttributeError):
        faults.secret()
    body = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
        '<secret xmlns="urn:toolserver:sample.faults"/></e:Body></e:Envelope>'
    )
    headers = {"Content-Type": "text/xml"}
    for path in ("/SOAP", "/SOAP/sample/faults"):
        answer = server.http.post(path, data=body, headers=headers)
        assert answer.status_code == 500
        assert "<type>MethodNotFound</type>" in answer.text
    nowhere = body.replace("sample.faults", "sample.fault")
    answer = server.http.post("/SOAP", data=nowhere, headers=headers)
    assert "<type>ToolNotFound</type>" in answer.text
    assert 'xmlns="urn:toolserver:sample.fault"' in answer.text


def test_tools_of_factories(connect):
    for path in (
        "/WSDL/soap/library/dune",
        "/WSDL/soap.library.dune",
        "/SOAP/soap/library/dune?wsdl",
    ):
        assert connect(path)[1].title() == "Dune"
    assert connect("/WSDL/soap/library/emma~2", "12")[1].title() == "Emma"


def test_the_root_tool(connect):
    for path in ("/SOAP?wsdl", "/SOAP/?WSDL"):
        assert connect(path)[1].greet("Ann") == "Hello Ann!"


def test_connections_are_kept_or_closed_as_asked(server):
    body = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
        "<greet><name>Ann</name></greet></e:Body></e:Envelope>"
    )
    headers = {"Content-Type": "text/xml", "SOAPAction": '""'}
    answer = server.http.post("/SOAP", data=body, headers=headers)
    assert "connection" not in answer.headers
    assert "<return>Hello Ann!</return>" in answer.text
    answer = server.http.post(
        "/SOAP", data=body, headers={**headers, "Connection": "close"}
    )
    assert answer.headers["connection"].lower() == "close"
    assert "<return>Hello Ann!</return>" in answer.text
    etree.fromstring(answer.content)


def test_other_content_types_are_refused(server):
    answer = server.http.post("/SOAP", data="x", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415
    assert "application/soap+xml" in answer.headers["accept-post"]
