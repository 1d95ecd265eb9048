"""The fenced blocks of pages in Markdown."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "ROOT", "Block", "blocks", "name_of"]

ROOT = Path(__file__).parents[2]
#: Whatever is written there is tried without anybody having to say so.
PAGES = [
    *(
        page
        for name in ("README.md", "CONTRIBUTING.md")
        if (page := ROOT / name).exists()
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
]

_BLOCK = re.compile(
    r"^(?P<indent> *)(?P<fence>```+)(?P<language>[^\n`]*)\n"
    r"(?P<text>.*?)^(?P=indent)(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: The page, as the reasons have it: relative to the checkout.
        line: Where it begins.
        language: What stands behind the fence.
        text: What is in it.
    """

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(
            name_of(page),
            text.count("\n", 0, found.start()) + 1,
            found["language"].strip(),
            textwrap.dedent(found["text"]),
        )
        for found in _BLOCK.finditer(text)
    ]
