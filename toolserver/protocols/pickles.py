"""Pickles that make nothing but values of known classes.

A pickle is a program: it may call whatever it can name. So the names are looked up in a
list, never imported, and who wants more classes names them in the configuration.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import fractions
import importlib
import io
import pickle
import uuid
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from toolserver.errors import ApplicationError, ParseError, StartError
from toolserver.plain import to_plain
from toolserver.protocols.picklememos import check_memo

__all__ = ["KNOWN", "Classes", "classes_of", "read_pickle", "write_pickle"]

#: Classes that hold values, whose constructors do no more than their arguments say.
_VALUES: tuple[type, ...] = (
    *(bool, int, float, complex, str, slice),
    *(datetime.date, datetime.datetime, datetime.time, datetime.timedelta),
    *(datetime.timezone, decimal.Decimal, uuid.UUID, uuid.SafeUUID),
)
#: Exceptions of Python itself that a tool may raise.
_EXCEPTIONS: tuple[type, ...] = (
    *(Exception, ArithmeticError, AssertionError, AttributeError, EOFError),
    *(IndexError, KeyError, LookupError, NotImplementedError, OverflowError),
    *(RuntimeError, TimeoutError, TypeError, ValueError, ZeroDivisionError),
    *(FileExistsError, FileNotFoundError, PermissionError, OSError),
)


def _from_parts(cls: Callable[..., Any]) -> Callable[..., Any]:
    """Make containers out of what is there: not of a range of a billion numbers."""

    def make(parts: Any = (), *more: Any) -> Any:
        if type(parts) not in (list, tuple, dict, str) or any(
            type(each) not in (int, type(None)) for each in more
        ):
            raise ParseError("pickle: a container of something else than its parts")
        return cls(parts, *more)

    return make


def _octets(cls: Callable[..., Any]) -> Callable[..., Any]:
    """Make bytes out of bytes: of a number, as many would be made."""

    def make(parts: Any = b"", *encoding: Any) -> Any:
        if type(parts) not in (bytes, str) or encoding not in ((), ("latin-1",)):
            raise ParseError("pickle: bytes of something else than bytes")
        return cls(parts, *encoding)

    return make


def _fraction(numerator: Any, denominator: Any) -> fractions.Fraction:
    # Of a text, an exponent would be written out.
    if type(numerator) is not int or type(denominator) is not int:
        raise ParseError("pickle: a fraction of something else than integers")
    return fractions.Fraction(numerator, denominator)


#: What makes the values of classes that can be told to make too much.
_MAKERS: dict[type, Callable[..., Any]] = {
    **{cls: _octets(cls) for cls in (bytes, bytearray)},
    **{cls: _from_parts(cls) for cls in (list, tuple, dict, set, frozenset)},
    **{cls: _from_parts(cls) for cls in (collections.OrderedDict, collections.deque)},
    fractions.Fraction: _fraction,
    range: range,
}


class Classes:
    """Classes that pickles may name.

    Args:
        makers: What makes their values, by class.
    """

    def __init__(self, makers: Mapping[type, Callable[..., Any]]) -> None:
        self.makers = makers
        self._by_name = {
            (cls.__module__, cls.__qualname__): make for cls, make in makers.items()
        }

    def __contains__(self, cls: object) -> bool:
        return cls in self.makers

    def find(self, module: str, name: str) -> Callable[..., Any]:
        """What makes the values of a class.

        Args:
            module: Name of its module.
            name: Its name there.

        Raises:
            ParseError: It is not among the classes.
        """
        try:
            return self._by_name[module, name]
        except KeyError:
            raise ParseError(
                f"pickle: {module}.{name} is not among the classes that are allowed"
            ) from None


#: The classes that pickles may always name.
KNOWN = Classes({**{cls: cls for cls in (*_VALUES, *_EXCEPTIONS)}, **_MAKERS})
_PROTOCOL = 5
#: Up to this size it takes longer to compress a pickle than to send it, bytes.
_SHORT = 4096


def classes_of(names: Iterable[str]) -> Classes:
    """Find the classes that the configuration names.

    Args:
        names: ``package.module:Class`` each.

    Returns:
        The known classes with these.

    Raises:
        StartError: One is malformed, or there is none of that name, or what is there
            is no class.
    """
    found = dict(KNOWN.makers)
    for name in names:
        module, _, path = name.partition(":")
        try:
            value: Any = importlib.import_module(module)
            for part in path.split("."):
                value = getattr(value, part)
        except (ImportError, AttributeError, ValueError) as error:
            raise StartError(
                f"picklerpc.classes: got {name!r}, expected package.module:Class: "
                f"{error}"
            ) from error
        if not isinstance(value, type):
            raise StartError(f"picklerpc.classes: {name!r} is no class")
        found[value] = value
    return Classes(found)


def write_pickle(value: Any, known: Classes) -> bytes:
    """Pickle a value, and compress it unless it is short.

    Args:
        value: Any value; parts of classes that are not known become plain.
        known: The classes that the reader knows.

    Returns:
        The pickle.

    Raises:
        ApplicationError: Some part can neither be pickled nor made plain.
    """
    buffer = io.BytesIO()
    try:
        _Writer(buffer, known).dump(value)
    except (pickle.PicklingError, TypeError, RecursionError) as error:
        raise ApplicationError(f"result cannot be pickled: {error}") from error
    content = buffer.getvalue()
    return content if len(content) <= _SHORT else zlib.compress(content, 1)


def read_pickle(
    data: bytes,
    known: Classes | None,
    max_size: int,
) -> Any:
    """Read a value; only what a proven sender has sealed may come here.

    Args:
        data: The pickle, compressed or as it is: a pickle of its protocol begins with
            another byte than what zlib makes.
        known: The classes that it may name; None for any, which lets the sender run
            whatever it wants.
        max_size: Bytes that it may have without compression.

    Returns:
        The value.

    Raises:
        ParseError: It is malformed, too large, or names something else.
    """
    content = _unpacked(data, max_size)
    check_memo(content)
    stream = io.BytesIO(content)
    reader = (
        pickle.Unpickler(stream)  # noqa: S301  # the operator wants it so
        if known is None
        else _Reader(stream, known)
    )
    try:
        return reader.load()
    except ParseError:
        raise
    except Exception as error:
        # Unpickling fails in as many ways as there are classes.
        raise ParseError(f"pickle: {type(error).__name__}: {error}"[:200]) from error


def _unpacked(data: bytes, max_size: int) -> bytes:
    if data[:1] == pickle.PROTO:
        if len(data) > max_size:
            raise ParseError(f"pickle: more than {max_size} bytes")
        return data
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(data, max_size)
    except zlib.error as error:
        raise ParseError("pickle: cannot be unpacked") from error
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise ParseError(f"pickle: more than {max_size} bytes, or incomplete")
    return content


class _Reader(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, known: Classes) -> None:
        super().__init__(stream)
        self._known = known

    def find_class(self, module: str, name: str) -> Any:
        return self._known.find(module, name)

    def persistent_load(self, pid: Any) -> Any:
        raise ParseError("pickle: refers to what is elsewhere")


class _Writer(pickle.Pickler):
    def __init__(self, stream: io.BytesIO, known: Classes) -> None:
        super().__init__(stream, _PROTOCOL)
        self._known = known

    def reducer_override(self, value: Any) -> Any:
        """Make plain what the reader does not know."""
        if isinstance(value, type):
            if value in self._known:
                return NotImplemented
            raise ApplicationError(f"result cannot be pickled: the class {value!r}")
        if type(value) in self._known:
            return NotImplemented
        plain = value.value if isinstance(value, enum.Enum) else to_plain(value)
        made: Callable[..., Any] = type(plain)
        if isinstance(plain, dict):
            return made, (), None, None, iter(plain.items())
        return made, (plain,)
