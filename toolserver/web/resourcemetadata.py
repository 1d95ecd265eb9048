"""Where clients get access tokens for this server: told to who comes without one.

An agent that knows nothing but an address is refused with 401 and the URL of a document
that names the authorization servers; there it gets a token, and comes again.

Spec: RFC 9728 (OAuth 2.0 protected resource metadata), as the authorization of the
Model Context Protocol asks for it; RFC 6750 for ``WWW-Authenticate``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from toolserver import strictjson
from toolserver.auth.issueraddresses import is_safe
from toolserver.cors import CORS
from toolserver.errors import StartError, Unauthenticated
from toolserver.message import Request, Response
from toolserver.services import services
from toolserver.settings import AuthSettings
from toolserver.web.crossorigin import answer_preflight, is_preflight, share

__all__ = ["ResourceMetadata"]

_WELL_KNOWN = "/.well-known/oauth-protected-resource"
_VERBS = ("GET", "HEAD")
#: Everybody may know it, and agents run in browsers, too.
_CORS = CORS("*")
_CHALLENGE = 'Bearer realm="toolserver"'


class ResourceMetadata:
    """Tells clients where they get access tokens.

    Args:
        settings: The authorization servers, and the scopes that there are.
        agents: The first elements of the paths at which agents call: who calls there
            needs a name, and each is a resource with a document of its own.

    Raises:
        StartError: What the settings name is no authorization server.
    """

    def __init__(self, settings: AuthSettings, agents: Iterable[str]) -> None:
        for url in settings.authorization_servers:
            # RFC 8414, section 2: an issuer has neither query nor fragment.
            if not is_safe(url) or "?" in url or "#" in url:
                raise StartError(
                    f"auth.authorization_servers: got {url!r}, expected the address "
                    "of an authorization server by https"
                )
        self._facts: dict[str, Any] = {
            "authorization_servers": list(settings.authorization_servers),
            "bearer_methods_supported": ["header"],
        }
        if settings.scopes_supported:
            self._facts["scopes_supported"] = list(settings.scopes_supported)
        self._agents = frozenset(f"/{first}" for first in agents)

    def answer(self, request: Request) -> Response | None:
        """Answer who asks for a document.

        Args:
            request: The request.

        Returns:
            The document; None if the request asks for something else.
        """
        if not request.path.startswith(_WELL_KNOWN):
            return None
        base = urlsplit(services().url).path.rstrip("/")
        # A proxy may have taken away what it knows the server by.
        path = request.path.removeprefix(_WELL_KNOWN)
        path = path.removeprefix(base) if base else path
        if path not in self._agents and path not in ("", "/"):
            return None
        if is_preflight(request):
            return answer_preflight(request, _CORS, _VERBS)
        if request.method not in _VERBS:
            return Response(status=405, headers={"Allow": ", ".join(_VERBS)})
        document = {"resource": services().url.rstrip("/") + path, **self._facts}
        made = Response(strictjson.encode(document), content_type="application/json")
        return share(request, _CORS, made)

    def check(self, request: Request) -> None:
        """Refuse who calls as an agent and does not say who it is.

        Args:
            request: A request without credentials.

        Raises:
            Unauthenticated: It is that of an agent.
        """
        if self._agent_path(request) and not is_preflight(request):
            raise Unauthenticated("an access token is needed", challenge=_CHALLENGE)

    def point(self, request: Request, response: Response) -> Response:
        """Add to a refusal where a token is to be had.

        Args:
            request: The request.
            response: The refusal, which is not changed.

        Returns:
            The refusal with the URL of the document (RFC 9728, section 5.1).
        """
        parts = urlsplit(services().url)
        path = self._agent_path(request) or ""
        base = parts.path.rstrip("/")
        url = f"{parts.scheme}://{parts.netloc}{_WELL_KNOWN}{base}{path}"
        told = f'resource_metadata="{url}"'
        headers, is_told = [], False
        for name, value in response.headers:
            if name.lower() == "www-authenticate" and value.startswith("Bearer "):
                value, is_told = f"{value}, {told}", True
            headers.append((name, value))
        if not is_told and response.status != 401:
            # Whatever is missing, it is no token.
            return response
        if not is_told:
            headers.append(("WWW-Authenticate", f"{_CHALLENGE}, {told}"))
        pointing = copy.copy(response)
        pointing.headers = headers
        return pointing

    def _agent_path(self, request: Request) -> str | None:
        first = "/" + request.path[1:].partition("/")[0]
        return first if first in self._agents else None
