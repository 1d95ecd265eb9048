"""Makes a worker use what it shares with the other workers of its server."""

from __future__ import annotations

import gevent

from toolserver.bus import Bus
from toolserver.chains import chain
from toolserver.contexts import Context, bind
from toolserver.serverspace import Universe
from toolserver.services import Services
from toolserver.sharing.link import Link
from toolserver.sharing.sharedspace import SharedSpace
from toolserver.tuplepatterns import Tuple

__all__ = ["join"]


def join(services: Services, link: Link) -> None:
    """Let a server's bus and universe be those of all workers.

    Args:
        services: The services of this worker, before any tool has used them.
        link: The connection to the hub.
    """
    bus = services.part(Bus)
    bus.carry_by(link.publish)
    link.on_published(bus.deliver)

    removed = chain("system.tuple.removed", tuple)
    services.provide(Universe, SharedSpace(link, on_removed=removed.run))

    def run_removed(values: Tuple) -> None:
        with bind(Context(services=services)):
            removed.run(values)

    # Handlers may wait, also for what the link brings.
    link.on_expired(lambda values: gevent.spawn(run_removed, values))
