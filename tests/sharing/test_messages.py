"""What workers tell the hub of the patterns that they ask for."""

import contextlib
import datetime as dt
import enum
import types
from decimal import Decimal
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from toolserver.sharing.messages import Asked, described
from toolserver.sharing.values import pack, unpack
from toolserver.tuplepatterns import fits


class Color(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 1


class Odd(str):
    """Equal to nothing."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other):
        return False


VALUES = st.one_of(
    st.sampled_from([None, True, False, 0, 1, 1.0, 2**70, "", "red", b"", b"red"]),
    st.sampled_from([(), [], {}, set(), Decimal(1), UUID(int=1), (1,), [1]]),
    st.dates(),
    st.datetimes(),
    st.times(),
    st.timedeltas(),
)
CLASSES = [
    *(bool, int, float, str, bytes, list, dict, tuple, set, frozenset, object),
    *(Decimal, UUID, dt.datetime, dt.date, dt.time, dt.timedelta, types.NoneType),
]
EXACT = st.one_of(
    st.just(...),
    st.sampled_from(CLASSES),
    st.sampled_from([int | None, str | bytes | Decimal, dt.date | dt.time]),
    st.sampled_from([None, True, 0, 1, 1.0, "", "red", b"red", Color.RED, Level.HIGH]),
)
OTHER = st.sampled_from(
    [Color, Color | None, Decimal(1), 2**70, Odd("red"), [1], bool, "\ud800"]
) | st.just(lambda value: value == 1)


def asked(pattern, takes=False, reader="", waits=False):
    """What the hub reads of what a worker sends."""
    sent = msgspec.msgpack.encode([described(pattern), takes, reader, waits])
    return Asked.read(msgspec.msgpack.decode(sent))


@settings(max_examples=300)
@given(st.lists(st.tuples(EXACT, VALUES), max_size=3))
def test_the_hub_judges_what_it_knows_as_the_worker_would(pairs):
    pattern = tuple(element for element, _ in pairs)
    values = unpack(pack(tuple(value for _, value in pairs)))
    found = asked(pattern)
    assert found.is_exact
    assert fits(found.pattern, values) == fits(pattern, values)


@settings(max_examples=300)
@given(st.lists(st.tuples(EXACT | OTHER, VALUES), max_size=3))
def test_the_hub_passes_over_nothing_that_would_fit(pairs):
    pattern = tuple(element for element, _ in pairs)
    values = unpack(pack(tuple(value for _, value in pairs)))
    found = asked(pattern)
    if fits(pattern, values):
        assert fits(found.pattern, values)
    elif found.is_exact:
        assert not fits(found.pattern, values)


@pytest.mark.parametrize("element", [Color, lambda value: True, Odd("a"), [1], 2**70])
def test_what_the_hub_does_not_know_the_worker_judges(element):
    assert not asked(("a", element)).is_exact


def test_the_rest_of_what_is_asked_for_arrives():
    found = asked(("a", ...), True, "ann", True)
    assert found == Asked(("a", ...), True, True, "ann", True)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.lists(JUNK, max_size=5))
@example(["", None, None, None])
def test_any_parts_are_read_or_refused(parts):
    with contextlib.suppress(ValueError):
        assert isinstance(Asked.read(parts).pattern, tuple)
