"""Texts of doc strings become HTML that can do nobody harm."""

from __future__ import annotations

import re
import sys
import typing
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolserver import AuthenticatedTool, StandardTool, TransientTool
from toolserver.describe.prose import (
    MARKDOWN,
    PLAIN,
    RST,
    doc_of,
    docformat_of,
    to_html,
    to_inline_html,
)
from toolserver.tools import Tool

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1))",
    "![a](http://elsewhere.example/x.png)",
    "[a](data:text/html,<script>alert(1)</script>)",
    "`a <javascript:alert(1)>`_",
    ".. image:: http://elsewhere.example/x.png",
    ".. raw:: html\n\n   <script>alert(1)</script>",
    ".. include:: /etc/passwd",
    ".. figure:: http://elsewhere.example/x.png",
    ".. csv-table::\n   :file: /etc/passwd",
    '<a href="java\nscript:alert(1)">x</a>',
]


class Told(AuthenticatedTool):
    """Sells things.

    In small numbers.
    """


class Mixin:
    """Adds to tools."""


class Untold(AuthenticatedTool):
    clients = "ann"


class Extra(Tool, framework=True):
    """What an extra of the framework adds to tools."""


class Below(Told): ...


class Behind(Extra, Told): ...


class Mixed(Mixin, Untold): ...


class Left(TransientTool): ...


class Bare(StandardTool): ...


class General(StandardTool, typing.Generic[typing.TypeVar("T")]): ...


@pytest.mark.parametrize(
    ("cls", "doc"),
    [
        *((each, "Sells things.\n\nIn small numbers.") for each in (Told, Below)),
        (Behind, "Sells things.\n\nIn small numbers."),
        (Mixed, "Adds to tools."),
        # What the framework and Python say of their classes is not said of tools.
        *((each, "") for each in (Untold, Left, Bare, General)),
    ],
)
def test_a_tool_is_told_by_its_class_or_by_those_that_it_is_made_of(cls, doc):
    assert doc_of(cls) == doc


class Harmless(HTMLParser):
    """Fails where something could be fetched or run."""

    def handle_starttag(self, tag, attrs):
        assert tag not in {"script", "style", "img", "iframe", "object", "link", "base"}
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in {"src", "style", "srcset"}
            if name == "href":
                assert re.match(r"https?:|mailto:|#|[\w./?%-]*$", value), value


@pytest.mark.parametrize("docformat", [MARKDOWN, RST, PLAIN])
@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_is_run_or_fetched(text, docformat):
    for render in (to_html, to_inline_html):
        html = str(render(text, docformat))
        Harmless().feed(html)
        assert "root:" not in html


@given(st.lists(st.sampled_from(HOSTILE) | st.text(max_size=20), max_size=4))
@settings(max_examples=60)
def test_no_mixture_is_run_or_fetched(parts):
    for docformat in (MARKDOWN, RST, PLAIN):
        Harmless().feed(str(to_html("\n\n".join(parts), docformat)))


def test_each_format_is_rendered():
    assert to_html("a *b* `c`") == "<p>a <em>b</em> <code>c</code></p>\n"
    assert to_html("a *b* ``c``", RST).startswith("<p>a <em>b</em> <span")
    assert to_html("a *b*\n\n  <c>", PLAIN) == (
        '<p class="written">a *b*\n\n  &lt;c&gt;</p>'
    )
    assert to_html(" \n") == ""


@pytest.mark.parametrize(
    ("text", "docformat", "shown"),
    [
        ("Weigh `x` in ``y``.", MARKDOWN, "Weigh <code>x</code> in <code>y</code>."),
        ("Weigh *x*.", RST, "Weigh <em>x</em>."),
        ("Weigh *x* & <b>.", PLAIN, "Weigh *x* &amp; &lt;b&gt;."),
        # What is more than a line of text would break the line that it is in.
        ("# Weigh *x*.", MARKDOWN, "# Weigh *x*."),
        ("- Weigh\n\n- Sell", MARKDOWN, "- Weigh\n\n- Sell"),
        ("One.\n\nTwo.", MARKDOWN, "One.\n\nTwo."),
        ("    code", MARKDOWN, "    code"),
        ("", MARKDOWN, ""),
    ],
)
def test_a_line_is_rendered_for_a_place_within_a_line(text, docformat, shown):
    assert to_inline_html(text, docformat) == shown


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (None, MARKDOWN),
        ("reStructuredText en", RST),
        ("markdown", MARKDOWN),
        ("rst", RST),
        ("plaintext", PLAIN),
        ("epytext", PLAIN),
    ],
)
def test_a_module_tells_how_its_doc_strings_are_written(monkeypatch, told, expected):
    if told is not None:
        module = sys.modules[__name__]
        monkeypatch.setattr(module, "__docformat__", told, raising=False)
    assert docformat_of(Harmless) == expected


def test_what_is_wrongly_written_is_shown():
    assert "Unfinished *emphasis" in to_html("Unfinished *emphasis", RST)
    assert "deep" in to_html("> " * 9 + "deep")
