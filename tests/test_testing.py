"""What authors of tools have for their tests."""

from datetime import timedelta

import pytest

from toolserver import (
    AuthenticatedTool,
    StandardTool,
    context,
    every,
    read_only,
    register,
    retry,
)
from toolserver.client import PROTOCOLS
from toolserver.errors import Forbidden, StartError, Unauthenticated
from toolserver.testing import serve

HOUR = 3600


@register("testedtool")
class Counting(StandardTool):
    """Counts, now and later."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.failures = 2

    @read_only
    def double(self, number: int) -> int:
        return 2 * number

    @read_only
    def who(self) -> list[str]:
        return [context.client or "", context.auth_type or "", *sorted(context.groups)]

    def tell(self, text: str) -> None:
        self.told.append(text)

    def tell_later(self) -> None:
        for hours in (3, 1, 2):
            self.schedule(timedelta(hours=hours), self.tell, f"{hours} h")

    @every("30 * * * *", priority=1)
    def chime(self) -> None:
        self.told.append("chime")

    @retry(times=3, backoff=60)
    def stumble(self) -> None:
        self.told.append("try")
        if self.failures:
            self.failures -= 1
            raise RuntimeError("not yet")

    def ask(self) -> None:
        self.enqueue(1, self.tell, "asked")


@register("testedtool.staff")
class Staff(AuthenticatedTool):
    """For the staff."""

    groups = "staff"

    def enter(self) -> str:
        return f"welcome, {context.client}"


@pytest.fixture(scope="module")
def server():
    with serve(
        Counting, Staff, clients={"ann": {"staff", "night"}, "eve": ()}
    ) as found:
        yield found


@pytest.fixture
def tool(server):
    found = server.tool("testedtool")
    found.told, found.failures = [], 2
    # What began before the test is none of its business.
    server.run_jobs()
    found.told.clear()
    return found


def tellings(tool):
    """What it has told, but for what comes with the clock."""
    return [told for told in tool.told if told != "chime"]


# --- over the network


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_there_is_a_client_for_each_protocol(server, protocol):
    remote = server.remote(protocol)
    assert remote.call("testedtool.double", 21) == 42
    assert remote.get_tool("testedtool").double(number=4) == 8


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_clients_sign_their_calls(server, protocol):
    found = server.remote(protocol, "ann").call("testedtool.who")
    # One signed call of PickleRPC opens a session for the next ones.
    assert found == ["ann", "Signature", "night", "staff"]
    assert server.remote(protocol, "ann").call("testedtool.staff.enter")
    with pytest.raises(Exception, match="eve may not use this tool") as caught:
        server.remote(protocol, "eve").call("testedtool.staff.enter")
    assert caught.value.code == Forbidden.code


def test_others_need_no_key(server):
    assert server.http.get("/testedtool/double?number=2").text == "4"
    with pytest.raises(Exception, match="authentication needed") as caught:
        server.remote().call("testedtool.staff.enter")
    assert caught.value.code == Unauthenticated.code


def test_who_has_no_key_is_told_how_to_get_one(server):
    with pytest.raises(ValueError, match=r"clients=\{'bob': \(\)\}"):
        server.remote("SOAP", "bob")
    with serve(Counting) as other:
        assert other.remote("RPC2").call("testedtool.double", 1) == 2
        with pytest.raises(ValueError, match="has no key"):
            other.remote("PYRPC")


def test_keys_are_not_put_into_a_home_of_others(tmp_path):
    (tmp_path / "privkeys").mkdir()
    with (
        pytest.raises(ValueError, match="no home"),
        serve(Counting, home=tmp_path, clients={"ann": ()}),
    ):
        pass
    assert not list((tmp_path / "privkeys").iterdir())


# --- inside


def test_calls_inside_are_those_of_anybody(server):
    assert server.call("testedtool.who") == ["", ""]
    found = server.as_client("ann", groups={"staff"})
    assert found.call("testedtool.who") == ["ann", "", "staff"]
    assert found.call("testedtool.staff.enter") == "welcome, ann"
    with pytest.raises(Unauthenticated):
        server.call("testedtool.staff.enter")


# --- time


def test_time_passes_for_jobs_alone(server, tool):
    server.call("testedtool.tell_later")
    server.run_jobs()
    assert tellings(tool) == []
    begun = server.worker.jobs.clock.now()
    server.run_jobs(advance=2.5 * HOUR)
    assert tellings(tool) == ["1 h", "2 h"]
    passed = server.worker.jobs.clock.now() - begun
    assert 2.5 * HOUR <= passed < 2.5 * HOUR + 300
    server.run_jobs(advance=HOUR)
    assert tellings(tool) == ["1 h", "2 h", "3 h"]


def test_what_comes_back_comes_back_as_often_as_it_is_due(server, tool):
    server.run_jobs(advance=24 * HOUR)
    # The 25th one where half past strikes in just this moment.
    assert set(tool.told) == {"chime"}
    assert len(tool.told) in (24, 25)


def test_a_second_attempt_comes_when_it_is_due(server, tool):
    job = server.remote().enqueue(0, "testedtool.stumble")
    server.run_jobs()
    assert tellings(tool) == ["try"]
    server.run_jobs(advance=30)
    assert tellings(tool) == ["try"]
    server.run_jobs(advance=40)
    assert tellings(tool) == ["try"] * 2
    server.run_jobs(advance=600)
    assert tellings(tool) == ["try"] * 3
    assert job.status == "done"


def test_jobs_that_lead_to_others_are_followed(server, tool):
    server.remote().schedule(timedelta(minutes=1), "testedtool.ask")
    server.run_jobs(advance=30)
    assert tellings(tool) == []
    server.run_jobs(advance=31)
    assert tellings(tool) == ["asked"]


# --- pytest's plugin


def test_the_fixture_starts_servers(serve_tools):
    first, second = serve_tools(Counting), serve_tools(Staff, contracts=False)
    assert first.http.get("/testedtool/double?number=3").text == "6"
    assert second.as_client("ann", {"staff"}).call("testedtool.staff.enter")
    with pytest.raises(StartError, match="not registered"):
        serve_tools(StandardTool)
