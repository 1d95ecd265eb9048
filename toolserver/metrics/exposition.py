"""Counts in the words of Prometheus.

Spec: Prometheus text exposition format 0.0.4, and OpenMetrics 1.0 for who accepts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from toolserver.metrics.counting import JOB_LATENESS, LATENESS_BOUNDS_S, LOOP_LAG
from toolserver.metrics.metered import CALL_BOUNDS_S, CALL_SECONDS, CALLS
from toolserver.metrics.sheets import Series

__all__ = ["expose_metrics"]

_PREFIX = "toolserver_"


class _Family(NamedTuple):
    """What is told of a metric.

    Attributes:
        text: What it counts.
        labels: The names of its labels.
        bounds: The upper bounds of the classes of a histogram.
    """

    text: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


_COUNTERS = {
    CALLS: _Family(
        "Calls of methods that have ended.", ("tool", "method", "protocol", "outcome")
    ),
    "requests": _Family("HTTP requests that have arrived."),
    "cpu_seconds": _Family("Processor time of the processes that answer."),
}
_HISTOGRAMS = {
    CALL_SECONDS: _Family(
        "How long calls of methods took.", ("tool", "method"), CALL_BOUNDS_S
    ),
    LOOP_LAG: _Family(
        "How late the event loop was, looked at four times a second.",
        bounds=LATENESS_BOUNDS_S,
    ),
    JOB_LATENESS: _Family(
        "How long after they were due jobs have begun.", bounds=LATENESS_BOUNDS_S
    ),
}
_WORKER = ("worker",)
_GAUGES = {
    "connections": _Family("Open connections.", _WORKER),
    "requests_running": _Family("Requests that run.", _WORKER),
    "requests_limit": _Family("Requests that may run at once.", _WORKER),
    "requests_waiting": _Family("Requests that wait for others to end.", _WORKER),
    "jobs_running": _Family("Jobs that run.", _WORKER),
    "memory_bytes": _Family("Resident memory.", _WORKER),
    "start_time_seconds": _Family("When the process began, since 1970.", _WORKER),
    "jobs": _Family("Jobs in the store by state.", ("state",)),
    "jobs_overdue_seconds": _Family(
        "How long the job has waited that has been due for longest."
    ),
}


class _Collector:
    """Gives what was counted to the library."""

    def __init__(self, series: Iterable[Series]) -> None:
        self._by_name: dict[str, list[tuple[Sequence[str], list[float]]]] = {}
        for (_, name, *labels), values in series:
            self._by_name.setdefault(name, []).append((labels, values))

    def collect(self) -> Iterator[Metric]:
        """Give each metric that was counted."""
        for name, known in self._by_name.items():
            if name in _COUNTERS:
                text, names, _ = _COUNTERS[name]
                counter = CounterMetricFamily(_PREFIX + name, text, labels=names)
                for labels, values in known:
                    counter.add_metric(labels, values[0])
                yield counter
            elif name in _GAUGES:
                text, names, _ = _GAUGES[name]
                gauge = GaugeMetricFamily(_PREFIX + name, text, labels=names)
                for labels, values in known:
                    gauge.add_metric(labels, values[0])
                yield gauge
            elif name in _HISTOGRAMS:
                text, names, bounds = _HISTOGRAMS[name]
                histogram = HistogramMetricFamily(_PREFIX + name, text, labels=names)
                words = [*map(str, bounds), "+Inf"]
                for labels, (*counts, total) in known:
                    buckets = list(zip(words, accumulate(counts), strict=True))
                    histogram.add_metric(labels, buckets, total)
                yield histogram


def expose_metrics(series: Iterable[Series], accept: str) -> tuple[bytes, str]:
    """Write what was counted.

    Args:
        series: What was counted.
        accept: The header field ``Accept`` of who asks.

    Returns:
        The text, and its content type.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(series))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
