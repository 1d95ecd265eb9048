"""Every error that Toolserver raises or understands, with its wire code and status.

An error says what was wrong in one sentence, in lower case, without a full stop.
Codecs translate an error into their protocol; they never decide what it is.

The numbers are those that JSON-RPC 2.0 and the XML-RPC fault code
interoperability specification share (-32700 to -32600 and -32500), and numbers
from the range that JSON-RPC leaves to servers (-32000 to -32099).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from toolserver.message import Response

__all__ = [
    "AlreadyDone",
    "ApplicationError",
    "CallCancelled",
    "CallKilled",
    "CallTimeout",
    "Conflict",
    "DirectResponse",
    "EnsureBroken",
    "Forbidden",
    "InternalError",
    "InvalidParams",
    "InvalidRequest",
    "InvariantBroken",
    "JobCancelled",
    "JobExpired",
    "JobFailed",
    "JobLost",
    "JobNotStored",
    "JobUnknown",
    "KeyInUse",
    "KeyReused",
    "MethodNotFound",
    "NotFound",
    "NotModified",
    "NotOffered",
    "Obsolete",
    "OutcomeUnknown",
    "Overload",
    "ParseError",
    "Redirect",
    "RequireBroken",
    "SettingsError",
    "Signal",
    "StartError",
    "TooMany",
    "ToolFault",
    "ToolNotFound",
    "ToolserverError",
    "Unauthenticated",
]


class ToolserverError(Exception):
    """The common base: an error that may be told to a caller.

    Args:
        message: What was wrong, what was got and what was expected.
        data: Further facts for the caller, made of plain values.

    Attributes:
        code: The number by which RPC protocols know this kind of error.
        status: The HTTP status by which REST knows it.
        data: The further facts, or None.
    """

    code: ClassVar[int] = -32603
    status: ClassVar[int] = 500
    # For subclasses that do not call `__init__`.
    data: Any = None

    def __init__(self, message: str = "", *, data: Any = None) -> None:
        super().__init__(message)
        self.data = data

    @property
    def message(self) -> str:
        """The sentence that says what was wrong."""
        return str(self.args[0]) if self.args else ""


class ParseError(ToolserverError):
    """The bytes are not well-formed in their protocol."""

    code = -32700
    status = 400


class InvalidRequest(ToolserverError):
    """The bytes are well-formed, but not a request of their protocol."""

    code = -32600
    status = 400


class MethodNotFound(ToolserverError):
    """The tool has no such method, or none that may be called from there.

    Attributes:
        is_asked_for: Whether a tool that raises it was asked for that method; else it
            has made a wrong call itself, which is a failure of its own.
    """

    code = -32601
    status = 404
    is_asked_for = False


class ToolNotFound(MethodNotFound):
    """No tool is registered under that namespace."""


class InvalidParams(ToolserverError):
    """An argument is missing, unknown or of the wrong type."""

    code = -32602
    status = 400


class ApplicationError(ToolserverError):
    """A failure of a tool's own; subclass it to choose ``code`` and ``status``."""

    code = -32500
    status = 500


class ToolFault(ApplicationError):
    """An exception that a tool raised and that is none of the classes here.

    Args:
        message: What the caller learns of it.
        exception: The exception itself, for the server's own use.
        kind: Name of its class, as far as the caller may know.
    """

    def __init__(
        self, message: str, *, exception: BaseException, kind: str = ""
    ) -> None:
        super().__init__(message, data={"type": kind} if kind else None)
        self.exception = exception


class NotFound(ApplicationError):
    """What was asked for does not exist."""

    code = -32004
    status = 404


class Forbidden(ApplicationError):
    """The caller is known, or cannot become known, and may not do this.

    Args:
        message: Why.
        challenge: The value of ``WWW-Authenticate`` that tells what would do; empty
            where nothing would.
        data: Further facts for the caller.
    """

    code = -32003
    status = 403

    def __init__(
        self, message: str = "", *, challenge: str = "", data: Any = None
    ) -> None:
        super().__init__(message, data=data)
        self.challenge = challenge


class Unauthenticated(ApplicationError):
    """The caller has to say who it is.

    Args:
        message: Why.
        challenge: The value of ``WWW-Authenticate`` that tells how (RFC 9110,
            section 11.6.1).
        data: Further facts for the caller.
    """

    code = -32001
    status = 401

    def __init__(
        self,
        message: str = "authentication needed",
        *,
        challenge: str = 'Basic realm="toolserver", charset="UTF-8"',
        data: Any = None,
    ) -> None:
        super().__init__(message, data=data)
        self.challenge = challenge


class Conflict(ApplicationError):
    """The state of things does not allow it now."""

    code = -32009
    status = 409


class Obsolete(ApplicationError):
    """The method is gone for good; the message may name its successor."""

    code = -32010
    status = 410


class TooMany(ApplicationError):
    """The caller has asked too often.

    Args:
        message: Which bound was passed.
        retry_after: Seconds after which to ask again, or None when unknown.
        data: Further facts for the caller.
    """

    code = -32029
    status = 429

    def __init__(
        self,
        message: str = "too many requests",
        *,
        retry_after: float | None = None,
        data: Any = None,
    ) -> None:
        super().__init__(message, data=data)
        self.retry_after = retry_after


class NotOffered(ApplicationError):
    """The tool knows the operation but does not offer it (HTTP 501)."""

    code = -32051
    status = 501


class CallTimeout(ToolserverError):
    """The call ran past its deadline and was ended."""

    code = -32008
    status = 503


class CallCancelled(ToolserverError):
    """The caller wanted the call ended, or has gone away."""

    code = -32044
    status = 503


class CallKilled(CallCancelled):
    """The operator of the server has ended the call."""


class Overload(ToolserverError):
    """The server has more work than it accepts at once; ask again later."""

    code = -32029
    status = 503


class JobUnknown(NotFound):
    """No job has the id, or it is none of the caller's."""

    code = -32041


class JobExpired(Obsolete):
    """The job ended and was forgotten, or its result was handed out already."""

    code = -32042


class JobCancelled(Conflict):
    """The job was cancelled: there is no result."""

    code = -32043


class JobFailed(ApplicationError):
    """The job ended with an exception of a class that is not known here.

    Args:
        kind: The name of the exception's class.
        message: Its message.
        data: Further facts.

    Attributes:
        kind: The name of the exception's class.
    """

    def __init__(self, kind: str, message: str = "", *, data: Any = None) -> None:
        super().__init__(f"{kind}: {message}" if message else kind, data=data)
        self.kind = kind


class JobLost(ApplicationError):
    """The job was begun again and again and never came to an end."""

    code = -32040


class JobNotStored(Overload):
    """The job could not be stored: it was not accepted, and nothing of it is kept."""


class KeyInUse(Conflict):
    """The first request with the same idempotency key is still running."""

    code = -32060


class OutcomeUnknown(Conflict):
    """The request was made before, and there is no answer that could be given again."""

    code = -32061


class KeyReused(ApplicationError):
    """The idempotency key came with another request before."""

    code = -32062
    status = 422


class RequireBroken(ToolserverError):
    """A precondition does not hold: the caller's fault."""

    code = -32022
    status = 422


class EnsureBroken(ToolserverError):
    """A postcondition does not hold: the tool's fault."""

    code = -32023
    status = 500


class InvariantBroken(ToolserverError):
    """An invariant of the tool does not hold: the tool's fault."""

    code = -32023
    status = 500


class InternalError(ToolserverError):
    """The framework itself failed; the details are in the log, under a reference.

    Args:
        reference: The request id under which the log tells the cause.
    """

    code = -32603
    status = 500

    def __init__(self, reference: str) -> None:
        super().__init__(f"internal error, reference {reference}")
        self.reference = reference


class Signal(Exception):
    """An answer in the form of an exception: the call succeeds and commits."""


class Redirect(Signal):
    """Send the caller to another URL.

    Args:
        url: Where to; relative URLs are allowed (RFC 9110, section 10.2.2).
        status: 301, 302, 303, 307 or 308.

    Raises:
        ValueError: The status is none of these.
    """

    def __init__(self, url: str, status: int = 303) -> None:
        if status not in (301, 302, 303, 307, 308):
            raise ValueError(
                f"status: got {status!r}, expected 301, 302, 303, 307, 308"
            )
        super().__init__(url)
        self.url = url
        self.status = status


class NotModified(Signal):
    """What the caller has is still current (HTTP 304)."""


class DirectResponse(Signal):
    """Send exactly this response.

    Args:
        response: Status, headers and body to send.
    """

    def __init__(self, response: Response) -> None:
        super().__init__(response)
        self.response = response


class AlreadyDone(Signal):
    """The tool has written its answer to ``context.request.writer`` itself."""


class StartError(Exception):
    """What keeps a server from starting or a command from doing its work.

    It is the operator's to mend: its message is shown as it is, never with a
    traceback, and says what is wrong, where, and what to do.
    """


class SettingsError(StartError):
    """A setting is unknown, ill-typed or out of range; names where it was set."""
