import dataclasses
import enum
import subprocess
import sys
import typing

import pytest
import zeep
from lxml import etree

import toolserver.testing
from tests.sample import Faults, Types
from toolserver import (
    StandardTool,
    ensure,
    expose,
    hidden,
    invariant,
    register,
    require,
)
from toolserver.builtin.wsdl import WSDLTool
from toolserver.describe.wsdl import write_wsdl
from toolserver.errors import Forbidden
from toolserver.registry import Registry
from toolserver.wrappers import validate

NAMES = {
    "w": "http://schemas.xmlsoap.org/wsdl/",
    "s11": "http://schemas.xmlsoap.org/wsdl/soap/",
    "s12": "http://schemas.xmlsoap.org/wsdl/soap12/",
    "x": "http://www.w3.org/2001/XMLSchema",
}


def same_name(value):
    @dataclasses.dataclass
    class Item:
        key: value

    return Item


IntItem, TextItem = same_name(int), same_name(str)


class Size(enum.Enum):
    SMALL = 1
    LARGE = 2


class Shop(StandardTool):
    """Sells things.

    And <more>.
    """

    @invariant
    def _open(self) -> bool:
        """It is open."""
        return True

    @require(lambda count: count > 0, "at least one")
    @ensure(lambda result: bool(result), "something")
    def sell(self, item: IntItem, count: int = 1) -> TextItem | None:
        """Sell something.

        Args:
            item: What.
            count: How many.
        """
        return TextItem(str(item.key * count))

    def sizes(self, of: Size) -> list[int | None]: ...

    def sizesResponse(self) -> None:  # clashes with what is answered
        """A \x00 in the text."""

    @expose("odd name")
    def odd(self, value: dict[str, list[typing.Any]]) -> None: ...

    def ToolFault(self) -> None: ...  # clashes with the fault

    @hidden
    def steal(self) -> None: ...


@pytest.fixture(scope="module")
def document():
    entry = Registry().add(Shop(), "my.shop")
    return etree.fromstring(write_wsdl(entry, "https://shop.example/a&b/").encode())


def find(document, path):
    return document.xpath(path, namespaces=NAMES)


def parts_of(document, name):
    """The elements of a type or a wrapper with their facts."""
    (found,) = find(document, f"//x:schema/*[@name='{name}']")
    return {
        each.get("name"): {k: v for k, v in each.attrib.items() if k != "name"}
        for each in found.iter(f"{{{NAMES['x']}}}element")
        if each.get("name") != name
    }


class TestDocument:
    def test_its_parts_are_in_order(self, document):
        tags = [etree.QName(each).localname for each in document]
        assert tags[:2] == ["documentation", "types"]
        assert tags[-4:] == ["portType", "binding", "binding", "service"]
        assert set(tags[2:-4]) == {"message"}
        assert document.get("targetNamespace") == "urn:toolserver:my.shop"

    def test_references_lead_somewhere(self, document):
        names = {
            (etree.QName(each).localname, each.get("name"))
            for each in document.iter()
            if each.get("name")
        }
        for attribute, kind in (
            ("message", "message"),
            ("binding", "binding"),
            ("element", "element"),
        ):
            for each in find(document, f"//w:*[@{attribute}]"):
                prefix, _, name = each.get(attribute).partition(":")
                assert prefix == "tns"
                assert (kind, name) in names
        port_types = find(document, "//w:binding/@type")
        assert port_types == ["tns:MyShopPortType"] * 2

    def test_there_is_one_schema_without_imports(self, document):
        (schema,) = find(document, "//x:schema")
        assert schema.get("elementFormDefault") == "qualified"
        assert not find(document, "//x:import")
        etree.XMLSchema(schema)

    def test_the_port_of_soap_11_comes_first(self, document):
        ports = find(document, "//w:port")
        assert [each.get("name") for each in ports] == [
            "MyShopSoap11Port",
            "MyShopSoap12Port",
        ]
        assert [etree.QName(each[0]).namespace for each in ports] == [
            NAMES["s11"],
            NAMES["s12"],
        ]
        for each in ports:
            assert each[0].get("location") == "https://shop.example/a&b/SOAP/my/shop"

    def test_the_style_is_document_literal(self, document):
        assert find(document, "//@use") == ["literal"] * len(find(document, "//@use"))
        assert set(find(document, "//@style")) == {"document"}
        actions = find(document, "//s11:operation/@soapAction")
        assert "urn:toolserver:my.shop#sell" in actions
        assert find(document, "//s12:operation/@soapAction") == actions

    def test_operations_are_the_exported_methods(self, document):
        names = find(document, "//w:portType/w:operation/@name")
        assert names == [
            *("ToolFault", "list_methods", "odd_x0020_name", "sell", "sizes"),
            "sizesResponse",
        ]
        faults = find(document, "//w:portType/w:operation/w:fault/@message")
        assert faults == ["tns:ToolFault_"] * len(names)

    def test_texts_are_told(self, document):
        (text,) = find(document, "/*/w:documentation/text()")
        assert text == "Sells things.\n\nAnd <more>.\n\nInvariant: It is open."
        (text,) = find(document, "//w:operation[@name='sell']/w:documentation/text()")
        assert text.startswith("Sell something.\n\nArgs:")
        assert text.endswith("Requires: at least one\nEnsures: something")
        (text,) = find(
            document, "//w:operation[@name='sizesResponse']/w:documentation/text()"
        )
        assert text == "A \\x00 in the text."


class TestTypes:
    def test_types_of_one_name_get_distinct_names(self, document):
        sell = parts_of(document, "sell")
        assert sell == {
            "item": {"type": "tns:Item"},
            "count": {"type": "xsd:long", "minOccurs": "0"},
        }
        optional = {"minOccurs": "0", "nillable": "true"}
        assert parts_of(document, "sellResponse") == {
            "return": {"type": "tns:Item2", **optional}
        }
        assert parts_of(document, "Item") == {"key": {"type": "xsd:long"}}
        assert parts_of(document, "Item2") == {"key": {"type": "xsd:string"}}

    def test_arrays_and_maps(self, document):
        assert parts_of(document, "ArrayOfOptionalLong") == {
            "item": {
                "type": "xsd:long",
                "minOccurs": "0",
                "maxOccurs": "unbounded",
                "nillable": "true",
            }
        }
        assert parts_of(document, "MapOfArrayOfAnyType") == {
            "item": {"minOccurs": "0", "maxOccurs": "unbounded"},
            "key": {"type": "xsd:string"},
            "value": {"type": "tns:ArrayOfAnyType"},
        }

    def test_enumerations(self, document):
        (base,) = find(document, "//x:simpleType[@name='Size']/x:restriction/@base")
        assert base == "xsd:long"
        values = find(document, "//x:simpleType[@name='Size']//@value")
        assert values == ["1", "2"]

    def test_elements_of_one_name_get_distinct_names(self, document):
        names = find(document, "//x:schema/x:element/@name")
        assert len(names) == len(set(names))
        assert "sizesResponse_" in names
        assert parts_of(document, "ToolFault_") == {
            "type": {"type": "xsd:string"},
            "message": {"type": "xsd:string"},
        }


@register("WSDL")
class Restricted(WSDLTool):
    @validate()
    def _nobody(self, call):
        raise Forbidden("not for you")


@register("papers.wsdl")
class Moved(WSDLTool):
    pass


class TestServing:
    def test_the_address_is_the_one_that_was_asked(self):
        with toolserver.testing.serve(Types, Faults) as server:
            for path in (
                "/WSDL/sample/types",
                "/WSDL/sample.types",
                "/WSDL/sample/types/",
                "/SOAP/sample/types?wsdl",
                "/SOAP/sample/types?WSDL",
            ):
                answer = server.http.get(path, headers={"Host": "localhost:99"})
                assert answer.status_code == 200
                assert answer.headers["content-type"] == "text/xml; charset=utf-8"
                root = etree.fromstring(answer.content)
                assert find(root, "//s11:address/@location") == [
                    "http://localhost:99/SOAP/sample/types"
                ]
            listed = server.http.get("/WSDL/").text.splitlines()
            assert listed == [
                server.url("/WSDL/sample/faults"),
                server.url("/WSDL/sample/types"),
            ]
            for path in ("/WSDL/nothing/here", "/SOAP/nothing?wsdl"):
                assert server.http.get(path).status_code == 404
            stranger = {"Host": "evil.example"}
            answer = server.http.get("/WSDL/sample/types", headers=stranger)
            assert answer.status_code == 421

    def test_the_configured_address_goes_first(self):
        config = {"server": {"public_url": "https://shop.example/api"}}
        with toolserver.testing.serve(Types, config=config) as server:
            url = f"{server.worker.http.url.rstrip('/')}/WSDL/sample/types"
            root = etree.fromstring(server.http.get(url).content)
            assert find(root, "//s12:address/@location") == [
                "https://shop.example/api/SOAP/sample/types"
            ]

    def test_who_does_not_call_is_told_where_to_look(self):
        with toolserver.testing.serve(Types) as server:
            answer = server.http.get("/SOAP/sample/types")
            assert answer.status_code == 405
            assert answer.headers["allow"] == "POST"
            assert "/SOAP/sample/types?wsdl" in answer.text
            assert server.http.put("/SOAP/sample/types").status_code == 405

    def test_it_can_be_restricted(self):
        with toolserver.testing.serve(Types, Restricted) as server:
            assert server.http.get("/WSDL/sample/types").status_code == 403
            assert server.http.get("/SOAP/sample/types?wsdl").status_code == 403

    def test_it_can_be_moved(self):
        config = {"tools": {"omit": ["WSDL"]}}
        with toolserver.testing.serve(Types, Moved, config=config) as server:
            assert server.http.get("/WSDL/sample/types").status_code == 404
            for path in ("/papers/wsdl/sample/types", "/SOAP/sample/types?wsdl"):
                assert b"definitions" in server.http.get(path).content

    def test_it_can_be_left_out(self):
        config = {"tools": {"omit": ["WSDL"]}}
        with toolserver.testing.serve(Types, config=config) as server:
            assert server.http.get("/WSDL/sample/types").status_code == 404
            assert server.http.get("/SOAP/sample/types?wsdl").status_code == 405

    def test_all_tools_of_the_server_can_be_described(self):
        with toolserver.testing.serve(Types, Faults) as server:
            for name in server.call("system.listTools"):
                text = server.http.get(f"/WSDL/{name}").content
                if not name:
                    continue
                (schema,) = etree.fromstring(text).iter(f"{{{NAMES['x']}}}schema")
                etree.XMLSchema(schema)
                zeep.Client(
                    server.url(f"/WSDL/{name}"),
                    transport=zeep.transports.Transport(session=server.http),
                )


def test_nothing_of_it_is_imported_by_clients():
    code = (
        "import sys, toolserver; "
        "sys.exit(any('soap' in name or 'wsdl' in name for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
