"""Doc strings of each convention are taken apart, and nothing gets lost."""

from __future__ import annotations

import inspect
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolserver.describe.docstrings import DocString, parse_docstring

GOOGLE = """Greet somebody,
    warmly.

    A *longer* text.

    Args:
        name: Who is greeted;
            any name will do.
        delay (float): Seconds to wait.
        *others: More of them.

    Returns:
        The greeting.

    Raises:
        NotFound: Nobody is there.

    Example:
        >>> greet("Ann")
        'Hello Ann!'

    Note:
        Waits.

    The end.
    """
NUMPY = """Greet somebody, warmly.

    A *longer* text.

    Parameters
    ----------
    name : str
        Who is greeted;
        any name will do.
    delay : float, optional
        Seconds to wait.
    *others
        More of them.

    Returns
    -------
    str
        The greeting.

    Raises
    ------
    NotFound
        Nobody is there.

    Examples
    --------
    >>> greet("Ann")
    'Hello Ann!'
    """
SPHINX = """Greet somebody, warmly.

    A *longer* text.

    :param name: Who is greeted;
        any name will do.
    :param float delay: Seconds to wait.
    :param others: More of them.
    :returns: The greeting.
    :raises NotFound: Nobody is there.
    """


@pytest.mark.parametrize("doc", [GOOGLE, NUMPY, SPHINX])
def test_each_convention_is_known(doc):
    found = parse_docstring(inspect.cleandoc(doc))
    assert found.summary == "Greet somebody, warmly."
    assert found.text.startswith("A *longer* text.")
    assert found.parameters == {
        "name": "Who is greeted;\nany name will do.",
        "delay": "Seconds to wait.",
        "others": "More of them.",
    }
    assert found.returns == "The greeting."
    assert found.raises == (("NotFound", "Nobody is there."),)
    assert found.is_sphinx is (doc is SPHINX)
    if doc is not SPHINX:
        assert found.examples == ">>> greet(\"Ann\")\n'Hello Ann!'"


def test_what_has_no_place_of_its_own_stays_in_the_text():
    text = parse_docstring(inspect.cleandoc(GOOGLE)).text
    assert text == "A *longer* text.\n\nNote:\n    Waits.\n\nThe end."


@pytest.mark.parametrize(
    ("doc", "text"),
    [
        (":since: long ago", "Since: long ago"),
        (":var Left: On the left.", "Var Left: On the left."),
        (":deprecated: 1.2 Use other.", "Deprecated since 1.2: Use other."),
        (".. deprecated:: 1.2", "Deprecated since 1.2"),
        # It tells tools, not people.
        (":meta private:", ""),
        ("Notes\n-----\nWaits.", "Notes: Waits."),
        ("See Also\n--------\nother", "See also: other"),
    ],
)
def test_sections_that_have_no_place_stay_in_the_text(doc, text):
    first = (
        ":param x: Told." if doc[0] == ":" else "Parameters\n----------\nx\n    Told."
    )
    found = parse_docstring(f"Do it.\n\n{first}\n\n{doc}")
    assert (found.summary, found.text) == ("Do it.", text)
    assert found.parameters == {"x": "Told."}


@pytest.mark.parametrize(
    ("doc", "expected"),
    [
        ("", DocString()),
        ("Just this.", DocString("Just this.")),
        ("Deletes: all.\n\nArgs: none", DocString("Deletes: all.", "Args: none")),
        (
            "A list:\n\n- one\n- two\n\n      code",
            DocString("A list:", "- one\n- two\n\n      code"),
        ),
    ],
)
def test_plain_text_is_all_text(doc, expected):
    assert parse_docstring(doc) == expected


def test_a_lonely_section_is_read():
    found = parse_docstring("A point.\n\nAttributes:\n    x: To the right.")
    assert (found.text, found.parameters) == ("", {"x": "To the right."})


@given(
    st.lists(
        st.sampled_from(
            [
                *("Args:", "Returns:", "Raises:", "Note:", "Example:", ":param"),
                *(":returns:", "Parameters", "----------", "    name: told"),
                *("  text", "text", ""),
            ]
        ),
        max_size=12,
    ).map("\n".join)
    | st.text()
)
def test_any_text_is_read(doc):
    found = parse_docstring(doc)
    assert isinstance(found, DocString)
    assert "\n" not in found.summary


@given(st.lists(st.sampled_from(["Note:", "text one", "    more", "", "- item"])))
def test_no_word_of_prose_is_lost(lines):
    doc = "\n".join([*lines, "", "Args:", "    name: told", "", *lines])
    found = parse_docstring(doc)
    told = " ".join([found.summary, found.text, *found.parameters.values()])
    words = re.findall(r"\w+", " ".join([*lines, *lines]))
    assert len(re.findall(r"\w+", told)) >= len(words)
