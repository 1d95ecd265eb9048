"""Pickles carry values of known classes, and can do nothing else."""

from __future__ import annotations

import collections
import contextlib
import datetime as dt
import enum
import os
import pickle
import pickletools
import subprocess
import uuid
import zlib
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolserver.errors import ApplicationError, ParseError, StartError
from toolserver.protocols.picklememos import check_memo
from toolserver.protocols.pickles import (
    KNOWN,
    classes_of,
    read_pickle,
    write_pickle,
)

SIZE = 1_000_000


@dataclass
class Part:
    name: str
    count: int = 1


class Color(enum.Enum):
    RED = "red"


class Gadget:
    """What an attacker would send."""

    def __init__(self, function, *args):
        self.made = function, args

    def __reduce__(self):
        return self.made


def there_and_back(value, known=KNOWN):
    return read_pickle(write_pickle(value, known), known, SIZE)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.datetimes(timezones=st.just(dt.UTC))
    | st.dates()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.uuids()
    | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.sets(st.integers())
        | st.frozensets(st.text())
    ),
    max_leaves=12,
)


@given(values)
def test_values_of_python_arrive_as_they_are(value):
    found = there_and_back(value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        collections.OrderedDict(b=1, a=2),
        collections.deque([1, 2]),
        range(3),
        slice(1, 2, 3),
        bytearray(b"x"),
        uuid.UUID(int=2**100 + 7),
        Fraction(1, 3),
        Decimal("1.10"),
    ],
    ids=repr,
)
def test_other_values_of_the_library_arrive_too(value):
    assert there_and_back(value) == value


def test_exceptions_arrive_as_exceptions():
    found = there_and_back(KeyError("a"))
    assert type(found) is KeyError
    assert found.args == ("a",)


def test_what_the_reader_does_not_know_becomes_plain():
    value = {"part": Part("x"), "parts": [Part("y", 2)], "color": Color.RED}
    assert there_and_back(value) == {
        "part": {"name": "x", "count": 1},
        "parts": [{"name": "y", "count": 2}],
        "color": "red",
    }
    for unknown in (object(), lambda: None, Part, os):
        with pytest.raises(ApplicationError):
            write_pickle(unknown, KNOWN)


def test_further_classes_are_named():
    known = classes_of([f"{__name__}:Part", f"{__name__}:Color"])
    value = [Part("x"), Color.RED]
    assert there_and_back(value, known) == value
    with pytest.raises(ParseError, match=r"test_pickles\.Part is not among"):
        read_pickle(write_pickle(value, known), KNOWN, SIZE)


@pytest.mark.parametrize(
    "name", ["nowhere:X", "os:nothing", "os", "os:path", "builtins:len", ":", ""]
)
def test_names_of_no_class_are_refused(name):
    with pytest.raises(StartError, match=r"picklerpc\.classes"):
        classes_of([name])


GADGETS = [
    Gadget(os.system, "touch PWNED"),
    Gadget(eval, "open('PWNED', 'w')"),
    Gadget(exec, "open('PWNED', 'w')"),
    Gadget(getattr, 1, "real"),
    Gadget(subprocess.Popen, ["touch", "PWNED"]),
    Gadget(__import__, "os"),
    Gadget(open, "PWNED", "w"),
    Gadget(compile, "1", "x", "eval"),
    Gadget(type, "X", (), {}),
    Gadget(object.__getattribute__, 1, "x"),
]


@pytest.mark.parametrize("gadget", GADGETS, ids=lambda each: str(each.made[0]))
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_gadgets_are_refused(gadget, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = zlib.compress(pickle.dumps([1, gadget], protocol))
    with pytest.raises(ParseError, match="not among the classes"):
        read_pickle(data, KNOWN, SIZE)
    assert not list(tmp_path.iterdir())


BOMBS = [
    Gadget(list, range(10**12)),
    Gadget(tuple, range(10**12)),
    Gadget(set, range(10**12)),
    Gadget(collections.deque, range(10**12)),
    Gadget(bytes, 10**12),
    Gadget(bytearray, 10**12),
    Gadget(bytes, [1], "utf-7"),
    Gadget(Fraction, "1e999999999"),
    Gadget(Fraction, "1e999999999", 1),
    Gadget(dict, range(10**12)),
]


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda each: str(each.made[0]))
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_few_bytes_make_no_large_values(bomb, protocol):
    with pytest.raises(ParseError, match="pickle: "):
        read_pickle(zlib.compress(pickle.dumps(bomb, protocol)), KNOWN, SIZE)


def test_constructors_cannot_be_gone_around():
    # NEWOBJ calls `tuple.__new__` itself.
    data = b"\x80\x04\x8c\x08builtins\x8c\x05tuple\x93"
    data += b"\x8c\x08builtins\x8c\x05range\x93K\x05\x85R\x85\x81."
    with pytest.raises(ParseError):
        read_pickle(zlib.compress(data), KNOWN, SIZE)


def test_nothing_is_walked_to():
    # A dotted name would lead from a known class to anything that it reaches.
    for name in ("date.__class__", "datetime.__reduce__", "date.today"):
        data = b"\x80\x04\x8c\x08datetime\x8c" + bytes([len(name)]) + name.encode()
        data += b"\x93)R."
        assert list(pickletools.genops(data))
        with pytest.raises(ParseError, match="not among"):
            read_pickle(zlib.compress(data), KNOWN, SIZE)


@pytest.mark.parametrize("data", [b"Pelsewhere\n.", b"\x80\x04K\x01Q."])
def test_nothing_is_referred_to(data):
    with pytest.raises(ParseError, match="elsewhere"):
        read_pickle(zlib.compress(data), KNOWN, SIZE)


def test_sizes_are_bounded():
    data = write_pickle(b"\0" * 2_000_000, KNOWN)
    assert len(data) < 20_000
    with pytest.raises(ParseError, match="more than 1000000 bytes"):
        read_pickle(data, KNOWN, SIZE)
    with pytest.raises(ParseError, match="incomplete"):
        read_pickle(write_pickle([1] * 10_000, KNOWN)[:-5], KNOWN, SIZE)


@given(st.binary() | st.binary().map(zlib.compress))
def test_any_bytes_are_read_or_refused(data):
    with contextlib.suppress(ParseError):
        read_pickle(data, KNOWN, SIZE)


def test_short_pickles_are_not_compressed():
    data = write_pickle("x" * 1000, KNOWN)
    assert pickletools.optimize(data)
    assert read_pickle(data, KNOWN, 2000) == "x" * 1000
    with pytest.raises(ParseError, match="more than 1000 bytes"):
        read_pickle(data, KNOWN, 1000)
    with pytest.raises(ParseError, match="truncated"):
        read_pickle(data[:-5], KNOWN, SIZE)
    assert len(write_pickle("x" * 10_000, KNOWN)) < 1000


@given(values, st.integers(0, 5))
def test_places_in_the_memo_are_bounded(value, protocol):
    data = pickle.dumps(value, protocol)
    check_memo(data)
    # Whatever precedes it, a number of a place is found.
    for put in (b"r\xff\xff\xff\x0f", b"p268435455\n", b"p%0200d\n" % 268_435_455):
        with pytest.raises(ParseError, match="beyond its own size"):
            check_memo(data[:-1] + put + b".")
    # What only looks like one is none.
    assert read_pickle(pickle.dumps(["r\xff\xff\xff\x0f"] * 2), KNOWN, SIZE)


@pytest.mark.parametrize(
    "opcode", [each.code for each in pickletools.opcodes if each.name != "STOP"]
)
def test_all_opcodes_are_gone_through(opcode):
    argument = pickletools.code2op[opcode].arg
    rest = {
        pickletools.UP_TO_NEWLINE: b"1\n" * (1 + (opcode in "ci")),
        pickletools.TAKEN_FROM_ARGUMENT1: b"\x03...",
        pickletools.TAKEN_FROM_ARGUMENT4: b"\x03\0\0\0...",
        pickletools.TAKEN_FROM_ARGUMENT4U: b"\x03\0\0\0...",
        pickletools.TAKEN_FROM_ARGUMENT8U: b"\x03\0\0\0\0\0\0\0...",
    }
    size = argument.n if argument is not None else 0
    begin = opcode.encode("latin-1") + rest.get(size, b"\0" * size)
    check_memo(begin + b"N.")
    with pytest.raises(ParseError, match="beyond its own size"):
        check_memo(begin + b"Nr\xff\xff\xff\xff.")
    # Nothing is run after the end, or after what is no opcode.
    check_memo(begin + b".Nr\xff\xff\xff\xff.")
    check_memo(begin + b"\xffNr\xff\xff\xff\xff.")


@pytest.mark.parametrize(
    "data",
    [b"\x80\x05NNN", b"\x80\x05Sno end of the line", b"\x80\x05cone line\nmore"],
)
def test_the_reader_is_left_what_breaks_off(data):
    check_memo(data)
    with pytest.raises(ParseError, match="pickle: "):
        read_pickle(data, KNOWN, SIZE)


def test_the_reader_is_left_what_is_no_number():
    data = b"\x80\x05Npx\n."
    check_memo(data)
    with pytest.raises(ParseError, match="ValueError"):
        read_pickle(data, KNOWN, SIZE)
    # What follows is looked at all the same.
    with pytest.raises(ParseError, match="beyond its own size"):
        check_memo(b"Npx\nr\xff\xff\xff\xff.")


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_octets_that_may_be_changed_are_read_as_each_protocol_has_them(protocol):
    value = bytearray(b"\x00\xff")
    found = read_pickle(zlib.compress(pickle.dumps(value, protocol)), KNOWN, SIZE)
    assert (type(found), found) == (bytearray, value)


@pytest.mark.parametrize(
    "length",
    [b"\x8a\xff", b"X\xff\xff\xff\xff", b"\x8e" + b"\xff" * 8, b"\x96" + b"\xff" * 8],
)
def test_lengths_that_lead_beyond_everything_are_refused(length):
    with pytest.raises(ParseError, match="pickle"):
        read_pickle(b"\x80\x05" + length + b"x" * 20, KNOWN, SIZE)
