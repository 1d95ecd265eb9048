"""What is said where an extra is not installed."""

import sys

import pytest

from toolserver.errors import StartError
from toolserver.measuring import make_dispatcher, make_metrics
from toolserver.registry import Registry
from toolserver.settings import OpsSettings, Settings


def test_metrics_without_their_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(StartError, match=r"^ops\.metrics needs the extra: .*metrics\]"):
        make_metrics()


def test_a_part_of_our_own_that_is_missing_is_no_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "toolserver.spans", raising=False)
    monkeypatch.setitem(sys.modules, "toolserver.traces", None)
    settings = Settings(ops=OpsSettings(otel=True))
    with pytest.raises(ModuleNotFoundError, match=r"toolserver\.traces"):
        make_dispatcher(settings, Registry(), None)


def test_spans_without_their_library(monkeypatch):
    monkeypatch.delitem(sys.modules, "toolserver.spans", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    settings = Settings(ops=OpsSettings(otel=True))
    with pytest.raises(StartError, match=r"^ops\.otel needs the extra: .*otel\]"):
        make_dispatcher(settings, Registry(), None)
