"""The parts of one process, and what it says as it starts."""

from __future__ import annotations

import logging

import pytest

import toolserver.testing
from toolserver import StandardTool, register
from toolserver.errors import StartError
from toolserver.home import Home
from toolserver.services import services
from toolserver.settings import Settings
from toolserver.worker import Worker

APPLICATION = "def application(environ, start_response): ..."


@register("worker.plain")
class Plain(StandardTool):
    pass


@register("worker.late")
class Late(StandardTool):
    def on_start(self):
        raise OSError("no room")


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path)
    made.create()
    return made


def declarations(*classes):
    return [each for cls in classes for each in toolserver.testing._declared(cls)]


def test_there_is_no_server_before_it_was_started(home):
    worker = Worker(Settings(), home, tools=declarations(Plain))
    with pytest.raises(RuntimeError, match="was not started"):
        _ = worker.http


def test_tools_that_do_not_start_behind_another_server(home):
    worker = Worker(Settings(), home, tools=declarations(Plain, Late))
    with pytest.raises(StartError, match="on_start failed: OSError: no room"):
        worker.open()
    # Nothing of it is left to those who come next.
    with pytest.raises(RuntimeError):
        services()


def test_what_is_dangerous_is_said(caplog):
    caplog.set_level(logging.WARNING, "toolserver")
    config = {"server": {"host": "127.0.0.2", "debug": True}}
    with toolserver.testing.serve(Plain, config=config):
        pass
    told = [record.getMessage() for record in caplog.records]
    assert any("server.host is 127.0.0.2 but server.hosts is empty" in t for t in told)
    assert "server.debug shows tracebacks to everybody who asks" in told
