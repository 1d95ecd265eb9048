"""Messages between processes, and the values in them."""

import contextlib
import datetime as dt
import enum
import math
from collections import OrderedDict
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolserver.sharing import frames
from toolserver.sharing.frames import FrameReader, frame
from toolserver.sharing.values import MAX_SIZE, pack, unpack

ZONES = st.none() | st.integers(-1439, 1439).map(
    lambda minutes: dt.timezone(dt.timedelta(minutes=minutes))
)
HASHABLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.datetimes(timezones=ZONES)
    | st.dates()
    | st.times()
    | st.timedeltas(),
    lambda inner: st.lists(inner).map(tuple) | st.frozensets(inner),
    max_leaves=4,
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(HASHABLE, inner)
        | st.sets(HASHABLE)
    ),
    max_leaves=6,
)


def shape(value):
    """The classes in a value: 1 and True and 1.0 are equal."""
    if isinstance(value, list | tuple):
        return type(value), [shape(each) for each in value]
    if isinstance(value, dict):
        return dict, sorted(str((shape(k), shape(v))) for k, v in value.items())
    return type(value)


@settings(max_examples=60)
@given(VALUES)
def test_values_arrive_as_they_were(value):
    arrived = unpack(pack(value))
    assert arrived == value
    assert shape(arrived) == shape(value)


def test_not_a_number_arrives():
    assert math.isnan(unpack(pack(math.nan)))
    assert unpack(pack(Decimal("NaN"))).is_nan()


class Color(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Color.RED, "red"),
        (Level.HIGH, 3),
        (Point(1, 2), (1, 2)),
        (OrderedDict(a=1), {"a": 1}),
        (bytearray(b"x"), b"x"),
        ([Color.RED, {Level.HIGH: Point(1, Level.HIGH)}], ["red", {3: (1, 3)}]),
    ],
)
def test_subclasses_arrive_as_what_they_are_of(value, plain):
    arrived = unpack(pack(value))
    assert arrived == plain
    assert shape(arrived) == shape(plain)


class Record(msgspec.Struct):
    name: str


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (object(), "of the class object"),
        (("a", Record("x")), r"got Record\(name='x'\) of the class Record, expected"),
        ({"a": len}, "builtin_function_or_method"),
        (enum.Enum("Kind", "A").A, "of the class Kind"),
        (1j, "of the class complex"),
        ("\ud800", "no Unicode"),
        ([Decimal("sNaN")], "signaling NaN"),
        (nested(60), "more than 50 deep"),
    ],
)
def test_what_cannot_be_carried_is_told(value, problem):
    with pytest.raises(TypeError, match=problem):
        pack(value)


def test_a_value_that_is_too_large_is_told():
    assert len(unpack(pack(b"x" * (MAX_SIZE - 100)))) == MAX_SIZE - 100
    with pytest.raises(ValueError, match="expected at most 8388608"):
        pack(b"x" * MAX_SIZE)


@given(st.binary())
def test_any_bytes_are_a_value_or_refused(data):
    with contextlib.suppress(ValueError):
        unpack(data)


@given(st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=300))), st.data())
def test_messages_arrive_however_they_are_cut(messages, data):
    stream = b"".join(map(frame, messages))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    reader = FrameReader()
    arrived = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        arrived += reader.feed(stream[start:end])
    assert arrived == [list(message) for message in messages]


@given(st.binary(), st.data())
def test_any_bytes_are_messages_or_refused(data, cuts):
    reader = FrameReader()
    cut = cuts.draw(st.integers(0, len(data)))
    with contextlib.suppress(ValueError):
        for part in (data[:cut], data[cut:]):
            for message in reader.feed(part):
                assert isinstance(message[0], int)


def test_a_message_that_is_too_large_is_refused_by_its_length(monkeypatch):
    with pytest.raises(ValueError, match="got a message of 4294967295 bytes"):
        FrameReader().feed(b"\xff" * 4)
    monkeypatch.setattr(frames, "MAX_FRAME", 100)
    with pytest.raises(ValueError, match="expected at most 100"):
        frame((1, b"x" * 100))


@pytest.mark.parametrize(
    "content", [b"", b"\x01", b"\x90", b"\x91\xa1a", b"\x91" * 5000]
)
def test_what_is_no_message_is_refused(content):
    with pytest.raises(ValueError, match="got "):
        FrameReader().feed(len(content).to_bytes(4, "big") + content)


@pytest.mark.parametrize("bits", [63, 64, 20_000])
@pytest.mark.parametrize("sign", [1, -1])
def test_large_numbers_arrive(bits, sign):
    for number in (sign * 2**bits - 1, sign * 2**bits, sign * 2**bits + 1):
        arrived = unpack(pack(number))
        assert not arrived - number


def test_identifiers_keep_their_bytes():
    made = UUID(int=7)
    assert unpack(pack(made)) == made
