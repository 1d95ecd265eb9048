"""Which exceptions doc strings mean by the names that stand in them."""

from __future__ import annotations

import functools
import json

import pytest

from toolserver.describe.raises import raised_by
from toolserver.errors import Conflict, NotFound


class AllGone(NotFound):
    """Told by its own name."""


def documented(name):
    def method(self):
        """Fail."""

    method.__doc__ = f"Fail.\n\nRaises:\n    {name}: As told."
    return method


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("AllGone", AllGone),
        ("Conflict", Conflict),
        ("KeyError", KeyError),
        ("json.JSONDecodeError", json.JSONDecodeError),
        # What leads to no exception may be any.
        ("json.Missing", Exception),
        ("no.such.Error", Exception),
        ("Missing", Exception),
        ("documented", Exception),
        ("int", Exception),
    ],
)
def test_names_are_those_of_the_module_of_the_framework_or_of_python(name, expected):
    assert list(raised_by([documented(name)])) == [(expected, f"{name}: As told.")]


def test_what_stands_behind_a_decorator_or_in_no_module_is_found():
    method = documented("AllGone")
    wrapped = functools.wraps(method)(lambda self: None)
    assert [error for error, _ in raised_by([wrapped])] == [AllGone]
    method.__module__ = "no.such.module"
    assert [error for error, _ in raised_by([method])] == [Exception]
    method = documented("KeyError")
    method.__module__ = None
    assert [error for error, _ in raised_by([method])] == [KeyError]
