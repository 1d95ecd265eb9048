"""Makes exceptions out of what a server tells of failures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from toolserver import errors
from toolserver.errors import (
    ApplicationError,
    InternalError,
    ToolFault,
    ToolserverError,
    TooMany,
    Unauthenticated,
)

__all__ = ["RemoteFault", "make_error"]

_REFERENCE = re.compile(r"reference (\S+)")
#: How a server tells of a tool's own exception: its class, and its message if any.
_EXCEPTION = re.compile(r"([A-Z]\w*)(?:: .*)?", re.DOTALL)


class RemoteFault(ToolFault):
    """An exception of a remote tool's own, of a class that is not known here.

    Args:
        message: What the server tells of it.
        kind: The name of its class, if the server tells it.
        code: The number by which RPC knows it.
        data: Further facts.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str = "",
        code: int = ApplicationError.code,
        data: Any = None,
    ) -> None:
        # Where a tool lets it pass, its own caller is told the same.
        super().__init__(message, exception=self, kind=kind)
        self.kind = kind
        self.code = code  # type: ignore[misc]  # one class for every number
        if isinstance(data, Mapping):
            self.data = {**data, **(self.data or {})}
        elif data is not None:
            self.data = data


def make_error(
    message: str, *, code: int | None = None, kind: str = "", data: Any = None
) -> ToolserverError:
    """Make the exception for what a server tells.

    Args:
        message: Its message.
        code: Its number, where the protocol has numbers.
        kind: The name of its class, where the protocol tells it.
        data: Further facts.

    Returns:
        An error of `toolserver.errors`, or of a subclass of `ApplicationError` that
        this program has imported; else a `RemoteFault`.
    """
    cls = _find_class(code, kind)
    if cls is None:
        if not kind and code == ApplicationError.code:
            found = _EXCEPTION.fullmatch(message)
            kind = found[1] if found is not None else ""
        number = ApplicationError.code if code is None else code
        return RemoteFault(message, kind=kind, code=number, data=data)
    if cls is InternalError:
        return _make_internal(message, data)
    if cls is TooMany or cls is Unauthenticated:
        return cls(message, data=data)
    error = cls.__new__(cls)
    # What else the constructor of a class may ask for, nobody here knows.
    ToolserverError.__init__(error, message, data=data)
    return error


def _find_class(code: int | None, kind: str) -> type[ToolserverError] | None:
    standard = _STANDARD.get(kind)
    if standard is not None and code in (None, standard.code):
        return standard
    if kind:
        for cls in _subclasses(ApplicationError):
            if cls.__name__ == kind and code in (None, cls.code):
                return cls
    if code is None or code == ApplicationError.code:
        return None
    standard = _BY_CODE.get(code)
    if standard is not None or kind:
        return standard
    own = [cls for cls in _subclasses(ApplicationError) if cls.code == code]
    return own[0] if len(own) == 1 else None


def _subclasses(cls: type[ApplicationError]) -> Iterator[type[ApplicationError]]:
    for subclass in cls.__subclasses__():
        if not issubclass(subclass, ToolFault):
            yield subclass
            yield from _subclasses(subclass)


def _make_internal(message: str, data: Any) -> InternalError:
    reference = data.get("reference") if isinstance(data, Mapping) else None
    if not isinstance(reference, str):
        found = _REFERENCE.search(message)
        reference = found[1] if found is not None else ""
    error = InternalError(reference)
    error.args = (message,)
    return error


def _standard() -> dict[str, type[ToolserverError]]:
    found = {name: getattr(errors, name) for name in errors.__all__}
    return {
        name: cls
        for name, cls in found.items()
        if issubclass(cls, ToolserverError) and cls not in (ToolserverError, ToolFault)
    }


_STANDARD = _standard()
#: Of the errors that share a number, the most usual.
_BY_CODE: dict[int, type[ToolserverError]] = {
    **{cls.code: cls for cls in _STANDARD.values()},
    errors.MethodNotFound.code: errors.MethodNotFound,
    errors.EnsureBroken.code: errors.EnsureBroken,
    errors.Overload.code: errors.Overload,
}
