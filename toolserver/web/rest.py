"""Tools over REST: verbs and paths to calls, outcomes to responses."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from gevent import GreenletExit

from toolserver.builtin.jobs import JobsTool
from toolserver.calls import Arguments, Call, Outcome
from toolserver.contexts import Context, bind, current
from toolserver.cors import CORS
from toolserver.dispatcher import Dispatcher
from toolserver.endpoints import Endpoint, Generator, endpoints_of
from toolserver.entries import Target
from toolserver.errors import (
    AlreadyDone,
    ApplicationError,
    DirectResponse,
    Forbidden,
    InvalidRequest,
    NotModified,
    Redirect,
    Signal,
    ToolserverError,
)
from toolserver.jobs.outside import can_be_job
from toolserver.message import Request, Response, redirect
from toolserver.registry import Registry
from toolserver.resultcache import FRESH_FOR
from toolserver.settings import Settings
from toolserver.web.arguments import read_arguments
from toolserver.web.background import run_in_background
from toolserver.web.conditional import make_etag
from toolserver.web.crossorigin import answer_preflight, is_preflight, share
from toolserver.web.keyedrequests import FIELD, Attempt, KeyedRequests
from toolserver.web.negotiation import add_vary, choose_media_type, compress_response
from toolserver.web.origins import foreign_origin, origin_of
from toolserver.web.preferences import Preferences, read_preferences
from toolserver.web.problems import (
    error_fields,
    exception_of,
    forget_frames,
    problem,
)
from toolserver.web.rendering import render
from toolserver.web.revalidation import without_known_parts
from toolserver.web.routes import Route, Routes

__all__ = ["REST", "VerbNotAnswered"]

log = logging.getLogger("toolserver.rest")


class VerbNotAnswered(InvalidRequest):
    """The path is right, but nothing there answers the verb."""

    status = 405


class REST:
    """Answers REST requests.

    Args:
        registry: The tools.
        dispatcher: The door for calls.
        settings: The settings of the server.
        keyed: Answers requests that may be sent again; None where there are no such.
    """

    def __init__(
        self,
        registry: Registry,
        dispatcher: Dispatcher,
        *,
        settings: Settings,
        keyed: KeyedRequests | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._keyed = keyed
        self._max_body = settings.limits.body
        self._debug = settings.server.debug
        public = settings.server.public_url
        self._origins = frozenset({origin_of(public)} if public else ())
        routes = Routes(registry, dispatcher.failure)
        self.exact = routes.exact
        self.nearest = routes.nearest

    def body_limit(self, request: Request) -> int:
        """How large a body a request may have.

        Args:
            request: The request, of which only the head is here.

        Returns:
            Bytes: the server's bound, or the method's own.
        """
        try:
            route = self.exact(request) or self.nearest(request)
        except ToolserverError:
            # A factory has no such tool; the caller learns it with the answer.
            route = None
        if route is None:
            return self._max_body
        endpoint = route.endpoints.get(request.method)
        own = endpoint.target.spec.limit.max_body if endpoint is not None else None
        return self._max_body if own is None else own

    def answer(self, request: Request, route: Route) -> Response:
        """Answer a request.

        Args:
            request: The request.
            route: What `exact` or `nearest` found for it.

        Returns:
            The answer; failures are answers, too.

        Raises:
            AlreadyDone: The tool has sent its answer itself.
        """
        if route.cors is not None:
            return self._answer_shared(request, route, route.cors)
        verb = request.method
        endpoint = route.endpoints.get(verb)
        if endpoint is None:
            return self._without_endpoint(request, route)
        if route.redirect and verb in ("GET", "HEAD"):
            query = f"?{request.query_string}" if request.query_string else ""
            return redirect(route.redirect + query, 308)
        if not (endpoint.is_safe or route.is_trusted) and (
            foreign_origin(request, self._origins) is not None
        ):
            return self.problem(
                request, Forbidden("calls from pages of another origin are not allowed")
            )
        context = current() or Context(protocol="REST")
        if route.rest:
            request = request.replace(rest=route.rest)
            context.request = request
        key = None if endpoint.is_safe else request.headers.get(FIELD)
        if key is None or self._keyed is None:
            return self._answer_call(request, endpoint, context)
        return self._keyed.answer(
            request,
            key,
            [endpoint.target],
            lambda whole, attempt: self._answer_call(whole, endpoint, context, attempt),
        )

    def _answer_call(
        self,
        request: Request,
        endpoint: Endpoint,
        context: Context,
        attempt: Attempt | None = None,
    ) -> Response:
        """Make the call that a request asks for, and answer with what becomes of it."""
        target = endpoint.target
        call = self._read_call(request, endpoint)
        prefer = request.headers.get("prefer")
        called = target if attempt is None else attempt.noting(target)
        if prefer is None or endpoint.is_rest:
            outcome = self._dispatcher.call(call, called)
        else:
            made = self._call_as_preferred(
                call, called, read_preferences(prefer), attempt
            )
            if isinstance(made, Response):
                return made
            outcome = made
        if attempt is not None:
            attempt.note_end(outcome)
        # Rendering is the tool's work, too, and so are the steps of a stream.
        with bind(context.nested(target.tool, target.spec.name)):
            return self._respond(request, endpoint, outcome)

    def answer_for(self, request: Request, outcome: Outcome) -> Response:
        """Answer with what became of a call that was made by other means.

        Args:
            request: The request that asks for it.
            outcome: What became of the call.

        Returns:
            What the call itself would have been answered under the verb of the
            request, or under the first that its method answers.
        """
        endpoint = self._endpoint_of(outcome.call.name, request.method)
        if endpoint is None:
            # The method is gone; what it has returned is not.
            if outcome.error is not None:
                return self.problem(request, outcome.error)
            return render(request, outcome.value)
        target = endpoint.target
        outer = current() or Context(protocol="REST")
        with bind(outer.nested(target.tool, target.spec.name)):
            return self._respond(request, endpoint, outcome)

    def problem(self, request: Request, error: ToolserverError) -> Response:
        """Tell a caller what went wrong.

        Args:
            request: The request that failed.
            error: Why.

        Returns:
            The answer.
        """
        return problem(request, error, debug=self._debug)

    def _answer_shared(self, request: Request, route: Route, cors: CORS) -> Response:
        """Answer for a tool that pages of other origins may call."""
        if is_preflight(request):
            return answer_preflight(request, cors, route.endpoints)
        trusted = cors.allows(request.headers.get("origin"))
        inner = dataclasses.replace(route, cors=None, is_trusted=trusted)
        return share(request, cors, self.answer(request, inner))

    def _without_endpoint(self, request: Request, route: Route) -> Response:
        if request.method == "OPTIONS":
            response = Response(status=204)
        else:
            error = VerbNotAnswered(f"{request.method} is not answered here")
            response = self.problem(request, error)
        response.headers.append(("Allow", route.allow))
        return response

    def _endpoint_of(self, name: str, verb: str) -> Endpoint | None:
        namespace, _, method = name.rpartition(".")
        try:
            entry = self._dispatcher.registry.entry(namespace)
        except ToolserverError:
            return None
        endpoints = endpoints_of(entry, method)
        return endpoints.get(verb) or next(iter(endpoints.values()), None)

    def _call_as_preferred(
        self,
        call: Call,
        target: Target,
        preferences: Preferences,
        attempt: Attempt | None,
    ) -> Outcome | Response:
        """Make a call as its caller likes: with somebody waiting for it, or not."""
        jobs = self._dispatcher.registry.of_class(JobsTool)
        if not preferences.is_async or jobs is None or not can_be_job(target):
            return self._dispatcher.call(call, target)
        try:
            prepared = self._dispatcher.prepare(call, target)
            made = run_in_background(prepared, preferences, jobs.path)
            if attempt is not None:
                attempt.note_job()
            return made
        except ToolserverError as error:
            return Outcome(call, error=error)
        except Signal as signal:
            return Outcome(call, signal=signal)

    def _read_call(self, request: Request, endpoint: Endpoint) -> Call:
        target = endpoint.target
        call = Call(target.name)
        if endpoint.is_rest:
            call.args = (request,)
        elif endpoint.parser is not None:
            parse = endpoint.parser

            def read() -> Arguments:
                # What a parser takes from a query is text.
                call.lax = True
                return _parsed(parse(request), target.name)

            call.read = read
        elif request.query_string or request.rest or request.content:
            call.read = lambda: read_arguments(request, target.spec)
        return call

    def _respond(
        self, request: Request, endpoint: Endpoint, outcome: Outcome
    ) -> Response:
        """Answer with what became of a call; failing at that is a failure of it."""
        if outcome.error is not None:
            return self._respond_error(request, endpoint, outcome.error)
        try:
            if outcome.signal is not None:
                return _respond_signal(request, outcome.signal)
            return self._respond_value(request, endpoint, outcome.value)
        except AlreadyDone:
            raise
        except Signal as signal:
            return _respond_signal(request, signal)
        except BaseException as error:
            failure = self._dispatcher.unsendable
            return self._respond_error(
                request, endpoint, failure(endpoint.target, error)
            )

    def _respond_value(
        self, request: Request, endpoint: Endpoint, value: Any
    ) -> Response:
        made, kind, compress = value, "", True
        if endpoint.generators:
            generator = _choose(endpoint.generators, request)
            if generator is not None:
                made = generator.function(request, made)
                kind, compress = generator.content_type, generator.compress
        response = render(request, made, content_type=kind)
        if endpoint.varies and response is not made:
            response.headers = add_vary(response.headers, "Accept")
        if request.method in ("GET", "HEAD") and response.status == 200:
            if response is not made and isinstance(response.body, bytes):
                response.headers.append(("ETag", make_etag(response.body)))
            if endpoint.target.cache is not None and FRESH_FOR in request.notes:
                _tell_freshness(request, response)
            response = without_known_parts(request, response)
        if compress:
            accepted = request.headers.get("accept-encoding")
            if accepted is not None:
                return compress_response(response, accepted)
        return response

    def _respond_error(
        self, request: Request, endpoint: Endpoint, error: ToolserverError
    ) -> Response:
        try:
            return self._tell_error(request, endpoint, error)
        finally:
            forget_frames(error)

    def _tell_error(
        self, request: Request, endpoint: Endpoint, error: ToolserverError
    ) -> Response:
        if endpoint.on_error is None:
            return self.problem(request, error)
        exception = exception_of(error)
        try:
            made = endpoint.on_error(request, exception)
            if isinstance(made, Response):
                return made
            response = render(request, made)
        except AlreadyDone:
            raise
        except Signal as signal:
            return _respond_signal(request, signal)
        except GreenletExit:
            raise
        except BaseException as raised:  # a tool may raise SystemExit, too
            if raised is not exception:
                log.exception("%s: its error handler failed", endpoint.target.name)
            return self.problem(request, error)
        # Some fields go with a status, whoever writes the body.
        named = {name.lower() for name, _ in response.headers}
        fields = [pair for pair in error_fields(error) if pair[0].lower() not in named]
        return Response(
            response.body, status=error.status, headers=[*response.headers, *fields]
        )


def _tell_freshness(request: Request, response: Response) -> None:
    """Let the caller's own cache keep what ours keeps, too, unless the tool says."""
    if not any(name.lower() == "cache-control" for name, _ in response.headers):
        # Not for others: who may call is judged here.
        value = f"private, max-age={request.notes[FRESH_FOR]}"
        response.headers.append(("Cache-Control", value))


def _parsed(made: Any, name: str) -> Arguments:
    if isinstance(made, Mapping):
        return (), made
    if isinstance(made, tuple) and len(made) == 2:
        return made
    got = type(made).__name__
    raise TypeError(f"{name}: its parser returned a {got}, expected a mapping")


def _choose(generators: tuple[Generator, ...], request: Request) -> Generator | None:
    """The generator whose media type suits the caller; None for the usual rendering."""
    first = generators[0]
    accept = request.headers.get("accept")
    if accept is None or not first.content_type:
        return first
    offered = [generator.content_type for generator in generators]
    chosen = choose_media_type(accept, [kind for kind in offered if kind])
    for generator in generators:
        if generator.content_type == chosen or not generator.content_type:
            return generator
    return None


def _respond_signal(request: Request, signal: Signal) -> Response:
    match signal:
        case Redirect():
            return redirect(signal.url, signal.status)
        case NotModified():
            return Response(status=304)
        case DirectResponse():
            return signal.response
        case AlreadyDone():
            raise signal
    raise ApplicationError(f"answered with the unknown signal {type(signal).__name__}")
