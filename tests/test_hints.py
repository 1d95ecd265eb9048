"""Hints as classes write them, and what is inside."""

from __future__ import annotations

import typing
from typing import Annotated, Final, NotRequired, Required

import msgspec
import pytest

from toolserver.hints import without_annotations

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
