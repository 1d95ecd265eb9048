"""The ways in: each makes the same calls, and tells in one way what came of them.

The call path itself is one of them; what speaks a protocol is in `wiredoors`, and what
makes many calls in a request in `batchdoors`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import ClassVar

from toolserver.calls import Call
from toolserver.client import TransportError
from toolserver.contexts import Context, bind
from toolserver.entries import Target, ToolEntry
from toolserver.errors import ToolserverError
from toolserver.parity.calls import Asked, Failure, Told, failure_of
from toolserver.worker import Worker

__all__ = ["Door", "InsideDoor"]


class Door:
    """One way to make calls.

    Attributes:
        name: What reports call it.
        takes_positions: Whether arguments may be given by position.
        takes_names: Whether they may be given by name.
        tells_kind: Whether a failure comes with its class.
        tells_code: Whether it comes with its number.
        status: The HTTP status of each failure; None where it is the error's own.
    """

    name: ClassVar[str]
    takes_positions: ClassVar[bool] = True
    takes_names: ClassVar[bool] = True
    tells_kind: ClassVar[bool] = True
    tells_code: ClassVar[bool] = True
    status: ClassVar[int | None] = None

    def skips(self, entry: ToolEntry, target: Target) -> str:
        """Why a method cannot be called this way; empty where it can.

        Args:
            entry: Its tool.
            target: The method.
        """
        return ""

    def form(self, asked: Asked) -> Asked | None:
        """Give a call the form that the door has for arguments.

        Args:
            asked: The call.

        Returns:
            The same call; None if it cannot have that form.
        """
        return asked.in_form(positions=self.takes_positions, names=self.takes_names)

    def call(self, asked: Sequence[Asked]) -> list[Told]:
        """Make calls.

        Args:
            asked: The calls, with arguments in a form that the door takes.

        Returns:
            What came of each.
        """
        return [self._one(each) for each in asked]

    def close(self) -> None:
        """Let go of what was opened."""

    def _one(self, asked: Asked) -> Told:
        raise NotImplementedError

    def _failed(self, error: Exception, status: int | None = None) -> Told:
        if isinstance(error, TransportError):
            return Told(failure=Failure(type(error).__name__, None, str(error), status))
        failure = failure_of(
            error,
            status=status,
            tells_kind=self.tells_kind,
            tells_code=self.tells_code,
        )
        return Told(failure=failure)


class InsideDoor(Door):
    """The call path itself, in the process of the server.

    Args:
        worker: The server.
        client: Who calls; None for nobody in particular.
        groups: The caller's groups.
    """

    name = "in-process"

    def __init__(
        self, worker: Worker, client: str | None = None, groups: Sequence[str] = ()
    ) -> None:
        self._worker = worker
        self._client = client
        self._groups = frozenset(groups)

    def _one(self, asked: Asked) -> Told:
        context = Context(
            services=self._worker.services, client=self._client, groups=self._groups
        )
        # What a method changes of its arguments is no business of the other doors.
        args, kwargs = copy.deepcopy((asked.args, dict(asked.kwargs)))
        with bind(context):
            outcome = self._worker.dispatcher.call(Call(asked.name, args, kwargs))
            if outcome.error is not None:
                return self._failed(outcome.error, outcome.error.status)
            try:
                # An iterator is read in the context of the call, and only once.
                return Told(outcome.plain)
            except ToolserverError as error:
                return self._failed(error, error.status)
