"""Commands whose readers, servers and disks are not as they should be."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from toolserver.cli import new
from toolserver.client.remote import RemoteToolserver
from toolserver.client.stubs import _is_usable
from toolserver.client.stubtypes import Names
from toolserver.errors import StartError

from .conftest import ask


def test_who_reads_no_further_ends_the_command_without_a_word():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "toolserver", "--help"],
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_notification_that_reaches_nobody_is_not_answered(tmp_path, monkeypatch):
    told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(told) + "\n"))
    done = ask(tmp_path, "mcp", "--url", "http://127.0.0.1:1/")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_agents_of_a_server_elsewhere_need_no_home(tmp_path, monkeypatch):
    words = [sys.executable, "-m", "toolserver", "mcp", "--config"]
    done = subprocess.run(
        [*words, "--url", "https://tools.example.org/"],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        timeout=60,
    )
    assert "--home" not in done.stdout.decode()
    assert "https://tools.example.org/" in done.stdout.decode()


def test_a_file_for_which_there_is_no_room_is_not_left(tmp_path, monkeypatch):
    file = tmp_path / "tools" / "shop.py"

    def full(self, mode, encoding):
        self.touch()
        return open("/dev/full", "w", encoding=encoding)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(StartError, match="No space left on device"):
        new._write(file, "text")
    assert not file.exists()


# --- what stubs and the client make of names


@pytest.mark.parametrize(
    ("kind", "name", "value", "usable"),
    [
        ("record", "price", None, True),
        ("record", "no name", None, False),
        ("enum", "RED", "red", True),
        ("enum", "mro", "red", False),
        ("enum", "RED", [1], False),
        ("union", "price", None, False),
    ],
)
def test_types_of_which_classes_can_be_made(kind, name, value, usable):
    members = [{"name": name, "value": value}]
    assert _is_usable({"kind": kind, "members": members}) is usable


def test_names_that_are_taken_are_made_others():
    names = Names({"call"}, ["Order", "Order!", "call", "class"])
    assert list(names.types.values()) == ["Order", "Order_", "call_", "Type_class"]


@pytest.mark.parametrize("way", ["start", "enqueue", "once"])
def test_further_names_below_a_way_to_call_are_methods(way):
    with RemoteToolserver("http://127.0.0.1:1/") as remote:
        tool = remote.get_tool("shop")
        found = getattr(tool.place, way).deeper
        assert found._name == f"shop.place.{way}.deeper"
        assert found._hints is None
