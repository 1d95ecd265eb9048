"""What can be typed, and what remains when the client has gone."""

import linecache
import logging
import os
import re

import gevent
import pytest

import toolserver.testing
from tests.debugger.conftest import Client, sessions_alive, until
from tests.debugger.shop import Shop
from toolserver.debugger.messages import Done, Interrupt, Run, line
from toolserver.debugger.places import folder_of


def test_values_are_shown_and_kept(client):
    assert client("1 + 1") == "2"
    assert client("_ * 2") == "4"
    assert client("None") == ""
    assert client("x = 5; x") == "5"
    assert client("x") == "5"
    assert client("def f(n):\n    return n * 2\n") == ""
    assert client("f('ä\\ud800')") == "'ä\\ud800ä\\ud800'"


def test_what_is_printed_arrives_before_the_value(client):
    assert client("for i in range(3):\n    print(i, 'ö', sep='-')\n") == ""
    assert client.text == "0-ö\n1-ö\n2-ö\n"


def test_failures_tell_the_line_that_was_typed(client):
    done = client.attachment.run("def f():\n    return 1 / 0\n\nf()")
    assert "    return 1 / 0\n" in done.error
    assert done.error.endswith("ZeroDivisionError: division by zero\n")
    assert "evaluation.py" not in done.error
    assert client.fails("x +") == "SyntaxError: invalid syntax"
    assert client.fails("raise SystemExit(3)") == "SystemExit: 3"
    assert client.fails("'\\ud800'.encode()").startswith("UnicodeEncodeError")
    assert client("1") == "1"


def test_a_failing_repr_is_a_failure_of_the_code(client):
    client("class Bad:\n    def __repr__(self):\n        raise ValueError('no repr')\n")
    assert client.fails("Bad()") == "ValueError: no repr"


def test_each_session_has_names_and_output_of_its_own(attach):
    one, other = attach(), attach()
    one("mine = 1; print('to one')")
    assert other.fails("mine") == "NameError: name 'mine' is not defined"
    assert (one.text, other.text) == ("to one\n", "")


def test_long_values_and_output_are_cut(client):
    assert len(client("'x' * 10_000_000")) < 2**18 + 100
    client("for _ in range(100): print('y' * 100_000)")
    assert 2**20 < len(client.text) < 2**20 + 100
    assert client.text.endswith("characters)\n")
    assert client("2") == "2"


def test_what_runs_is_interrupted_where_it_waits(client, server):
    code = "print('begins'); tools['shop'].gate.wait()"
    waiting = gevent.spawn(client.attachment.run, code)
    until(lambda: client.text)
    waiting.kill(KeyboardInterrupt(), block=False)
    done = waiting.get()
    assert done.error.endswith("KeyboardInterrupt\n")
    assert "gate.wait()" in done.error
    assert client("3") == "3"


def test_an_interrupt_that_comes_with_the_code_ends_it_too(client):
    code = line(Run("gevent.sleep(100)")) + line(Interrupt())
    client.attachment._sock.sendall(code)
    assert client.attachment._wait(Done).error.endswith("KeyboardInterrupt\n")
    assert client("6") == "6"


def test_an_endless_printing_lets_others_go_on_and_is_interrupted(client, server):
    printing = gevent.spawn(client.attachment.run, "while True: print('z' * 1000)")
    until(lambda: client.text)
    assert server.http.get("/shop/greet?name=Ann").text == "Hello Ann!"
    printing.kill(KeyboardInterrupt(), block=False)
    assert printing.get().error.endswith("KeyboardInterrupt\n")


def test_who_holds_up_the_server_is_told(tmp_path, caplog):
    config = {"debugger": {"enabled": True}, "server": {"loop_block_warn": 0.1}}
    with toolserver.testing.serve(Shop, home=tmp_path, config=config) as server:
        client = Client(server.worker.home)
        client("from tests.debugger.shop import native_sleep; native_sleep(0.3)")
        until(lambda: "the loop was held up" in caplog.text)
        client.attachment.close()
    assert "by no call, at" in caplog.text
    assert "<debugger " in caplog.text


def test_leaving_ends_the_session(client, server):
    assert client.attachment.run("exit").is_last
    until(lambda: not server.worker._debugger._sessions)


@pytest.mark.parametrize(
    "running",
    [
        "1",
        "tools['shop'].gate.wait()",
        "while True: print('w' * 10_000)",
        "while True:\n    try:\n        gevent.sleep(1)\n"
        "    except BaseException:\n        n = globals().get('n', 0) + 1\n"
        "        if n > 1: break\n",
        "t = trace('shop.greet'); t.wait()",
        "t = trace('shop.greet')",
    ],
)
def test_a_client_that_vanishes_leaves_nothing_behind(attach, server, audit, running):
    target = server.worker.registry.target("shop.greet")
    function, before = target.function, len(os.listdir("/proc/self/fd"))
    client = attach()
    asking = gevent.spawn(client.attachment.run, running)
    until(lambda: any("> " in line for line in audit()))
    gevent.sleep(0.02)
    client.attachment.close()
    asking.kill()
    del asking
    debugger = server.worker._debugger
    until(lambda: not debugger._sessions and not debugger._connections)
    assert audit()[-1].endswith(": ends")
    assert target.function is function
    assert not [key for key in linecache.cache if key.startswith("<debugger")]
    until(lambda: not sessions_alive())
    assert len(os.listdir("/proc/self/fd")) <= before
    assert server.http.get("/shop/greet?name=Ann").text == "Hello Ann!"


def test_a_client_that_does_not_read_holds_up_nobody(client, server):
    """Calls that are watched are told as far as the client takes it."""
    client("t = trace('shop.greet', limit=100_000)")
    # Nothing is read from now on.
    session = next(iter(server.worker._debugger._sessions))
    for _ in range(3000):
        session._tell_soon("x" * 1000)
    assert server.http.get("/shop/greet?name=Ann").text == "Hello Ann!"
    assert client("4") == "4"
    assert "lines lost)" in client.text


def test_the_end_of_the_server_ends_its_sessions(server, client, audit):
    debugger, folder = server.worker._debugger, folder_of(server.worker.home)
    client("5")
    debugger.stop()
    assert not debugger._sessions
    assert os.listdir(folder) == []
    assert audit()[-1].endswith(": ends")


def test_each_line_is_in_the_audit_log_before_it_runs(client, audit, server):
    known = client("(server.home.log / 'audit.log').read_text()")
    assert "read_text()" in known
    client("text = '''ä\n\x1b[2J\n'''")
    begin, _, *lines = audit()
    assert re.fullmatch(
        rf"session {os.getpid()}-\d+: begins, worker 0, uid \d+, pid {os.getpid()}",
        begin,
    )
    session = begin.partition(":")[0]
    assert lines == [
        f"{session}: > text = '''\\xe4",
        f"{session}: \\x1b[2J",
        f"{session}: '''",
    ]


def test_the_audit_log_cannot_be_switched_off_by_mistake(client, audit):
    client("import logging, os, sys; logging.disable(); logging.shutdown()")
    client("logging.getLogger('toolserver.audit').handlers.clear()")
    client("logging.getLogger('toolserver.audit').disabled = True")
    client("server.home.log.joinpath('audit.log').rename('/dev/null/x') if 0 else 0")
    client("(server.home.log / 'audit.log').unlink()")
    client("'still here'")
    try:
        assert [line.partition(": > ")[2] for line in audit()] == ["'still here'"]
    finally:
        logging.disable(logging.NOTSET)
        logging.getLogger("toolserver.audit").disabled = False


def test_what_cannot_be_written_down_does_not_run(client, server):
    log = server.worker.home.log
    client("(server.home.log / 'audit.log').rename(server.home.log / 'old')")
    (log / "audit.log").mkdir()
    assert client.fails("ran = 1").startswith("not run: the audit log cannot be")
    (log / "audit.log").rmdir()
    assert client.fails("ran") == "NameError: name 'ran' is not defined"


def test_who_asks_for_too_much_at_once_is_cut_off(client, server, audit):
    for _ in range(100):
        client.attachment._sock.sendall(b'{"type":"run","source":"gevent.sleep(10)"}\n')
    until(lambda: not server.worker._debugger._sessions)
