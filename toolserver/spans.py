"""Spans of calls and jobs, for OpenTelemetry; needs the extra ``toolserver[otel]``.

A call is a part of the trace that its request came with, or that of who started the
job, and what it sends to other servers goes on from its own span.

Spec: OpenTelemetry, semantic conventions of RPC: ``rpc.system``, ``rpc.service`` and
``rpc.method``.
"""

from __future__ import annotations

from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from toolserver import __version__
from toolserver.calls import Call
from toolserver.contexts import Context, current
from toolserver.dispatcher import Dispatcher
from toolserver.entries import Target
from toolserver.errors import Signal
from toolserver.factories import pattern_of
from toolserver.traces import incoming, running_span

__all__ = ["SpanDispatcher", "make_tracer"]

_PROPAGATOR = TraceContextTextMapPropagator()


def make_tracer() -> Tracer:
    """Make what begins spans.

    Returns:
        That of the provider that somebody has set; else of one that sends its spans by
        OTLP over HTTP, as the variables ``OTEL_…`` of the environment say.
    """
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(provider)
    return trace.get_tracer("toolserver", __version__)


class SpanDispatcher(Dispatcher):
    """Makes calls, each in a span.

    Args:
        tracer: Begins them.
        *args: Arguments of the class that comes next.
        **options: Further ones.
    """

    def __init__(self, tracer: Tracer, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._tracer = tracer

    def invoke(
        self, target: Target, call: Call, *, inside: bool = False, checked: bool = True
    ) -> Any:
        """Take a call from its context to its result; see `Dispatcher.invoke`."""
        context = current()
        parent, kind = None, SpanKind.INTERNAL
        if not running_span.get():
            parent = _PROPAGATOR.extract(incoming())
            kind = SpanKind.CONSUMER if inside else SpanKind.SERVER
        with self._tracer.start_as_current_span(
            # Callers choose the keys of factories: they are attributes, no names.
            f"{pattern_of(target.tool)}.{target.spec.name}",
            context=parent,
            kind=kind,
            attributes=_attributes(target, context),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            token = running_span.set(_written(span))
            try:
                return super().invoke(target, call, inside=inside, checked=checked)
            except BaseException as error:
                _note(span, error)
                raise
            finally:
                running_span.reset(token)


def _attributes(target: Target, context: Context | None) -> dict[str, str]:
    found = {
        "rpc.system": "toolserver",
        "rpc.service": target.tool.namespace,
        "rpc.method": target.spec.name,
    }
    if context is not None:  # pragma: no branch - calls have one
        found["toolserver.request_id"] = context.request_id
        if context.protocol:
            found["network.protocol.name"] = context.protocol
        if context.client:
            found["enduser.id"] = context.client
        if context.job_id:
            found["toolserver.job_id"] = context.job_id
    return found


def _written(span: Span) -> str:
    """What ``traceparent`` has where a span is the parent."""
    fields: dict[str, str] = {}
    _PROPAGATOR.inject(fields, trace.set_span_in_context(span))
    return fields.get("traceparent", "")


def _note(span: Span, error: BaseException) -> None:
    if isinstance(error, Signal):
        # It is an answer, such as a redirection.
        return
    span.set_status(Status(StatusCode.ERROR, type(error).__name__))
    if isinstance(error, Exception):
        span.record_exception(error)
