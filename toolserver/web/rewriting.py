"""Lets handlers rewrite requests before any tool sees them.

Handlers of the chain ``system.request.rewrite`` may change host, path, query and header
fields: for virtual hosts, and for URLs that have moved. They see a request once more
if its body is so large that the bound of the method matters that will get it.
"""

from __future__ import annotations

from urllib.parse import unquote

import msgspec

from toolserver.chains import Chain, Chains
from toolserver.message import Headers, Request

__all__ = ["Rewriting"]

NAME = "system.request.rewrite"
#: What says whose request it is and what it carries; no handler may forge it.
_KEPT = (
    *("method", "scheme", "http_version", "peer", "peer_port", "local", "rest"),
    *("certificate", "content", "writer", "limits"),
)


class Rewriting:
    """Passes requests through the chain.

    Args:
        chains: The chains of the server.

    Attributes:
        links: The chain's handlers; a request need not be passed while there is none.
    """

    def __init__(self, chains: Chains) -> None:
        self.links = chains.links(NAME)
        self._chain = Chain(NAME, Request, chains)

    def rewrite(self, request: Request) -> Request:
        """Let the handlers rewrite a request.

        Args:
            request: The request as it was sent.

        Returns:
            The request to answer; it shares its notes with the one that was sent.
        """

        def check(changed: Request) -> None:
            _check(changed, request)

        changed = self._chain.run(request, check=check)
        if changed is request:
            return request
        notes = request.notes
        notes["host"] = request.host
        if changed.query_string != request.query_string:
            notes.pop("query", None)
        headers = changed.headers
        if changed.host != request.host and headers.get("host") != changed.host:
            # Applications that read the field have to see the same host.
            others = [pair for pair in headers.pairs if pair[0].lower() != "host"]
            headers = Headers([("Host", changed.host), *others])
        return msgspec.structs.replace(changed, headers=headers, notes=notes)


def _check(changed: Request, sent: Request) -> None:
    """Refuse a request that was changed in more than its address and header fields.

    Raises:
        ValueError: It was.
    """
    for name in _KEPT:
        if getattr(changed, name) is not getattr(sent, name):
            raise ValueError(f"{name}: got another one than the request was sent with")
    path = changed.raw_path
    # What looks at the one must not be led elsewhere than what looks at the other.
    if unquote(path, errors="surrogateescape") != changed.path:
        raise ValueError(f"raw_path: got {path!r}, expected that of {changed.path!r}")
    if not path.startswith("/") and path != sent.raw_path:
        raise ValueError(f"path: got {path!r}, expected a slash in front")
