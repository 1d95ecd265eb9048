"""How one method is called and answered over SOAP; made once for each method."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any
from xml.etree.ElementTree import Element

from toolserver.calls import Arguments
from toolserver.describe.names import (
    from_xml_name,
    response_name,
    target_namespace,
    xml_name,
)
from toolserver.errors import InvalidParams
from toolserver.methods import MethodSpec
from toolserver.protocols.soap_encoded import APACHE, write_encoded
from toolserver.protocols.soap_literal import Writers
from toolserver.protocols.soap_names import (
    SOAP11,
    SOAP12,
    TYPE,
    XSD,
    XSI,
    Version,
)
from toolserver.protocols.soap_reader import Readers
from toolserver.protocols.soap_untyped import Reader, read_any, read_map
from toolserver.protocols.xmltext import escape
from toolserver.types import Kind

__all__ = ["Binding"]

#: Names that clients make up for parameters that they know no names of: PHP's
#: ``param0``, ``c-gensym3`` of SOAP::Lite, ``v1`` of SOAPpy, ``arg0`` and ``in0`` of
#: others.
_MADE_UP = re.compile(r"(?:param|c-gensym|gensym|arg|in|v|p|_)-?[0-9]+")
#: Others name a parameter by its type: ``soapenc:Array`` of SOAP::Lite.
_TYPE_NAMESPACES = frozenset(
    f"{{{uri}" for uri in (SOAP11.encoding, SOAP12.encoding, APACHE)
)
#: Kinds whose schema leaves open what a value is, so that literal callers tell it.
_OPEN = frozenset({Kind.ANY, Kind.OBJECT, Kind.UNION})

_HEADS = {
    version: (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<soapenv:Envelope xmlns:soapenv="{version.envelope}"'
        f' xmlns:xsi="{XSI}" xmlns:xsd="{XSD}">'
        "<soapenv:Body>"
    )
    for version in (SOAP11, SOAP12)
}
_TAIL = "</soapenv:Body></soapenv:Envelope>\n"
_RPC12 = "http://www.w3.org/2003/05/soap-rpc"


class Binding:
    """Reads the arguments of a method and writes its results.

    Args:
        spec: The method.
        operations: The names of all methods of its tool.
    """

    def __init__(self, spec: MethodSpec, operations: Collection[str]) -> None:
        readers = Readers()
        # Nothing here holds on to the spec, so that a binding can go with it.
        self._positional = [
            readers.reader(parameter.type)
            for parameter in spec.parameters[: spec.positional]
        ]
        self._names = [parameter.name for parameter in spec.parameters]
        self._readers: dict[str, Reader] = {
            parameter.name: readers.reader(parameter.type)
            for parameter in spec.parameters
        }
        self._open = {
            parameter.name
            for parameter in spec.parameters
            if parameter.type.kind in _OPEN
        }
        self._absent = [
            parameter.name
            for parameter in spec.parameters
            if parameter.required and parameter.type.nullable
        ]
        self._rest = spec.rest.name if spec.rest is not None else None
        self._read_rest = readers.reader(spec.rest.type) if spec.rest else read_any
        self._extra = spec.extra.name if spec.extra is not None else None
        self._read_extra = readers.reader(spec.extra.type) if spec.extra else read_any
        self._returns = spec.returns
        self._is_void = spec.returns.kind is Kind.NONE
        self._write = Writers().writer(spec.returns, "return")
        self._response = response_name(xml_name(spec.name), operations)
        self._end = f"</{self._response}>{_TAIL}"
        # Of the tools that a factory makes, one is often called several times.
        self._last_head: tuple[Version | None, str, str] = None, "", ""

    def read(self, operation: Element, says_encoded: bool) -> tuple[Arguments, bool]:
        """Read the arguments of a call.

        Args:
            operation: The element that holds them.
            says_encoded: Whether the message says that it uses SOAP's encoding.

        Returns:
            The arguments, and whether the message uses SOAP's encoding, which the
            types of arguments show where nothing else does.

        Raises:
            InvalidParams: One is given twice, or some before others are missing.
            InvalidRequest: One is not of the type that it says.
        """
        is_encoded = says_encoded
        args: list[Any] = []
        rest: list[Any] = []
        named: dict[str, Any] = {}
        for child in operation:
            namespace, _, tag = child.tag.rpartition("}")
            name = from_xml_name(tag)
            has_type = child.get(TYPE) is not None
            if has_type and not (namespace and name in self._open):
                is_encoded = True
            read = self._readers.get(name)
            if read is not None:
                _put(named, name, read(child))
            elif name == self._rest:
                rest.append(self._read_rest(child))
            elif name == self._extra:
                for key, value in read_map(child, self._read_extra).items():
                    _put(named, key, value)
            elif namespace in _TYPE_NAMESPACES or (
                (is_encoded or not namespace) and _MADE_UP.fullmatch(name)
            ):
                args.append(self._reader_at(len(args))(child))
            else:
                _put(named, name, self._read_extra(child))
        if not args:
            # In the order of the method, as far as there is no gap: so parameters
            # that have no name for callers get their values, too.
            for name in self._names[: len(self._positional)]:
                if name not in named:
                    break
                args.append(named.pop(name))
        for name in self._absent:
            if name not in named and name not in self._names[: len(args)]:
                named[name] = None
        if rest:
            self._complete(args, named)
            args += rest
        return (args, named), is_encoded

    def _reader_at(self, index: int) -> Reader:
        positional = self._positional
        return positional[index] if index < len(positional) else self._read_rest

    def _complete(self, args: list[Any], named: dict[str, Any]) -> None:
        """Have all positional arguments in their places, as more follow them."""
        for name in self._names[len(args) : len(self._positional)]:
            if name not in named:
                raise InvalidParams(f"{name}: missing, expected before {self._rest}")
            args.append(named.pop(name))

    def write_literal(self, value: Any, version: Version, namespace: str) -> bytes:
        """Write a result for a caller who knows the WSDL.

        Args:
            value: The result, plain.
            version: The version of SOAP.
            namespace: Dotted name of the tool.

        Returns:
            The message in UTF-8.

        Raises:
            ApplicationError: It is not what the WSDL says, or XML cannot carry it.
        """
        known_version, known_namespace, head = self._last_head
        if version is not known_version or namespace != known_namespace:
            uri = target_namespace(namespace)
            head = f'{_HEADS[version]}<{self._response} xmlns="{uri}">'
            self._last_head = version, namespace, head
        pieces = [head]
        if not self._is_void:
            self._write(value, pieces.append)
        pieces.append(self._end)
        return "".join(pieces).encode()

    def write_encoded(self, value: Any, version: Version, uri: str) -> bytes:
        """Write a result for a caller who uses SOAP's encoding.

        Args:
            value: The result, plain.
            version: The version of SOAP.
            uri: The namespace in which the caller has named the method.

        Returns:
            The message in UTF-8.

        Raises:
            ApplicationError: XML cannot carry it.
        """
        tag = self._response
        quoted = escape(uri).replace('"', "&quot;")
        named = f'<m:{tag} xmlns:m="{quoted}"' if uri else f"<{tag}"
        pieces = [
            f'{_HEADS[version]}{named} xmlns:enc="{version.encoding}" '
            f'xmlns:apache="{APACHE}" soapenv:encodingStyle="{version.encoding}">'
        ]
        if not self._is_void or value is not None:
            write_encoded(value, self._returns, "return", version, pieces.append)
            if version is SOAP12:
                # SOAP 1.2, part 2, section 4.2.1: it names the element of the result.
                # Behind it, as some clients take the first element.
                pieces.append(f'<r:result xmlns:r="{_RPC12}">return</r:result>')
        pieces.append(f"</m:{tag}>" if uri else f"</{tag}>")
        pieces.append(_TAIL)
        return "".join(pieces).encode()


def _put(named: dict[str, Any], name: str, value: Any) -> None:
    if name in named:
        raise InvalidParams(f"{name[:60]}: given twice")
    named[name] = value
