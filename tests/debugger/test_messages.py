"""Messages arrive as they were sent, however they are cut; others are refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolserver.debugger.messages import (
    MAX_ANSWER,
    MAX_LINE,
    Answer,
    Complete,
    Done,
    Hello,
    Interrupt,
    Output,
    Refused,
    Run,
    Welcome,
    Words,
    client_reader,
    line,
    server_reader,
)

text = st.text(st.characters(exclude_categories=["Cs"]))
whole = st.integers(0, 2**31)
asked = st.one_of(
    st.builds(Answer, text, text),
    st.builds(Run, text, st.booleans()),
    st.builds(Complete, text),
    st.builds(Interrupt),
)
told = st.one_of(
    st.builds(Hello, text),
    st.builds(Welcome, whole, whole, text, text),
    st.builds(Output, text),
    st.builds(Done, text, text, st.booleans()),
    st.builds(Words, st.lists(text)),
    st.builds(Refused, text),
)


def fed(reader, data, cut):
    found = []
    for start in range(0, len(data), cut):
        found += reader.feed(data[start : start + cut])
    return found


@settings(max_examples=30)
@given(st.lists(asked), st.integers(1, 20))
def test_what_clients_say(messages, cut):
    data = b"".join(map(line, messages))
    assert fed(server_reader(MAX_LINE), data, cut) == messages


@settings(max_examples=30)
@given(st.lists(told), st.integers(1, 20))
def test_what_servers_say(messages, cut):
    data = b"".join(map(line, messages))
    assert fed(client_reader(), data, cut) == messages


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "replace")))
def test_anything_else_is_refused(data):
    reader = server_reader(MAX_ANSWER)
    try:
        messages = reader.feed(data + b"\n")
    except ValueError:
        return
    assert all(
        isinstance(each, Answer | Run | Complete | Interrupt) for each in messages
    )


def test_a_message_that_is_too_long_is_refused_before_its_end():
    reader = server_reader(100)
    assert reader.feed(b"x" * 100) == []
    with pytest.raises(ValueError, match="more than 100 bytes"):
        reader.feed(b"x")


def test_long_messages_behind_short_ones_are_refused():
    reader = server_reader(100)
    with pytest.raises(ValueError, match="more than 100 bytes"):
        reader.feed(line(Interrupt()) + line(Run("x" * 100)))


def test_nesting_does_no_harm():
    with pytest.raises(ValueError, match="no message"):
        server_reader(MAX_LINE).feed(b"[" * 1_000_000 + b"\n")
