"""How the begin of an expression goes on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolserver.debugger.completion import complete


class Thing:
    colour = "red"
    count = 1

    def __init__(self):
        self.calls = 0

    @property
    def counter(self):
        self.calls += 1
        return {"a": 1}

    @property
    def broken(self):
        raise ValueError("no")

    def method(self):
        self.calls += 1


THING = Thing()
NAMES = {
    "thing": THING,
    "tools": {"shop.orders": THING, "shop.stock": THING, 5: THING, "it's": THING},
    "things": [THING],
    "_hidden": 1,
}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("thi", ["thing", "things"]),
        ("whil", ["while"]),
        ("isinst", ["isinstance"]),
        ("_hid", ["_hidden"]),
        ("", ["thing", "things", "tools"]),
        ("thing.co", ["thing.colour", "thing.count", "thing.counter"]),
        ("thing._", None),
        ("thing.colour.uppe", ["thing.colour.upper"]),
        ("things[0].colo", ["things[0].colour"]),
        ('tools["shop', ['tools["shop.orders"]', 'tools["shop.stock"]']),
        ("tools['shop.o", ["tools['shop.orders']"]),
        ('tools["shop.orders"].colo', ['tools["shop.orders"].colour']),
        ("tools['nothing'].co", []),
        ("nothing.co", []),
        ("thing.broken.co", []),
        ("thing.method().co", []),
        ("1 + thi", []),
        ("thing[", []),
    ],
)
def test_completion(text, words):
    found = complete(text, NAMES)
    if words is None:
        assert f"{text}_init__" in found
    else:
        assert found == words


def test_nothing_is_called():
    before = THING.calls
    complete("thing.method.__call__", NAMES)
    complete("thing.method().x", NAMES)
    assert THING.calls == before


@given(st.text("thing.tools[]'\"0_ (", max_size=30))
def test_any_text_does_no_harm(text):
    for word in complete(text, NAMES):
        assert word.startswith(text) or "[" in text


def test_over_the_wire(client, server):
    complete = client.attachment.complete
    assert complete('tools["sho') == ['tools["shop"]']
    assert complete('tools["shop"].gree') == [
        'tools["shop"].greet',
        'tools["shop"].greeting',
    ]
    assert complete("config.debugger.ena") == ["config.debugger.enabled"]
    assert complete("kil") == ["kill"]
    assert complete("x" * 100_000) == []
