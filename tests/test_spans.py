"""Spans of calls and jobs, as OpenTelemetry's own library collects them."""

import pytest
from gevent.pywsgi import WSGIServer
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import toolserver
from tests.http.raw_http import wait_for
from tests.processes.servers import server as server_process
from toolserver import FactoryTool, StandardTool, TransientTool, call, context, register
from toolserver.errors import Redirect
from toolserver.testing import serve

TRACE = 0x4BF92F3577B34DA6A3CE929D0E0E4736
PARENT = 0x00F067AA0BA902B7
HEADERS = {"traceparent": f"00-{TRACE:032x}-{PARENT:016x}-01"}


@register("press")
class Press(StandardTool):
    url = ""

    def print(self, text: str) -> str:
        return call("press.shout", text)

    def shout(self, text: str) -> str:
        return text.upper()

    def fail(self) -> None:
        raise ValueError("no ink")

    def move(self) -> None:
        raise Redirect("/there")

    def stop(self) -> None:
        raise SystemExit("enough")

    def later(self) -> str:
        return self.enqueue(0, self.shout, "a").result(10)

    def ask(self) -> str:
        with toolserver.connect(self.url) as server:
            return server.call("press.heard")

    def heard(self) -> str:
        return context.request.headers["traceparent"]


class Shelf(TransientTool):
    def size(self) -> int:
        return 3


@register("shelves")
class Shelves(FactoryTool):
    children = (Shelf,)

    def child_exists(self, key: str) -> bool:
        return True


@pytest.fixture(scope="module")
def exported():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    # A process has one provider, whoever sets it first.
    trace.set_tracer_provider(provider)
    yield exporter
    provider.shutdown()


@pytest.fixture(scope="module", params=[False, True], ids=["alone", "with metrics"])
def server(request, exported):
    config = {"ops": {"otel": True, "metrics": request.param}}
    with serve(Press, Shelves, config=config) as running:
        running.tool("press").url = running.url("")
        yield running


@pytest.fixture
def spans(exported):
    exported.clear()

    def spans(count):
        wait_for(lambda: len(exported.get_finished_spans()) >= count)
        return {span.name: span for span in exported.get_finished_spans()}

    return spans


def test_a_call_and_what_it_calls(server, spans):
    answer = server.http.post("/press/print", json={"text": "a"}, headers=HEADERS)
    assert answer.text == "A"
    found = spans(2)
    outer, inner = found["press.print"], found["press.shout"]
    assert (outer.kind, inner.kind) == (SpanKind.SERVER, SpanKind.INTERNAL)
    assert (outer.parent.trace_id, outer.parent.span_id) == (TRACE, PARENT)
    assert inner.parent.span_id == outer.context.span_id
    assert outer.attributes["rpc.service"] == "press"
    assert outer.attributes["rpc.method"] == "print"
    assert outer.attributes["network.protocol.name"] == "REST"
    assert outer.status.status_code is StatusCode.UNSET


def test_without_a_trace_one_begins(server, spans):
    server.http.post("/press/shout", json={"text": "a"})
    span = spans(1)["press.shout"]
    assert span.parent is None
    assert span.context.trace_id


def test_a_failure_is_recorded(server, spans):
    server.http.post("/press/fail")
    span = spans(1)["press.fail"]
    assert span.status.status_code is StatusCode.ERROR
    (event,) = span.events
    assert event.attributes["exception.message"] == "no ink"


def test_a_redirection_is_no_failure(server, spans):
    answer = server.http.post("/press/move", allow_redirects=False)
    assert answer.status_code == 303
    span = spans(1)["press.move"]
    assert span.status.status_code is StatusCode.UNSET
    assert not span.events


def test_a_call_that_is_ended_is_no_success(server, spans):
    """What ends it is no exception of the tool, and is not recorded as one."""
    assert server.http.post("/press/stop").status_code == 500
    span = spans(1)["press.stop"]
    assert span.status.status_code is StatusCode.ERROR
    assert not span.events


def test_the_client_is_told(server, spans):
    assert server.as_client("ann").call("press.shout", "a") == "A"
    assert spans(1)["press.shout"].attributes["enduser.id"] == "ann"


def test_a_job_is_a_part_of_the_trace_of_who_started_it(server, spans):
    assert server.http.post("/press/later", headers=HEADERS).text == "A"
    found = spans(2)
    job = found["press.shout"]
    assert job.kind is SpanKind.CONSUMER
    assert job.parent.span_id == found["press.later"].context.span_id
    assert job.attributes["toolserver.job_id"]


def test_another_server_goes_on_from_the_span(server, spans):
    heard = server.http.post("/press/ask").text
    found = spans(2)
    assert heard.split("-")[2] == f"{found['press.ask'].context.span_id:016x}"
    assert found["press.heard"].parent.span_id == found["press.ask"].context.span_id


def test_keys_of_factories_are_no_names(server, spans):
    server.http.post("/shelves/a/size")
    assert "shelves.*.size" in spans(1)


def test_spans_are_sent_to_a_collector(tmp_path, monkeypatch):
    received = []

    def collect(environ, start_response):
        received.append((environ["PATH_INFO"], environ["wsgi.input"].read()))
        start_response("200 OK", [("Content-Type", "application/x-protobuf")])
        return [b""]

    collector = WSGIServer(("127.0.0.1", 0), collect, log=None)
    collector.start()
    monkeypatch.setenv(
        "OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}"
    )
    monkeypatch.setenv("OTEL_SERVICE_NAME", "printers")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    with server_process(
        tmp_path, workers=1, settings="[ops]\notel = true\n"
    ) as running:
        running.call("demo.version")
        wait_for(lambda: received)
        running.tsctl("stop")
    collector.stop()
    path, sent = received[0]
    assert path == "/v1/traces"
    assert b"printers" in sent
    assert b"demo.version" in sent
