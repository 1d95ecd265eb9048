"""What a client's codec is: calls to requests, answers to values.

Codecs touch no socket. What a server says went wrong they raise as an error of
`toolserver.errors`, what is no answer of a toolserver as an `AnswerError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

from toolserver import strictjson
from toolserver.client.failures import AnswerError, one_line
from toolserver.client.faults import make_error
from toolserver.errors import ApplicationError, InvalidParams, ParseError, TooMany

__all__ = [
    "JSON_DEPTH",
    "Answer",
    "Codec",
    "Outgoing",
    "Style",
    "bad_answer",
    "excerpt",
    "refusal",
    "sendable",
]

T = TypeVar("T")

_PROBLEM = "application/problem+json"
#: How deep JSON of an answer may be nested: as deep as a server sends it.
JSON_DEPTH = 250
#: Bytes of an answer that is none in which there may be something to be shown.
_SHOWN = 2000
_STANDARD_MEMBERS = frozenset(
    {"type", "title", "status", "detail", "instance", "code", "error", "traceback"}
)
_TAG = re.compile(r"<[^<>]*>")


class Style(Enum):
    """How a protocol takes arguments."""

    #: All by position.
    POSITIONAL = "positional"
    #: All by position, or all by name.
    EITHER = "either"
    #: Some by position, some by name.
    MIXED = "mixed"
    #: All by name.
    NAMED = "named"

    def needs_names(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether the names of parameters have to be known to give arguments its form.

        Args:
            args: Positional arguments.
            kwargs: Named arguments.
        """
        match self:
            case Style.POSITIONAL:
                return bool(kwargs)
            case Style.EITHER:
                return bool(args and kwargs)
            case Style.MIXED:
                return False
            case Style.NAMED:  # pragma: no branch - the last one
                return bool(args)


@dataclass(frozen=True)
class Outgoing:
    """A request.

    Attributes:
        path: Path below that of the server, with a slash in front.
        body: The body; None for GET.
        headers: The header fields that belong to the body.
        is_sealed: Whether the body is for the server alone; it is sealed when the
            request is signed, and so is that of the answer.
        signed_for: The tool with whose secret the request is signed, or None.
        key: The idempotency key by which the server knows the request when it comes
            again, or None.
    """

    path: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    is_sealed: bool = False
    signed_for: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Answer:
    """An answer, complete and decompressed.

    Attributes:
        url: What was asked.
        status: The HTTP status.
        headers: The header fields; their names are in lower case.
        body: The body.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """The content type with its parameters; empty if there is none."""
        return self.headers.get("content-type", "")

    @property
    def media_type(self) -> str:
        """The content type without parameters, in lower case."""
        return self.content_type.partition(";")[0].strip().lower()


class Codec(Protocol):
    """One RPC mechanism as clients speak it."""

    @property
    def style(self) -> Style:
        """How it takes arguments."""

    def write(
        self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Outgoing:
        """Write a call.

        Args:
            name: Full name of the method.
            args: Positional arguments.
            kwargs: Named arguments, as far as `style` allows them.

        Returns:
            The request.

        Raises:
            InvalidParams: The protocol cannot carry an argument.
        """

    def read(self, answer: Answer) -> Any:
        """Read the answer to a call.

        Args:
            answer: The answer.

        Returns:
            The result, plain.

        Raises:
            ToolserverError: The call has failed.
            AnswerError: It is no answer to a call.
        """


def sendable(write: Callable[[], T]) -> T:
    """Write a message, and say of arguments what writers say of results.

    Args:
        write: Writes it.

    Returns:
        What it writes.

    Raises:
        InvalidParams: An argument cannot be sent.
    """
    try:
        return write()
    except ApplicationError as error:
        text = error.message.removeprefix("result ")
        raise InvalidParams(f"argument {text}") from error


def refusal(answer: Answer) -> Exception:
    """What an answer tells that is not the one of the protocol.

    Args:
        answer: The answer.

    Returns:
        The error of which a problem document (RFC 9457) tells, else an `AnswerError`.
    """
    if answer.media_type != _PROBLEM:
        return bad_answer(answer)
    try:
        problem = strictjson.decode(answer.body, max_depth=JSON_DEPTH)
    except ParseError as error:
        return bad_answer(answer, error.message)
    code = problem.get("code") if isinstance(problem, dict) else None
    if type(code) is not int:
        return bad_answer(answer)
    facts = {key: problem[key] for key in problem if key not in _STANDARD_MEMBERS}
    made = make_error(
        str(problem.get("detail") or problem.get("title") or ""),
        code=code,
        kind=str(problem.get("error") or ""),
        data=facts or None,
    )
    if isinstance(made, TooMany):
        wait = answer.headers.get("retry-after", "")
        made.retry_after = float(wait) if wait.isdecimal() else None
    return made


def bad_answer(answer: Answer, reason: str = "") -> AnswerError:
    """Say that an answer is none of a toolserver.

    Args:
        answer: The answer.
        reason: Why it is none; by default the answer speaks for itself.

    Returns:
        An error with the beginning of the answer.
    """
    try:
        phrase = f" {HTTPStatus(answer.status).phrase}"
    except ValueError:
        phrase = ""
    location = answer.headers.get("location")
    if location is not None and 300 <= answer.status < 400:
        text = f"redirected to {location!r}; give that address"
    else:
        text = reason or excerpt(answer) or "got no body"
    what = "no answer of a toolserver" if answer.status < 400 else "refused"
    return AnswerError(
        f"{what}: HTTP {answer.status}{phrase}: {text}",
        url=answer.url,
        status=answer.status,
    )


def excerpt(answer: Answer) -> str:
    """The beginning of a body, which may be anything, on one line.

    Args:
        answer: The answer.
    """
    text = answer.body[:_SHOWN].decode("utf-8", "replace")
    if "html" in answer.media_type:
        text = _TAG.sub(" ", text)
    return one_line(text)
