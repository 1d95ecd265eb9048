"""Rules as of cron, also where clocks are set forward and back."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from toolserver import FactoryTool, StandardTool, TransientTool, every
from toolserver.cron import Rule
from toolserver.marks import inherited_marks

BERLIN = ZoneInfo("Europe/Berlin")


def ticks(expression, tz, after, count):
    rule, found = Rule(expression, tz), []
    moment = after.timestamp()
    for _ in range(count):
        moment = rule.next_tick(moment)
        found.append(datetime.fromtimestamp(moment, UTC).strftime("%d. %H:%M"))
    return found


def test_ticks_come_after_the_moment():
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert ticks("*/20 * * * *", "UTC", noon, 3) == [
        "01. 12:20",
        "01. 12:40",
        "01. 13:00",
    ]
    assert Rule("*/5 * * * * *").next_tick(noon.timestamp()) == noon.timestamp() + 5
    assert Rule("*/5 * * * * *").next_tick(noon.timestamp() - 0.25) == noon.timestamp()


def test_zones_have_clocks_of_their_own():
    winter = datetime(2026, 1, 1, tzinfo=BERLIN)
    assert ticks("30 7 * * *", "Europe/Berlin", winter, 1) == ["01. 06:30"]
    summer = datetime(2026, 7, 1, tzinfo=BERLIN)
    assert ticks("30 7 * * *", "Europe/Berlin", summer, 1) == ["01. 05:30"]


def test_a_call_in_the_hour_that_is_left_out_comes_at_its_end():
    # On the 29th clocks went from 02:00 to 03:00, which is 01:00 UTC.
    before = datetime(2026, 3, 28, 12, tzinfo=BERLIN)
    found = ticks("30 2 * * *", "Europe/Berlin", before, 2)
    assert found == ["29. 01:00", "30. 00:30"]
    found = ticks("15,45 2 * * *", "Europe/Berlin", before, 2)
    assert found == ["29. 01:00", "30. 00:15"]


def test_a_call_in_the_hour_that_comes_twice_comes_once():
    # On the 25th clocks went from 03:00 to 02:00, at 01:00 UTC.
    before = datetime(2026, 10, 24, 12, tzinfo=BERLIN)
    found = ticks("30 2 * * *", "Europe/Berlin", before, 2)
    assert found == ["25. 00:30", "26. 01:30"]
    # Also for who asks in the second one of the two.
    between = datetime(2026, 10, 25, 2, 15, tzinfo=BERLIN, fold=1)
    assert ticks("30 2 * * *", "Europe/Berlin", between, 1) == ["26. 01:30"]


def test_calls_of_every_few_minutes_go_on_evenly():
    before = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
    found = ticks("*/30 * * * *", "Europe/Berlin", before, 4)
    assert found == ["25. 00:30", "25. 01:00", "25. 01:30", "25. 02:00"]
    before = datetime(2026, 3, 29, 0, 15, tzinfo=UTC)
    found = ticks("*/30 * * * *", "Europe/Berlin", before, 3)
    assert found == ["29. 00:30", "29. 01:00", "29. 01:30"]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "Wrong number of fields"),
        ("* * * *", "Wrong number of fields"),
        ("61 * * * *", "Bad minute"),
        ("@daily", "Wrong number of fields"),
        ("0 0 31 2 *", "Bad day-of-month"),
        ("0 0 30 2 *", "Bad day-of-month"),
    ],
)
def test_what_is_no_rule_is_refused(expression, message):
    with pytest.raises(ValueError, match=message):
        every(expression)


@pytest.mark.parametrize("tz", ["Mars", "../etc/passwd", "", "/", "Europe"])
def test_what_is_no_zone_is_refused(tz):
    with pytest.raises(ValueError, match="tz: got"):
        every("* * * * *", tz=tz)


def test_methods_are_called_without_arguments():
    with pytest.raises(TypeError, match="asks for name, expected"):

        class Asks(StandardTool):
            @every("* * * * *")
            def greet(self, name: str, language: str = "en") -> None: ...


def test_tools_that_go_have_no_rules():
    with pytest.raises(TypeError, match="put it on a method of the factory"):

        class Child(TransientTool):
            @every("* * * * *")
            def tidy(self) -> None: ...

    class Factory(FactoryTool):
        @every("* * * * *")
        def tidy(self) -> None: ...


def test_rules_go_by_the_name_of_the_method():
    class Base(StandardTool):
        @every("0 * * * *")
        @every("30 * * * *", priority=2)
        def _tidy(self) -> None: ...

        tidy = None

    class Sub(Base):
        def _tidy(self) -> None: ...

    rules = inherited_marks(Sub, "_tidy")["every"]
    assert rules == (Rule("30 * * * *", "UTC", 2), Rule("0 * * * *", "UTC", 0))
    assert inherited_marks(Sub, "tidy") == {} == inherited_marks(Sub, "nothing")


def test_a_rule_that_never_comes_true_is_refused():
    with pytest.raises(ValueError, match="30 2"):
        Rule("0 0 30 2 *")
