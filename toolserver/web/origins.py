"""Which web page is behind a request: one of the server's own, or of a stranger.

A page can make its visitor's browser send requests with the visitor's rights. Browsers
say where the page comes from: all in ``Origin``, where they send anything but a plain
form of the page's own site, and newer ones in ``Sec-Fetch-Site``, which they send only
to servers that are reached by TLS or on this machine.

Spec: RFC 6454 (origins); Fetch Metadata Request Headers, W3C, section 2.3.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from toolserver.message import Request

__all__ = ["foreign_origin", "origin_of"]

_USUAL_PORTS = {"http": ":80", "https": ":443"}
#: What a browser sends for a page whose origin it does not tell.
_HIDDEN = "null"


def foreign_origin(request: Request, own: Collection[str] = ()) -> str | None:
    """The origin of the page that sent a request, if it is not the server's own.

    Args:
        request: The request.
        own: Origins of the server besides the one that was asked.

    Returns:
        The origin; ``"null"`` for one that is not told. None where no page, or one of
        the server itself, is behind the request.
    """
    headers = request.headers
    site = headers.get("sec-fetch-site")
    # What the browser found knows more than we do, as a proxy may have ended its TLS.
    if site == "same-origin":
        return None
    # "none" is no page: the user has asked for it, by a bookmark or the like.
    is_foreign = site in ("cross-site", "same-site")
    origin: str | None = headers.get("origin")
    if origin is None:
        return _HIDDEN if is_foreign else None
    # The host that the browser has asked for, not what it was rewritten to.
    asked = _origin(request.scheme, request.notes.get("host", request.host))
    sent = origin.lower()
    return None if sent in own or (sent == asked and not is_foreign) else origin


def origin_of(url: str) -> str:
    """The origin of a URL.

    Args:
        url: A whole URL of HTTP.
    """
    parts = urlsplit(url)
    return _origin(parts.scheme.lower(), parts.netloc.rpartition("@")[2].lower())


def _origin(scheme: str, host: str) -> str:
    return f"{scheme}://{host.removesuffix(_USUAL_PORTS.get(scheme, ' '))}"
