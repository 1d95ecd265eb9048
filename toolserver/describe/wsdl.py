"""A tool as a WSDL document: its methods over SOAP 1.1 and 1.2.

The style is document/literal wrapped, which all toolkits of today know. The port of
SOAP 1.1 comes first: some clients take the first that they find.

Spec: WSDL 1.1 (https://www.w3.org/TR/wsdl), its binding for SOAP 1.2, and WS-I Basic
Profile 1.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from toolserver.describe.names import response_name, target_namespace, xml_name
from toolserver.describe.xsd import Schema
from toolserver.entries import ToolEntry
from toolserver.methods import MethodSpec
from toolserver.types import Kind, Type
from toolserver.xmlcharacters import ILLEGAL_SET

__all__ = ["write_wsdl"]

_HTTP = "http://schemas.xmlsoap.org/soap/http"
_NO_WORD = re.compile(r"[^A-Za-z0-9]+")
_ILLEGAL = re.compile(rf"[\r{ILLEGAL_SET}]")
_STR = Type(str)
_FAULT = "ToolFault"


def write_wsdl(entry: ToolEntry, server_url: str) -> str:
    """Describe a tool.

    Args:
        entry: The tool.
        server_url: The address of the server, with a slash at its end.

    Returns:
        The document.
    """
    return _Document(entry, server_url).text()


class _Document:
    """One WSDL document, part by part."""

    def __init__(self, entry: ToolEntry, server_url: str) -> None:
        self._entry = entry
        self._namespace = target_namespace(entry.namespace)
        self._address = f"{server_url}SOAP{entry.path.rstrip('/')}"
        self._name = _camel(entry.namespace) or "Root"
        self._specs = [
            target.spec
            for _, target in sorted(entry.methods.items())
            if target.exported
        ]
        operations = {xml_name(spec.name) for spec in self._specs}
        self._fault = _FAULT
        while self._fault in operations:
            self._fault += "_"
        self._responses = {
            spec.name: response_name(xml_name(spec.name), entry.methods)
            for spec in self._specs
        }

    def text(self) -> str:
        root = Element(
            "wsdl:definitions",
            {
                "name": self._name,
                "targetNamespace": self._namespace,
                "xmlns:wsdl": "http://schemas.xmlsoap.org/wsdl/",
                "xmlns:soap": "http://schemas.xmlsoap.org/wsdl/soap/",
                "xmlns:soap12": "http://schemas.xmlsoap.org/wsdl/soap12/",
                "xmlns:xsd": "http://www.w3.org/2001/XMLSchema",
                "xmlns:tns": self._namespace,
            },
        )
        _document(root, _doc_of(self._entry))
        SubElement(root, "wsdl:types").append(self._schema())
        self._add_messages(root)
        self._add_port_type(root)
        for number, prefix in (("11", "soap"), ("12", "soap12")):
            self._add_binding(root, number, prefix)
        self._add_service(root)
        indent(root)
        return f'<?xml version="1.0" encoding="utf-8"?>\n{tostring(root, "unicode")}\n'

    def _schema(self) -> Element:
        schema = Schema(self._namespace)
        for spec in self._specs:
            sequence = schema.add_wrapper(xml_name(spec.name))
            for parameter in spec.parameters[: spec.positional]:
                schema.add_element(
                    sequence,
                    xml_name(parameter.name),
                    parameter.type,
                    required=parameter.required,
                )
            if spec.rest is not None:
                schema.add_element(
                    sequence, xml_name(spec.rest.name), spec.rest.type, repeated=True
                )
            for parameter in spec.parameters[spec.positional :]:
                schema.add_element(
                    sequence,
                    xml_name(parameter.name),
                    parameter.type,
                    required=parameter.required,
                )
            if spec.extra is not None:
                named = Type(dict[str, spec.extra.type.hint])  # type: ignore[name-defined]  # a hint made at run time
                name = xml_name(spec.extra.name)
                schema.add_element(sequence, name, named, required=False)
            sequence = schema.add_wrapper(self._responses[spec.name])
            if spec.returns.kind is not Kind.NONE:
                schema.add_element(sequence, "return", spec.returns)
        sequence = schema.add_wrapper(self._fault)
        schema.add_element(sequence, "type", _STR)
        schema.add_element(sequence, "message", _STR)
        return schema.root

    def _add_messages(self, root: Element) -> None:
        for spec in self._specs:
            # Named like their elements: some clients take the one for the other.
            _add_message(root, xml_name(spec.name), "parameters")
            _add_message(root, self._responses[spec.name], "parameters")
        _add_message(root, self._fault, "fault")

    def _add_port_type(self, root: Element) -> None:
        port_type = SubElement(root, "wsdl:portType", name=f"{self._name}PortType")
        for spec in self._specs:
            name = xml_name(spec.name)
            operation = SubElement(port_type, "wsdl:operation", name=name)
            _document(operation, _told(spec))
            SubElement(operation, "wsdl:input", message=f"tns:{name}")
            response = self._responses[spec.name]
            SubElement(operation, "wsdl:output", message=f"tns:{response}")
            SubElement(
                operation, "wsdl:fault", name=_FAULT, message=f"tns:{self._fault}"
            )

    def _add_binding(self, root: Element, number: str, prefix: str) -> None:
        binding = SubElement(
            root,
            "wsdl:binding",
            name=f"{self._name}Soap{number}",
            type=f"tns:{self._name}PortType",
        )
        SubElement(binding, f"{prefix}:binding", style="document", transport=_HTTP)
        for spec in self._specs:
            name = xml_name(spec.name)
            operation = SubElement(binding, "wsdl:operation", name=name)
            SubElement(
                operation,
                f"{prefix}:operation",
                soapAction=f"{self._namespace}#{name}",
                style="document",
            )
            for direction in ("wsdl:input", "wsdl:output"):
                part = SubElement(operation, direction)
                SubElement(part, f"{prefix}:body", use="literal")
            fault = SubElement(operation, "wsdl:fault", name=_FAULT)
            SubElement(fault, f"{prefix}:fault", name=_FAULT, use="literal")

    def _add_service(self, root: Element) -> None:
        service = SubElement(root, "wsdl:service", name=self._name)
        for number, prefix in (("11", "soap"), ("12", "soap12")):
            port = SubElement(
                service,
                "wsdl:port",
                name=f"{self._name}Soap{number}Port",
                binding=f"tns:{self._name}Soap{number}",
            )
            SubElement(port, f"{prefix}:address", location=self._address)


def _add_message(root: Element, name: str, part: str) -> None:
    message = SubElement(root, "wsdl:message", name=name)
    SubElement(message, "wsdl:part", name=part, element=f"tns:{name}")


def _document(parent: Element, text: str) -> None:
    if text:
        # What a source file may hold, and XML may not, is shown as it is escaped.
        SubElement(parent, "wsdl:documentation").text = _ILLEGAL.sub(
            lambda found: repr(found[0])[1:-1], text
        )


def _doc_of(entry: ToolEntry) -> str:
    doc = type(entry.tool).__dict__.get("__doc__") or ""
    return _paragraphs(
        "\n".join(line.strip() for line in doc.strip().splitlines()),
        "\n".join(f"Invariant: {text}" for text in entry.invariants),
    )


def _told(spec: MethodSpec) -> str:
    contracts = [
        *(f"Requires: {text}" for text in spec.requires),
        *(f"Ensures: {text}" for text in spec.ensures),
    ]
    return _paragraphs(spec.doc, "\n".join(contracts))


def _paragraphs(*texts: str) -> str:
    return "\n\n".join(filter(None, texts))


def _camel(namespace: str) -> str:
    """``ShopOrders`` for ``shop.orders``."""
    return "".join(
        word[:1].upper() + word[1:] for word in _words(_NO_WORD.split(namespace))
    )


def _words(words: Iterable[str]) -> list[str]:
    # No name of XML begins with a digit.
    found = [word for word in words if word]
    return ["Tool", *found] if found and found[0][0].isdigit() else found
