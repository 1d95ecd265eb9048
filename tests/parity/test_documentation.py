"""The documentation lists the differences that are allowed, and no other ones."""

from __future__ import annotations

from pathlib import Path

from toolserver.parity import batchdoors, wiredoors
from toolserver.parity.differences import DIFFERENCES
from toolserver.parity.doors import Door

PAGE = Path(__file__).parents[2] / "docs" / "parity.md"


def table(heading):
    """The rows of the first table with such a heading."""
    lines = iter(PAGE.read_text("utf-8").splitlines())
    for line in lines:
        if line.startswith(heading):
            next(lines)
            break
    for line in lines:
        if not line.startswith("| "):
            return
        yield [cell.strip() for cell in line.strip("|").split(" | ")]


def test_known_differences():
    assert list(table("| what | where |")) == [
        [each.name, ", ".join(each.doors), each.effect, each.reason]
        for each in DIFFERENCES
    ]


def test_doors():
    shown = {name: told.split(", ") for name, _, told in table("| door |")}
    classes = {
        cls.name: cls
        for cls in {**vars(wiredoors), **vars(batchdoors)}.values()
        if isinstance(cls, type) and issubclass(cls, Door) and hasattr(cls, "name")
    }
    assert shown.keys() == classes.keys()
    for name, told in shown.items():
        assert ("class" in told) == classes[name].tells_kind
        assert ("number" in told) == classes[name].tells_code
        assert ("HTTP status" in told) == (name == "REST")
