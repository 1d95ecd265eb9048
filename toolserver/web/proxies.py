"""What trusted proxies say of the clients behind them.

Spec: RFC 7239 (Forwarded), and the fields ``X-Forwarded-For``, ``-Proto`` and ``-Host``
that came before it. What else stands in these fields was written by strangers.

A proxy that writes one kind of field hands the other one on as the client has sent it.
Where they contradict each other the request is refused, as the client may have lied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from toolserver.auth.hosts import HostList, address_of, parse_hosts
from toolserver.errors import InvalidRequest, StartError
from toolserver.message import Headers, Request

__all__ = ["Proxies"]

#: Stands in the setting for whoever comes by the Unix socket.
_UNIX = "unix"
_PAIR = re.compile(
    r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(\"(?:[^\"\\]|\\.)*\"|[^\s;,\"]*)\s*"
)
_HOST = re.compile(r"[A-Za-z0-9._~-]+(?::\d{1,5})?|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?")
#: Proxies in a row; more than that is nobody's set-up.
_MOST_HOPS = 32


class Proxies:
    """Puts the client in the place of the proxies that are believed.

    Args:
        trusted: Addresses and networks of proxies; ``"unix"`` for those that come by
            the Unix socket.

    Raises:
        StartError: One is no address.
    """

    def __init__(self, trusted: Iterable[str]) -> None:
        listed = list(trusted)
        self._trusts_unix = _UNIX in listed
        lines = "\n".join(f"proxy:{each}" for each in listed if each != _UNIX)
        try:
            self._trusted: HostList = parse_hosts(lines)
        except ValueError as error:
            text = str(error).partition(": ")[2]
            raise StartError(f"server.trusted_proxies: {text}") from error

    def __bool__(self) -> bool:
        return self._trusts_unix or bool(self._trusted)

    def believe(self, request: Request) -> Request:
        """Take address, scheme and host from what a trusted proxy says.

        Args:
            request: The request as it came.

        Returns:
            The request as the client sent it to the first proxy; the same one where it
            comes from no trusted proxy.

        Raises:
            InvalidRequest: A trusted proxy says what cannot be read, or contradicts
                itself.
        """
        if not self.is_trusted(request.peer):
            return request
        older = _older_hops(request.headers)
        changes = self._changes(older)
        forwarded = request.headers.get("forwarded")
        if forwarded is not None:
            told = self._changes([_hop(each) for each in _elements(forwarded)])
            known = {"peer"} if older and "for" in older[0] else set()
            for name in known | (changes.keys() & told.keys()):
                if changes.get(name) != told.get(name):
                    raise InvalidRequest(
                        "forwarded: it contradicts x-forwarded-for, -proto or -host; "
                        "the proxy has to remove those that it does not write"
                    )
            changes |= told
        return request.replace(**changes) if changes else request

    def is_trusted(self, peer: str) -> bool:
        """Whether an address is that of a proxy which is believed.

        Args:
            peer: The address; empty for the Unix socket.
        """
        if not peer:
            return self._trusts_unix
        return self._trusted.find(peer) is not None

    def _changes(self, hops: Sequence[Mapping[str, str]]) -> dict[str, object]:
        """What proxies tell of the client, as attributes of the request.

        Args:
            hops: What each of them tells; the one next to us is the last.
        """
        if len(hops) > _MOST_HOPS:
            raise InvalidRequest("forwarded: too many proxies")
        changes: dict[str, object] = {}
        for hop in reversed(hops):
            if "proto" in hop:
                changes["scheme"] = _scheme(hop["proto"])
            if "host" in hop:
                changes["host"] = _host(hop["host"])
            peer = _address(hop.get("for", ""))
            if peer is None:
                break
            changes["peer"], changes["peer_port"] = peer, 0
            if not self.is_trusted(peer):
                break
        return changes


def _older_hops(headers: Headers) -> list[dict[str, str]]:
    """What ``X-Forwarded-For``, ``-Proto`` and ``-Host`` tell."""
    addresses = _listed(headers.get("x-forwarded-for"))
    hops = [{"for": address} for address in addresses]
    # One proxy says these; of several the last one, which is the trusted one.
    for name in ("proto", "host"):
        found = _listed(headers.get(f"x-forwarded-{name}"))
        if found and hops:
            hops[-1][name] = found[-1]
        elif found:
            hops = [{name: found[-1]}]
    return hops


def _listed(field: str | None) -> list[str]:
    return [each for part in (field or "").split(",") if (each := part.strip())]


def _elements(field: str) -> list[str]:
    # A comma in quotes does not part them.
    return [
        each
        for each in re.findall(r"(?:[^,\"]|\"(?:[^\"\\]|\\.)*\")+", field)
        if each.strip()
    ]


def _hop(element: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in re.findall(r"(?:[^;\"]|\"(?:[^\"\\]|\\.)*\")+", element):
        pair = _PAIR.fullmatch(part)
        if pair is None or pair[1].lower() in found:
            raise InvalidRequest(f"forwarded: got {part.strip()[:60]!r}")
        value = pair[2]
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        found[pair[1].lower()] = value
    return found


def _address(text: str) -> str | None:
    """The address of a node, without its port; None where it hides."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    address = address_of(text)
    return None if address is None else str(address)


def _scheme(text: str) -> str:
    scheme = text.lower()
    if scheme not in ("http", "https"):
        raise InvalidRequest(f"forwarded: got the scheme {text[:60]!r}")
    return scheme


def _host(text: str) -> str:
    if _HOST.fullmatch(text) is None:
        raise InvalidRequest(f"forwarded: got the host {text[:60]!r}")
    return text
