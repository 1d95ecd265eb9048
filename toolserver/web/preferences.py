"""What a caller would like, as far as that is convenient: the field ``Prefer``.

A preference that cannot be read counts as if it had not been sent.

Spec: RFC 7240, sections 2 (syntax), 4.1 (respond-async) and 4.3 (wait).
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

__all__ = ["Preferences", "read_preferences"]

#: Characters of the field that are read, and seconds that somebody may wait.
_LONGEST = 1024
_MOST_WAIT = 60.0
# A quoted string may hold the separators; possessive, as a hostile field would take
# quadratic time.
_MEMBER = re.compile(r'(?:[^",]++|"(?:[^"\\]|\\.)*+"?)++')
_PREFERENCE = re.compile(
    r"[ \t]*+([!#$%&'*+\-.^_`|~0-9A-Za-z]++)[ \t]*+"
    r"""(?:=[ \t]*+(?:"([^"]*+)"|([^\s;"]*+)))?+[ \t]*+(?:;.*)?+"""
)
_SECONDS = re.compile(r"[0-9]{1,9}")


class Preferences(msgspec.Struct, frozen=True):
    """What is heeded here of a caller's preferences.

    Attributes:
        is_async: Whether the call shall go on without its caller.
        wait: Seconds that the caller waits for the answer first, or None.
    """

    is_async: bool = False
    wait: float | None = None

    @property
    def applied(self) -> str:
        """What ``Preference-Applied`` says where all of them were heeded."""
        words = ["respond-async"] if self.is_async else []
        if self.wait is not None:
            words.append(f"wait={self.wait:.0f}")
        return ", ".join(words)


@lru_cache(256)
def read_preferences(field: str) -> Preferences:
    """Read the field ``Prefer``.

    Args:
        field: The field, of several the values joined by commas.

    Returns:
        What it says. Of a preference that is told twice the first counts, and nobody
        waits for more than a minute.
    """
    found: dict[str, str] = {}
    for member in _MEMBER.findall(field[:_LONGEST]):
        match = _PREFERENCE.fullmatch(member)
        if match is not None:
            value = match[2] if match[2] is not None else match[3] or ""
            found.setdefault(match[1].lower(), value)
    wait = found.get("wait", "")
    return Preferences(
        # Section 2: an empty value is none, and this one takes none.
        is_async=found.get("respond-async") == "",
        wait=min(float(wait), _MOST_WAIT) if _SECONDS.fullmatch(wait) else None,
    )
