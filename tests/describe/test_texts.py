"""Arguments as text: sent as the document says, they arrive as what they are."""

from __future__ import annotations

import json
import typing
from urllib.parse import quote, urlencode

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.describe.test_jsonschema import SCALARS
from tests.sample import Color, Line, Point
from toolserver.describe.jsonschema import Schemas
from toolserver.describe.scalars import json_value
from toolserver.describe.texts import is_plain, text_of
from toolserver.message import Request
from toolserver.methods import describe_method
from toolserver.types import Type
from toolserver.web.arguments import read_arguments


def described(hint):
    schemas = Schemas()
    text = text_of(schemas, Type(hint))
    return schemas.complete(text.schema), text.is_json


@pytest.mark.parametrize(
    ("hint", "schema", "is_json"),
    [
        (int | None, {"type": "integer"}, False),
        (typing.Any, {"type": "string"}, False),
        (None, {"enum": ["null"]}, False),
        (typing.Literal["a"] | None, {"enum": ["a"]}, False),
        (typing.Literal[b"x"] | typing.Literal[b"y"], {"not": {}}, False),
        (list[int] | set[int], {"type": "array", "items": {"type": "integer"}, "minItems": 1}, False),  # noqa: E501
        (bool | int, {"anyOf": [{"type": "boolean"}, {"type": "integer"}]}, False),
        # For text, conversion knows no truth values among choices.
        (typing.Literal["a", True, None], {"enum": ["a"]}, False),
        (list[int], {"type": "array", "items": {"type": "integer"}, "minItems": 1}, False),  # noqa: E501  # like the others
        (tuple[int, str], {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2}, False),  # noqa: E501
        (list[list[int]], {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}, True),  # noqa: E501
        (dict[str, int] | None, {"type": "object", "propertyNames": {}, "additionalProperties": {"type": "integer"}}, True),  # noqa: E501
        # In quotes a text would be taken with them.
        (str | dict[str, int], {"type": "object", "propertyNames": {}, "additionalProperties": {"type": "integer"}}, True),  # noqa: E501
    ],
)  # fmt: skip
def test_what_is_sent_as_text(hint, schema, is_json):
    found = described(hint)
    if "propertyNames" in schema:
        found[0].setdefault("propertyNames", {})
    assert found == (schema, is_json)


def test_there_is_no_text_for_none():
    assert described(Color | None)[0]["$ref"] == "#/$defs/Color"
    choices, is_json = described(list[Line] | dict[str, int] | None)
    assert [each["type"] for each in choices["anyOf"]] == ["array", "object"]
    assert is_json


HINTS = {
    **SCALARS,
    list[int]: st.lists(st.integers(), min_size=1),
    set[str]: st.sets(st.text(), min_size=1),
    tuple[int, Color]: st.tuples(st.integers(), st.sampled_from(Color)),
    list[Line]: st.lists(st.builds(Line, st.text(), st.integers())),
    dict[str, list[int]]: st.dictionaries(st.text(), st.lists(st.integers())),
    Point: st.builds(Point, st.integers(), st.integers()),
    int | None: st.integers(),
    Line | None: st.builds(Line, st.text()),
    int | list[int]: st.lists(st.integers(), min_size=2) | st.integers(),
}


@given(st.data(), st.sampled_from(list(HINTS)), st.booleans())
def test_texts_arrive_as_what_they_stand_for(data, hint, in_form):
    value = data.draw(HINTS[hint])
    plain = json_value(value)
    schema, is_json = described(hint)
    Draft202012Validator(schema).validate(plain)
    if is_json:
        texts = [json.dumps(plain)]
    else:
        several = plain if isinstance(plain, list) else [plain]
        texts = [t if isinstance(t, str) else json.dumps(t) for t in several]
    # A single text that could be JSON is read as such for a list.
    assume(
        is_json or is_plain(Type(hint)) or len(texts) > 1 or texts[0][:1] not in "[{"
    )
    sent = urlencode({"value": texts}, doseq=True)
    if in_form:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        request = Request(method="POST").replace(body=sent.encode(), headers=kind)
    else:
        request = Request(query_string=sent)
    assert arguments(request, hint) == value


@given(st.data(), st.sampled_from([hint for hint in SCALARS if is_plain(Type(hint))]))
def test_an_element_of_the_path_is_a_text(data, hint):
    value = data.draw(SCALARS[hint])
    plain = json_value(value)
    text = plain if isinstance(plain, str) else json.dumps(plain)
    assume(text)
    request = Request(rest=(text,), path=f"/x/{quote(text)}")
    assert arguments(request, hint) == value


def arguments(request, hint):
    def method(self, value): ...

    method.__annotations__ = {"value": hint}
    spec = describe_method(method, name="method", attribute="method", source="here")
    args, kwargs = spec.convert(*read_arguments(request, spec))
    (only,) = [*args, *kwargs.values()]
    return only
