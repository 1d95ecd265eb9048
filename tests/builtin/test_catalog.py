"""The server's own tools can be left out, moved, restricted and replaced."""

from __future__ import annotations

import pytest

import toolserver.testing
from tests.sample import Types
from toolserver import StandardTool, register, validate
from toolserver.builtin.system import SystemTool
from toolserver.declarations import declared
from toolserver.errors import Forbidden, MethodNotFound, StartError, ToolNotFound


class RestrictedSystem(SystemTool):
    """Tells its methods to nobody."""

    @validate()
    def _nobody(self, call):
        raise Forbidden("not for you")


class Unrelated(StandardTool):
    def hello(self) -> str:
        return "hello"


@pytest.fixture(autouse=True)
def _undeclared():
    """What a test registers goes with it."""
    before = list(declared)
    yield
    declared[:] = before


def serve(cls, namespace="", **config):
    if namespace:
        register(cls, namespace)
    return toolserver.testing.serve(cls, config=config)


def test_a_subclass_takes_the_place_of_a_tool_of_the_server():
    with serve(RestrictedSystem, "system") as server:
        assert server.http.get("/system/listTools").status_code == 403


def test_another_class_does_not():
    with (
        pytest.raises(StartError, match="belongs to the server"),
        serve(Unrelated, "system"),
    ):
        pass


def test_a_tool_of_the_server_can_move():
    tools = {"omit": ["system"]}
    with serve(SystemTool, "meta", tools=tools) as server:
        names = server.http.get("/meta/listTools").json()
        assert "meta" in names
        assert "system" not in names
        with pytest.raises(ToolNotFound):
            server.call("system.listTools")


@pytest.mark.parametrize(
    ("method", "name", "expected"),
    [
        ("describe", "nowhere", ToolNotFound),
        ("types", "nowhere", ToolNotFound),
        ("methodHelp", "nowhere.at_all", ToolNotFound),
        ("methodHelp", "sample.types.nothing", MethodNotFound),
        ("methodSignature", "sample.types.nothing", MethodNotFound),
    ],
)
def test_who_asks_for_what_is_not_there_is_told_so(caplog, method, name, expected):
    with toolserver.testing.serve(Types) as server, pytest.raises(expected) as caught:
        server.remote().call(f"system.{method}", name)
    assert type(caught.value) is expected
    assert "Traceback" not in caplog.text
    assert "failed" not in caplog.text


def test_what_is_left_out_has_to_be_there():
    with (
        pytest.raises(StartError, match=r"tools\.omit: got 'sytem', expected one of"),
        serve(Types, tools={"omit": ["sytem"]}),
    ):
        pass
