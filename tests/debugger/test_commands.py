"""What the prompt offers."""

import json

from tests.debugger.conftest import until


def value_of(client, source):
    done = client.attachment.run(source, as_json=True)
    assert not done.error, done.error
    return json.loads(done.value)


def test_help_tells_what_there_is(client):
    told = client("help()")
    for name in ("calls(method)", "kill(call, timeout)", "trace(method,", "exit"):
        assert name in told
    assert "End a call" in client("help(kill)")


def test_tools_are_listed_and_had_by_their_names(client, server):
    rows = {row["namespace"]: row for row in value_of(client, "tools")}
    assert rows["shop"]["methods"] == 12
    assert rows["shop"]["source"].partition(":")[0].endswith("shop.py")
    assert "shop" in client("list(tools)")
    assert client('tools["shop"] is server.registry.entry("shop").tool') == "True"
    told = client.fails('tools["shp"]')
    assert told == """KeyError: "no tool 'shp', did you mean 'shop'?\""""
    assert client("'shp' in tools, 'shop' in tools, tools.get('shp')") == (
        "(False, True, None)"
    )
    assert client("len(tools) == len(list(tools))") == "True"


def test_a_stack_is_shown_down_to_the_line(client, background):
    background("/shop/wait?word=here")
    until(lambda: client("calls()") != "none")
    assert client("calls('shop.')") != "none"
    assert client("calls('stock.')") == "none"
    stack = client("stack(calls()[0])")
    assert stack.startswith("  File ")
    assert "in wait\n    self.gate.wait()" in stack
    assert "in run" in client("stack(calls()[0].id)")
    assert client("locals_of(calls()[0])['word']") == "'here'"
    assert client.fails("locals_of(calls()[0], 99)").startswith("LookupError")
    assert client.fails("stack(0)").startswith("LookupError: no call 0 runs")


def test_calls_are_told_as_json(client, background):
    background("/shop/wait")
    until(lambda: client("calls()") != "none")
    (call,) = value_of(client, "calls()")
    assert call["method"] == "shop.wait"
    assert call["seconds"] >= 0
    assert value_of(client, "kill(calls()[0])") is True
    assert value_of(client, "calls()") == []


def test_a_request_without_a_call_is_listed_too(client, server, background):
    # What hangs before any method is called, such as a handler of a chain.
    client(
        "from toolserver import chain\n"
        "handler = lambda request: tools['shop'].gate.wait() and None\n"
        "added = chain('system.request.rewrite').append(handler)\n"
    )
    answer = background("/shop/greet?name=Ann")
    until(lambda: client("calls()") != "none")
    (call,) = value_of(client, "calls()")
    assert call["method"] == "GET /shop/greet"
    assert "system.request.rewrite" in client("chains()")
    client("chain('system.request.rewrite').remove(handler)")
    client("tools['shop'].gate.set()")
    assert answer.get().text == "Hello Ann!"


def test_greenlets_are_listed_with_the_calls_that_they_make(client, background):
    background("/shop/wait")
    until(lambda: client("calls()") != "none")
    (call,) = value_of(client, "calls()")
    rows = value_of(client, "greenlets()")
    (making,) = [row for row in rows if row["call"] == call["id"]]
    assert "shop.py" in making["at"]
    assert "in wait" in client(f"stack({making['id']!r})")
    assert client.fails("stack('g0')") == "KeyError: 'g0'"
    client("waiting = gevent.spawn(gevent.sleep, 10); gevent.sleep(0)")
    stack = client("stack(waiting)")
    assert stack.startswith("spawned by\n")
    assert '"<debugger ' in stack
    assert "stands at\n" in stack
    assert "hub.wait" in stack


def test_queues_and_jobs(client, server):
    running, waiting = server.call("shop.queue"), server.call("shop.queue")
    until(lambda: value_of(client, "jobs('running')"))
    assert value_of(client, "queues()") == [
        {"queue": "shop", "waiting": 1, "running": running}
    ]
    states = {job["id"]: job["state"] for job in value_of(client, "jobs()")}
    assert states == {running: "running", waiting: "waiting"}
    assert client("jobs('done')") == "none"
    assert "ValueError" in client.fails("jobs('lying')")
    server.tool("shop").gate.set()


def test_the_settings_are_shown(client):
    assert client("config.debugger.enabled") == "True"
    rows = client("config").splitlines()
    assert any(row.split() == ["debugger.enabled", "True"] for row in rows)
    assert value_of(client, "config")["debugger"]["enabled"] is True


def test_what_json_cannot_say_is_told_as_python_writes_it(client):
    assert value_of(client, "object") == "<class 'object'>"
    assert value_of(client, "{1: {2, 3}}") == {"1": [2, 3]}
    assert value_of(client, "None") is None
    assert value_of(client, "float('nan')") is None
    assert value_of(client, "b'bytes'") == "Ynl0ZXM="
    assert value_of(client, "'\\ud800'") == "'\\ud800'"
    assert (
        "expected at most"
        in client.attachment.run("'x' * 5_000_000", as_json=True).error
    )


def test_tools_are_called_from_the_prompt(client, server):
    assert client("from toolserver import call; call('shop.greet', 'Ann')") == (
        "'Hello Ann!'"
    )
