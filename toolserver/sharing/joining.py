"""Makes a worker use what it shares with the other workers of its server."""

from __future__ import annotations

import logging
from collections.abc import Callable

import gevent

from toolserver.bus import Bus
from toolserver.chains import chain
from toolserver.contexts import Context, bind
from toolserver.errors import Overload
from toolserver.nativethreads import in_loop
from toolserver.serverspace import Universe
from toolserver.services import Services
from toolserver.sharing.link import Link
from toolserver.sharing.sharedspace import SharedSpace

__all__ = ["join"]


_FORGOTTEN = "tools.forgotten"

log = logging.getLogger("toolserver")


def join(services: Services, link: Link) -> None:
    """Let a server's bus and universe be those of all workers.

    What a factory is told to forget is forgotten in all of them, too.

    Args:
        services: The services of this worker, before any tool has used them.
        link: The connection to the hub.
    """
    bus = services.part(Bus)
    bus.carry_by(link.publish)
    link.on_published(bus.deliver)

    removed = chain("system.tuple.removed", tuple)
    services.provide(Universe, SharedSpace(link, on_removed=removed.run))

    def run(function: Callable[..., object], *args: object) -> None:
        with bind(Context(services=services)):
            function(*args)

    # Handlers and hooks of tools may wait, also for what the link brings.
    link.on_expired(lambda values: gevent.spawn(run, removed.run, values))

    registry = services.registry

    @in_loop
    def tell_forgotten(namespace: str, key: str) -> None:
        try:
            link.publish(_FORGOTTEN, [namespace, key])
        except (TypeError, Overload) as error:
            log.error("%s: others do not forget %r: %s", namespace, key, error)

    registry.tell_forgotten(tell_forgotten)
    bus.subscribe(
        _FORGOTTEN, lambda message: gevent.spawn(run, registry.forget, *message)
    )
