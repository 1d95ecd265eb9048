"""Arguments, results and errors of jobs as bytes.

Arguments are written as plain values and read back by the hints of the method, as if
they had come from outside. What has no hint may be any plain value that
`toolserver.sharing.values` carries. Never pickles.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from toolserver import errors
from toolserver.calls import Arguments
from toolserver.conversion import convert
from toolserver.errors import (
    ApplicationError,
    InternalError,
    InvalidParams,
    JobFailed,
    ToolFault,
    ToolserverError,
    TooMany,
    Unauthenticated,
)
from toolserver.methods import MethodSpec
from toolserver.plain import to_plain
from toolserver.sharing.values import pack, unpack
from toolserver.types import Kind, Type

__all__ = [
    "StoredError",
    "read_arguments",
    "read_error",
    "read_result",
    "write_arguments",
    "write_error",
    "write_result",
]

_LONGEST_TRACE = 20_000


class StoredError(msgspec.Struct, frozen=True):
    """What a job raised.

    Attributes:
        kind: The name of the exception's class.
        message: Its message.
        code: The number by which RPC knows it.
        data: Further facts.
        trace: Where it was raised, for the operator.
    """

    kind: str
    message: str
    code: int
    data: Any = None
    trace: str = ""

    def rebuild(self) -> ToolserverError:
        """Make the exception again.

        Returns:
            One of its class, where that is an error of the server or a subclass of
            `ApplicationError` that this process knows; else a `JobFailed`.
        """
        cls = _find_class(self.kind, self.code)
        if cls is None:
            return JobFailed(self.kind, self.message, data=self.data)
        if cls is TooMany or cls is Unauthenticated:
            return cls(self.message, data=self.data)
        if cls is InternalError:
            return InternalError(self.message.rpartition(" ")[2])
        error = cls.__new__(cls)
        # What else the constructor of a class may ask for, nobody here knows.
        ToolserverError.__init__(error, self.message, data=self.data)
        return error


def write_arguments(
    spec: MethodSpec, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> bytes:
    """Write the arguments of a call.

    Args:
        spec: The method.
        args: Positional arguments, converted.
        kwargs: Named arguments, converted.

    Raises:
        InvalidParams: One of them cannot be stored.
    """
    named = {parameter.name: parameter.type for parameter in spec.parameters}
    further = spec.extra.type if spec.extra is not None else None
    types = [parameter.type for parameter in spec.parameters[: spec.positional]]
    rest = spec.rest.type if spec.rest is not None else None
    plain = [
        _plain(value, types[place] if place < len(types) else rest, f"argument {place}")
        for place, value in enumerate(args)
    ]
    by_name = {
        name: _plain(value, named.get(name, further), name)
        for name, value in kwargs.items()
    }
    try:
        return pack([plain, by_name])
    except (TypeError, ValueError) as error:
        raise InvalidParams(f"{spec.name}: cannot be stored: {error}") from None


def _plain(value: Any, type_: Type | None, what: str) -> Any:
    # Without a hint nothing would make it again what it was.
    if type_ is None or type_.kind is Kind.ANY:
        return value
    try:
        return to_plain(value)
    except ApplicationError as error:
        raise InvalidParams(f"{what}: cannot be stored: {error.message}") from None


def read_arguments(written: bytes) -> Arguments:
    """Read what `write_arguments` has written: plain values, to be converted.

    Args:
        written: The bytes.
    """
    args, kwargs = unpack(written)
    return args, kwargs


def write_result(value: Any) -> bytes:
    """Write what a method returned.

    Args:
        value: The result.

    Raises:
        ApplicationError: It cannot be stored.
        BaseException: Whatever a class of the tool raised when it was read.
    """
    plain = to_plain(value)
    try:
        return pack(plain)
    except (TypeError, ValueError) as error:
        raise ApplicationError(f"result: cannot be stored: {error}") from None


def read_result(written: bytes | None, type_: Type | None = None) -> Any:
    """Read what `write_result` has written.

    Args:
        written: The bytes; None for no result.
        type_: What the method returns; None to leave the value plain.

    Returns:
        The result. One that does not fit the type any more stays plain.
    """
    if written is None:
        return None
    value = unpack(written)
    if type_ is None or type_.kind in (Kind.ANY, Kind.NONE, Kind.OBJECT):
        return value
    try:
        return convert(type_, value, "result")
    except InvalidParams:
        return value


def write_error(error: ToolserverError) -> bytes:
    """Write what a caller is told of a failure, and for the operator where it was.

    Args:
        error: The error.
    """
    kind, message, data = type(error).__name__, error.message, error.data
    raised: BaseException = error
    if isinstance(error, ToolFault):
        raised = error.exception or error
        if isinstance(data, Mapping) and isinstance(data.get("type"), str):
            kind = data["type"]
            message = message.removeprefix(kind).removeprefix(": ")
    trace = "".join(traceback.format_exception(raised))[-_LONGEST_TRACE:]
    facts = [kind, message, error.code]
    try:
        return pack([*facts, to_plain(data), trace])
    except (ToolserverError, TypeError, ValueError):
        # It has to be told, be it without what cannot be carried.
        return pack([_bare(kind), _bare(message), error.code, None, _bare(trace)])


def _bare(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def read_error(written: bytes) -> StoredError:
    """Read what `write_error` has written.

    Args:
        written: The bytes.
    """
    return StoredError(*unpack(written))


def _find_class(kind: str, code: int) -> type[ToolserverError] | None:
    standard = getattr(errors, kind, None) if kind in errors.__all__ else None
    if isinstance(standard, type) and issubclass(standard, ToolserverError):
        return None if standard in (ToolFault, JobFailed) else standard
    for cls in _subclasses(ApplicationError):
        if cls.__name__ == kind and cls.code == code:
            return cls
    return None


def _subclasses(cls: type[ApplicationError]) -> Iterator[type[ApplicationError]]:
    for subclass in cls.__subclasses__():
        if not issubclass(subclass, ToolFault):
            yield subclass
            yield from _subclasses(subclass)
