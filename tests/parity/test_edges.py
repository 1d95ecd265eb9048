"""What the comparison of protocols does where a server is not what it should be."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace

from tests.cli.conftest import ask
from tests.client.scripted import Scripted, respond
from tests.parity.opening import opened
from toolserver import StandardTool, read_only, register
from toolserver.client.codecs import Outgoing
from toolserver.declarations import declared
from toolserver.errors import InvalidParams
from toolserver.home import Home
from toolserver.parity import __main__ as command
from toolserver.parity import trial
from toolserver.parity.batchdoors import BatchDoor, MulticallDoor
from toolserver.parity.calls import Asked, Failure, Told
from toolserver.parity.judging import Judge, joined
from toolserver.parity.literal import LiteralCodec
from toolserver.parity.mistakes import mistakes_of
from toolserver.parity.reporting import Report
from toolserver.parity.servers import open_doors, serve_home, settings_for_parity
from toolserver.parity.values import NoValues, values_of
from toolserver.parity.wire import Wire
from toolserver.parity.wiredoors import RESTDoor
from toolserver.settings import Limits, Settings
from toolserver.types import Type


@register("parity.edges")
class Edges(StandardTool):
    @read_only
    def shout(self, text: str) -> str:
        return text.upper()

    @read_only
    def sum(self, first: int, /, second: int = 0) -> int:
        return first + second


ASKED = [Asked("parity.edges.shout", (text,)) for text in ("a", "b", "c")]


@pytest.fixture(scope="module")
def server():
    with opened(Edges) as running:
        yield running


# --- doors that make several calls in a request


@pytest.mark.parametrize("kind", [BatchDoor, MulticallDoor])
def test_calls_are_made_one_by_one_where_they_are_refused_together(kind):
    settings = settings_for_parity(Settings(limits=Limits(batch=1)))
    with serve_home(settings, tools=_declared()) as (worker, _):
        door = kind(worker.url, 10)
        assert [told.value for told in door.call(ASKED)] == ["A", "B", "C"]
        door.close()


def _declared():
    return [each for each in declared if each.cls is Edges]


def test_a_batch_of_which_nothing_can_be_sent(server):
    door = BatchDoor(server.worker.url, 10)
    odd = Asked("parity.edges.shout", (object(),))
    told = door.call([ASKED[0], odd, odd])
    door.close()
    assert told[0].value == "A"
    assert all(each.failure for each in told[1:])


# --- one connection

ANSWER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Len",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        ANSWER + b"5\r\nabc",
        ANSWER + b"3\r\nabc\r\n0\r\nX-A: b\r\n",
    ],
)
def test_an_answer_that_breaks_off(answer):
    with Scripted(lambda head, body: answer) as server:
        wire = Wire(server.url)
        with pytest.raises(ConnectionError, match="the answer breaks off"):
            wire.exchange(Outgoing("/", b"", {}))
        wire.close()


@pytest.mark.parametrize(
    "answer",
    [
        respond("200 OK", b"abc", "", "Connection: close"),
        ANSWER + b"2;x=y\r\nab\r\n1\r\nc\r\n0\r\nX-A: b\r\n\r\n",
    ],
)
def test_an_answer_that_is_the_last_one(answer):
    with Scripted(lambda head, body: answer) as server:
        wire = Wire(server.url)
        assert wire.exchange(Outgoing("/", b"", {})).body == b"abc"
        wire.close()


# --- what is compared


@pytest.mark.parametrize(
    ("failure", "shown"),
    [
        (Failure(None, None, "odd"), "an error: odd"),
        (Failure("Odd", -1, "odd", 500), "Odd -1 HTTP 500: odd"),
    ],
)
def test_failures_are_shown_with_what_is_told_of_them(failure, shown):
    assert str(Told(failure=failure)) == shown


@pytest.mark.parametrize(
    ("told", "agrees"),
    [
        (Failure("Odd", -1, "odd", 500), True),
        (Failure(None, None, "odd"), True),
        (Failure("Odd", -1, "even", 500), False),
        (Failure("Odd", -1, "odd", 400), False),
        (Failure("Even", -1, "odd", 500), False),
        (Failure("Odd", -2, "odd", 500), False),
    ],
)
def test_failures_agree_in_all_that_is_told(told, agrees):
    door = RESTDoor("http://localhost:1/")
    expected = Told(failure=Failure("Odd", -1, "odd", 500))
    asked = Asked("parity.edges.shout")
    judge = Judge(Type(str))
    assert judge.agrees(door, asked, expected, Told(failure=told)) is agrees


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        ([], ""),
        (["a", "b"], "ab"),
        ([b"a", b"b"], b"ab"),
        (["a", 1], ["a", 1]),
        (5, 5),
    ],
)
def test_pieces_of_streams_are_joined(pieces, whole):
    assert joined(pieces) == whole


def test_text_that_xml_cannot_carry_is_refused_before_it_is_sent():
    codec = LiteralCodec(None, Limits())
    with pytest.raises(InvalidParams, match="argument cannot be sent as XML"):
        codec.write("parity.edges.shout", (), {"text": "\ud800"})


def test_an_answer_without_a_result():
    operation = ElementTree.fromstring("<shoutResponse><other/></shoutResponse>")
    assert LiteralCodec(None, Limits()).read_result(operation) is None


# --- what is called


@dataclass
class Endless:
    """It cannot end."""

    inner: Endless


def test_a_type_without_values():
    with pytest.raises(NoValues):
        values_of(Type(Endless), 3, Random(1))


def test_mistakes_of_a_method_whose_arguments_have_no_names(server):
    target = server.worker.registry.target("parity.edges.sum")
    positions = [Asked(target.name, (1, 2), {}, target)]
    assert len(mistakes_of(target, positions)) >= 2
    assert len(mistakes_of(target, [])) == 2
    # Whoever gives too few gives not one too many by giving one more.
    few = [Asked(target.name, (1,), {}, target)]
    assert not any("one too many" in each.args for each in mistakes_of(target, few))


def test_tools_are_taken_from_folders_that_there_are(tmp_path):
    original = Home(tmp_path)
    original.tools.mkdir()
    settings = settings_for_parity(Settings())
    with serve_home(settings, original=original, tools=_declared()) as (worker, _):
        assert (worker.home.path / "tools").is_symlink()
        assert not (worker.home.path / "wsgi").is_symlink()


def test_no_door_for_agents_where_there_is_none():
    settings = settings_for_parity(Settings())
    settings = replace(settings, tools=replace(settings.tools, omit=("mcp",)))
    with serve_home(settings, tools=_declared()) as (worker, keys):
        _, doors = open_doors(worker, keys)
        assert "MCP" not in {door.name for door in doors}
        for door in doors:
            door.close()


def test_calls_are_no_more_than_patience(server, monkeypatch):
    monkeypatch.setattr(trial, "_PATIENCE", 0.0)
    assert trial._quick_ones(server.inside, ASKED) == ASKED[:1]


# --- the report


def test_a_report_without_methods():
    lines = list(Report(seed=1, count=5).lines())
    assert "skipped:" not in lines
    assert list(Report(1, 5, skipped={"a.b": "no"}).lines())[:2] == [
        "skipped:",
        "  a.b  no",
    ]


def test_the_command_that_is_interrupted(tmp_path, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "try_home", interrupted)
    assert ask(tmp_path, "init").code == 0
    assert command.main(["--home", str(tmp_path), "--verbose"]) == command.INTERRUPTED
