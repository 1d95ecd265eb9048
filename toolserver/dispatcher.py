"""The one door through which every call goes.

Whatever protocol a call arrived by, and also when one tool calls another, it takes
these steps in this order:

1. find the tool and the method; may it be called from there?
2. open a context inside the caller's; from outside: is it too often, or too much?
3. validators of the tool and the protocol
4. read the arguments, check and take away the token that some tools ask for,
   convert the others
5. validators of the method
6. give the result that is kept, where the method says so, or begin the transaction
7. the method, between the checks of its contracts where these are on
8. commit, or abort on any exception
9. close the context, hand back the result or the exception

A method without validators, time-out and transaction skips their steps with one
test.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import gevent

from toolserver.calls import Call, Outcome
from toolserver.contexts import Context, bind, current
from toolserver.entries import BoundWrapper, Target
from toolserver.errors import (
    ApplicationError,
    CallTimeout,
    Forbidden,
    MethodNotFound,
    Signal,
    ToolFault,
    ToolserverError,
    Unauthenticated,
)
from toolserver.failures import is_tellable, place_of, text_of
from toolserver.logs import AUDIT
from toolserver.nativethreads import ThreadSlots
from toolserver.registry import Registry
from toolserver.scopes import check_scope
from toolserver.transactions import start_clock
from toolserver.unlocking import is_unlocked

__all__ = ["Dispatcher", "Prepared"]

log = logging.getLogger("toolserver.calls")
audit = logging.getLogger(AUDIT)


class Prepared(NamedTuple):
    """A call that can be made: everything before its method has been done.

    Attributes:
        target: What it leads to.
        args: Its positional arguments, converted.
        kwargs: Its named ones.
    """

    target: Target
    args: list[Any]
    kwargs: dict[str, Any]


class Dispatcher:
    """Makes calls.

    Args:
        registry: Where the tools are found.
        tells_exceptions: Whether callers learn class and message of an exception
            that a tool raised; otherwise they get a reference to the log.
        threads: How many native threads run methods marked `threaded`.

    Attributes:
        threads: Those threads.
    """

    def __init__(
        self, registry: Registry, *, tells_exceptions: bool = True, threads: int = 1
    ) -> None:
        self.registry = registry
        self.threads = ThreadSlots(threads)
        self._tells_exceptions = tells_exceptions
        self._judge = self.unsendable

    def call(self, call: Call, target: Target | None = None) -> Outcome:
        """Make a call that came from outside; whatever happens, it has an outcome.

        Args:
            call: The call.
            target: What it leads to, where that is known already.

        Returns:
            The result, the signal or the error.
        """
        if call.error is not None:
            return self.refuse(call, call.error)
        try:
            if target is None:
                target = self.registry.target(call.name)
            if not target.exported:
                # The same words as for a method that does not exist.
                raise MethodNotFound(f"no method {call.name!r}")
            check_scope(target.tool.namespace)
        except ToolserverError as error:
            return self.refuse(call, error)
        except BaseException as error:  # a factory's, which could not make the tool
            return self.refuse(call, self.failure(call, error))
        try:
            return Outcome(call, self.invoke(target, call), None, None, self._judge)
        except Signal as signal:
            return self._answer(target, call, signal)
        except BaseException as error:  # a tool may raise SystemExit, too
            return Outcome(call, error=self.failure(target, error))

    def refuse(self, call: Call, error: ToolserverError) -> Outcome:
        """Tell that a call leads to no method that could be called.

        Args:
            call: The call.
            error: Why.
        """
        return Outcome(call, error=error)

    def prepare(self, call: Call, target: Target | None = None) -> Prepared:
        """Take a call that came from outside up to its method, to make it later.

        Args:
            call: The call.
            target: What it leads to, where that is known already.

        Returns:
            What it leads to, and its converted arguments.

        Raises:
            ToolserverError: What the caller learns of why it cannot be made.
            Signal: What a validator or parser answers instead.
        """
        if call.error is not None:
            raise call.error
        try:
            target = target or self.registry.target(call.name)
            if not target.exported:
                raise MethodNotFound(f"no method {call.name!r}")
            check_scope(target.tool.namespace)
        except MethodNotFound as error:
            error.is_asked_for = True
            raise
        except ToolserverError:
            raise
        except BaseException as error:  # a factory's, which could not make the tool
            raise self.failure(call, error) from None
        inner = (current() or Context()).nested(target.tool, target.spec.name)
        with bind(inner):
            try:
                if target.throttle is not None:
                    target.throttle.charge(inner)
                args, kwargs = _check(target, call, inner, inside=False)
            except Signal:
                raise
            except BaseException as error:
                raise self.failure(target, error) from None
        return Prepared(target, args, kwargs)

    def _answer(self, target: Target, call: Call, signal: Signal) -> Outcome:
        context = current()
        if context is not None and context.protocol == "REST":
            return Outcome(call, signal=signal)
        kind = type(signal).__name__
        text = f"{target.name}: answered with {kind}, which only REST can express"
        return Outcome(call, error=ApplicationError(text, data={"type": kind}))

    def invoke(
        self, target: Target, call: Call, *, inside: bool = False, checked: bool = True
    ) -> Any:
        """Take a call from its context to its result.

        Args:
            target: What the call leads to.
            call: The call.
            inside: Whether another tool makes it.
            checked: Whether validators run and arguments are converted.

        Returns:
            What the method returned.

        Raises:
            BaseException: Whatever the method or a step before it raised.
        """
        inner = (current() or Context()).nested(target.tool, target.spec.name)
        if inside:
            inner.protocol = ""
        with bind(inner):
            if target.is_guarded:
                if target.throttle is None or inside:
                    return self._invoke_guarded(target, call, inner, inside, checked)
                with target.throttle.admitted(inner):
                    return self._invoke_guarded(target, call, inner, inside, checked)
            if not checked:
                return target.function(*call.args, **call.kwargs)
            if call.read is not None:
                call.args, call.kwargs = call.read()
            args, kwargs = target.spec.convert(call.args, call.kwargs, lax=call.lax)
            return target.function(*args, **kwargs)

    def _invoke_guarded(
        self, target: Target, call: Call, inner: Context, inside: bool, checked: bool
    ) -> Any:
        if checked:
            args, kwargs = _check(target, call, inner, inside)
        else:
            args, kwargs = list(call.args), dict(call.kwargs)
        timeout = target.timeout
        if not timeout:
            return self._run(target, args, kwargs, inside)
        deadline = time.monotonic() + timeout
        if inner.deadline is not None and inner.deadline <= deadline:
            # The call around this one is ended first.
            return self._run(target, args, kwargs, inside)
        inner.deadline = deadline
        with gevent.Timeout(timeout) as timer:
            if target.transaction is not None:
                start_clock(inner, timer)
            try:
                return self._run(target, args, kwargs, inside)
            except gevent.Timeout as expired:
                if expired is not timer:
                    raise
                raise CallTimeout(
                    f"{target.name}: ended after {timeout:g} seconds"
                ) from None

    def _run(
        self,
        target: Target,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        inside: bool,
        is_kept: bool = True,
    ) -> Any:
        if target.cache is not None and is_kept and not inside:
            make = partial(self._run, target, args, kwargs, inside, is_kept=False)
            return target.cache.get(args, kwargs, make)
        if not target.is_threaded:
            return _run(target, target.function, args, kwargs)
        return self.threads.run(
            partial(target.function, *args, **kwargs),
            lambda work: _run(target, work, (), {}),
            # The thread may use what belongs to the call around this one, such as
            # its database session.
            stays=inside,
        )

    def unsendable(
        self, target: Target | Call, error: BaseException
    ) -> ToolserverError:
        """What a caller learns of a result that cannot be sent; it is logged.

        Args:
            target: What was called.
            error: What came of trying to send it: an `ApplicationError` that says why
                it cannot be, or whatever a class of the tool raised when it was read.

        Returns:
            The error itself where it is meant for callers, else a `ToolFault`.
        """
        if type(error) is ApplicationError:
            if isinstance(target, Call):
                with suppress(Exception):  # the tool may be gone by now
                    target = self.registry.target(target.name)
            place = "" if isinstance(target, Call) else place_of(target.function)
            log.error("%s%s: %s", target.name, place, error.message)
        return self.failure(target, error)

    def failure(self, target: Target | Call, error: BaseException) -> ToolserverError:
        """What a caller learns of an exception; one of a tool's own is logged.

        Args:
            target: What was called, or was to be called.
            error: What its code raised.

        Returns:
            The error itself where it is meant for callers, else a `ToolFault`.
        """
        # A tool's code that raises MethodNotFound has failed in a call of its own.
        if (
            isinstance(error, ToolserverError)
            and (not isinstance(error, MethodNotFound) or error.is_asked_for)
            and is_tellable(error, target.name)
        ):
            if isinstance(error, (Forbidden, Unauthenticated)):
                audit.warning("refused %s: %s", target.name, error.message)
            return error
        context = current()
        reference = context.request_id if context is not None else ""
        log.error("%s failed, reference %s", target.name, reference, exc_info=error)
        if not self._tells_exceptions:
            return ToolFault(f"call failed, reference {reference}", exception=error)
        kind = type(error).__name__
        text = text_of(error)
        message = f"{kind}: {text}" if text else kind
        return ToolFault(message, exception=error, kind=kind)


def _check(
    target: Target, call: Call, context: Context, inside: bool
) -> tuple[list[Any], dict[str, Any]]:
    """Take a call from the validators of its tool to those of its method."""
    run_validators(target.tool_validators, Call(call.name), context)
    if call.read is not None:
        call.args, call.kwargs = call.read()
    spec = target.spec
    if spec.unlocked is not None:
        spec = spec.unlocked
        if not inside:
            _unlock(target, call, context)
    args, kwargs = spec.convert(call.args, call.kwargs, lax=call.lax)
    run_validators(target.method_validators, Call(call.name, args, kwargs), context)
    return args, kwargs


def _unlock(target: Target, call: Call, context: Context) -> None:
    """Check the token of a call and take it away, before anything is converted.

    Where the request is signed with the tool's secret there is none.
    """
    if target.check_token is None:  # pragma: no cover - locked methods have it
        return
    if not is_unlocked(target.tool.namespace):
        token, call.args, call.kwargs = target.spec.take_token(call.args, call.kwargs)
        target.check_token(token)
    context.auth_type = "CRAM"


def run_validators(
    validators: Sequence[BoundWrapper], call: Call, context: Context
) -> None:
    """Run those validators that apply to how a call arrived.

    Args:
        validators: The validators of a tool or of a method.
        call: The call as they are to see it.
        context: The context of the call.

    Raises:
        BaseException: Whatever the first one raised that refused the call.
    """
    for bound in validators:
        wrapper = bound.wrapper
        if wrapper.protocol and wrapper.protocol != context.protocol:
            continue
        if wrapper.verbs and not (
            context.protocol in ("REST", "FILES")
            and context.request is not None
            and context.request.method in wrapper.verbs
        ):
            continue
        bound.function(call)


def _run(
    target: Target,
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
) -> Any:
    if target.transaction is None:
        return function(*args, **kwargs)
    answer: Signal | None = None
    value = None
    with target.transaction():
        try:
            value = function(*args, **kwargs)
        except Signal as signal:
            # A redirect and its like are answers: the work before them is kept.
            answer = signal
    if answer is not None:
        try:
            raise answer
        finally:
            # Its traceback holds this frame, which would hold it: a circle that
            # keeps the request until the garbage collector comes.
            del answer
    return value
