"""Parts of the server where they are used in a way that is seldom."""

from __future__ import annotations

import gevent

import toolserver.testing
from tests.http.raw_http import wait_for
from toolserver import FactoryTool, StandardTool, TransientTool, every, register
from toolserver.configuration import load
from toolserver.declarations import declared
from toolserver.filetree import FileTree
from toolserver.home import Home
from toolserver.nativethreads import ThreadSlots
from toolserver.storage import Files
from toolserver.worker import Worker


class Leaf(TransientTool):
    def name(self) -> str:
        return self.key


@register("edges.tree")
class Tree(FactoryTool):
    children = (Leaf,)

    def on_setup(self) -> None:
        # Nothing was made so far.
        self.forget("one")

    def child_exists(self, key: str) -> bool:
        return True


@register("edges.clock")
class Clock(StandardTool):
    ticks = 0

    @every("* * * * *")
    @staticmethod
    def tick(number: int = 1) -> None:
        Clock.ticks += number

    def size(self, text: str = "") -> int:
        return len(text)


def test_what_was_never_made_can_be_forgotten():
    Tree().forget("one")
    with toolserver.testing.serve(Tree) as server:
        assert server.call("edges.tree.one.name") == "one"
        server.tool("edges.tree").forget("one")
        assert server.call("edges.tree.one.name") == "one"


def test_a_method_without_self_is_called_by_the_clock(monkeypatch):
    monkeypatch.setattr(Clock, "ticks", 0)
    with toolserver.testing.serve(Clock) as server:
        server.run_jobs(advance=61.0)
    assert Clock.ticks >= 1


def test_who_is_ended_as_its_turn_comes_hands_it_on():
    slots = ThreadSlots(1)
    slots._take()
    waiting = [gevent.spawn(slots._take) for _ in range(2)]
    wait_for(lambda: slots.waiting == 2)
    # It is ended by the loop just before it would be told of its turn.
    gevent.get_hub().loop.run_callback(waiting[0].throw)
    slots._give()
    gevent.joinall(waiting, timeout=10)
    assert isinstance(waiting[0].value, gevent.GreenletExit)
    assert waiting[1].successful()
    assert (slots.free, slots.waiting) == (0, 0)
    slots._give()
    assert slots.free == 1


def test_files_are_shown_with_their_folder(tmp_path):
    assert repr(Files(FileTree(str(tmp_path), True))) == f"<Files {tmp_path}>"


def test_a_home_needs_no_folder_of_applications(tmp_path):
    home = Home(tmp_path)
    home.create()
    home.wsgi.rmdir()
    home.settings_file.write_text("[server]\nport = 0\n")
    before = list(declared)
    declared.clear()
    try:
        worker = Worker(load(home.settings_file).settings, home)
        worker.start()
        names = {entry.namespace for entry in worker.registry}
        worker.stop(0.1)
    finally:
        declared[:] = before
    assert "system" in names


def test_a_body_that_turns_out_to_be_empty_has_no_type():
    with toolserver.testing.serve(Clock) as server:
        host, port = server.worker.url.removeprefix("http://").rstrip("/").split(":")
        with gevent.socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(
                b"POST /edges/clock/size HTTP/1.1\r\nHost: localhost\r\n"
                b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
            )
            wait_for(lambda: server.worker._http.busy)
            client.sendall(b"0\r\n\r\n")
            answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n0")
