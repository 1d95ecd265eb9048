"""The way of a request through the server, from its head to its answer.

1. a trusted proxy tells of the client; is the host a name of this server?
2. may the client's address call? Then the chain of rewriting handlers.
3. who is calling?
4. a protocol's prefix: RPC
5. a tool and a method in the path: REST
6. a file below ``www/``
7. the nearest tool upwards whose first remaining element is a method: REST
8. where nothing is at the root, the page that the server starts with
9. 404
"""

from __future__ import annotations

import logging
import re

from toolserver.auth.access import Access
from toolserver.auth.base import Identity
from toolserver.calls import Call
from toolserver.chains import Chains
from toolserver.contexts import Context, bind, request_id_text
from toolserver.dispatcher import run_validators
from toolserver.errors import (
    AlreadyDone,
    InternalError,
    InvalidRequest,
    NotFound,
    ToolserverError,
)
from toolserver.message import Request, Response, redirect
from toolserver.scopes import set_scope
from toolserver.services import Services
from toolserver.unlocking import unlock
from toolserver.web.gateway import Gateway
from toolserver.web.hosts import HostCheck
from toolserver.web.proxies import Proxies
from toolserver.web.resourcemetadata import ResourceMetadata
from toolserver.web.rest import REST
from toolserver.web.rewriting import Rewriting
from toolserver.web.rpc import RPC
from toolserver.web.static import StaticFiles

__all__ = ["App"]

log = logging.getLogger("toolserver.web")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class UnknownCoding(InvalidRequest):
    """The body is compressed."""

    status = 415


class App:
    """Answers every request that the transport hands over.

    Args:
        services: What contexts offer to tools.
        access: Tells who is calling, and who may not.
        proxies: Which proxies are believed.
        hosts: Tells whether the server is meant.
        rpc: The RPC protocols.
        rest: The tools over REST.
        static: The static files, or None where none are served.
        gateway: The WSGI applications, or None where there are none.
        resource: Tells clients where they get access tokens, or None.
        start: The path to which the root leads if nothing is there; empty for none.
    """

    def __init__(
        self,
        services: Services,
        *,
        access: Access,
        proxies: Proxies,
        hosts: HostCheck,
        rpc: RPC,
        rest: REST,
        static: StaticFiles | None,
        gateway: Gateway | None = None,
        resource: ResourceMetadata | None = None,
        start: str = "",
    ) -> None:
        self._services = services
        self._access = access
        self._proxies = proxies if proxies else None
        self._hosts = hosts
        self._rpc = rpc
        self._rest = rest
        self._static = static
        self._rewriting = Rewriting(services.part(Chains))
        self._rewrites = self._rewriting.links
        self._gateway = gateway
        self._resource = resource
        self._start = start
        self._prefixes = frozenset(rpc.paths)
        self._guards_files = any(entry.guards_files for entry in services.registry)

    def __call__(self, request: Request) -> Response:
        """Answer a request.

        Args:
            request: The request.

        Returns:
            The answer; failures are answers, too.

        Raises:
            AlreadyDone: The tool has sent its answer itself.
        """
        sent_id = request.headers.get("x-request-id")
        if sent_id is not None and _REQUEST_ID.fullmatch(sent_id) is None:
            sent_id = None
        context = Context(
            services=self._services,
            request=request,
            protocol="REST",
            request_id=sent_id or "",
        )
        request.notes["number"] = context.number
        with bind(context):
            try:
                response = self._answer(request, context)
            except AlreadyDone:
                raise
            except ToolserverError as error:
                response = self._rest.problem(request, error)
            except (Exception, KeyboardInterrupt):
                # Signals raise nothing in calls: whose code raises it, it is not the
                # operator who wants the process to end.
                log.exception(
                    "internal error, reference %s: %r", context.request_id, request
                )
                response = self._rest.problem(
                    request, InternalError(context.request_id)
                )
            if self._resource is not None and response.status in (401, 403):
                response = self._resource.point(request, response)
            seal = request.notes.pop("seal", None)
            return response if seal is None else seal(response)

    def fail(self, request: Request) -> Response:
        """Answer for an answer that cannot be sent, such as one of an unknown status.

        Args:
            request: The request.

        Returns:
            The problem, with a reference to the log.
        """
        reference = request_id_text(request.notes.get("number", ""))
        log.error("internal error, reference %s: %r, see above", reference, request)
        return self._rest.problem(request, InternalError(reference))

    def _answer(self, request: Request, context: Context) -> Response:
        notes = request.notes
        if self._proxies is not None:
            request = context.request = self._proxies.believe(request)
            # The access log is told of the request as it came.
            notes["peer"] = request.peer
        if not self._hosts.is_ours(request):
            return Response("the server does not answer to this host\n", status=421)
        # Judged as it was sent: what a handler makes of it nobody has signed.
        sent, is_judged = request, self._access.is_active
        if is_judged:
            self._access.admit(sent)
        if self._rewrites.handlers:
            request = context.request = self._rewriting.rewrite(request)
        identity: Identity | None = None
        if is_judged:
            identity, context.groups = self._access.identify(sent)
            if identity is not None:
                context.client = notes["client"] = identity.client
                context.auth_type = identity.auth_type
                notes["seal"] = identity.seal
                if identity.namespaces is not None:
                    set_scope(identity.namespaces, identity.scope_prefix)
                if identity.unlocks is not None:
                    unlock(identity.unlocks)
                if identity.content is not None and request.content is sent.content:
                    request = request.replace(content=identity.content)
                    context.request = request
        if self._resource is not None:
            document = self._resource.answer(request)
            if document is not None:
                return document
            if identity is None:
                self._resource.check(request)
        if self._gateway is not None:
            mount = self._gateway.find(request)
            if mount is not None:
                context.protocol = "WSGI"
                return self._gateway.answer(request, mount)
        if request.content:
            coding = request.headers.get("content-encoding")
            if coding is not None and coding.lower() != "identity":
                return self._without_coding(request)
        path = request.path
        first, _, rest = path[1:].partition("/")
        if not first and path == "*":
            # RFC 9110, section 9.3.7: a question to the server itself.
            return Response(status=204)
        if first in self._prefixes:
            context.protocol = first
            namespace = rest.strip("/").replace("/", ".")
            return self._rpc.answer(request, first, namespace)
        route = self._rest.exact(request)
        if route is not None:
            return self._rest.answer(request, route)
        if self._static is not None:
            if self._guards_files:
                self._check_file(request, context)
            found = self._static.serve(request)
            if found is not None:
                return found
        route = self._rest.nearest(request)
        if route is not None:
            return self._rest.answer(request, route)
        if path == "/" and self._start and request.method in ("GET", "HEAD"):
            return redirect(self._start)
        raise NotFound(f"nothing here: {path!r}")

    def _without_coding(self, request: Request) -> Response:
        error = UnknownCoding("content-encoding: expected a body as it is")
        response = self._rest.problem(request, error)
        # RFC 9110, section 15.5.16: so the client learns what would be taken.
        response.headers.append(("Accept-Encoding", "identity"))
        return response

    def _check_file(self, request: Request, context: Context) -> None:
        """Ask the nearest tool whether the file below it may be had."""
        found = self._services.registry.nearest(tuple(request.path.split("/")[1:]))
        if found is None or not found[0].file_validators:
            return
        asking = context.nested(found[0].tool, "")
        asking.protocol = "FILES"
        with bind(asking):
            run_validators(found[0].file_validators, Call(request.path), asking)

    def is_proxy(self, peer: str) -> bool:
        """Whether an address is that of a trusted proxy, which brings many clients.

        Args:
            peer: The address; empty for the Unix socket.
        """
        return self._proxies is not None and self._proxies.is_trusted(peer)

    def body_limit(self, request: Request) -> int:
        """How large a body a request may have whose body passes the server's bound.

        Args:
            request: The request, of which only the head is here.

        Returns:
            Bytes.
        """
        if self._rewrites.handlers:
            request = self._rewriting.rewrite(request)
        return self._rest.body_limit(request)
