import collections
import dataclasses
import datetime
import json
import math
import typing

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from toolserver import strictjson
from toolserver.errors import ApplicationError, ParseError

SPACE = st.sampled_from(["", "", " ", "\n\t", "\r\n "])
#: Few letters, so that keys repeat, and what a careless count would trip over.
CHARACTERS = st.sampled_from(
    [
        *("a", "b", ":", "{", "}", "[", "]", ",", "\u00fc", "\U0001f600"),
        *(r"\"", r"\\", r"\n", r"\/", r"\u0061", r"\u003a", r"\u0022", r"\u0000"),
        *(r"\ud83d\ude00", r"\ud83d", r"\ude00"),
    ]
)
STRINGS = st.lists(CHARACTERS, max_size=4).map(lambda parts: f'"{"".join(parts)}"')
NUMBERS = st.sampled_from(
    ["0", "-1", "1.5", "1e5", "1E-5", "-0.0", "9" * 30, "1e999", "NaN", "-Infinity"]
)
LITERALS = st.sampled_from(["null", "true", "false"])


@st.composite
def containers(draw, inner):
    space = draw(SPACE)
    if draw(st.booleans()):
        elements = draw(st.lists(inner, max_size=4))
        return f"[{space}{f'{space},'.join(elements)}{space}]"
    members = draw(st.lists(st.tuples(STRINGS, inner), max_size=4))
    written = (f"{key}{space}:{space}{value}" for key, value in members)
    return f"{{{space}{f',{space}'.join(written)}{space}}}"


TEXTS = st.recursive(LITERALS | STRINGS | NUMBERS, containers, max_leaves=15)


class Refused(Exception):
    """The oracle's word for what has to be refused."""


def read_slowly(text):
    """The rules, one by one, by the standard library's reader."""

    def unique(pairs):
        if len(dict(pairs)) < len(pairs):
            raise Refused
        return dict(pairs)

    def number(word):
        if not math.isfinite(value := float(word)):
            raise Refused
        return value

    value = json.loads(
        text, object_pairs_hook=unique, parse_float=number, parse_constant=number
    )
    if any("\ud800" <= character <= "\udfff" for character in flatten(value)):
        raise Refused
    return value


def flatten(value):
    if isinstance(value, dict):
        return "".join(map(flatten, (*value, *value.values())))
    if isinstance(value, list):
        return "".join(map(flatten, value))
    return value if isinstance(value, str) else ""


def depth_of(value):
    if isinstance(value, (dict, list)):
        members = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth_of, members), default=0)
    return 0


@given(TEXTS, st.integers(1, 4))
def test_it_reads_and_refuses_what_a_slow_reader_does(text, max_depth):
    try:
        expected = read_slowly(text)
    except Refused:
        with pytest.raises(ParseError):
            strictjson.decode(text.encode(), max_depth=max_depth)
        return
    if depth_of(expected) > max_depth:
        with pytest.raises(ParseError, match=f"deeper than {max_depth}"):
            strictjson.decode(text.encode(), max_depth=max_depth)
    else:
        got = strictjson.decode(text.encode(), max_depth=max_depth)
        assert repr(got) == repr(expected)


@given(st.binary())
def test_any_bytes_are_read_or_refused(text):
    try:
        value = strictjson.decode(text)
    except ParseError:
        return
    assert value == json.loads(text.decode("utf-8-sig"))


@given(TEXTS, st.data())
def test_any_damage_is_read_or_refused(text, data):
    damaged = bytearray(text.encode())
    at = data.draw(st.integers(0, len(damaged)))
    damaged[at : at + 1] = data.draw(st.binary(max_size=2))
    try:
        value = strictjson.decode(bytes(damaged))
    except ParseError:
        return
    assert repr(value) == repr(read_slowly(damaged.decode("utf-8-sig")))


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 1}',
        r'{"a": 1, "\u0061": 2}',
        '[{"x": {"a": 1, "b": ":", "a": 2}}]',
        '{"a": {}, "a": {"b": 1}}',
        '{"": 1, "": 2}',
        r'{"\"": 1, "\"": 2}',
    ],
)
def test_repeated_keys_are_refused_by_name(text):
    with pytest.raises(ParseError, match="key repeated in a JSON object: "):
        strictjson.decode(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        '{"a": ":", "b": "::"}',
        '{":": 1, "::": 2}',
        r'{"a": "\":", "b": "\\"}',
        '[{"a": 1}, {"a": 1}]',
        '{"a": {"a": {"a": "a:a"}}}',
    ],
)
def test_colons_in_text_are_no_keys(text):
    assert strictjson.decode(text.encode()) == json.loads(text)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_is_bounded(opening, closing):
    def nested(depth):
        return f"{opening * depth}0{closing * depth}".encode()

    assert strictjson.decode(nested(64))
    with pytest.raises(ParseError, match="deeper than 64"):
        strictjson.decode(nested(65))
    assert strictjson.decode(nested(500), max_depth=500)
    with pytest.raises(ParseError, match="deeper than 500"):
        strictjson.decode(nested(100_000), max_depth=500)


def test_brackets_in_text_have_no_depth():
    for text in ("[" * 100, r"\"{" * 100, "{" * 100 + r"\\"):
        body = f'["{text}"]'.encode()
        assert strictjson.decode(body) == json.loads(body)


def count_values(value):
    if isinstance(value, dict):
        return 1 + sum(map(count_values, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(count_values, value))
    return 1


@given(text=containers(containers(STRINGS | NUMBERS) | LITERALS | STRINGS))
def test_values_are_counted(text):
    try:
        value = strictjson.decode(text.encode(), max_values=1000)
    except ParseError:
        return
    count = count_values(value)
    assert strictjson.decode(text.encode(), max_values=count) is not None
    if count > 1:
        with pytest.raises(ParseError, match=f"more than {count - 1} values"):
            strictjson.decode(text.encode(), max_values=count - 1)


@pytest.mark.parametrize(
    "text",
    [
        "[" + "[]," * 100 + "1]",
        "[" + "{ }," * 100 + "1]",
        "[" + "0," * 100 + "1]",
        '["' + '","' * 100 + '"]',
        r'["\\' + r'","\\' * 100 + '"]',
        '["' + '","' * 1000 + '"]',
        "{" + '"a":1,' * 100 + '"b":1}',
    ],
)
def test_values_are_bounded(text):
    with pytest.raises(ParseError, match="more than 100 values"):
        strictjson.decode(text.encode(), max_values=100)


@pytest.mark.parametrize(
    "text", ['"' + ",[{" * 100 + '"', '"' + r"\"," * 100 + '"', r'"\\,\\[", ' * 9]
)
def test_what_looks_like_values_in_text_is_none(text):
    whole = f"[{text.rstrip(', ')}]".encode()
    assert strictjson.decode(whole, max_values=10) == json.loads(whole)


def test_a_complaint_reads_as_a_sentence():
    with pytest.raises(ParseError) as caught:
        strictjson.decode(b"[1 2]")
    assert caught.value.message == "not valid JSON: expected ',' or ']' (byte 3)"


def test_many_containers_side_by_side_have_no_depth():
    assert strictjson.decode(b"[" + b"[]," * 1000 + b"{}]")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("18446744073709551616", 2**64),
        ('{"a": 18446744073709551616}', {"a": 2**64}),
        ("-9223372036854775809", -(2**63) - 1),
        ("9" * 4300, 10**4300 - 1),
        ("\ufeff[1]", [1]),
        (" \n1\t", 1),
        (r'"\ud83d\ude00"', "\U0001f600"),
        (r'"\u0000"', "\0"),
    ],
)
def test_what_is_accepted(text, expected):
    got = strictjson.decode(text.encode())
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "nul", "NaN", "Infinity", "-Infinity", "nan", "01", "+1", ".5"),
        *("1.", "1e", "0x1", "1 2", "[1,]", "[,1]", '{"a"}', "{a: 1}", "{'a': 1}"),
        *("// c\n1", "[1] x", "1e400", "-1e400", "9" * 4301, "[", '"', '"\\'),
        *('"\t"', '"\n"', '"\\x"', '"\\u00"', r'"\ud800"', r'"\udc00"'),
        *("\0", "1\0", "\ufeff", "\ufeff\ufeff1"),
    ],
)
def test_what_is_refused(text):
    with pytest.raises(ParseError, match=r"^not valid JSON: "):
        strictjson.decode(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\xc0\x80"',
        b"\xff\xfe1\0",
        '"ü"'.encode("latin-1"),
    ],
)
def test_what_is_no_utf_8_is_refused(text):
    with pytest.raises(ParseError):
        strictjson.decode(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=15,
    )
)
def test_what_is_written_is_read_again(value):
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        with pytest.raises(ApplicationError, match="NaN or Infinity"):
            strictjson.encode(value)
        return
    assert strictjson.decode(strictjson.encode(value)) == value


class Text(str):
    __slots__ = ()


class Moment(datetime.datetime):
    pass


class Point(typing.NamedTuple):
    x: typing.Any


@dataclasses.dataclass
class Item:
    value: typing.Any


@dataclasses.dataclass
class Defaults:
    a: int
    b: int = 2


def itself():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Text("a"), "a"),
        ({Text("k"): Text("v")}, {"k": "v"}),
        (Item(Point(Item(None))), {"value": [{"value": None}]}),
        (collections.deque([1, None]), [1, None]),
        ((n for n in (1, None)), [1, None]),
        (collections.ChainMap({"a": None}), {"a": None}),
        (Moment(2024, 2, 29), "2024-02-29T00:00:00"),
        ({1: "a", 2.5: "b"}, {"1": "a", "2.5": "b"}),
        (bytearray(b"\0"), "AA=="),
        (msgspec.convert({"a": 1}, Defaults), {"a": 1, "b": 2}),
    ],
)
def test_what_is_not_plain_is_made_so(value, expected):
    assert json.loads(strictjson.encode(value)) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("\ud800", "result cannot be sent as JSON: "),
        ({"\udfff": 1}, "result cannot be sent as JSON: "),
        (object(), "result cannot be sent: got a value of type object"),
        (Item({(1, 2): 3}), "result cannot be sent: got a key of type tuple"),
        (itself(), "result nested deeper than"),
        *(
            (value, "result cannot be sent as JSON: NaN or Infinity")
            for value in (
                *([math.nan, None], Item(math.inf), Point(-math.inf)),
                *((n for n in [math.nan]), collections.deque([math.nan])),
            )
        ),
    ],
)
def test_what_json_cannot_carry_is_an_error(value, message):
    with pytest.raises(ApplicationError) as caught:
        strictjson.encode(value)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (rb'"\u003a:"', "::"),
        (rb'[{"\u003a": 1}]', [{":": 1}]),
        (rb'{"a:\u003a": ["\u003a"]}', {"a::": [":"]}),
    ],
)
def test_escaped_colons_are_no_keys(text, expected):
    assert strictjson.decode(text, max_depth=9) == expected
