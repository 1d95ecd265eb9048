"""What agents are told of tools, results and jobs, apart from how it is sent."""

from __future__ import annotations

import datetime as dt
import enum
import typing

import pytest

from toolserver import StandardTool, hidden
from toolserver.describe.agentcatalog import AgentCatalog
from toolserver.describe.agentcontent import contents_of, failure
from toolserver.describe.agentkeys import choices_of_keys
from toolserver.describe.agentprompts import choices_of
from toolserver.describe.agentresources import description_of
from toolserver.describe.agenttasks import describe_task
from toolserver.errors import ApplicationError, Conflict, StartError
from toolserver.jobs.telling import JobInfo
from toolserver.media import Audio, Document, Image
from toolserver.registry import Registry
from toolserver.toolspecs import describe_tool


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Odd(enum.Enum):
    TEXT = "text"
    PAIR = (1, 2)
    OTHER = object()


class Shop(StandardTool):
    """Sells things."""

    def buy(self, item: str) -> None:
        """Buy something.

        Raises:
            Conflict: There is none left.
        """

    @hidden
    def rebuild(self) -> None:
        """Nobody is told."""


class Taker(StandardTool):
    def take(
        self,
        key: str,
        level: Level,
        odd: Odd,
        either: bool | typing.Literal["auto", 1],
        maybe: typing.Literal["a", None] = None,
    ) -> None: ...


class Pair(StandardTool):
    def b_c(self) -> None: ...


class Single(StandardTool):
    def c(self) -> None: ...


def registry_of(**tools):
    registry = Registry()
    for namespace, tool in tools.items():
        registry.add(tool(), namespace.replace("__", "."))
    return registry


def test_names_that_are_one_without_dots_keep_the_server_from_starting():
    registry = registry_of(a=Pair, a__b=Single)
    with pytest.raises(StartError, match=r"a\.b\.c and a\.b_c would both be 'a_b_c'"):
        AgentCatalog(registry).check()
    # Whoever is not offered both has no such trouble.
    AgentCatalog(registry, ["a.b"]).check()


def test_only_what_is_exposed_is_offered_with_all_below_it():
    registry = registry_of(shop=Shop, shop__old=Shop, shops=Shop)
    catalog = AgentCatalog(registry, ["shop"])
    assert {target.name for target in catalog.tools()} == {"shop.buy", "shop.old.buy"}
    assert catalog.find("shop_old_buy").name == "shop.old.buy"
    assert catalog.find("shops.buy") is None


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, {}),
        ({"left": 0}, {"left": 0}),
        (["a", 1], {"detail": ["a", 1]}),
        (Level.HIGH, {"detail": 2}),
    ],
)
def test_facts_of_a_failure_are_told_as_an_object(data, told):
    error = failure(ApplicationError("sold out", data=data))["_meta"]
    (found,) = error.values()
    assert found["message"] == "sold out"
    assert found["data"] == {"type": "ApplicationError", **told}


def test_facts_that_are_not_told():
    (found,) = failure(Conflict("no", data=[1]), tells_data=False)["_meta"].values()
    assert found["data"] == {"type": "Conflict"}


@pytest.mark.parametrize(
    ("value", "contents"),
    [
        (Image(b"x"), {"uri": "a://b", "mimeType": "image/png", "blob": "eA=="}),
        (Audio(b"x"), {"uri": "a://b", "mimeType": "audio/wav", "blob": "eA=="}),
        (
            Document("c://d", "x"),
            {"uri": "a://b", "mimeType": "text/plain", "text": "x"},
        ),
    ],
)
def test_what_is_read_is_called_as_it_was_asked_for(value, contents):
    assert contents_of(value, "a://b") == contents


@pytest.mark.parametrize(
    ("parameter", "choices"),
    [
        ("key", []),
        ("level", ["1", "2"]),
        # A call would refuse the others.
        ("odd", ["text"]),
        ("either", ["true", "false", "auto", "1"]),
        ("maybe", ["a"]),
        ("other", []),
    ],
)
def test_choices_are_texts_that_a_call_takes(parameter, choices):
    assert choices_of(describe_tool(Taker)["take"], parameter) == choices


def test_a_tool_that_is_of_no_factory_has_no_keys():
    registry = registry_of(taker=Taker)
    assert choices_of_keys(registry, registry.target("taker.take"), "") == []


def test_a_description_tells_what_may_be_called_and_how_it_fails():
    told = description_of(registry_of(shop=Shop).entry("shop"))
    assert told.startswith("# shop\n\nSells things.\n\n## buy\n\n")
    assert "- raises `Conflict`: There is none left." in told
    assert "rebuild" not in told


@pytest.mark.parametrize(
    ("state", "stateless", "status"),
    [
        ("running", False, "cancelled"),
        ("waiting", False, "cancelled"),
        # In stateless revisions only the end of it counts.
        ("running", True, "working"),
        ("done", False, "completed"),
    ],
)
def test_a_task_that_is_being_cancelled(state, stateless, status):
    moment = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    info = JobInfo(
        id="x",
        method="shop.buy",
        state=state,
        queue=None,
        priority=0,
        client=None,
        created=moment,
        due=moment,
        started=moment,
        finished=None,
        fraction=None,
        text="half",
        attempts=1,
        is_cancelling=True,
        error=None,
    )
    task = describe_task(info, 60.0, stateless=stateless)
    assert (task["status"], task["statusMessage"]) == (status, "half")
