"""Calls that are made again and again, by the rules of their methods.

Of each rule the store holds the call for its next tick. Before that call is made, the
one for the tick after it is stored. So a call never overtakes the one before it, what
fell due while no server ran is made up for by one call, and nothing has to wake up in
between. The id is made of method, rule and tick: several processes that store the same
call store one.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from typing import Any, Protocol

import gevent

from toolserver.cron import Rule
from toolserver.entries import Target
from toolserver.jobs.clock import JobClock
from toolserver.jobs.engine import Engine
from toolserver.jobs.handles import Jobs
from toolserver.jobs.records import JobRecord, JobState
from toolserver.marks import inherited_marks
from toolserver.registry import Registry

__all__ = ["SERVER", "Rules"]

log = logging.getLogger("toolserver.jobs")

#: The client of jobs that the server itself starts; nobody can be called so.
SERVER = "(server)"
#: Seconds after which a call is stored that could not be.
_AGAIN = 30.0
#: Waiting calls of rules that are looked at.
_MOST = 10_000


class Put(Protocol):
    """Stores a call."""

    def __call__(
        self,
        target: Target,
        args: Any,
        kwargs: Any,
        *,
        queue: str | None,
        priority: int,
        when: float,
        id: str,
        client: str,
        options: Jobs,
    ) -> object:
        """Store it, unless the id is known."""


class Rules:
    """Keeps the next call of each rule in the store.

    Args:
        registry: The tools.
        engine: The store.
        clock: The clock of jobs.
        put: Stores a call.
        options: How it is made.
    """

    def __init__(
        self,
        registry: Registry,
        engine: Engine,
        clock: JobClock,
        put: Put,
        options: Jobs,
    ) -> None:
        self._registry = registry
        self._engine = engine
        self._clock = clock
        self._put = put
        self._options = options
        self._later: gevent.Greenlet[..., None] | None = None

    def plan(self, *, anew: bool = False) -> None:
        """Store the next call of each rule of which none waits.

        Args:
            anew: Whether one that waits is no reason to leave it, as somebody has set
                the clock back.
        """
        found = list(self._rules())
        if not found:
            return
        try:
            waiting = set() if anew else self._waiting()
            for target, rule in found:
                if _key(target.name, rule) not in waiting:
                    self._put_next(target, rule, self._clock.wall())
        except Exception:
            log.exception("the next calls of rules could not be stored")
            self._plan_later()

    def follow(self, target: Target, record: JobRecord) -> bool:
        """Store the call after one that is about to be made.

        Args:
            target: What is called.
            record: The job of the call.

        Returns:
            Whether the rule still stands; else the call is not to be made.
        """
        key, _, tick = record.id.rpartition("-")
        for rule in target.spec.every:
            if _key(target.name, rule) == key:
                try:
                    # Clocks part a little: the tick may seem to lie ahead.
                    after = max(self._clock.wall(), float(int(tick, 16)))
                    self._put_next(target, rule, after)
                except Exception:
                    log.exception("%s: its next call could not be stored", target.name)
                    self._plan_later()
                return True
        return False

    def count(self) -> int:
        """How many calls of rules wait for their time."""
        return len(self._waiting())

    def stop(self) -> None:
        """Store no more calls."""
        if self._later is not None:
            self._later.kill()

    def _rules(self) -> Iterator[tuple[Target, Rule]]:
        for entry in list(self._registry):
            cls = type(entry.tool)
            for attribute in dir(cls):
                # Most have none, and to look closer takes long.
                if inherited_marks(cls, attribute).get("every"):
                    target = self._registry.inner_target(entry.tool, attribute)
                    for rule in target.spec.every:
                        yield target, rule

    def _waiting(self) -> set[str]:
        found = self._engine.find(state=JobState.WAITING, client=SERVER, limit=_MOST)
        return {status.job.id.rpartition("-")[0] for status in found}

    def _put_next(self, target: Target, rule: Rule, after: float) -> None:
        tick = rule.next_tick(after)
        if tick is None:  # pragma: no cover - rules that never come true are refused
            return
        self._put(
            target,
            (),
            {},
            queue=target.tool.namespace,
            priority=rule.priority,
            when=tick,
            id=f"{_key(target.name, rule)}-{int(tick):x}",
            client=SERVER,
            options=self._options,
        )

    def _plan_later(self) -> None:
        # The one that has failed again runs just now.
        found = self._later
        if found is None or found.dead or found is gevent.getcurrent():
            self._later = gevent.spawn_later(_AGAIN, self.plan)


def _key(method: str, rule: Rule) -> str:
    """What the ids of all calls of a rule begin with."""
    facts = "\0".join((method, rule.expression, rule.tz, str(rule.priority)))
    return "every-" + hashlib.sha256(facts.encode()).hexdigest()[:32]
