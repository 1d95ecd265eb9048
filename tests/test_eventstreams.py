"""Requests that wait for events, over real connections."""

from __future__ import annotations

import gc
import http.client
import os
import socket
import ssl
import time

import gevent
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

import toolserver.testing
from tests.http.raw_http import wait_for
from toolserver import Request, Response, StandardTool, register, rest
from toolserver.eventstreams import ServerEvent, event_stream, last_event_id
from toolserver.message import Headers
from toolserver.services import services
from toolserver.subscribers import End, Subscriber, Subscribers


@register("news")
class News(StandardTool):
    """Tells all who listen what is put."""

    def __init__(self) -> None:
        self.listeners: list[Subscriber] = []
        self.ended: list[End | None] = []

    @rest("GET", "POST")
    def stream(self, request: Request) -> Response:
        if not request.query:
            self.received = len(request.body)
        offered = services()
        subscriber = offered.part(Subscribers).admit(request, offered.settings)
        self.listeners.append(subscriber)
        return event_stream(self._events(subscriber), subscriber)

    def _events(self, subscriber):
        try:
            yield ServerEvent("welcome", id="0")
            for number, item in enumerate(subscriber, 1):
                if item == "end":
                    return
                yield item and ServerEvent(item, event="news", id=str(number))
        finally:
            self.ended.append(subscriber.end)

    @rest("GET")
    def poll(self, request: Request) -> str:
        offered = services()
        with offered.part(Subscribers).admit(request, offered.settings) as subscriber:
            self.listeners.append(subscriber)
            item = subscriber.get(20)
            self.ended.append(subscriber.end)
            return item or f"nothing: {subscriber.end}"


@pytest.fixture
def server():
    with toolserver.testing.serve(News) as running:
        yield running


class Listener:
    """A client that reads a stream line by line."""

    def __init__(self, server, path="/news/stream", method="GET", **options):
        self.connection = http.client.HTTPConnection(
            "127.0.0.1", server.worker.http.local[1], timeout=10
        )
        self.connection.request(method, path, **options)
        self.answer = self.connection.getresponse()

    def event(self):
        fields = {}
        while line := self.answer.readline().decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            fields[name] = f"{fields[name]}\n{value}" if name in fields else value
        return fields

    def close(self):
        self.answer.close()
        self.connection.close()


def reader(text):
    """Read a stream as the HTML standard, section 9.2.6, says."""
    events, data, kind, last = [], [], "", ""
    for line in text.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if not line:
            if data:
                events.append((kind or "message", "\n".join(data), last))
            data, kind = [], ""
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            kind = value
        elif name == "id":
            last = value
    return events


_LINE = st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"))
_TEXT = st.text(st.characters(codec="utf-8"))


@given(_TEXT, _LINE, _LINE)
def test_an_event_is_read_as_it_was_written(data, kind, id):
    encoded = ServerEvent(data, event=kind, id=id).encode()
    found = reader(encoded)
    expected = data.replace("\r\n", "\n").replace("\r", "\n")
    assert found == [(kind or "message", expected, id)]


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0b"])
def test_ids_and_types_are_one_line(text):
    with pytest.raises(ValueError, match="expected one line"):
        ServerEvent("x", id=text)
    with pytest.raises(ValueError, match="expected one line"):
        ServerEvent("x", event=text)


def test_the_last_event_id_is_utf8_and_bounded():
    def told(value):
        return last_event_id(Request(headers=Headers([("Last-Event-ID", value)])))

    assert told("7") == "7"
    assert told("ä".encode().decode("latin-1")) == "ä"
    assert told("7" * 300) == ""
    assert last_event_id(Request()) == ""


def test_events_arrive_as_they_happen(server):
    listener = Listener(server, headers={"Accept-Encoding": "gzip, deflate"})
    assert listener.answer.status == 200
    headers = listener.answer.headers
    assert headers["Content-Type"] == "text/event-stream"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Accel-Buffering"] == "no"
    assert "Content-Encoding" not in headers
    assert listener.event() == {"retry": "2000"}
    assert listener.event() == {"id": "0", "data": "welcome"}
    (subscriber,) = server.tool("news").listeners
    for number, text in enumerate(["one", "two\nlines"], 1):
        subscriber.put(text)
        event = {"event": "news", "id": str(number), "data": text}
        assert listener.event() == event
    subscriber.put("end")
    assert listener.answer.read() == b""
    # The connection serves on.
    listener.connection.request("GET", "/news/stream")
    assert listener.connection.getresponse().status == 200
    listener.close()


def test_silence_is_broken_by_pings(server, monkeypatch):
    monkeypatch.setattr("toolserver.subscribers.PING", 0.05)
    listener = Listener(server)
    listener.event()
    listener.event()
    for _ in range(3):
        assert listener.event() == {"": "ping"}
    listener.close()


def test_head_waits_for_nothing(server):
    answer = server.http.head("/news/stream")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert len(server.worker.services.part(Subscribers)) == 0


@pytest.mark.parametrize("path", ["/news/stream", "/news/poll"])
@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_clients_that_vanish_are_noticed_at_once(server, path, how):
    tool = server.tool("news")
    with socket.create_connection(server.worker.http.local, 5) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        wait_for(lambda: tool.listeners)
        if path.endswith("stream"):
            seen = b""
            while b"welcome" not in seen:
                seen += sock.recv(1000)
        if how == "half":
            sock.shutdown(socket.SHUT_WR)
            wait_for(lambda: tool.ended, 2)
        elif how == "reset":
            linger = b"\1\0\0\0\0\0\0\0"
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    wait_for(lambda: tool.ended, 2)
    assert tool.ended == [End.GONE]
    wait_for(lambda: server.worker.http.connections == 0)
    assert len(server.worker.services.part(Subscribers)) == 0


def test_who_has_gone_before_the_wait_begins_is_noticed(server):
    tool = server.tool("news")
    with socket.create_connection(server.worker.http.local, 5) as sock:
        body = b"x" * 70000
        head = b"POST /news/stream HTTP/1.1\r\nHost: localhost\r\n"
        sock.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        sock.shutdown(socket.SHUT_WR)
        wait_for(lambda: tool.ended, 2)
    wait_for(lambda: server.worker.http.connections == 0)


@pytest.mark.parametrize("chunks", [[b"x"], [b"x" * 70000, b"y" * 70000]])
def test_clients_that_have_sent_a_body_are_noticed_too(server, chunks):
    tool = server.tool("news")
    listener = Listener(
        server,
        method="POST",
        body=iter(chunks),
        encode_chunked=True,
        headers={"Transfer-Encoding": "chunked"},
    )
    listener.event()
    listener.close()
    wait_for(lambda: tool.ended, 2)


def test_whose_body_nobody_reads_is_noticed_by_a_ping(server, monkeypatch):
    monkeypatch.setattr("toolserver.subscribers.PING", 0.05)
    tool = server.tool("news")
    body = b"x" * 70000
    listener = Listener(server, "/news/stream?unread=1", method="POST", body=body)
    listener.event()
    listener.close()
    wait_for(lambda: tool.ended, 2)


def test_vanished_clients_leave_nothing(server):
    def counts():
        gc.collect()
        greenlets = sum(issubclass(type(o), gevent.Greenlet) for o in gc.get_objects())
        return greenlets, len(os.listdir("/proc/self/fd")), server.worker.http.busy

    Listener(server).close()
    wait_for(lambda: server.worker.http.connections == 0)
    before = counts()
    listeners = [Listener(server) for _ in range(50)]
    assert server.worker.http.busy == 50
    for listener in listeners:
        listener.close()
    wait_for(lambda: server.worker.http.connections == 0)
    wait_for(lambda: counts() == before)
    assert len(server.worker.services.part(Subscribers)) == 0


def test_a_list_of_events_is_told_and_lets_go(server):
    offered = server.worker.services
    subscriber = offered.part(Subscribers).admit(Request(), offered.settings)
    stream = event_stream([ServerEvent("a"), None], subscriber).body
    assert b"".join(stream) == b"retry: 2000\n\ndata: a\n\n: ping\n\n"
    assert len(offered.part(Subscribers)) == 1
    stream.close()
    assert len(offered.part(Subscribers)) == 0


def test_who_waits_is_bounded():
    config = {"limits": {"streams": 3}}
    with toolserver.testing.serve(News, config=config) as server:
        listeners = [Listener(server) for _ in range(3)]
        answer = server.http.get("/news/stream")
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"
        assert answer.json()["error"] == "Overload"
        assert server.http.get("/news/poll").status_code == 503
        listeners.pop().close()
        wait_for(lambda: len(server.worker.services.part(Subscribers)) == 2)
        listeners.append(Listener(server))
        assert listeners[-1].answer.status == 200
        for listener in listeners:
            listener.close()


def test_at_most_half_of_the_workers_wait():
    config = {"server": {"max_workers": 4}}
    with toolserver.testing.serve(News, config=config) as server:
        listeners = [Listener(server) for _ in range(2)]
        assert server.http.get("/news/poll").status_code == 503
        for listener in listeners:
            listener.close()


def test_who_takes_too_slowly_is_let_go(server):
    listener = Listener(server)
    (subscriber,) = server.tool("news").listeners
    for _ in range(300):
        subscriber.put("news")
    assert subscriber.end is End.SLOW
    assert listener.answer.read().startswith(b"retry: 2000\n\nid: 0\ndata: welcome\n\n")
    listener.close()


def test_the_end_of_the_server_is_told():
    with toolserver.testing.serve(News) as server:
        listeners = [Listener(server) for _ in range(50)]
        polls = [
            gevent.spawn(server.http.get, "/news/poll", timeout=10) for _ in range(5)
        ]
        wait_for(lambda: len(server.worker.services.part(Subscribers)) == 55)
        begin = time.monotonic()
        server.worker.stop(30)
        assert time.monotonic() - begin < 15
        for listener in listeners:
            text = listener.answer.read()
            assert text.endswith(b"event: stopping\ndata: the server stops\n\n")
            listener.close()
        assert {poll.get(5).text for poll in polls} == {"nothing: stopping"}


def test_who_comes_while_the_server_stops_is_told_at_once(server):
    server.worker.services.part(Subscribers).close()
    listener = Listener(server)
    assert listener.answer.read().endswith(b"data: the server stops\n\n")
    listener.close()


def test_clients_that_vanish_under_tls_are_noticed(tmp_path):
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "cert.pem").write_bytes(
        b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
    )
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    config = {
        "server": {
            "tls_certificate": str(tmp_path / "cert.pem"),
            "tls_key": str(tmp_path / "key.pem"),
        }
    }
    with toolserver.testing.serve(News, config=config) as server:
        tool = server.tool("news")
        connection = http.client.HTTPSConnection(
            "localhost", server.worker.http.local[1], context=context, timeout=5
        )
        connection.request("GET", "/news/stream")
        answer = connection.getresponse()
        assert answer.readline() == b"retry: 2000\n"
        answer.close()
        connection.close()
        wait_for(lambda: tool.ended, 2)
        assert tool.ended == [End.GONE]
