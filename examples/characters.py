"""Characters: look up, search and check text by the Unicode Character Database.

The database comes with Python; its version is in `characters.version`. A use for it:
hidden characters in source code, names and addresses that look like others.

    curl 'localhost:4334/characters/search?words=arrow&words=left&limit=5'
    curl -d 'text=p%D0%B0ypal' localhost:4334/characters/check   # a Cyrillic letter
    curl localhost:4334/characters/show/U+00E9
"""

from __future__ import annotations

import sys
import unicodedata
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from toolserver import Markup, Request, StandardTool, html, read_only, register, rest
from toolserver.errors import InvalidParams, NotFound

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]
Problem = Literal["invisible", "direction", "control", "mixed script", "unassigned"]

_CATEGORIES = {
    "Lu": "uppercase letter",
    "Ll": "lowercase letter",
    "Lt": "titlecase letter",
    "Lm": "modifier letter",
    "Lo": "other letter",
    "Mn": "nonspacing mark",
    "Mc": "spacing mark",
    "Me": "enclosing mark",
    "Nd": "decimal digit",
    "Nl": "letter number",
    "No": "other number",
    "Pc": "connector",
    "Pd": "dash",
    "Ps": "opening bracket",
    "Pe": "closing bracket",
    "Pi": "initial quote",
    "Pf": "final quote",
    "Po": "other punctuation",
    "Sm": "mathematical symbol",
    "Sc": "currency symbol",
    "Sk": "modifier symbol",
    "So": "other symbol",
    "Zs": "space",
    "Zl": "line separator",
    "Zp": "paragraph separator",
    "Cc": "control",
    "Cf": "format",
    "Cs": "surrogate",
    "Co": "private use",
    "Cn": "unassigned",
}
#: Scripts whose letters are often mistaken for each other.
_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE")
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_PLAIN_CONTROLS = frozenset("\t\n\r")


@dataclass(frozen=True)
class Character:
    """What the database says of one character.

    Attributes:
        code: Its code point, as ``U+00E9``.
        name: Its name.
        text: The character itself; empty where it cannot be shown.
        category: Its general category in words.
        value: Its number, for digits and the like.
        decomposition: The code points that it is made of.
    """

    code: str
    name: str
    text: str
    category: str
    value: float | None
    decomposition: list[str]


@dataclass(frozen=True)
class Finding:
    """Something in a text that a reader does not see.

    Attributes:
        line: Line in which it stands, from 1.
        column: Character of the line, from 1.
        kind: What is wrong with it.
        character: The character.
    """

    line: int
    column: int
    kind: Problem
    character: Character


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"


def _describe(character: str) -> Character:
    category = unicodedata.category(character)
    visible = not category.startswith("C") and category not in ("Zl", "Zp")
    parts = unicodedata.decomposition(character).split()
    return Character(
        code=_code(character),
        name=unicodedata.name(character, "<no name>"),
        text=character if visible else "",
        category=_CATEGORIES[category],
        value=unicodedata.numeric(character, None),
        decomposition=[f"U+{part}" for part in parts if not part.startswith("<")],
    )


@register("characters")
class Characters(StandardTool):
    """Looks up, searches and checks text by the Unicode Character Database."""

    def on_start(self) -> None:
        """Read all names once; a search then takes some milliseconds."""
        characters = map(chr, range(sys.maxunicode + 1))
        self._names = [
            (name, character)
            for character in characters
            if (name := unicodedata.name(character, ""))
        ]

    @read_only
    def version(self) -> str:
        """The version of the database."""
        return unicodedata.unidata_version

    @read_only
    def describe(
        self, text: Annotated[str, Meta(min_length=1, max_length=1000)]
    ) -> list[Character]:
        """Describe each character of a text.

        Args:
            text: Up to 1000 characters.

        Returns:
            What the database says of each.
        """
        return [_describe(character) for character in text]

    @read_only
    def search(
        self,
        words: Annotated[list[str], Meta(min_length=1, max_length=10)],
        limit: Annotated[int, Meta(ge=1, le=1000)] = 50,
    ) -> list[Character]:
        """Search characters by the words of their names.

        Args:
            words: Words, or parts of them, that all occur in the name.
            limit: How many characters to return at most.

        Returns:
            The characters found, shorter names first.
        """
        wanted = [word.upper() for word in words]
        found = [
            entry for entry in self._names if all(word in entry[0] for word in wanted)
        ]
        found.sort(key=lambda entry: (len(entry[0]), entry[1]))
        return [_describe(character) for _, character in found[:limit]]

    @read_only
    def check(self, text: str) -> list[Finding]:
        """Find characters that a reader of a text does not see or mistakes.

        These are invisible characters, controls of the writing direction, words
        that mix letters of similar scripts, controls and unassigned code points.

        Args:
            text: Source code, a name, an address, …

        Returns:
            What was found, in the order of the text.
        """
        findings = []
        for number, line in enumerate(text.splitlines(), 1):
            mixed = self._mixed_letters(line)
            for column, character in enumerate(line):
                kind = self._kind(character)
                if kind is None and column in mixed:
                    kind = "mixed script"
                if kind is not None:
                    described = _describe(character)
                    findings.append(Finding(number, column + 1, kind, described))
        return findings

    @read_only
    def normalize(self, text: str, form: Form = "NFC") -> str:
        """Bring a text into a normal form, so that equal texts compare equal.

        Args:
            text: The text.
            form: The normal form (Unicode Standard Annex 15).

        Returns:
            The text in that form.
        """
        return unicodedata.normalize(form, text)

    @rest("GET")
    def show(self, request: Request) -> Markup:
        """A page about one character: ``/characters/show/U+00E9``."""
        if len(request.rest) != 1:
            raise InvalidParams("path: expected one code point, such as U+00E9")
        character = self._parse(request.rest[0])
        described = _describe(character)
        return html.document(
            described.code,
            html.h1(described.text, " ", described.name),
            html.p(described.code, ", ", described.category),
            head=html.style(":root { color-scheme: light dark; font-family: serif }"),
        )

    @staticmethod
    def _parse(text: str) -> str:
        try:
            character = chr(int(text.upper().removeprefix("U+"), 16))
        except (ValueError, OverflowError):
            raise InvalidParams(f"path: got {text!r}, expected U+ and digits") from None
        if unicodedata.category(character) in ("Cn", "Cs"):
            raise NotFound(f"no character has the code {text!r}")
        return character

    @staticmethod
    def _kind(character: str) -> Problem | None:
        if character in _BIDI_CONTROLS:
            return "direction"
        category = unicodedata.category(character)
        if category == "Cf" or category in ("Zl", "Zp"):
            return "invisible"
        if category == "Cc" and character not in _PLAIN_CONTROLS:
            return "control"
        return "unassigned" if category == "Cn" else None

    @staticmethod
    def _mixed_letters(line: str) -> set[int]:
        """Places of letters whose word has more letters of another script."""
        places: set[int] = set()
        word: list[tuple[int, str]] = []
        for place, character in enumerate([*line, " "]):
            if character.isalpha():
                script = unicodedata.name(character, "").partition(" ")[0]
                if script in _SCRIPTS:
                    word.append((place, script))
                continue
            scripts = [script for _, script in word]
            if len(set(scripts)) > 1:
                usual = max(_SCRIPTS, key=scripts.count)
                places.update(place for place, script in word if script != usual)
            word = []
        return places
