"""The quick reader reads what the thorough one does, or nothing at all."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocols.test_soap import ENVELOPES, TNS, envelope, operation
from toolserver.errors import ParseError, ToolserverError
from toolserver.protocols.soap_envelope import open_envelope, read_body
from toolserver.protocols.soap_scanner import Scanner
from toolserver.settings import Limits

LIMITS = Limits()
#: What messages are made of, in an order that makes sense.
PIECES = (
    *('<?xml version="1.0" encoding="utf-8"?>', "\n"),
    f'<s:Envelope xmlns:s="{ENVELOPES["1.1"]}" xmlns:o="urn:o">',
    *("<s:Body>", f'<m:echo xmlns:m="{TNS}" xmlns="urn:d">'),
    *("<m:text>", "a b", "</m:text>", "<n>", "5", "</n>", "<o:p>", "</o:p>"),
    *("</m:echo>", "</s:Body>", "</s:Envelope>", "\n"),
)
ODD = (
    *("", " ", "\r\n", "<!-- c -->", "&lt;", "]]>", "\x01", "\ufffe", "<a/>", "<q:a>"),
    *(
        "</q:a>",
        "<s:Header/>",
        '<n xsi:type="x">',
        '<n xmlns="">',
        "<x:n>",
        "<![CDATA[",
    ),
    *("\u00e4", "\U0001d11e", ">", "<n >", "</n >", "<N>", "</N>", "<:n>", "<n:>"),
)


def thorough(text):
    version, root = open_envelope(text, LIMITS)
    return version, read_body(text, version, root, LIMITS)


def shown(found):
    version, message = found
    arguments = [(e.tag, e.text, e.attrib, len(e)) for e in message.operation]
    return version.number, message.operation.tag, message[1:], arguments


def learned(text):
    scanner = Scanner(LIMITS)
    scanner.learn(text, *thorough(text))
    return scanner


def test_ordinary_messages_are_scanned():
    for version in ENVELOPES:
        first = envelope(operation("echo", "<text>x</text>"), version).encode()
        scanner = learned(first)
        for content in ("", "<text>a b\u00e4</text>", " <a></a>\n<b>1</b> "):
            text = envelope(operation("echo", content), version).encode()
            assert shown(scanner.scan(text)) == shown(thorough(text))


def test_what_was_not_learned_is_left_alone():
    text = envelope(operation("echo")).encode()
    assert Scanner(LIMITS).scan(text) is None
    other = envelope(operation("echo", namespace="urn:other")).encode()
    assert learned(text).scan(other) is None


def test_what_is_no_utf8_is_left_alone():
    text = envelope(operation("echo", "<a>x</a>")).encode()
    scanner = learned(text)
    assert scanner.scan(text) is not None
    broken = text.replace(b"<a>x", b"<a>\xe4")
    assert scanner.scan(broken) is None
    with pytest.raises(ParseError):
        thorough(broken)


@pytest.mark.parametrize(
    "text",
    [
        envelope(operation("echo", "<a>" + "x" * 70_000 + "</a>")),
        envelope(operation("echo"), attributes='a="' + "x" * 3000 + '"'),
        envelope(operation("echo"), header="<s:Header></s:Header>"),
        envelope(f'<echo xmlns="{TNS}" a="b"></echo>'),
    ],
)
def test_what_is_not_ordinary_is_not_learned(text):
    assert learned(text.encode()).scan(text.encode()) is None


def test_the_thorough_reader_still_bounds_the_number_of_elements():
    text = envelope(operation("echo", "<a>1</a>" * 20)).encode()
    limits = Limits(xml_elements=22)
    scanner = Scanner(limits)
    scanner.learn(text, *thorough(text))
    assert scanner.scan(text) is None


def test_declarations_are_told_from_what_only_looks_like_them():
    for attributes in ('a=" xmlns:s=" b=""', 'a=" xmlns:q=" b=""', 'xmlns:q="u\tv"'):
        text = envelope(operation("echo", "<a>1</a>"), attributes=attributes).encode()
        scanner = learned(text)
        for content in (b"<a>1</a>", b"<s:a>1</s:a>", b"<q:a>1</q:a>"):
            other = text.replace(b"<a>1</a>", content)
            found = scanner.scan(other)
            if found is not None:
                assert shown(found) == shown(thorough(other))


def test_few_beginnings_are_remembered():
    scanner = Scanner(LIMITS)
    for number in range(1000):
        text = envelope(operation(f"echo{number}")).encode()
        scanner.learn(text, *thorough(text))
    assert scanner.scan(text) is not None
    assert len(scanner._known) <= 256


@given(st.data())
def test_both_readers_agree(data):
    whole = "".join(PIECES).encode()
    scanner = learned(whole)
    assert shown(scanner.scan(whole)) == shown(thorough(whole))
    pieces = list(PIECES)
    for _ in range(data.draw(st.integers(1, 3))):
        # Mostly behind the beginning, which is known by its bytes.
        at = data.draw(st.integers(0, len(pieces) - 1) | st.integers(5, 14))
        end = at + data.draw(st.integers(0, 3))
        pieces[at:end] = data.draw(
            st.lists(st.sampled_from((*PIECES, *ODD)), max_size=3)
        )
        if len(pieces) < 2:
            return
    text = "".join(pieces).encode()
    found = scanner.scan(text)
    if found is not None:
        assert shown(found) == shown(thorough(text))


@given(st.data())
def test_both_readers_agree_on_damaged_messages(data):
    whole = "".join(PIECES).encode()
    scanner = learned(whole)
    body = bytearray(whole)
    at = data.draw(st.integers(0, len(body) - 1))
    body[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=3))
    found = scanner.scan(bytes(body))
    if found is not None:
        assert shown(found) == shown(thorough(bytes(body)))
    try:
        message = thorough(bytes(body))
    except ToolserverError:
        return
    # What it learns of another message is right for that one, too.
    scanner.learn(bytes(body), *message)
    found = scanner.scan(bytes(body))
    if found is not None:
        assert shown(found) == shown(message)


def test_garbage_is_left_alone_at_once():
    scanner = learned("".join(PIECES).encode())
    begin = time.monotonic()
    start = "".join(PIECES[:5]).encode()
    for body in (
        b"<a " + b'a="b" ' * 10_000,
        start + b"<a>x</a>" * 8000,
        start + b"<a>" * 20_000,
        b"<" + b"a:" * 30_000,
        start + b" " * 60_000,
        start + b"<a>" + b"x" * 60_000 + b"</b>",
    ):
        assert scanner.scan(body) is None
    assert time.monotonic() - begin < 5
