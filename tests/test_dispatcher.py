"""The one door for calls."""

from __future__ import annotations

import contextlib
import logging

import gevent
import pytest

from toolserver import (
    FactoryTool,
    StandardTool,
    TransientTool,
    Var,
    call,
    context,
    hidden,
    limit,
    proxy,
    tool,
)
from toolserver import validate as validator
from toolserver.calls import Call, Outcome
from toolserver.contexts import Context, bind, current
from toolserver.dispatcher import Dispatcher
from toolserver.errors import (
    ApplicationError,
    CallTimeout,
    Forbidden,
    InvalidParams,
    MethodNotFound,
    ParseError,
    Redirect,
    ToolFault,
    ToolNotFound,
)
from toolserver.registry import Registry
from toolserver.services import Services, install

trail = Var("trail", default="")


class Busy(ApplicationError):
    code = -32777
    status = 423


class NoWords(ApplicationError):
    message = 3


class Mute(Exception):
    def __str__(self):
        raise ValueError("no text")


class Plain(StandardTool):
    def echo(self, value: int = 0) -> int:
        return value

    @hidden
    def inner(self) -> str:
        return f"{context.method}:{context.protocol}:{trail.get()}"

    def outer(self) -> list[str]:
        trail.set("outer")
        return [call("plain.inner"), context.method]

    def fail(self) -> None:
        raise ValueError("broken")

    def busy(self) -> None:
        raise Busy("come back", data={"after": 5})

    def mute(self) -> None:
        raise Mute

    def leave(self) -> None:
        raise SystemExit(3)

    def lost(self) -> None:
        call("plain.nowhere")

    @limit(timeout=5)
    def others_timeout(self) -> None:
        raise gevent.Timeout(3)

    def no_words(self) -> None:
        raise NoWords("come back")

    def move(self) -> None:
        raise Redirect("/there")


class Plant(TransientTool):
    def name(self) -> str:
        return self.key


class Fields(FactoryTool):
    children = (Plant,)

    def __init__(self, error):
        self.error = error

    def child_exists(self, key: str) -> bool:
        raise self.error


class Guarded(StandardTool):
    def __init__(self):
        self.steps = []

    @contextlib.contextmanager
    def transaction(self):
        self.steps.append("begin")
        try:
            yield
        except BaseException:
            self.steps.append("abort")
            raise
        self.steps.append("commit")

    @validator()
    def _tool_wide(self, call):
        self.steps.append(f"tool {call.args}")
        if context.client == "eve":
            raise Forbidden("not you")

    @validator(protocol="RPC2")
    def _rpc_only(self, call):
        self.steps.append("protocol")

    def work(self, number: int) -> int:
        self.steps.append("work")
        if number < 0:
            raise ValueError("negative")
        if number > 100:
            raise Redirect("/far")
        return number

    def elsewhere(self) -> None:
        self.steps.append("elsewhere")

    @validator(elsewhere)
    def _send_on(self, call):
        raise Redirect("/near")

    @validator(work)
    def _check_work(self, call):
        self.steps.append(f"method {list(call.args)}")

    @limit(timeout=0.02)
    def slow(self) -> None:
        gevent.sleep(10)

    @limit(timeout=5)
    def calls_slow(self) -> str:
        try:
            call("guarded.slow")
        except CallTimeout:
            return "inner timed out"

    @limit(timeout=0.02)
    def hurries(self) -> None:
        call("guarded.patient")

    @limit(timeout=5)
    def patient(self) -> float:
        assert context.remaining() < 1
        gevent.sleep(10)


@pytest.fixture
def dispatcher():
    registry = Registry()
    registry.add(Plain(), "plain")
    registry.add(Guarded(), "guarded")
    made = Dispatcher(registry)
    offered = Services(registry, made)
    install(offered)
    yield made
    install(None, offered)


@pytest.fixture
def steps(dispatcher):
    return dispatcher.registry.entry("guarded").tool.steps


def outcome(dispatcher, name, *args, protocol="", client=None, **kwargs):
    with bind(Context(protocol=protocol, client=client)):
        return dispatcher.call(Call(name, args, kwargs))


def test_a_call_has_its_result(dispatcher):
    assert outcome(dispatcher, "plain.echo", value=3).value == 3


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("nowhere.echo", ToolNotFound),
        ("echo", ToolNotFound),
        ("plain.nope", MethodNotFound),
        ("plain.inner", MethodNotFound),
        ("plain._private", MethodNotFound),
        ("plain.__class__", MethodNotFound),
        ("plain.echo.__func__", ToolNotFound),
        ("plain.on_start", MethodNotFound),
        ("plain.namespace", MethodNotFound),
        ("plain.transaction", MethodNotFound),
        ("guarded._check_work", MethodNotFound),
        ("", ToolNotFound),
        (".", ToolNotFound),
    ],
)
def test_what_is_not_exported_cannot_be_reached(dispatcher, name, error):
    assert type(outcome(dispatcher, name).error) is error


def test_an_unknown_name_gets_a_likely_spelling(dispatcher):
    assert "did you mean 'echo'?" in outcome(dispatcher, "plain.ecko").error.message
    assert "did you mean 'plain'?" in outcome(dispatcher, "plane.echo").error.message
    hidden_one = outcome(dispatcher, "plain.innner").error.message
    assert "inner'" not in hidden_one


def test_wrong_arguments_never_reach_the_method(dispatcher, steps):
    failed = outcome(dispatcher, "guarded.work", "one").error
    assert isinstance(failed, InvalidParams)
    assert "work" not in steps
    assert "begin" not in steps


def test_an_exception_of_a_tool_is_told_with_class_and_message(dispatcher, caplog):
    with caplog.at_level(logging.ERROR):
        failed = outcome(dispatcher, "plain.fail").error
    assert isinstance(failed, ToolFault)
    assert failed.message == "ValueError: broken"
    assert failed.data == {"type": "ValueError"}
    assert failed.code == -32500
    assert "ValueError" in caplog.text


def test_or_by_a_reference_to_the_log_alone(dispatcher, caplog):
    strict = Dispatcher(dispatcher.registry, tells_exceptions=False)
    with caplog.at_level(logging.ERROR):
        failed = outcome(strict, "plain.fail").error
    assert "broken" not in failed.message
    assert "ValueError" not in f"{failed.message} {failed.data}"
    assert failed.message.rpartition(" ")[2] in caplog.text


def test_an_application_error_keeps_its_code_and_data(dispatcher):
    failed = outcome(dispatcher, "plain.busy").error
    assert (failed.code, failed.status, failed.data) == (-32777, 423, {"after": 5})


def test_a_tool_that_leaves_only_ends_its_call(dispatcher, caplog):
    assert outcome(dispatcher, "plain.leave").error.message == "SystemExit: 3"


def test_an_exception_without_a_text_is_told_by_its_class(dispatcher, caplog):
    outcome = dispatcher.call(Call("plain.mute"))
    assert isinstance(outcome.error, ToolFault)
    assert outcome.error.message == "Mute"
    assert "plain.mute failed" in caplog.text


def test_a_timeout_of_the_tool_itself_is_its_failure(dispatcher, caplog):
    failed = outcome(dispatcher, "plain.others_timeout").error
    assert type(failed) is ToolFault
    assert failed.message == "Timeout: 3 seconds"


def test_an_error_whose_message_is_no_text_is_a_fault_of_the_tool(dispatcher, caplog):
    failed = outcome(dispatcher, "plain.no_words").error
    assert type(failed) is ToolFault
    assert "message: got int, expected str" in f"{failed.message} {caplog.text}"


def test_an_outcome_without_a_judge_raises_what_is_not_its_own():
    found = Outcome(Call("x"), value=3)
    with pytest.raises(ValueError, match="no words"):
        found.fail(ValueError("no words"))
    refused = Forbidden("no")
    assert found.fail(refused) is refused
    assert (found.value, found.error) == (None, refused)


def test_a_call_inside_that_fails_is_not_the_callers_mistake(dispatcher, caplog):
    assert outcome(dispatcher, "plain.lost").error.code == -32500


def test_a_signal_is_an_answer_for_rest_and_an_error_elsewhere(dispatcher):
    assert outcome(dispatcher, "plain.move", protocol="REST").signal.url == "/there"
    assert outcome(dispatcher, "plain.move", protocol="RPC2").error.code == -32500


def test_calls_inside_have_contexts_of_their_own(dispatcher):
    found = outcome(dispatcher, "plain.outer", protocol="RPC2")
    assert found.value == ["inner::outer", "outer"]
    assert current() is None


def test_the_steps_come_in_their_order(dispatcher, steps):
    assert outcome(dispatcher, "guarded.work", 1, protocol="RPC2").value == 1
    assert steps == [*("tool ()", "protocol", "method [1]", "begin", "work", "commit")]


def test_a_validator_of_a_protocol_minds_only_its_own(dispatcher, steps):
    outcome(dispatcher, "guarded.work", 1, protocol="JSONRPC")
    assert "protocol" not in steps


def test_a_refused_call_reads_no_argument(dispatcher, steps):
    def read():
        raise AssertionError("read although refused")

    with bind(Context(client="eve")):
        refused = dispatcher.call(Call("guarded.work", read=read)).error
    assert isinstance(refused, Forbidden)
    assert steps == ["tool ()"]


def test_a_call_is_prepared_up_to_its_method(dispatcher, steps):
    with bind(Context(protocol="RPC2")):
        target, args, kwargs = dispatcher.prepare(
            Call("guarded.work", ("1",), lax=True)
        )
    assert (target.name, args, kwargs) == ("guarded.work", [1], {})
    assert steps == ["tool ()", "protocol", "method [1]"]
    assert dispatcher.prepare(Call("plain.echo", (1,))).args == [1]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (Call("guarded.work", ("x",)), InvalidParams),
        (Call("guarded.nope"), MethodNotFound),
        (Call("nope.nope"), ToolNotFound),
        (Call("plain.inner"), MethodNotFound),
        (Call("x", error=ParseError("bad")), ParseError),
    ],
)
def test_what_cannot_be_prepared_is_told_as_of_a_call(dispatcher, call, error):
    with pytest.raises(error) as caught:
        dispatcher.prepare(call)
    told = dispatcher.call(call).error
    assert (type(told), str(told)) == (type(caught.value), str(caught.value))


def test_a_refused_call_is_not_prepared(dispatcher, steps):
    with bind(Context(client="eve")), pytest.raises(Forbidden):
        dispatcher.prepare(Call("guarded.work", (1,)))
    assert steps == ["tool ()"]


def test_a_validator_may_answer_instead(dispatcher, steps):
    with bind(Context(protocol="REST")), pytest.raises(Redirect) as caught:
        dispatcher.prepare(Call("guarded.elsewhere"))
    assert caught.value.url == "/near"
    assert "elsewhere" not in steps


@pytest.mark.parametrize("error", [ValueError("no seed"), gevent.Timeout(3)])
def test_what_a_factory_raises_is_told_as_of_a_call(dispatcher, caplog, error):
    dispatcher.registry.add(Fields(error), "fields")
    told = f"{type(error).__name__}: {error}"
    with pytest.raises(ToolFault) as caught:
        dispatcher.prepare(Call("fields.a.name"))
    assert caught.value.message == told
    assert dispatcher.call(Call("fields.a.name")).error.message == told


def test_a_failure_aborts_and_an_answer_commits(dispatcher, steps, caplog):
    outcome(dispatcher, "guarded.work", -1)
    assert steps[-1] == "abort"
    assert outcome(dispatcher, "guarded.work", 101, protocol="REST").signal
    assert steps[-1] == "commit"


def test_a_call_past_its_time_is_ended_and_aborted(dispatcher, steps):
    assert isinstance(outcome(dispatcher, "guarded.slow").error, CallTimeout)
    assert steps[-1] == "abort"


def test_the_shorter_of_nested_deadlines_holds(dispatcher, steps):
    assert outcome(dispatcher, "guarded.calls_slow").value == "inner timed out"
    ended = outcome(dispatcher, "guarded.hurries").error
    assert isinstance(ended, CallTimeout)
    assert "hurries" in ended.message
    assert steps[-2:] == ["abort", "abort"]


def test_a_plain_tool_is_a_plain_object(dispatcher):
    assert tool("plain", Plain).echo("unconverted") == "unconverted"
    with pytest.raises(TypeError, match="got a Plain, expected a Guarded"):
        tool("plain", Guarded)
    with pytest.raises(ToolNotFound, match="did you mean 'plain'"):
        tool("plan")


def test_a_proxy_goes_through_the_door(dispatcher, steps):
    assert proxy("guarded", Guarded).work(5) == 5
    assert "begin" in steps
    with pytest.raises(InvalidParams):
        proxy("plain", Plain).echo("x")
    assert proxy("plain", Plain, validate=False).echo("x") == "x"
    with pytest.raises(MethodNotFound):
        proxy("plain", Plain).nowhere()


def test_inside_a_tool_exceptions_keep_their_class(dispatcher):
    with pytest.raises(ValueError, match="broken"):
        call("plain.fail")


def test_without_a_server_the_way_out_is_named():
    with pytest.raises(RuntimeError, match=r"toolserver\.testing"):
        tool("plain")
