"""Characters that no XML document can hold, not even escaped.

Spec: XML 1.0, section 2.2.
"""

from __future__ import annotations

import re

__all__ = ["ILLEGAL", "ILLEGAL_SET"]

#: For a set of a regular expression. What is legal would say the same, but takes
#: twenty times as long to compile, at each start.
ILLEGAL_SET = "\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
#: One such character.
ILLEGAL = re.compile(f"[{ILLEGAL_SET}]")
