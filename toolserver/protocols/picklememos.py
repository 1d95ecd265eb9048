"""Bounds what pickles have their reader remember.

A pickle names a place in the reader's memo by number, and the reader makes room for all
places below it: 15 bytes would fill 16 GiB. What writes pickles numbers the places one
after the other, so that no number is larger than the pickle.

Spec: the opcodes of Python's module ``pickletools``, protocols 0 to 5.
"""

from __future__ import annotations

import re

from toolserver.errors import ParseError

__all__ = ["check_memo"]

_SHORT_TEXT = b"|".join(rb"\x%02x.{%d}" % (size, size) for size in range(32))
#: Opcodes without an argument, with one of 1, 2, 4 and 8 bytes, and short texts; not
#: STOP, which ends the pickle, nor LONG_BINPUT, which is looked for.
_FIXED = re.compile(
    rb"(?:[\x97\x98N\x88\x89\]ael)t\x85\x86\x87}dsu\x8f\x90\x9102(1\x94\x93Rbo\x81\x92Q]"
    rb"|[Khq\x82\x80].|[M\x83]..|[Jj\x84].{4}|[G\x95].{8}|\x8c(?:%b))++" % _SHORT_TEXT,
    re.DOTALL,
)
#: How many bytes tell the length of an argument.
_LENGTHS = dict.fromkeys(b"\x8aUC\x8c", 1) | dict.fromkeys(b"\x8bTBX", 4)
_LENGTHS |= dict.fromkeys(b"\x8e\x96\x8d", 8)
#: How many lines an argument has.
_LINES = dict.fromkeys(b"ILSVFgpP", 1) | dict.fromkeys(b"ci", 2)
_PUT, _LONG_BINPUT = b"pr"


def check_memo(content: bytes) -> None:
    """Refuse a pickle that numbers places in the memo beyond what it can fill.

    Args:
        content: The pickle. What else is wrong with it is left to its reader, which
            gets no further than this does.

    Raises:
        ParseError: There is such a number.
    """
    position, size = 0, len(content)
    # A length of eight bytes may lead further than a position can be.
    while position < size:
        fixed = _FIXED.match(content, position)
        if fixed is not None:
            position = fixed.end()
        if position == size:
            return
        code = content[position]
        position += 1
        if code in _LENGTHS:
            begin, position = position, position + _LENGTHS[code]
            position += int.from_bytes(content[begin:position], "little")
        elif code in _LINES:
            for _ in range(_LINES[code]):
                begin, position = position, content.find(b"\n", position) + 1
                if not position:
                    return
            if code == _PUT and _number(content[begin:position]) > size:
                raise _too_large()
        elif code == _LONG_BINPUT:
            begin, position = position, position + 4
            if int.from_bytes(content[begin:position], "little") > size:
                raise _too_large()
        else:
            return


def _number(text: bytes) -> int:
    try:
        return int(text)
    except ValueError:
        return 0


def _too_large() -> ParseError:
    return ParseError("pickle: numbers a place in the memo beyond its own size")
