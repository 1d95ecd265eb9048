"""Hints as classes write them, and what is inside."""

from __future__ import annotations

import typing
from typing import Annotated, Final, NotRequired, Required

import msgspec
import pytest

from toolserver.hints import without_annotations, without_qualifiers

SMALL, LARGE = msgspec.Meta(le=10), msgspec.Meta(ge=100)
Number = typing.NewType("Number", int)


@pytest.mark.parametrize(
    ("hint", "inside", "notes"),
    [
        (int, int, ()),
        (Required[int], int, ()),
        (NotRequired[Annotated[int, SMALL]], int, (SMALL,)),
        (Annotated[Annotated[int, SMALL], "told", LARGE], int, (SMALL, LARGE)),
        (Annotated[Required[Annotated[int, SMALL]], LARGE], int, (SMALL, LARGE)),
        (Final[Number], int, ()),
        (list[Annotated[int, SMALL]], list[Annotated[int, SMALL]], ()),
    ],
)
def test_hints_are_parted_from_what_is_said_beside_them(hint, inside, notes):
    assert without_annotations(hint) == (inside, notes)


@pytest.mark.parametrize(
    ("hint", "kept"),
    [
        (int, int),
        (Required[Annotated[int, SMALL]], Annotated[int, SMALL]),
        (Annotated[NotRequired[int], SMALL], Annotated[int, SMALL]),
        (
            Annotated[Required[Annotated[int, SMALL]], LARGE],
            Annotated[int, SMALL, LARGE],
        ),
        (Annotated[int, SMALL], Annotated[int, SMALL]),
    ],
)
def test_what_is_said_of_a_member_is_not_said_of_its_type(hint, kept):
    assert without_qualifiers(hint) == kept
