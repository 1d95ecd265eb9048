"""Structured fields, as far as signatures and digests use them.

Spec: RFC 9651 (dictionaries, inner lists, items, parameters). Stricter than it in one
point: a key that occurs twice is refused, where the last one would hold. Decimals,
dates and display strings have no use here and are refused.
"""

from __future__ import annotations

import base64
import binascii
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "BareItem",
    "InnerList",
    "Item",
    "Parameters",
    "Token",
    "parse_dictionary",
    "parse_item",
]


class Token(str):
    """A word without quotes."""

    __slots__ = ()


BareItem = bool | int | str | bytes
Parameters = Mapping[str, BareItem]


@dataclass(frozen=True)
class Item:
    """A value with parameters.

    Attributes:
        value: The value.
        params: The parameters.
        text: Both, written in the one canonical way.
    """

    value: BareItem
    params: Parameters = field(default_factory=dict)

    @functools.cached_property
    def text(self) -> str:  # noqa: D102 - see above
        return _bare(self.value) + _parameters(self.params)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class InnerList:
    """A list in parentheses with parameters.

    Attributes:
        items: The items.
        params: The parameters of the list.
        text: All that, written in the one canonical way.
    """

    items: tuple[Item, ...]
    params: Parameters = field(default_factory=dict)

    @functools.cached_property
    def text(self) -> str:  # noqa: D102 - see above
        items = " ".join([item.text for item in self.items])
        return f"({items}){_parameters(self.params)}"

    def __str__(self) -> str:
        return self.text


def _parameters(params: Parameters) -> str:
    if not params:
        return ""
    return "".join(
        [
            f";{key}" if value is True else f";{key}={_bare(value)}"
            for key, value in params.items()
        ]
    )


def _bare(value: BareItem) -> str:
    if isinstance(value, str) and not isinstance(value, Token):
        if _PLAIN_TEXT.fullmatch(value) is not None:
            return f'"{value}"'
        if _TEXT.fullmatch(value) is None:
            raise ValueError(f"got {value!r}, expected printable ASCII")
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    match value:
        case bool():
            return f"?{value:d}"
        case bytes():
            return f":{binascii.b2a_base64(value, newline=False).decode()}:"
    return str(value)


_TEXT = re.compile(r"[\x20-\x7e]*")
_PLAIN_TEXT = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]*")
_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*")
_BARE = re.compile(
    r'"(?P<text>(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"'
    r"|:(?P<octets>[A-Za-z0-9+/=]*):"
    r"|\?(?P<truth>[01])"
    # Neither a decimal nor more digits than an integer may have.
    r"|(?P<number>-?[0-9]{1,15})(?![0-9.])"
    r"|(?P<token>[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*)"
)
_PARAMETER = re.compile(rf"; *(?P<key>{_KEY.pattern})(?:=(?:{_BARE.pattern}))?")
#: A dictionary of one member, as signatures and digests are.
_OCTETS = re.compile(rf"(?P<key>{_KEY.pattern})=:(?P<octets>[A-Za-z0-9+/=]*):")
#: A list of names without parameters, as most are.
_NAMES = re.compile(r'\("[a-z0-9@-]+"(?: "[a-z0-9@-]+")*\)')
_SPACES = re.compile(r" *")
_COMMA = re.compile(r"[ \t]*,[ \t]*")


def parse_dictionary(text: str) -> dict[str, Item | InnerList]:
    """Read a dictionary; takes time in proportion to its length.

    Args:
        text: The value of the field.

    Returns:
        The members by key.

    Raises:
        ValueError: It is malformed, or a key occurs twice.
    """
    single = _OCTETS.fullmatch(text)
    if single is not None:
        return {single["key"]: Item(_value(single))}
    reader = _Reader(text.strip(" "))
    members: dict[str, Item | InnerList] = {}
    while not reader.is_at_end:
        if members and not reader.take(_COMMA):
            raise reader.error("a comma")
        key = reader.key(members)
        if not reader.skip("="):
            members[key] = Item(True, reader.parameters())
        elif (names := reader.take(_NAMES)) is not None:
            members[key] = InnerList(_items(names[0]), reader.parameters())
        elif reader.skip("("):
            members[key] = reader.inner_list()
        else:
            members[key] = reader.item()
    return members


def parse_item(text: str) -> Item:
    """Read a single item; takes time in proportion to its length.

    Args:
        text: The value of the field.

    Returns:
        The item.

    Raises:
        ValueError: It is malformed.
    """
    reader = _Reader(text.strip(" "))
    found = reader.item()
    if not reader.is_at_end:
        raise reader.error("its end")
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._text)

    def error(self, expected: str) -> ValueError:
        return ValueError(f"malformed at character {self._at}, expected {expected}")

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def skip(self, char: str) -> bool:
        is_there = self._text.startswith(char, self._at)
        self._at += is_there
        return is_there

    def key(self, known: Mapping[str, object]) -> str:
        found = self.take(_KEY)
        if found is None:
            raise self.error("a key")
        if found[0] in known:
            raise ValueError(f"{found[0]!r} occurs twice")
        return found[0]

    def inner_list(self) -> InnerList:
        items: list[Item] = []
        while True:
            spaces = self.take(_SPACES)
            if self.skip(")"):
                return InnerList(tuple(items), self.parameters())
            if items and not (spaces and spaces[0]):
                raise self.error("a blank or a parenthesis")
            items.append(self.item())

    def item(self) -> Item:
        return Item(self._bare(), self.parameters())

    def parameters(self) -> Parameters:
        params: dict[str, BareItem] = {}
        while (found := self.take(_PARAMETER)) is not None:
            key = found["key"]
            if key in params:
                raise ValueError(f"{key!r} occurs twice")
            params[key] = _value(found) if found.lastgroup != "key" else True
        return params

    def _bare(self) -> BareItem:
        found = self.take(_BARE)
        if found is None:
            raise self.error("an item")
        return _value(found)


def _value(found: re.Match[str]) -> BareItem:
    match found.lastgroup:
        case "text":
            text = found["text"]
            return re.sub(r"\\(.)", r"\1", text) if "\\" in text else text
        case "octets":
            try:
                return base64.b64decode(found["octets"], validate=True)
            except binascii.Error as error:
                raise ValueError("malformed base64") from error
        case "truth":
            return found["truth"] == "1"
        case "number":
            return int(found["number"])
    return Token(found["token"])


@functools.lru_cache(256)
def _items(names: str) -> tuple[Item, ...]:
    """The items of a list of names; most senders use the same one again and again."""
    return tuple(Item(name) for name in names[2:-2].split('" "'))
