"""Doors that speak a protocol to a server, by the codecs of the real client.

Each has one connection, which is kept open.
"""

from __future__ import annotations

from dataclasses import replace

from toolserver.client import TransportError
from toolserver.client.codecs import Answer, Codec, Outgoing
from toolserver.client.mcp import MCPCodec
from toolserver.client.rest import RESTCodec
from toolserver.client.soap import SOAPCodec
from toolserver.describe.agentcatalog import AgentCatalog
from toolserver.entries import Target, ToolEntry
from toolserver.errors import ToolserverError
from toolserver.parity.calls import Asked, Failure, Told
from toolserver.parity.doors import Door
from toolserver.parity.literal import LiteralCodec
from toolserver.parity.wire import Wire
from toolserver.settings import Limits

__all__ = ["LIMITS", "AgentDoor", "LiteralDoor", "RESTDoor", "SOAPDoor", "WireDoor"]

#: Bounds for what the server under test answers.
LIMITS = Limits(xml_depth=256, xml_elements=2_000_000)
#: Wrappers by which a tool itself reads requests or writes answers.
_RESHAPING = ("parser", "generator", "on_error")


class WireDoor(Door):
    """A protocol, spoken by a codec of the client over one connection that is kept.

    Args:
        url: The address of the server.
    """

    def __init__(self, url: str) -> None:
        self._wire = Wire(url)

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

    def _codec(self, asked: Asked) -> Codec:
        raise NotImplementedError

    def _one(self, asked: Asked) -> Told:
        codec = self._codec(asked)
        try:
            request = codec.write(asked.name, asked.args, asked.kwargs)
        except ToolserverError as error:
            return self._failed(error)
        return self._exchange(codec, request)

    def _exchange(self, codec: Codec, request: Outgoing) -> Told:
        try:
            answer = self._wire.exchange(request)
        except OSError as error:
            # The server broke off, as it does where a stream cannot go on.
            return Told(failure=Failure(type(error).__name__, None, str(error)))
        return self._read(codec, answer)

    def _read(self, codec: Codec, answer: Answer) -> Told:
        try:
            return Told(codec.read(answer))
        except (ToolserverError, TransportError) as error:
            return self._failed(error, answer.status)


class RESTDoor(WireDoor):
    """A request to the URL of the method."""

    name = "REST"

    def skips(self, entry: ToolEntry, target: Target) -> str:
        """Why REST is another matter: the tool has wrappers that only it asks."""
        for bound in entry.wrappers:
            wrapper = bound.wrapper
            if wrapper.role in _RESHAPING and wrapper.method in (
                "",
                target.spec.attribute,
            ):
                return f"has a {wrapper.role} for REST"
        return ""

    def _codec(self, asked: Asked) -> Codec:
        return RESTCodec()


class SOAPDoor(WireDoor):
    """SOAP without a WSDL: values say themselves what they are."""

    name = "SOAP rpc/encoded"
    tells_code = False
    status = 500

    def _codec(self, asked: Asked) -> Codec:
        return SOAPCodec(LIMITS)


class LiteralDoor(WireDoor):
    """SOAP as the WSDL document says: document/literal wrapped."""

    name = "SOAP document/literal"
    takes_positions = False
    tells_code = False
    status = 500

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._codecs: dict[str, LiteralCodec] = {}

    def form(self, asked: Asked) -> Asked | None:
        """Name arguments, but for those that ``*args`` takes: they are repeated."""
        spec = asked.target.spec if asked.target is not None else None
        if spec is None or spec.rest is None or len(asked.args) <= spec.positional:
            return super().form(asked)
        named = replace(asked, args=asked.args[: spec.positional])
        form = super().form(named)
        further = asked.args[spec.positional :]
        return None if form is None else replace(form, args=further)

    def _codec(self, asked: Asked) -> Codec:
        codec = self._codecs.get(asked.name)
        if codec is None:
            spec = asked.target.spec if asked.target is not None else None
            codec = self._codecs[asked.name] = LiteralCodec(spec, LIMITS)
        return codec


class AgentDoor(WireDoor):
    """MCP, as agents call tools.

    Args:
        url: The address of the server.
        catalog: The methods that agents are offered.
    """

    name = "MCP"
    takes_positions = False
    status = 200

    def __init__(self, url: str, catalog: AgentCatalog) -> None:
        super().__init__(url)
        self._catalog = catalog
        self._known = MCPCodec()
        self._known.takes_streams = False

    def skips(self, entry: ToolEntry, target: Target) -> str:
        """Why agents cannot call a method."""
        return "" if self._catalog.offers(entry) else "not offered to agents"

    def _codec(self, asked: Asked) -> Codec:
        return self._known
