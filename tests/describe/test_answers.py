"""What the document says that REST answers for a type is what REST answers."""

from __future__ import annotations

import collections.abc
import enum
import io
import pathlib
import typing

import pytest

from toolserver import Markup, Response, xml
from toolserver.describe.answers import answers_of, generated, result_type
from toolserver.describe.jsonschema import Schemas
from toolserver.endpoints import Generator
from toolserver.markup.documents import XML
from toolserver.message import Request
from toolserver.types import Type
from toolserver.web.rendering import render


class Label(str):
    """A text that says of itself what only markup may say."""

    content_type = "text/html"

    __slots__ = ()


class Size(enum.StrEnum):
    SMALL = "S"
    LARGE = "L"


class Thing:
    """What JSON has no form for."""


def answers(hint):
    schemas = Schemas()
    found = answers_of(schemas, Type(hint))
    return {status: sorted(kinds) for status, kinds in found.items()}


def answered(value, accept):
    response = render(Request(headers={"Accept": accept}), value)
    kind = dict(response.headers).get("Content-Type", "")
    return str(response.status), kind.partition(";")[0]


TEXT = ["application/json", "text/plain"]
DATA = ["application/json", "application/xml"]


@pytest.mark.parametrize(
    ("hint", "expected", "value"),
    [
        (str, {"200": TEXT}, "text"),
        (Label, {"200": ["text/plain"]}, Label("text")),
        (Markup, {"200": ["text/html"]}, Markup("<p>")),
        (XML, {"200": ["application/xml"]}, xml("p")),
        (Size, {"200": TEXT}, Size.SMALL),
        (typing.Literal["a", "b"], {"200": TEXT}, "a"),
        (typing.Literal[1, 2], {"200": DATA}, 1),
        (typing.Literal["a", None], {"200": TEXT, "204": []}, None),
        (typing.Literal["a", 1], {"200": sorted({*TEXT, *DATA})}, 1),
        (list[int] | None, {"200": DATA, "204": []}, [1]),
        (list[int] | dict[str, int], {"200": DATA}, {"a": 1}),
        (collections.abc.Iterator[str], {"200": ["text/plain"]}, ["a"]),
        (collections.abc.Iterator[Size], {"200": ["text/plain"]}, Size),
        (collections.abc.Iterator[Label], {"200": ["text/plain"]}, [Label("a")]),
        (
            collections.abc.Iterator[Markup],
            {"200": ["text/html"]},
            [Markup("<p>")],
        ),
        (collections.abc.Iterator[XML], {"200": ["application/xml"]}, [xml("p")]),
        (
            collections.abc.Iterator[bytes],
            {"200": ["application/octet-stream"]},
            [b"a"],
        ),
        (collections.abc.Iterator[int], {"200": ["application/x-ndjson"]}, [1]),
        (
            collections.abc.Iterable[int],
            {"200": sorted({*DATA, "application/x-ndjson"})},
            [1],
        ),
    ],
)
@pytest.mark.parametrize("accept", ["*/*", "application/json", "application/xml"])
def test_what_is_answered_is_what_the_document_says(hint, expected, value, accept):
    assert answers(hint) == expected
    is_stream = typing.get_origin(hint) is collections.abc.Iterator
    status, kind = answered(iter(value) if is_stream else value, accept)
    assert kind in (expected[status] or [""])


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        (typing.Any, {"204": [], "2XX": ["*/*"], "3XX": []}),
        (Response, {"204": [], "2XX": ["*/*"], "3XX": []}),
        (pathlib.Path, {"200": ["*/*"], "206": ["*/*"], "404": [], "416": []}),
        (io.BytesIO, {"200": ["*/*"], "206": ["*/*"], "404": [], "416": []}),
        (collections.abc.Iterator, {"200": ["*/*"]}),
        (collections.abc.Iterator[int | str], {"200": ["*/*"]}),
        (Thing, {"200": DATA}),
    ],
)
def test_what_may_be_anything(hint, expected):
    assert answers(hint) == expected


def test_choices_of_one_media_type_are_told_together():
    schemas = Schemas()
    found = answers_of(schemas, Type(list[int] | dict[str, int] | bool))
    kinds = [each["type"] for each in found["200"]["application/json"]["anyOf"]]
    assert kinds == ["array", "object", "boolean"]
    # Of what may be anything the others say nothing.
    found = answers_of(schemas, Type(list[int] | Thing))
    assert found["200"]["application/json"] == {}


def test_what_cannot_be_read_of_a_result_may_be_anything():
    def promise(self) -> Missing:  # noqa: F821  # as of a module that is not there
        ...

    def gone(self) -> dict[list, int]: ...  # what nobody can make

    assert result_type(promise).hint is typing.Any
    assert result_type(gone).hint is typing.Any


def test_a_generator_of_no_media_type_takes_what_no_other_makes():
    def page(self, request, result) -> Markup: ...

    def text(self, request, result) -> str: ...

    schemas = Schemas()
    html = Generator(page, "text/html; charset=utf-8", False)
    rest = Generator(text, "", False)
    of_result = ["application/json", "application/xml", "text/html"]
    found = generated(schemas, Type(int), [html])
    assert sorted(found["200"]) == of_result
    found = generated(schemas, Type(int), [html, rest])
    assert sorted(found["200"]) == [*TEXT[:1], "text/html", *TEXT[1:]]
