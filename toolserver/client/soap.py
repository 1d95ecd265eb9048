"""SOAP 1.1 in its own encoding, in which each value says what it is.

So neither side needs a WSDL, and arguments may go by position and by name.

Spec: SOAP 1.1, sections 5 and 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from toolserver.client.codecs import (
    Answer,
    Outgoing,
    Style,
    bad_answer,
    refusal,
    sendable,
)
from toolserver.client.faults import make_error
from toolserver.describe.names import target_namespace, xml_name
from toolserver.errors import InvalidRequest, ToolserverError
from toolserver.plain import to_plain
from toolserver.protocols.soap_encoded import APACHE, write_encoded
from toolserver.protocols.soap_envelope import open_envelope, read_body
from toolserver.protocols.soap_names import SOAP11, XSD, XSI, local_name
from toolserver.protocols.soap_untyped import read_any
from toolserver.protocols.xmltext import escape, to_utf8
from toolserver.settings import Limits
from toolserver.types import Type

__all__ = ["SOAPCodec"]

_ANY = Type(Any)
_HEAD = (
    '<?xml version="1.0" encoding="utf-8"?>\n'
    f'<soapenv:Envelope xmlns:soapenv="{SOAP11.envelope}" xmlns:xsi="{XSI}"'
    f' xmlns:xsd="{XSD}" xmlns:enc="{SOAP11.encoding}" xmlns:apache="{APACHE}">'
    "<soapenv:Body>"
)
_TAIL = "</soapenv:Body></soapenv:Envelope>\n"


class SOAPCodec:
    """One call in each request.

    Args:
        limits: Bounds for the XML of answers.
    """

    style = Style.MIXED

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def write(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Outgoing:
        """Write an envelope with a call."""
        namespace, _, method = name.rpartition(".")
        uri = target_namespace(namespace)
        headers = {
            "Content-Type": SOAP11.content_type,
            "Accept": SOAP11.media_type,
            "SOAPAction": f'"{uri}#{xml_name(method)}"',
        }
        body = sendable(lambda: _write_call(uri, method, args, kwargs))
        return Outgoing("/SOAP", body, headers)

    def read(self, answer: Answer) -> Any:
        """Read the envelope of a result or of a fault."""
        if answer.status not in (200, 500) or answer.media_type != SOAP11.media_type:
            raise refusal(answer)
        try:
            text = to_utf8(answer.body, answer.content_type)
            version, root = open_envelope(text, self._limits)
            operation = read_body(text, version, root, self._limits).operation
            if operation.tag != f"{{{version.envelope}}}Fault":
                return self.read_result(operation)
        except ToolserverError as broken:
            raise bad_answer(answer, broken.message) from broken
        raise _read_fault(operation)

    def read_result(self, operation: Element) -> Any:
        """Read the result by what it says of itself.

        Args:
            operation: The element around it.
        """
        result = _child(operation, "return")
        return None if result is None else read_any(result)


def _write_call(
    uri: str, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> bytes:
    tag = xml_name(method)
    pieces = [
        f'{_HEAD}<m:{tag} xmlns:m="{escape(uri)}"'
        f' soapenv:encodingStyle="{SOAP11.encoding}">'
    ]
    named = [(f"param{index}", value) for index, value in enumerate(args)]
    named += [(xml_name(name), value) for name, value in kwargs.items()]
    for name, value in named:
        write_encoded(to_plain(value), _ANY, name, SOAP11, pieces.append)
    pieces.append(f"</m:{tag}>{_TAIL}")
    return "".join(pieces).encode()


def _read_fault(fault: Element) -> ToolserverError:
    message = _text_of(fault, "faultstring")
    told = fault.find("./detail/*")
    if told is not None and local_name(told.tag) == "ToolFault":
        return make_error(_text_of(told, "message"), kind=_text_of(told, "type"))
    # The message was refused as a whole, so that there is no detail.
    return make_error(message, code=InvalidRequest.code)


def _text_of(element: Element, name: str) -> str:
    child = _child(element, name)
    return "" if child is None else child.text or ""


def _child(element: Element, name: str) -> Element | None:
    return next((child for child in element if local_name(child.tag) == name), None)
