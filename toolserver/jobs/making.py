"""Making the calls of stored jobs, each in a context of its own."""

from __future__ import annotations

import logging
from typing import Any, Protocol

import gevent

from toolserver.calls import Call
from toolserver.contexts import Context, bind
from toolserver.entries import Target
from toolserver.errors import (
    ApplicationError,
    CallTimeout,
    Forbidden,
    InvalidParams,
    InvalidRequest,
    MethodNotFound,
    NotFound,
    RequireBroken,
    Signal,
    ToolserverError,
    Unauthenticated,
)
from toolserver.jobs.clock import JobClock
from toolserver.jobs.payload import read_arguments, write_error, write_result
from toolserver.jobs.records import Ending, JobRecord, JobState
from toolserver.jobs.rules import SERVER, Rules
from toolserver.jobs.runner import Run
from toolserver.registry import Registry
from toolserver.services import Services

__all__ = ["Identities", "JobCalls", "target_of"]

log = logging.getLogger("toolserver.jobs")

#: What keeps a call from being made, so that another try is of no use.
_NOT_TRIED = (
    *(Forbidden, InvalidParams, InvalidRequest, MethodNotFound, RequireBroken),
    Unauthenticated,
)


class Identities(Protocol):
    """Knows who may call."""

    def groups_of(self, client: str) -> frozenset[str]:
        """The groups of a client by the file of groups."""

    def is_known(self, client: str, auth_type: str | None) -> bool:
        """Whether a client could still prove its name in the way that it did."""


class JobCalls:
    """Makes the calls of jobs.

    Args:
        services: The parts of the server.
        identities: Knows who may call.
        clock: The clock of jobs.
        rules: Stores the calls that come after those of rules.
    """

    def __init__(
        self,
        services: Services,
        identities: Identities,
        clock: JobClock,
        rules: Rules,
    ) -> None:
        self._services = services
        self._identities = identities
        self._clock = clock
        self._rules = rules

    def make(self, run: Run) -> Ending:
        """Make the call of a job; in a greenlet of the pool.

        Args:
            run: The job.

        Returns:
            What becomes of it.

        Raises:
            gevent.GreenletExit: Somebody has ended it.
        """
        record = run.claim.job
        if record.client == SERVER and not self._follow(record):
            return Ending(JobState.CANCELLED)
        made = Context(
            services=self._services,
            client=None if record.client == SERVER else record.client,
            auth_type=record.auth_type,
            request_id=record.request_id,
        )
        made.job = run
        dispatcher = self._services.dispatcher
        with bind(made):
            try:
                made.groups = self._groups(record)
                target, call = self._read(record)
            except Exception as raised:
                # Nothing was called: another try would be of no use.
                error = dispatcher.failure(Call(record.method), raised)
                return Ending(JobState.FAILED, error=write_error(error))
            try:
                value = self._call(target, call, record)
            except gevent.GreenletExit as killed:
                if run.is_cancelled or run.is_released:
                    raise
                error = dispatcher.failure(target, killed)
            except BaseException as raised:  # a tool may raise SystemExit, too
                error = dispatcher.failure(target, raised)
            else:
                return self._done(target, record, value)
        if run.is_cancelled:
            return Ending(JobState.CANCELLED)
        tries = run.claim.tries + 1
        if tries < record.max_tries and not isinstance(error, _NOT_TRIED):
            pause = record.backoff * 2 ** (tries - 1)
            due = self._clock.now() + pause
            log.warning("job %s: failed, tried again in %g s", record.id, pause)
            return Ending(JobState.WAITING, error=write_error(error), due=due)
        return Ending(JobState.FAILED, error=write_error(error))

    def _follow(self, record: JobRecord) -> bool:
        """Store the call after that of a rule; whether there is still such a rule."""
        try:
            target = target_of(self._services.registry, record.method)
        except ToolserverError:
            return False
        return self._rules.follow(target, record)

    def _groups(self, record: JobRecord) -> frozenset[str]:
        client = record.client
        if client is None or client == SERVER:
            return frozenset(record.groups)
        if not self._identities.is_known(client, record.auth_type):
            raise Forbidden(f"job {record.id}: there is no client {client!r} any more")
        return self._identities.groups_of(client).union(record.groups)

    def _read(self, record: JobRecord) -> tuple[Target, Call]:
        """What a job calls, and its call."""
        try:
            target = target_of(self._services.registry, record.method)
        except MethodNotFound as error:
            raise NotFound(error.message) from None
        args, kwargs = read_arguments(record.arguments)
        return target, Call(record.method, args, kwargs)

    def _call(self, target: Target, call: Call, record: JobRecord) -> Any:
        if record.timeout is None:
            return self._invoke(target, call, record)
        with gevent.Timeout(record.timeout) as timer:
            try:
                return self._invoke(target, call, record)
            except gevent.Timeout as expired:
                if expired is not timer:
                    raise
                raise CallTimeout(
                    f"{target.name}: ended after {record.timeout:g} seconds"
                ) from None

    def _invoke(self, target: Target, call: Call, record: JobRecord) -> Any:
        # Who may call is asked of clients.
        checked = record.client != SERVER
        try:
            return self._services.dispatcher.invoke(
                target, call, inside=True, checked=checked
            )
        except Signal as signal:
            kind = type(signal).__name__
            raise ApplicationError(
                f"{target.name}: answered with {kind}, which only REST can express",
                data={"type": kind},
            ) from None

    def _done(self, target: Target, record: JobRecord, value: Any) -> Ending:
        """The end of a job whose call has returned: it is not made again."""
        if not record.keeps_result:
            return Ending(JobState.DONE)
        try:
            return Ending(JobState.DONE, result=write_result(value))
        except BaseException as raised:  # reading it runs the tool's own code
            error = self._services.dispatcher.unsendable(target, raised)
            return Ending(JobState.FAILED, error=write_error(error))


def target_of(registry: Registry, name: str) -> Target:
    """Find what a job calls, which may be an underscored method, too.

    Args:
        registry: The tools.
        name: The full name of the method.

    Returns:
        What is called.

    Raises:
        MethodNotFound: There is no such tool, or no such method.
        NotFound: The tool would be one of a factory, which has no such key.
    """
    try:
        return registry.target(name)
    except MethodNotFound:
        namespace, _, attribute = name.rpartition(".")
        return registry.inner_target(registry.entry(namespace).tool, attribute)
