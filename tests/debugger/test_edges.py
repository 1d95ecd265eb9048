"""What the parts of the debugger do where something is not as it should be."""

from __future__ import annotations

import builtins
import errno
import os
import socket

import gevent
import pytest

import toolserver.testing
from tests.debugger.conftest import Client, sessions_alive, until
from tests.debugger.shop import Shop
from toolserver import FactoryTool, TransientTool, register
from toolserver.debugger import client as client_module
from toolserver.debugger import terminal as terminal_module
from toolserver.debugger.audit import AuditTrail
from toolserver.debugger.client import Detached, attach_over_tcp, attach_to_socket
from toolserver.debugger.completion import complete
from toolserver.debugger.credentials import peer_of
from toolserver.debugger.messages import (
    Answer,
    Complete,
    Done,
    Hello,
    Interrupt,
    Run,
    Welcome,
    line,
)
from toolserver.debugger.places import folder_of, socket_of
from toolserver.debugger.stacks import place_of
from toolserver.debugger.terminal import Terminal
from toolserver.debugger.tracing import Trace
from toolserver.errors import StartError

# --- the client


class Pretender:
    """Says what a test wants, on a Unix socket or on a port."""

    def __init__(self, path, *messages):
        family = socket.AF_INET if path is None else socket.AF_UNIX
        self.listener = socket.socket(family)
        self.listener.bind(("127.0.0.1", 0) if path is None else str(path))
        self.listener.listen()
        self.address = self.listener.getsockname()
        self.messages = messages
        self.serving = gevent.spawn(self.serve)

    def serve(self):
        self.sock, _ = self.listener.accept()
        for message in self.messages:
            self.sock.sendall(line(message))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.serving.kill()
        self.listener.close()
        if hasattr(self, "sock"):
            self.sock.close()


WELCOME = Welcome(worker=0, pid=1, version="1")


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ([Hello(challenge="00")], "the server asks for a password"),
        ([Done()], "this is no debugger of a server"),
        ([Hello(), Done()], "this is no debugger of a server"),
    ],
)
def test_what_is_no_debugger_is_left(tmp_path, messages, told):
    path = tmp_path / "socket"
    with Pretender(path, *messages), pytest.raises(StartError, match=told):
        attach_to_socket(path, print)


def test_a_server_that_asks_for_no_password_is_left():
    with (
        Pretender(None, Hello(), WELCOME) as server,
        pytest.raises(StartError, match="does not ask for the password"),
    ):
        attach_over_tcp(server.address, b"correct horse battery", print)


def test_a_server_that_says_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(client_module, "_ADMIT_S", 0.05)
    path = tmp_path / "socket"
    with Pretender(path), pytest.raises(StartError, match=r"no answer in 0\.05 s"):
        attach_to_socket(path, print)


def test_a_session_that_has_ended_stays_so(tmp_path):
    path = tmp_path / "socket"
    with Pretender(path, Hello(), WELCOME, Hello()) as server:
        attachment = attach_to_socket(path, print)
        server.sock.close()
    for _ in range(3):
        with pytest.raises(Detached):
            attachment.run("1")
        assert attachment.complete("x") == []
    attachment.close()


@pytest.mark.parametrize("error", [BrokenPipeError, ConnectionResetError])
def test_who_cannot_send_any_more_is_detached(tmp_path, error):
    class Torn:
        def sendall(self, data):
            raise error

        def shutdown(self, how): ...

        def close(self): ...

    path = tmp_path / "socket"
    with Pretender(path, Hello(), WELCOME):
        attachment = attach_to_socket(path, print)
        whole, attachment._sock = attachment._sock, Torn()
        with pytest.raises(Detached):
            attachment.run("1")
        attachment._sock = whole
        attachment.close()


# --- the terminal


@pytest.fixture
def typed(monkeypatch, capsys):
    """Types lines at a prompt, and gives what is shown."""

    def type_(attachment, *lines):
        left = list(lines)

        def read(prompt=""):
            if not left:
                raise EOFError
            return left.pop(0)

        monkeypatch.setattr(builtins, "input", read)
        terminal = Terminal()
        terminal.run(attachment)
        return capsys.readouterr().out

    return type_


def test_what_is_typed_is_run_piece_by_piece(client, typed):
    shown = typed(
        client.attachment, "", "6 * 7", "def f(:", "for n in (1, 2):", "    n * 2", ""
    )
    assert shown.startswith("42\n")
    assert "SyntaxError: invalid syntax" in shown
    # The input ends within a block.
    assert typed(client.attachment, "if True:", "    print(5)") == ""
    assert client.text == "5\n"
    assert typed(client.attachment, "exit()", "1") == ""


def test_the_end_of_the_session_is_told(client, server, typed):
    server.worker._debugger.stop()
    assert typed(client.attachment, "1") == "the session has ended\n"


def test_the_tab_key_indents_or_completes(client, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(terminal_module.readline, "get_line_buffer", lambda: "")
    assert [terminal._complete("", state) for state in (0, 1)] == ["    ", None]
    monkeypatch.setattr(terminal_module.readline, "get_line_buffer", lambda: "too")
    monkeypatch.setattr(terminal_module.readline, "get_begidx", lambda: 0)
    terminal._words = []
    assert terminal._complete("too", 0) is None
    terminal._attachment = client.attachment
    assert terminal._complete("too", 0) == "tools"


def test_history_is_kept_where_it_is_wanted(tmp_path, monkeypatch):
    terminal = Terminal()
    monkeypatch.setenv("TOOLSERVER_DEBUG_HISTORY", "")
    terminal._read_history()
    terminal._write_history()
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("TOOLSERVER_DEBUG_HISTORY", str(tmp_path / "history"))
    terminal._write_history()
    assert (tmp_path / "history").stat().st_mode & 0o777 == 0o600
    terminal._read_history()
    monkeypatch.delenv("TOOLSERVER_DEBUG_HISTORY")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    path = terminal_module._history_path()
    assert path.parent == tmp_path / "me"

    def homeless():
        raise RuntimeError("no home")

    monkeypatch.setattr("pathlib.Path.home", homeless)
    assert terminal_module._history_path() is None


# --- sessions


def test_code_may_end_its_own_greenlet(client):
    assert client.fails("raise gevent.GreenletExit") == "GreenletExit"
    assert client("1") == "1"


def test_an_exception_that_cannot_be_shown(client):
    client(
        "class Shy(type):\n"
        "    @property\n"
        "    def __module__(cls):\n"
        "        raise ValueError('no module')\n"
    )
    client("class Odd(Exception, metaclass=Shy): ...\n")
    assert "Odd" in client.fails("raise Odd")


def test_code_that_clings_to_life_is_told_of(attach, server, caplog, monkeypatch):
    monkeypatch.setattr("toolserver.debugger.session._END_S", 0.01)
    client = attach()
    client(
        "def cling():\n"
        "    while not tools['shop'].is_open:\n"
        "        try:\n"
        "            gevent.sleep(0.001)\n"
        "        except BaseException:\n"
        "            pass\n"
    )
    code = line(Run("print('begins'); cling()"))
    client.attachment._sock.sendall(code)
    until(lambda: client.text)
    client.attachment.close()
    until(lambda: "its code does not end" in caplog.text)
    server.tool("shop").is_open = True
    until(lambda: not sessions_alive())


def test_what_waits_is_interrupted_with_what_runs(client, server):
    waits = "print('begins'); tools['shop'].gate.wait()"
    sock = client.attachment._sock
    running = gevent.spawn(client.attachment.run, waits)
    until(lambda: client.text)
    sock.sendall(line(Run("2")) + line(Interrupt()))
    assert running.get().error.endswith("KeyboardInterrupt\n")
    assert client.attachment._wait(Done).error.endswith("KeyboardInterrupt\n")
    assert client("3") == "3"


class Parcel(TransientTool):
    def send(self) -> str:
        return self.namespace


@register("parcels")
class Parcels(FactoryTool):
    children = (Parcel,)

    def child_exists(self, key: str) -> bool:
        return key == "one"


def test_what_was_to_be_completed_goes_with_what_is_interrupted(client):
    sock = client.attachment._sock
    running = gevent.spawn(
        client.attachment.run, "print('begins'); tools['shop'].gate.wait()"
    )
    until(lambda: client.text)
    sock.sendall(line(Complete("too")) + line(Answer("", "")) + line(Interrupt()))
    assert running.get().error.endswith("KeyboardInterrupt\n")
    assert client("3") == "3"


def test_a_tool_that_is_made_anew_cannot_have_its_method_swapped(tmp_path):
    config = {"debugger": {"enabled": True}}
    with toolserver.testing.serve(Parcels, home=tmp_path, config=config) as server:
        client = Client(server.worker.home)
        told = client.fails("swap('parcels.one.send', lambda self: 'swapped')")
        assert "parcels.one is made by a factory" in told
        client.attachment.close()


def test_no_more_calls_are_told_than_were_asked_for():
    told = []
    trace = Trace("shop.greet", told.append, seconds=60, limit=1)
    greet = trace.watched("Hello {}!".format)
    assert [greet(name) for name in ("Ann", "Bob")] == ["Hello Ann!", "Hello Bob!"]
    trace.stop()
    assert [line for line in told if "called" in line] == [
        "shop.greet #1 called with ('Ann')\n"
    ]


def test_who_sends_what_is_no_message_is_let_go(client, server):
    client.attachment._sock.sendall(b"nonsense\n")
    until(lambda: not server.worker._debugger._sessions)
    with pytest.raises(Detached):
        client.attachment.run("1")


def test_the_settings_are_completed(client):
    assert "server" in client("dir(config)")


@pytest.mark.parametrize("text", ["(1).", "5.", "''.up", "nothing.", "thing[0]."])
def test_what_cannot_be_looked_into_has_no_words(text):
    assert complete(text, {"thing": 5}) == []


def test_a_class_that_does_not_list_itself():
    class Mute:
        def __dir__(self):
            raise ValueError("no words")

    assert complete("thing.co", {"thing": Mute()}) == []
    assert complete("thing['co", {"thing": Mute()}) == []


# --- the server


def test_a_socket_that_cannot_be_made_keeps_the_server_from_starting(tmp_path):
    config = {"debugger": {"enabled": True}}
    with toolserver.testing.serve(Shop, home=tmp_path, config=config) as server:
        folder, path = folder_of(server.worker.home), socket_of(server.worker.home, 0)
    folder.mkdir(exist_ok=True)
    in_the_way = path.with_suffix(f".{os.getpid()}")
    in_the_way.mkdir()
    (in_the_way / "file").touch()
    with (
        pytest.raises(StartError, match="debugger: cannot listen on"),
        toolserver.testing.serve(Shop, home=tmp_path, config=config),
    ):
        pass


def test_a_descriptor_that_is_missing_for_once_keeps_nobody_away(tmp_path, monkeypatch):
    own, failed = socket.socket.accept, []

    def accept(self):
        if self.family == socket.AF_UNIX and len(failed) < 2:
            failed.append(1)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return own(self)

    monkeypatch.setattr("toolserver.debugger.listener._PAUSE_S", 0.001)
    config = {"debugger": {"enabled": True}}
    with toolserver.testing.serve(Shop, home=tmp_path, config=config) as server:
        monkeypatch.setattr(socket.socket, "accept", accept)
        clients = [Client(server.worker.home) for _ in range(3)]
        assert [client("1 + 1") for client in clients] == ["2"] * 3
        assert len(failed) == 2
        for client in clients:
            client.attachment.close()


def test_a_system_that_does_not_tell_who_comes(monkeypatch):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_of(ours).uid == os.geteuid()
        monkeypatch.delattr(socket, "SO_PEERCRED")
        with pytest.raises(OSError, match="does not tell who is at the other end"):
            peer_of(ours)


def test_what_cannot_be_written_into_the_audit_log_is_in_the_error_log(
    tmp_path, caplog
):
    AuditTrail(tmp_path).note("uid 0", "begins")
    assert "debugger: uid 0: begins; not in the audit log: " in caplog.text


def test_a_stack_without_frames_stands_nowhere():
    assert place_of([]) == ""
