"""Names of XML follow from the hints alone."""

from __future__ import annotations

import enum
import typing

import pytest

from tests.sample import Color, Line
from toolserver import Markup
from toolserver.describe.names import choice_names, enumerated, type_name
from toolserver.types import Type


class Label(str):
    __slots__ = ()


class Rich(enum.Enum):
    BOLD = Markup("<b>")
    PLAIN = Label("plain")


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Mixed(enum.Enum):
    TEXT = "text"
    PAIR = (1, 2)


@pytest.mark.parametrize(
    ("hint", "name"),
    [
        (int, "long"),
        (list, "ArrayOfAnyType"),
        (list[int | None], "ArrayOfOptionalLong"),
        (dict[str, Line], "MapOfLine"),
        (tuple[int, str], "TupleOfLongAndString"),
        (int | Line, "LongOrLine"),
        (typing.Literal["a-b", True, None], "OneOfAbTrueNone"),
        (typing.Literal["a", b"b"], "anyType"),
        (Color, "Color"),
        # What is not simply text, a number or a truth value may be anything.
        (Mixed, "anyType"),
    ],
)
def test_types_have_names(hint, name):
    assert type_name(Type(hint)) == name


def test_choices_of_one_name_are_numbered():
    assert choice_names(Type(list[int] | set[int] | tuple[int, ...] | str)) == (
        *("ArrayOfLong", "ArrayOfLong2", "ArrayOfLong3", "string"),
    )


@pytest.mark.parametrize(
    ("hint", "values"),
    [
        (typing.Literal["a", 2, None], {"a": "a", "2": 2}),
        # The first of those that look alike is meant.
        (typing.Literal[True, "true", False, 1, "1"], {"true": True, "false": False, "1": 1}),  # noqa: E501
        (Level, {"1": 1, "2": 2}),
        (Rich, {"<b>": "<b>", "plain": "plain"}),
        (Mixed, {}),
        (typing.Literal["a", b"b"], {}),
        (int, {}),
    ],
)  # fmt: skip
def test_choices_have_texts(hint, values):
    found = enumerated(Type(hint))
    assert found == values
    assert {type(each) for each in found.values()} <= {str, int, bool}
