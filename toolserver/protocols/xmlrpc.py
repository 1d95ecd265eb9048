"""XML-RPC.

Spec: http://xmlrpc.com/spec, and for the numbers of faults
http://xmlrpc-epi.sourceforge.net/specs/rfc.fault_codes.php.
"""

from __future__ import annotations

from toolserver.calls import Call, Outcome
from toolserver.message import Request, Response
from toolserver.protocols.xmlrpc_reader import read_call
from toolserver.protocols.xmlrpc_writer import write_fault, write_response
from toolserver.settings import Limits, XMLRPCSettings

__all__ = ["XMLRPC"]


class XMLRPC:
    """The codec of XML-RPC; faults are sent with HTTP status 200.

    Args:
        limits: Bounds for depth, elements and attributes of XML.
        settings: How None is sent.
    """

    prefix = "RPC2"
    content_type = "text/xml"
    content_types = ("application/xml",)

    def __init__(self, limits: Limits, settings: XMLRPCSettings) -> None:
        self._limits = limits
        self._keeps_none = settings.nil_members

    def decode(self, request: Request) -> list[Call]:
        """Read a call.

        Args:
            request: The request.

        Returns:
            The one call.

        Raises:
            ParseError: The body is not well-formed XML in an encoding that is
                accepted, or passes a bound, or has a DTD.
            InvalidRequest: It is well-formed, but no methodCall.
        """
        content_type = request.headers.get("content-type", "")
        name, params = read_call(request.body, content_type, self._limits)
        return [Call(name, params)]

    def encode(self, request: Request, outcomes: list[Outcome]) -> Response:
        """Write the result or the fault.

        Args:
            request: The request that is answered.
            outcomes: What became of the one call.

        Returns:
            The response.

        Raises:
            ApplicationError: XML-RPC cannot carry the result.
        """
        (outcome,) = outcomes
        if outcome.error is not None:
            body = write_fault(outcome.error.code, outcome.error.message)
        else:
            body = write_response(outcome.plain, keeps_none=self._keeps_none)
        return Response(body, content_type="text/xml; charset=utf-8")
