"""Joins what counts to what is counted, where the settings ask for it."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from toolserver.dispatcher import Dispatcher
from toolserver.errors import StartError
from toolserver.http.transport import HTTPServer
from toolserver.metrics.counting import Metrics
from toolserver.metrics.metered import CallMeter, MeteredDispatcher
from toolserver.metrics.sheets import COUNTER, GAUGE, CountSheet
from toolserver.registry import Registry
from toolserver.settings import Settings
from toolserver.sharing.link import Link

__all__ = ["make_dispatcher", "make_metrics", "watch_server"]


def make_metrics(
    sheet: CountSheet | None = None, link: Link | None = None, number: int = 0
) -> Metrics:
    """Make what counts for this process.

    Args:
        sheet: Where it counts; by default it has a sheet of its own.
        link: The connection to the hub, where there are other processes.
        number: Its place among them.

    Returns:
        The same, which watches nothing yet.

    Raises:
        StartError: There is no library to tell the counts.
    """
    if find_spec("prometheus_client") is None:
        raise StartError("ops.metrics needs the extra: toolserver[metrics]")
    return Metrics(sheet, link, number)


def make_dispatcher(
    settings: Settings, registry: Registry, metrics: Metrics | None
) -> Dispatcher:
    """Make the door for calls.

    Args:
        settings: The settings of the server.
        registry: Where the tools are found.
        metrics: What counts the calls; None where nobody asks.

    Returns:
        The door.

    Raises:
        StartError: There is no library to make spans.
    """
    options: dict[str, Any] = {
        "tells_exceptions": settings.errors.detail == "message",
        "threads": settings.server.threads,
    }
    made: type[Dispatcher] = Dispatcher
    args: tuple[Any, ...] = (registry,)
    if metrics is not None:
        made, args = MeteredDispatcher, (CallMeter(metrics.sheet), *args)
    if settings.ops.otel:
        spans = _load_spans()
        made = type("SpanDispatcher", (spans.SpanDispatcher, made), {})
        args = (spans.make_tracer(), *args)
    return made(*args, **options)


def _load_spans() -> Any:
    try:
        return import_module("toolserver.spans")
    except ModuleNotFoundError as error:
        if str(error.name).startswith("toolserver"):
            raise
        raise StartError("ops.otel needs the extra: toolserver[otel]") from error


def watch_server(metrics: Metrics, http: HTTPServer) -> None:
    """Have an eye on what an HTTP server is doing.

    Args:
        metrics: What counts.
        http: The server.
    """
    metrics.watch(COUNTER, {"requests": lambda: http.requests})
    metrics.watch(
        GAUGE,
        {
            "connections": lambda: http.connections,
            "requests_running": lambda: http.busy,
            "requests_limit": lambda: http.pool.size,
            "requests_waiting": lambda: http.waiting,
        },
    )
