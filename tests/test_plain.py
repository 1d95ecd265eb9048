import collections
import dataclasses
import datetime
import decimal
import enum
import inspect
import sys
import typing
import uuid

import msgspec
import pytest
from markupsafe import Markup

from toolserver.calls import Call, Outcome
from toolserver.errors import ApplicationError
from toolserver.plain import MAX_DEPTH, to_plain


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    BIG = 3


class Point(typing.NamedTuple):
    x: int
    y: typing.Any = None


@dataclasses.dataclass
class Item:
    sku: str
    at: typing.Any = None
    kinds: typing.ClassVar[int] = 1


@dataclasses.dataclass(slots=True)
class Late:
    ready: int
    later: int = dataclasses.field(init=False)


class Order(msgspec.Struct, rename="camel", tag="order"):
    first_item: typing.Any
    note: str | msgspec.UnsetType = msgspec.UNSET


class Pair(msgspec.Struct, array_like=True):
    left: typing.Any
    right: typing.Any


class Tagged(msgspec.Struct, array_like=True, tag="tagged"):
    left: typing.Any


class Text(str):
    __slots__ = ()


class Count(int):
    pass


class Share(float):
    pass


class Moment(datetime.datetime):
    pass


class Day(datetime.date):
    pass


class Hour(datetime.time):
    pass


class Money(decimal.Decimal):
    pass


NOW = datetime.datetime(2024, 2, 29, 12, 0, 1, 5, datetime.UTC)


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 1, 2**70, 1.5, "text", b"\x00", decimal.Decimal("1.50"), NOW),
        *(NOW.date(), NOW.time(), [], {}, [1, "a", None], {"a": [1], "b": {"c": b""}}),
    ],
)
def test_plain_values_stay_what_they_are(value):
    assert to_plain(value) == value
    assert type(to_plain(value)) is type(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Colour.RED, "red"),
        (Size.BIG, 3),
        (Point(1, Point(2)), [1, [2, None]]),
        (Item("a", NOW), {"sku": "a", "at": NOW}),
        (Late(1), {"ready": 1}),
        (Order(Item("a")), {"type": "order", "firstItem": {"sku": "a", "at": None}}),
        (Order(1, "n"), {"type": "order", "firstItem": 1, "note": "n"}),
        (Pair(1, Point(2)), [1, [2, None]]),
        (Tagged(Point(2)), ["tagged", [2, None]]),
        (Count(3), 3),
        (Share(1.5), 1.5),
        ((1, (2,)), [1, [2]]),
        ({4}, [4]),
        (frozenset({Colour.RED}), ["red"]),
        (collections.deque([1, Colour.RED]), [1, "red"]),
        ({"a": 1}.keys(), ["a"]),
        ((n for n in (1, 2)), [1, 2]),
        (collections.OrderedDict(a=Point(1)), {"a": [1, None]}),
        (
            {1: "a", Colour.RED: "b", uuid.UUID(int=1): "c", 1.5: "d"},
            {
                "1": "a",
                "red": "b",
                "00000000-0000-0000-0000-000000000001": "c",
                "1.5": "d",
            },
        ),
        (uuid.UUID(int=2), "00000000-0000-0000-0000-000000000002"),
        (datetime.timedelta(days=1, seconds=2), "P1DT2S"),
        (Moment.combine(NOW.date(), NOW.timetz()), NOW),
        (Day(2024, 2, 29), datetime.date(2024, 2, 29)),
        (Hour(1, 2, 3, 4), datetime.time(1, 2, 3, 4)),
        (Money("1.50"), decimal.Decimal("1.50")),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (Markup("<b>"), "<b>"),
        ({Markup("<b>"): Text("x")}, {"<b>": "x"}),
    ],
)
def test_everything_else_becomes_plain(value, expected):
    plain = to_plain(value)
    assert plain == expected
    assert type(plain) is type(expected)


def test_defaults_that_msgspec_did_not_set_are_told():
    item = msgspec.convert({"sku": "a"}, Item)
    assert to_plain(item) == {"sku": "a", "at": None}


def test_subclasses_of_str_are_gone():
    ((key, value),) = to_plain({Markup("k"): Markup("v")}).items()
    assert type(key) is str
    assert type(value) is str


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "got a value of type object"),
        ([{"a": object()}], "got a value of type object"),
        (Item, "got a value of type type"),
        (1j, "got a value of type complex"),
        ({(1, 2): 1}, "got a key of type tuple, expected str"),
        ({None: 1}, "got a key of type NoneType, expected str"),
        ({1: "a", "1": "b"}, "two keys of a dict are '1' as text"),
    ],
)
def test_what_has_no_plain_form_is_an_error_that_says_why(value, message):
    with pytest.raises(ApplicationError) as caught:
        to_plain(value)
    assert caught.value.message == f"result cannot be sent: {message}"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: [value],
        lambda value: (value,),
        lambda value: {"a": value},
        lambda value: {1: value},
        lambda value: Item("a", value),
        lambda value: Order(value),
        lambda value: Point(value),
        lambda value: iter([value]),
    ],
)
def test_depth_is_bounded(wrap):
    def nested(depth):
        value = 1
        for _ in range(depth):
            value = wrap(value)
        return value

    to_plain(nested(MAX_DEPTH))
    with pytest.raises(ApplicationError, match=f"deeper than {MAX_DEPTH}"):
        to_plain([nested(MAX_DEPTH)])


def test_what_is_left_of_the_stack_may_not_be_enough():
    value = []
    for _ in range(MAX_DEPTH - 1):
        value = [value]

    def below(frames):
        return below(frames - 1) if frames else to_plain(value)

    used = len(inspect.stack(0))
    with pytest.raises(ApplicationError, match="result nested too deep"):
        below(sys.getrecursionlimit() - used - 50)


def test_a_value_that_holds_itself_is_an_error():
    value = {}
    value["self"] = value
    with pytest.raises(ApplicationError, match="deeper"):
        to_plain(value)


def test_a_generator_that_fails_raises_what_it_raised():
    def rows():
        yield 1
        raise LookupError("row 2 is gone")

    with pytest.raises(LookupError, match="row 2 is gone"):
        to_plain(rows())


def test_an_outcome_gives_its_value_plain():
    assert Outcome(Call("a.b"), [Point(1)]).plain == [[1, None]]
