"""Every character, by the words of XML 1.0."""

from toolserver.protocols.xmltext import escape
from toolserver.xmlcharacters import ILLEGAL


def is_char(code: int) -> bool:
    """Production 2 (Char)."""
    return (
        code in (0x9, 0xA, 0xD)
        or 0x20 <= code <= 0xD7FF
        or 0xE000 <= code <= 0xFFFD
        or 0x10000 <= code <= 0x10FFFF
    )


def test_what_is_no_character_of_xml_is_illegal():
    wrong = [
        code
        for code in range(0x110000)
        if is_char(code) is (ILLEGAL.match(chr(code)) is not None)
    ]
    assert wrong == []


def test_what_has_to_be_escaped_is():
    plain = "".join(map(chr, (*range(0x20, 0xD800), *range(0x10000, 0x10400))))
    plain = plain.translate({ord(special): None for special in "&<>"})
    assert escape(f"\t\n{plain}") == f"\t\n{plain}"
    assert escape("\r&<>") == "&#13;&amp;&lt;&gt;"
