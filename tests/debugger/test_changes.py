"""Methods run other code, are watched and loaded again; calls go on meanwhile."""

import logging
import uuid

import gevent
import pytest

import toolserver.testing
from tests.debugger.conftest import Client, until
from toolserver.declarations import declared
from toolserver.home import Home
from toolserver.settings import DebuggerSettings, ServerSettings, Settings
from toolserver.worker import Worker


def greet(server):
    return server.http.get("/shop/greet?name=Ann").text


def test_variables_of_a_tool_are_changed(client, server):
    assert client('tools["shop"].greeting') == "'Hello'"
    client('tools["shop"].greeting = "Good day"')
    assert greet(server) == "Good day Ann!"


def test_code_is_swapped_and_put_back(client, server):
    client("def greet(self, name):\n    return f'{self.greeting}, dear {name}'\n")
    client('swap("shop.greet", greet)')
    assert greet(server) == "Hello, dear Ann"
    assert server.call("shop.greet", "Ann") == "Hello, dear Ann"
    # Other tools may call it as it stands there, too.
    assert server.tool("shop").greet("Ann") == "Hello, dear Ann"
    assert "greet" in client("tools")
    assert client('undo("shop.greet")') == "True"
    assert greet(server) == server.tool("shop").greet("Ann") == "Hello Ann!"
    assert client('undo("shop.greet")') == "False"


def test_swapped_code_stays_when_the_client_leaves(attach, server):
    client = attach()
    client("print('here')\ndef greet(self, name):\n    print('x'); return 'swapped'\n")
    client('swap("shop.greet", greet)')
    client.attachment.close()
    until(lambda: not server.worker._debugger._sessions)
    assert greet(server) == "swapped"
    assert attach()('undo("shop.greet")') == "True"
    assert greet(server) == "Hello Ann!"


def test_swapped_code_has_to_fit(client, server):
    told = client.fails('swap("shop.greet", lambda self, who: "")')
    assert told.endswith("got a function of (who) beside the tool, expected (name)")
    assert client.fails('swap("shop.greets", print)').startswith(
        "toolserver.errors.MethodNotFound: no method 'shop.greets', did you mean"
    )
    assert greet(server) == "Hello Ann!"


def test_contracts_hold_for_swapped_code(client, server):
    client('swap("shop.order", lambda self, count: -count)')
    assert server.http.get("/shop/order?count=2").text == "-2"
    assert server.http.get("/shop/order?count=-2").status_code == 422


def test_spawned_jobs_run_swapped_code(client, server):
    server.tool("shop").gate.set()
    job = server.call("shop.start")
    assert server.worker.jobs.outcomes.find(job).result(5) == "spawned"
    client('swap("shop.wait", lambda self, word: word.upper())')
    job = server.call("shop.start")
    assert server.worker.jobs.outcomes.find(job).result(5) == "SPAWNED"


def test_calls_are_watched_until_the_limit(client, server):
    function = server.worker.registry.target("shop.greet").function
    client('t = trace("shop.greet", limit=2)')
    for _ in range(3):
        assert greet(server) == "Hello Ann!"
    until(lambda: "trace ended" in client.text)
    lines = client.text.splitlines()
    assert lines[0] == "shop.greet #1 called with (name='Ann')"
    assert lines[1].startswith("shop.greet #1 returned 'Hello Ann!' after ")
    assert lines[2] == "shop.greet #2 called with (name='Ann')"
    assert lines[4] == "shop.greet: trace ended, that was its last call"
    assert len(lines) == 5
    assert server.worker.registry.target("shop.greet").function is function


def test_who_calls_is_told_with_the_call(client, server):
    client('t = trace("shop.greet")')
    server.as_client("an\x1b[2Jn").call("shop.greet", "\x1b[2J")
    until(lambda: "called" in client.text)
    assert "('\\x1b[2J') by an\\x1b[2Jn\n" in client.text


def test_a_trace_ends_by_its_time(client, server):
    function = server.worker.registry.target("shop.greet").function
    assert client('trace("shop.greet", seconds=0.05).wait()') == "True"
    assert "trace ended, 0.05 seconds are over" in client.text
    assert server.worker.registry.target("shop.greet").function is function


def test_a_trace_is_stopped(client, server):
    client('t = trace("shop.greet")')
    assert client("t") == "<trace of shop.greet, on>"
    client("t.stop()")
    assert client("t") == "<trace of shop.greet, ended>"
    greet(server)
    assert client.text == "shop.greet: trace ended, stopped\n"


def test_some_calls_alone_are_watched(client, server):
    client('t = trace("shop.greet", when=lambda name: name == "Bob")')
    greet(server)
    server.http.get("/shop/greet?name=Bob")
    until(lambda: "returned" in client.text)
    assert "Ann" not in client.text


def test_a_condition_that_fails_ends_the_trace_and_no_call(client, server):
    client('t = trace("shop.greet", when=lambda name: 1 / 0)')
    assert greet(server) == "Hello Ann!"
    until(lambda: "its condition raised ZeroDivisionError" in client.text)
    assert client("t.is_on") == "False"


def test_failing_and_threaded_calls_are_watched_too(client, server):
    server.tool("shop").is_open = True
    client('t = trace("shop.order"); u = trace("shop.computes")')
    assert server.http.get("/shop/order?count=0").status_code == 422
    assert server.http.get("/shop/computes").text == "computed"
    until(lambda: "shop.computes #1 returned 'computed'" in client.text)
    assert "shop.order #1 raised RequireBroken" in client.text


def test_swapped_code_prints_to_the_session_from_calls_and_threads(client, server):
    client("def greet(self, name):\n    print('greets', name); return ''\n")
    client("def computes(self):\n    print('computes'); return 'printed'\n")
    client("swap('shop.greet', greet); swap('shop.computes', computes)")
    greet(server)
    assert server.http.get("/shop/computes").text == "printed"
    until(lambda: client.text == "greets Ann\ncomputes\n")


def test_a_method_is_swapped_while_it_is_watched(client, server):
    original = server.worker.registry.target("shop.greet").function
    client('t = trace("shop.greet")')
    client('swap("shop.greet", lambda self, name: "swapped")')
    assert greet(server) == "swapped"
    client("t.stop()")
    assert greet(server) == "swapped"
    client('undo("shop.greet")')
    assert greet(server) == "Hello Ann!"
    assert server.worker.registry.target("shop.greet").function is original
    assert "returned 'swapped'" in client.text


def test_bounds_of_a_trace(client):
    assert "seconds: got 0" in client.fails('trace("shop.greet", seconds=0)')
    assert "seconds: got 1000000000.0" in client.fails(
        'trace("shop.greet", seconds=1e9)'
    )
    assert "limit: got 0" in client.fails('trace("shop.greet", limit=0)')


def test_the_level_of_a_log_is_another_one_for_a_while(client, server, caplog):
    log = server.tool("shop").log
    before = log.level
    client('l = log_level("shop", seconds=0.2)')
    assert log.isEnabledFor(logging.DEBUG)
    client('m = log_level("toolserver.tool.shop", "ERROR", seconds=0.1)')
    assert not log.isEnabledFor(logging.WARNING)
    assert client("l.is_on, m.wait()") == "(False, True)"
    assert log.level == before
    assert client.text == (
        "toolserver.tool.shop: log level ended, another one begins\n"
        "toolserver.tool.shop: log level ended, 0.1 seconds are over\n"
    )
    assert "Unknown level: 'LOUD'" in client.fails('log_level("shop", "LOUD")')
    assert log.level == before


def test_the_level_of_a_log_is_as_before_when_the_client_has_gone(attach, server):
    log = server.tool("shop").log
    before = log.level
    client = attach()
    client('log_level("shop", "ERROR")')
    assert log.level == logging.ERROR
    client.attachment.close()
    until(lambda: log.level == before)


TOOL = """
from gevent.event import Event
from toolserver import StandardTool, register

gate = Event()


@register("parcel")
class Parcel(StandardTool):
    def send(self, to: str) -> str:
        return f"sent to {to}"

    def wait(self) -> str:
        gate.wait()
        return "waited in the OLD code"
"""


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path)
    home.create()
    return home


@pytest.fixture
def file(home):
    # No two modules of the process may have the same name.
    file = home.tools / f"parcel_{uuid.uuid4().hex}.py"
    file.write_text(TOOL)
    return file


@pytest.fixture
def loaded(home, file):
    """A server that has loaded a file of tools."""
    before = list(declared)
    declared.clear()
    settings = Settings(
        server=ServerSettings(port=0, stop_timeout=10.0),
        debugger=DebuggerSettings(enabled=True),
    )
    worker = Worker(settings, home)
    worker.start()
    server = toolserver.testing.TestServer(worker)
    yield server
    server.close()
    worker.stop(1.0)
    declared[:] = before


def test_a_tool_is_loaded_again_while_calls_run(loaded, home, file):
    client = Client(home)
    client('swap("parcel.send", lambda self, to: "swapped"); t = trace("parcel.send")')
    running = gevent.spawn(loaded.http.get, "/parcel/wait")
    until(lambda: client("calls()") != "none")
    source = TOOL.replace("sent to", "carried to").replace("OLD", "NEW")
    file.write_text(source)
    reloading = gevent.spawn(client, 'reload("parcel")')
    until(lambda: "loaded again" in client.text)
    assert loaded.http.get("/parcel/send?to=Rome").text == "carried to Rome"
    other = Client(home)
    assert not running.ready()
    assert "parcel.wait" in other("calls()")
    other("type(locals_of(calls()[0])['self']).wait.__globals__['gate'].set()")
    assert running.get().text == "waited in the OLD code"
    assert reloading.get() == "['parcel']"
    assert "trace ended, its tool was loaded again" in client.text
    assert "send" not in client("tools")
    client.attachment.close()
    other.attachment.close()


def test_what_cannot_be_loaded_again_changes_nothing(loaded, home, file):
    client = Client(home)
    file.write_text("1 +")
    assert f"{file}:1: SyntaxError" in client.fails('reload("parcel")')
    assert "is no file of a folder of tools" in client.fails('reload("system")')
    assert loaded.http.get("/parcel/send?to=Rome").text == "sent to Rome"
    client.attachment.close()
