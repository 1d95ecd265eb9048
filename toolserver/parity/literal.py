"""SOAP as callers with a WSDL document speak it: document/literal wrapped, SOAP 1.1.

The element in the Body is named like the method, its children like the parameters, and
nothing says of itself what it is, but where the schema leaves that open.

Spec: WS-I Basic Profile 1.1, section 4.7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from toolserver.client.codecs import Outgoing, Style, sendable
from toolserver.client.soap import SOAPCodec
from toolserver.describe.names import target_namespace, xml_name
from toolserver.errors import ApplicationError
from toolserver.methods import MethodSpec
from toolserver.plain import to_plain
from toolserver.protocols.soap_literal import Writer, Writers
from toolserver.protocols.soap_names import SOAP11, XSD, XSI, local_name
from toolserver.protocols.soap_reader import Readers
from toolserver.protocols.xmltext import escape
from toolserver.settings import Limits
from toolserver.types import Type

__all__ = ["LiteralCodec"]

_HEAD = (
    '<?xml version="1.0" encoding="utf-8"?>\n'
    f'<soapenv:Envelope xmlns:soapenv="{SOAP11.envelope}" xmlns:xsi="{XSI}"'
    f' xmlns:xsd="{XSD}"><soapenv:Body>'
)
_TAIL = "</soapenv:Body></soapenv:Envelope>\n"


class LiteralCodec(SOAPCodec):
    """Calls of one method, by its schema.

    Args:
        spec: The method; None for one that the schema does not have.
        limits: Bounds for the XML of answers.
    """

    style = Style.MIXED

    def __init__(self, spec: MethodSpec | None, limits: Limits) -> None:
        super().__init__(limits)
        writers, self._writers = Writers(), dict[str, Writer]()
        returns, self._rest = _ANY, ""
        self._extra: Writer | None = None
        if spec is not None:
            returns = spec.returns
            known = [*spec.parameters, *([spec.rest] if spec.rest is not None else [])]
            for parameter in known:
                tag = xml_name(parameter.name)
                self._writers[parameter.name] = writers.writer(parameter.type, tag)
            if spec.rest is not None:
                self._rest = spec.rest.name
            if spec.extra is not None:
                # All of them are one map, which is named like the parameter.
                type_ = Type(dict[str, spec.extra.type.hint])  # type: ignore[name-defined]  # made at run time
                self._extra = writers.writer(type_, xml_name(spec.extra.name))
        self._read_return = Readers().reader(returns)

    def write(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Outgoing:
        """Write an envelope with a call; what has no name is what ``*args`` takes."""
        namespace, _, method = name.rpartition(".")
        uri = target_namespace(namespace)
        tag = xml_name(method)
        headers = {
            "Content-Type": SOAP11.content_type,
            "Accept": SOAP11.media_type,
            "SOAPAction": f'"{uri}#{tag}"',
        }

        def body() -> bytes:
            pieces = [f'{_HEAD}<{tag} xmlns="{escape(uri)}">']
            extra = {}
            for key, value in kwargs.items():
                if self._extra is not None and key not in self._writers:
                    extra[key] = to_plain(value)
                else:
                    self._argument(key, to_plain(value), pieces)
            if self._extra is not None and extra:
                self._extra(extra, pieces.append)
            for value in args:
                self._argument(self._rest, to_plain(value), pieces)
            pieces.append(f"</{tag}>{_TAIL}")
            return "".join(pieces).encode()

        return Outgoing("/SOAP", sendable(body), headers)

    def _argument(self, name: str, value: Any, pieces: list[str]) -> None:
        write_any = Writers().writer(_ANY, xml_name(name))
        own: list[str] = []
        try:
            self._writers.get(name, write_any)(value, own.append)
        except ApplicationError:
            # What does not fit is sent as it is: it is the server's to refuse it.
            own = []
            write_any(value, own.append)
        pieces += own

    def read_result(self, operation: Element) -> Any:
        """Read a result by what the schema says of it."""
        for child in operation:
            if local_name(child.tag) == "return":
                return self._read_return(child)
        return None


_ANY = Type(Any)
