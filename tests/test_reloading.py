"""A changed file of tools takes the place of the old one in the running server."""

from __future__ import annotations

import os
import sys
import uuid

import gevent
import pytest

import toolserver.testing
from toolserver import StandardTool, chain
from toolserver.contexts import Context, bind
from toolserver.declarations import declared
from toolserver.errors import StartError
from toolserver.protocols import base
from toolserver.settings import ServerSettings, Settings
from toolserver.web import gateway
from toolserver.worker import Worker

TOOL = """
import gevent
from dataclasses import dataclass
from toolserver import StandardTool, register, rest

TOLD = []

@dataclass(frozen=True)
class Own:
    size: int = 1

@register("NAME.tool")
class Tool(StandardTool):
    settings = Own()

    def on_start(self):
        TOLD.append("start VERSION")

    def on_stop(self):
        TOLD.append("stop VERSION")

    def on_close(self):
        TOLD.append("close VERSION")

    def version(self) -> str:
        return "VERSION"

    def size(self) -> int:
        return self.settings.size

    def slow(self, seconds: float) -> str:
        gevent.sleep(seconds)
        return "VERSION"
"""


class Sample:
    """A server whose tools are one file, and the file."""

    def __init__(self, home):
        self.name = f"reloaded_{uuid.uuid4().hex}"
        self.file = home.tools / f"{self.name}.py"
        self.version = 0

    def write(self, version, **changes):
        text = TOOL.replace("NAME", self.name).replace("VERSION", version)
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        self.write_text(text)

    def write_text(self, text):
        self.file.write_text(text)
        # Two writes within a tick of the clock are two versions all the same.
        self.version += 1
        os.utime(self.file, (self.version, self.version))

    @property
    def told(self):
        return sys.modules[self.name].TOLD


@pytest.fixture
def sample(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = list(declared)
    declared.clear()
    home = toolserver.testing.Home(tmp_path)
    home.create()
    made = Sample(home)
    made.write("one")
    settings = Settings(
        server=ServerSettings(port=0), tool={f"{made.name}.tool": {"size": 7}}
    )
    made.worker = Worker(settings, home)
    made.worker.start()
    made.server = toolserver.testing.TestServer(made.worker)
    yield made
    made.server.http.close()
    made.worker.stop(1.0)
    sys.modules.pop(made.name, None)
    declared[:] = before


def get(sample, method, **query):
    answer = sample.server.http.get(f"/{sample.name}/tool/{method}", params=query)
    return answer.text if answer.ok else answer.status_code


def test_new_calls_get_the_new_code_with_the_old_settings(sample):
    assert get(sample, "version") == "one"
    sample.write("two")
    assert sample.worker.reload(sample.file) == [f"{sample.name}.tool"]
    assert get(sample, "version") == "two"
    assert get(sample, "size") == "7"
    assert sample.server.call(f"{sample.name}.tool.version") == "two"


def test_calls_by_rules_are_those_of_the_new_code(sample):
    more = {
        "import StandardTool,": "import StandardTool, every,",
        "    def version": "    @every('* * * * *')\n    def version",
    }
    sample.write("two", **more)
    sample.worker.reload(sample.file)
    sample.server.run_jobs(advance=120)
    queue = f"{sample.name}.tool"
    found = sample.worker.jobs.engine.find(queue=queue)
    assert [status.state for status in found] == ["waiting", "done", "done"]
    sample.write("three")
    sample.worker.reload(sample.file)
    sample.server.run_jobs(advance=120)
    found = sample.worker.jobs.engine.find(queue=queue)
    assert [status.state for status in found] == ["cancelled", "done", "done"]


def test_running_calls_end_on_the_old_code_before_its_hooks_run(sample):
    told = sample.told
    running = gevent.spawn(get, sample, "slow", seconds=1.5)
    http = sample.worker.http
    while not http.busy:
        gevent.sleep(0.001)
    sample.write("two")
    reloading = gevent.spawn(sample.worker.reload, sample.file)
    while get(sample, "version") != "two":
        gevent.sleep(0.001)
    assert told == ["start one"]
    assert running.get(timeout=10) == "one"
    reloading.get(timeout=10)
    assert told == ["start one", "stop one", "close one"]
    assert sample.told == ["start two"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def broken(:", "SyntaxError"),
        ("raise ValueError('no')", "ValueError: no"),
        ("import nowhere_at_all", "nowhere_at_all"),
        (
            "from toolserver import StandardTool, register\n"
            "@register('x.y')\n"
            "class X(StandardTool):\n"
            "    def on_start(self): raise ValueError('hook')",
            "on_start failed: ValueError: hook",
        ),
        (
            "from toolserver import StandardTool, register\n"
            "@register('system')\n"
            "class X(StandardTool): ...",
            "belongs to the server",
        ),
    ],
)
def test_what_cannot_be_loaded_leaves_the_old_code(sample, text, message):
    module = sys.modules[sample.name]
    sample.write_text(text)
    with pytest.raises(StartError, match=message):
        sample.worker.reload(sample.file)
    assert get(sample, "version") == "one"
    assert sys.modules[sample.name] is module
    assert sample.told == ["start one"]
    sample.write("two")
    sample.worker.reload(sample.file)
    assert get(sample, "version") == "two"


def test_tools_and_methods_that_are_gone_are_gone(sample):
    sample.write("two", **{"def size": "def weight"})
    sample.worker.reload(sample.file)
    assert get(sample, "size") == 404
    assert get(sample, "weight") == "7"
    sample.write_text("")
    assert sample.worker.reload(sample.file) == []
    assert get(sample, "version") == 404
    sample.write("three")
    sample.worker.reload(sample.file)
    assert get(sample, "version") == "three"


def test_handlers_of_chains_go_with_the_code_that_added_them(sample):
    handlers = """
from toolserver import chain

def handler(value):
    return value + ["VERSION"]

chain("reloading.test", list).append(handler)
"""
    text = TOOL.replace("NAME", sample.name)

    def run():
        with bind(Context(services=sample.worker.services)):
            return chain("reloading.test", list).run([])

    sample.write_text((text + handlers).replace("VERSION", "one"))
    sample.worker.reload(sample.file)
    assert run() == ["one"]
    sample.write_text((text + handlers).replace("VERSION", "two"))
    sample.worker.reload(sample.file)
    assert run() == ["two"]
    sample.write_text(handlers.replace("VERSION", "bad") + "raise ValueError")
    with pytest.raises(StartError):
        sample.worker.reload(sample.file)
    assert run() == ["two"]
    sample.write_text(text)
    sample.worker.reload(sample.file)
    assert run() == []


def test_only_files_of_tools_are_loaded_again(sample, tmp_path):
    other = tmp_path / "other.py"
    other.touch()
    with pytest.raises(StartError, match="no file of tools"):
        sample.worker.reload(other)
    assert sample.worker.has_loaded([sample.file])
    assert not sample.worker.has_loaded([sample.file, other])


OTHERS = {
    "an application": """
from toolserver import register_wsgi

def app(environ, start_response):
    start_response("200 OK", [])
    return [b"VERSION"]

register_wsgi("NAME", app)
""",
    "a protocol": """
from toolserver import register_protocol

class Protocol:
    prefix = "NAME"
    content_type = "text/plain"

    def decode(self, request):
        return []

    def encode(self, request, outcomes):
        return b"VERSION"

register_protocol(Protocol())
""",
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_file_that_offers_more_than_tools_asks_for_a_new_start(
    tmp_path, monkeypatch, other
):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("toolserver.web.gateway.registered", [])
    monkeypatch.setattr("toolserver.assembly.applications", gateway.registered)
    monkeypatch.setattr("toolserver.protocols.base.registered", [])
    monkeypatch.setattr("toolserver.assembly.codecs", base.registered)
    before = list(declared)
    declared.clear()
    home = toolserver.testing.Home(tmp_path)
    home.create()
    sample = Sample(home)
    sample.write_text(other.replace("NAME", sample.name))
    worker = Worker(Settings(server=ServerSettings(port=0)), home)
    try:
        worker.check()
        assert sample.name in sys.modules
        assert not worker.has_loaded([sample.file])
    finally:
        sys.modules.pop(sample.name, None)
        declared[:] = before


def test_no_call_is_lost_while_code_is_replaced(sample):
    answers = []

    def ask():
        for _ in range(40):
            answers.append(get(sample, "version"))

    askers = [gevent.spawn(ask) for _ in range(4)]
    for number in range(6):
        sample.write(f"v{number}")
        sample.worker.reload(sample.file)
    gevent.joinall(askers, timeout=20)
    assert len(answers) == 160
    assert set(answers) <= {"one", *(f"v{number}" for number in range(6))}


def test_a_name_that_another_file_has_taken_is_refused(sample):
    sample.worker.registry.add(StandardTool(), "taken", source="other.py")
    sample.write("two", **{f"{sample.name}.tool": "taken"})
    told = r"namespace 'taken' is taken by a tool from other\.py"
    with pytest.raises(StartError, match=told):
        sample.worker.reload(sample.file)
    assert get(sample, "version") == "one"
