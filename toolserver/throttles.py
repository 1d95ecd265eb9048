"""How often callers may call, and how many calls may run at once.

Rates are token buckets: who has not called for a while may make all the calls of a
period at once, and then one whenever a token has come back. Each process counts for
itself. Only calls from outside count: tools and jobs call as they need.
"""

from __future__ import annotations

import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address

from toolserver.contexts import Context
from toolserver.entries import Target, ToolEntry
from toolserver.errors import Overload, StartError, TooMany
from toolserver.factories import pattern_of
from toolserver.methods import Limit
from toolserver.settings import Limits

__all__ = ["Rate", "Throttle", "Throttles"]

#: So many calls in so many seconds.
_RATE = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,8})")
Key = Callable[[Context], str | None]


class Rate:
    """Bounds how often each of many may do something.

    Args:
        calls: How often in a period; so many tokens there are at most.
        seconds: The period.
        most: How many keys are remembered; past it those that were used least recently
            are forgotten, and have all their tokens again.
        clock: Tells the time in seconds.
    """

    def __init__(
        self,
        calls: int,
        seconds: float,
        *,
        most: int = 100_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.calls = calls
        self.seconds = seconds
        self._most = most
        self._clock = clock
        # Of each key the moment at which all its tokens are back.
        self._whole: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._whole)

    def wait(self, key: str) -> float:
        """How many seconds it takes until there is a token; 0 if there is one.

        Args:
            key: Whose.
        """
        missing = self._whole.get(key, 0.0) - self._clock()
        # So many seconds a token is on its way back, and one has to be there.
        return max(0.0, missing - self.seconds * (self.calls - 1) / self.calls)

    def take(self, key: str) -> None:
        """Take a token.

        Args:
            key: Whose.
        """
        since = max(self._whole.get(key, 0.0), self._clock())
        self._whole[key] = since + self.seconds / self.calls
        self._whole.move_to_end(key)
        if len(self._whole) > self._most:
            self._whole.popitem(last=False)


class _Gate:
    """Bounds how many calls run at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.running = 0


class Throttle:
    """What bounds the calls of one method.

    Args:
        name: The name of the method, for messages.
        rates: How often it may be called, and what of the context tells whose call it
            is; a rate does not bound calls for which that is None.
        gates: How many calls may run at once.
    """

    def __init__(
        self, name: str, rates: list[tuple[Rate, Key]], gates: list[_Gate]
    ) -> None:
        self._name = name
        self._rates = rates
        self._gates = gates

    def charge(self, context: Context) -> None:
        """Count a call.

        Args:
            context: Its context.

        Raises:
            TooMany: The caller has called too often.
        """
        found = [(rate, key(context)) for rate, key in self._rates]
        charged = [(rate, key) for rate, key in found if key is not None]
        for rate, key in charged:
            wait = rate.wait(key)
            if wait > 0:
                raise TooMany(
                    f"{self._name}: more than {rate.calls} calls in {rate.seconds:g} s",
                    retry_after=math.ceil(wait),
                    data={"retry_after": math.ceil(wait)},
                )
        # A call that one of them refuses costs nothing at the others.
        for rate, key in charged:
            rate.take(key)

    @contextmanager
    def admitted(self, context: Context) -> Iterator[None]:
        """Count a call, and that it runs.

        Args:
            context: Its context.

        Raises:
            TooMany: The caller has called too often.
            Overload: Too many calls run already.
        """
        for gate in self._gates:
            if gate.running >= gate.most:
                raise Overload(f"{self._name}: {gate.running} calls run already")
        self.charge(context)
        for gate in self._gates:
            gate.running += 1
        try:
            yield
        finally:
            for gate in self._gates:
                gate.running -= 1


class Throttles:
    """Gives methods their bounds, by their marks and the settings.

    Args:
        limits: The settings.

    Raises:
        StartError: A setting cannot be read.
    """

    def __init__(self, limits: Limits) -> None:
        self._most = limits.callers
        self._rates = {
            name: self._read_rate(f"limits.calls: {name}", text)
            for name, text in _named("limits.calls", limits.calls).items()
        }
        self._gates = {
            name: _read_gate(name, text)
            for name, text in _named("limits.concurrency", limits.concurrency).items()
        }
        self._marked_rates: dict[str, Rate] = {}
        self._marked_gates: dict[str, _Gate] = {}
        self._common: list[tuple[Rate, Key]] = []
        if limits.calls_per_client:
            rate = self._read_rate("limits.calls_per_client", limits.calls_per_client)
            self._common.append((rate, _client))
        if limits.calls_per_address:
            rate = self._read_rate("limits.calls_per_address", limits.calls_per_address)
            self._common.append((rate, _address))

    def fit(self, entry: ToolEntry) -> None:
        """Bound the methods of a tool.

        What a factory makes for its keys has its bounds in common.

        Args:
            entry: The tool.
        """
        if entry.is_builtin:
            return
        tool = pattern_of(entry.tool)
        for target in _targets(entry):
            self._fit(target, tool)

    def check(self, entries: Iterable[ToolEntry]) -> None:
        """Refuse settings for what is not there.

        Args:
            entries: The tools.

        Raises:
            StartError: A name in them is that of no tool and of no method.
        """
        known = set()
        for entry in entries:
            known.add(entry.namespace)
            known |= {target.name for target in _targets(entry)}
        for setting, names in (("calls", self._rates), ("concurrency", self._gates)):
            for name in names:
                # What factories make is known when somebody asks for it.
                if name not in known and "*" not in name:
                    raise StartError(
                        f"limits.{setting}: got {name!r}, expected the name of a tool "
                        "or of a method"
                    )

    def _fit(self, target: Target, tool: str) -> None:
        name = f"{tool}.{target.spec.name}".lstrip(".")
        rates = [*self._common]
        gates = []
        for rate in (self._rates.get(tool), self._rate_of(name, target.spec.limit)):
            if rate is not None:
                rates.append((rate, _caller))
        for gate in (self._gates.get(tool), self._gate_of(name, target.spec.limit)):
            if gate is not None:
                gates.append(gate)
        if rates or gates:
            target.throttle = Throttle(name, rates, gates)
            target.is_guarded = True

    def _rate_of(self, name: str, limit: Limit) -> Rate | None:
        """The rate of a method: by the settings, else by its mark."""
        found = self._rates.get(name)
        if found is not None or limit.calls is None:
            return found
        found = self._marked_rates.get(name)
        # The mark may have changed, when tools are loaded anew.
        if found is None or (found.calls, found.seconds) != (
            limit.calls,
            limit.seconds,
        ):
            found = Rate(limit.calls, limit.seconds, most=self._most)
            self._marked_rates[name] = found
        return found

    def _gate_of(self, name: str, limit: Limit) -> _Gate | None:
        found = self._gates.get(name)
        if found is not None or limit.concurrency is None:
            return found
        found = self._marked_gates.get(name)
        if found is None or found.most != limit.concurrency:
            found = self._marked_gates[name] = _Gate(limit.concurrency)
        return found

    def _read_rate(self, setting: str, text: str) -> Rate:
        found = _RATE.fullmatch(text)
        if found is None:
            raise StartError(
                f"{setting}: got {text!r}, expected a number of calls and of seconds, "
                "such as 100/60"
            )
        return Rate(int(found[1]), float(found[2]), most=self._most)


def _targets(entry: ToolEntry) -> Iterator[Target]:
    yield from entry.methods.values()
    for verbs in entry.rest_methods.values():
        yield from verbs.values()


def _named(setting: str, lines: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for line in lines:
        name, is_given, text = line.partition("=")
        if not is_given:
            raise StartError(f"{setting}: got {line!r}, expected name=bound")
        found[name.strip()] = text.strip()
    return found


def _read_gate(name: str, text: str) -> _Gate:
    if not text.isdecimal() or not int(text):
        raise StartError(
            f"limits.concurrency: {name}: got {text!r}, expected a number of calls"
        )
    return _Gate(int(text))


def _client(context: Context) -> str | None:
    return context.client


def _address(context: Context) -> str | None:
    request = context.request
    return None if request is None else _network(request.peer)


def _caller(context: Context) -> str:
    """The client, or the address of an anonymous one."""
    if context.client is not None:
        return f"client {context.client}"
    return f"address {_address(context)}"


def _network(peer: str) -> str:
    """Whose address it is: of IPv6 each customer has a network (RFC 6177)."""
    if ":" not in peer:
        return peer
    try:
        address = ip_address(peer)
    except ValueError:
        # What another WSGI server tells of a Unix socket, such as "unix:".
        return peer
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return address.packed[:8].hex()
    return str(getattr(address, "ipv4_mapped", address))
