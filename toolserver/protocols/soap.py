"""SOAP 1.1 and 1.2: document/literal as the WSDL has it, and rpc/encoded without one.

Spec: SOAP 1.1 (https://www.w3.org/TR/2000/NOTE-SOAP-20000508/), SOAP 1.2
(https://www.w3.org/TR/soap12/), WS-I Basic Profile 1.1.

Each caller is answered in the version and in the style of the request. Which method is
meant tells the name of the element in the Body, never the action.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any
from xml.etree.ElementTree import Element

from toolserver.calls import Arguments, Call, Outcome
from toolserver.describe.names import from_xml_name, namespace_of
from toolserver.entries import Target
from toolserver.message import Request, Response
from toolserver.methods import MethodSpec
from toolserver.protocols.soap_binding import Binding
from toolserver.protocols.soap_envelope import Envelope, open_envelope, read_body
from toolserver.protocols.soap_faults import write_fault
from toolserver.protocols.soap_names import SOAP11, SOAP12, Version
from toolserver.protocols.soap_scanner import Scanner
from toolserver.protocols.xmltext import to_utf8
from toolserver.settings import Limits
from toolserver.toolspecs import describe_tool
from toolserver.unlocking import is_unlocked

__all__ = ["SOAP"]

#: Where a request notes how it is to be answered.
_NOTE = "soap"
#: Tools that are reached by their full name also below another tool's path.
_EVERYWHERE = ("system.", "rpc.")
_ACTION = re.compile(r"""\s*["']?([^"'#]*)#""")
_ACTION12 = re.compile(r""";\s*action\s*=\s*"([^"#]*)#""")


class _Exchange:
    """What the answer to a request depends on, and what reads its arguments.

    Args:
        bindings: Finds how a method is called.
        content_type: That of the request.
        namespace: Dotted name of the tool, as far as the path tells it.
    """

    __slots__ = (
        "_bindings",
        "_operation",
        "binding",
        "content_type",
        "is_encoded",
        "known_version",
        "name",
        "namespace",
        "uri",
    )

    _operation: Element
    name: str
    uri: str
    is_encoded: bool

    def __init__(
        self, bindings: Callable[[str], Binding], content_type: str, namespace: str
    ) -> None:
        self._bindings = bindings
        self.content_type = content_type
        self.namespace = namespace
        self.known_version: Version | None = None
        self.binding: Binding | None = None

    @property
    def version(self) -> Version:
        """The version of SOAP; of what is no message, what its content type says."""
        return self.known_version or _version_for(self.content_type)

    def take(self, envelope: Envelope, name: str) -> None:
        """Take the operation of a call, by its full name."""
        self._operation = envelope.operation
        self.name = name
        self.namespace = name.rpartition(".")[0]
        self.uri = envelope.namespace
        self.is_encoded = envelope.says_encoded

    def read(self) -> Arguments:
        """Read the arguments, once the method is known to exist."""
        self.binding = self._bindings(self.name)
        arguments, self.is_encoded = self.binding.read(self._operation, self.is_encoded)
        return arguments


class SOAP:
    """The codec of SOAP.

    Args:
        limits: Bounds for depth, elements and attributes of XML.
        find: Finds what a full name leads to.
        wsdl_tool: Dotted name of the tool that writes WSDL; None where there is none.
    """

    prefix = "SOAP"
    content_type = "text/xml"
    content_types = ("application/soap+xml", "application/xml")

    def __init__(
        self,
        limits: Limits,
        find: Callable[[str], Target],
        wsdl_tool: str | None = None,
    ) -> None:
        self._limits = limits
        self._find = find
        self._wsdl_tool = wsdl_tool
        self._scanner = Scanner(limits)
        #: By the identity of their specs, which hold what cannot be hashed.
        self._known: dict[int, tuple[Binding, weakref.ref[MethodSpec]]] = {}

    def decode(self, request: Request) -> list[Call]:
        """Read a call; its arguments are read when the method is known to exist.

        Args:
            request: The request.

        Returns:
            The one call.

        Raises:
            ParseError: The body is not well-formed XML in an encoding that is
                accepted, or passes a bound, or has a DTD.
            InvalidRequest: It is no envelope with an operation, of another version,
                or a header asks to be understood.
        """
        content_type = request.headers.get("content-type", "")
        below = request.path[len(self.prefix) + 1 :].strip("/").replace("/", ".")
        exchange = _Exchange(self._bind, content_type, below)
        request.notes[_NOTE] = exchange
        text = to_utf8(request.body, content_type)
        scanned = self._scanner.scan(text)
        if scanned is not None:
            exchange.known_version, envelope = scanned
        else:
            version, root = open_envelope(text, self._limits)
            exchange.known_version = version
            envelope = read_body(text, version, root, self._limits)
            self._scanner.learn(text, version, envelope)
        name = from_xml_name(envelope.name)
        if below:
            # As all protocols are: the server puts the path before the name.
            full = name if name.startswith(_EVERYWHERE) else f"{below}.{name}"
        else:
            full = name = _full_name(name, envelope.namespace, request)
        exchange.take(envelope, full)
        return [Call(name, read=exchange.read)]

    def encode(self, request: Request, outcomes: list[Outcome]) -> Response:
        """Write the result or the fault.

        Args:
            request: The request that is answered.
            outcomes: What became of the one call.

        Returns:
            The response.

        Raises:
            ApplicationError: XML cannot carry the result.
        """
        (outcome,) = outcomes
        exchange: _Exchange = request.notes[_NOTE]
        version = exchange.version
        if outcome.error is not None:
            return write_fault(outcome.error, version, exchange.namespace)
        binding = exchange.binding or self._bind(exchange.name)
        if exchange.is_encoded:
            body = binding.write_encoded(outcome.plain, version, exchange.uri)
        else:
            body = binding.write_literal(outcome.plain, version, exchange.namespace)
        return Response(body, content_type=version.content_type)

    def describe(
        self, request: Request, namespace: str, make: Callable[[Call], Outcome]
    ) -> Response | None:
        """Answer who asks for the WSDL of a tool: ``GET /SOAP/<namespace>?wsdl``.

        Args:
            request: A request by GET.
            namespace: Dotted name of the tool.
            make: Makes a call.

        Returns:
            The document, or what to do instead.

        Raises:
            ToolserverError: There is no such tool, or the caller may not know it.
        """
        if self._wsdl_tool is None:
            return None
        asked = request.query_string.partition("&")[0].partition("=")[0]
        if asked.lower() != "wsdl":
            text = f"SOAP is called by POST; its WSDL is at {request.path}?wsdl\n"
            return Response(text, status=405, headers={"Allow": "POST"})
        outcome = make(Call(f"{self._wsdl_tool}.document", (namespace,)))
        if outcome.error is not None:
            raise outcome.error
        return Response(outcome.value, content_type="text/xml; charset=utf-8")

    def _bind(self, name: str) -> Binding:
        target = self._find(name)
        spec = target.spec
        if spec.unlocked is not None and is_unlocked(target.tool.namespace):
            spec = spec.unlocked
        known = self._known.get(id(spec))
        if known is not None:
            return known[0]
        binding = Binding(spec, describe_tool(type(target.tool)))
        # Of a tool that was loaded again, the old code goes, and this with it.
        forget = partial(_forget, self._known, id(spec))
        self._known[id(spec)] = binding, weakref.ref(spec, forget)
        return binding


def _forget(known: dict[int, Any], key: int, _: object) -> None:
    known.pop(key, None)


def _version_for(content_type: str) -> Version:
    """The version in which to answer what is no message of any version."""
    media_type = content_type.partition(";")[0].strip().lower()
    return SOAP12 if media_type == SOAP12.media_type else SOAP11


def _full_name(name: str, uri: str, request: Request) -> str:
    """The full name of a method, of which the path says nothing."""
    namespace = namespace_of(uri)
    if namespace is None and "." not in name:
        sent = _ACTION.match(request.headers.get("soapaction", "")) or _ACTION12.search(
            request.headers.get("content-type", "")
        )
        namespace = namespace_of(sent[1]) if sent is not None else None
    return f"{namespace}.{name}" if namespace else name
