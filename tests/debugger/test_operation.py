"""What the debugger is for: to mend a server that goes on working."""

import json
import time

import gevent
from gevent.event import Event

from tests.debugger.conftest import Client, until
from toolserver import StandardTool
from toolserver.debugger.places import socket_of
from toolserver.declarations import Declaration
from toolserver.home import Home
from toolserver.settings import DebuggerSettings, ServerSettings, Settings
from toolserver.worker import Worker


def test_a_server_under_load_is_looked_into_and_mended(server, attach, background):
    answers = []
    is_over = gevent.event.Event()

    def load():
        remote = server.remote("JSONRPC")
        while not is_over.is_set():
            answers.append(remote.call("shop.greet", "Ann"))

    loading = [gevent.spawn(load) for _ in range(5)]
    stuck = background("/shop/outer")
    until(lambda: len(answers) > 50)

    client = attach()
    listed = until(lambda: client("calls('shop.outer')").partition("\n")[2])
    assert "stock.reserve" in listed
    assert "shop.py:" in listed
    assert "self.gate.wait()" in client("stack(calls('shop.outer')[0])")

    assert client("kill(calls('shop.outer')[0])") == "True"
    assert stuck.get().json()["error"] == "CallKilled"
    assert server.tool("stock").journal == ["begin", "abort"]

    def mended(text):
        answers.clear()
        until(lambda: len(answers) > 50)
        return set(answers[10:]) == {text}

    client('tools["shop"].greeting = "Welcome"')
    assert mended("Welcome Ann!")
    client("def polite(self, name):\n    return politely(name)\n")
    client("def politely(name):\n    return f'Dear {name}'\n")
    client('swap("shop.greet", polite)')
    assert mended("Dear Ann")
    client('t = trace("shop.greet", limit=20)')
    until(lambda: "trace ended" in client.text)
    client.attachment.close()
    until(lambda: not server.worker._debugger._sessions)
    assert mended("Dear Ann")
    assert attach()('undo("shop.greet")') == "True"
    assert mended("Welcome Ann!")

    is_over.set()
    gevent.joinall(loading, timeout=10)
    # No other call has failed meanwhile.
    assert all(each.successful() for each in loading)


def test_a_server_that_hangs_in_its_start_is_looked_into(tmp_path):
    gate = Event()

    class Slow(StandardTool):
        def on_start(self):
            gate.wait()

    home = Home(tmp_path)
    home.create()
    settings = Settings(
        server=ServerSettings(port=0), debugger=DebuggerSettings(enabled=True)
    )
    worker = Worker(settings, home, tools=[Declaration(Slow, "slow", {}, "here")])
    starting = gevent.spawn(worker.start)
    until(lambda: socket_of(home, 0).exists())
    client = Client(home)

    def hanging():
        rows = client("greenlets()").splitlines()
        return [row.split()[0] for row in rows if "on_start" in row]

    (one,) = until(hanging)
    assert client(f"locals_of('{one}')['self'].namespace") == "'slow'"
    gate.set()
    starting.get(timeout=10)
    client.attachment.close()
    worker.stop(1.0)


def test_a_call_that_keeps_the_server_from_stopping_is_ended(server, background):
    answer = background("/shop/wait")
    client = Client(server.worker.home)
    until(lambda: client("calls()") != "none")
    begin = time.monotonic()
    stopping = gevent.spawn(server.worker.stop, 60.0)
    gevent.sleep(0.05)
    assert not stopping.ready()
    assert client("kill(calls()[0])") == "True"
    stopping.get(timeout=20)
    assert time.monotonic() - begin < 20
    assert answer.get().json()["error"] == "CallKilled"
    client.attachment.close()


def test_many_calls_are_listed_without_holding_up_the_server(server, attach):
    client = attach()
    calls = [gevent.spawn(server.call, "shop.wait") for _ in range(500)]
    found = until(
        lambda: json.loads(client.attachment.run("calls()", as_json=True).value)
    )
    assert len(found) == 500
    server.tool("shop").gate.set()
    gevent.joinall(calls, timeout=10)
