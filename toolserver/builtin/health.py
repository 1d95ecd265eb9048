"""Whether the server is well: ``/health/live``, ``/health/ready``, ``/health/startup``.

The answers are 200 and 503, as probes of Kubernetes and checks of load balancers take
them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from toolserver import __version__, strictjson
from toolserver.auth.operators import Networks, check_operator, is_operator
from toolserver.errors import NotFound
from toolserver.health import Health
from toolserver.message import Request, Response
from toolserver.services import services
from toolserver.tools import InternalTool
from toolserver.wrappers import rest

__all__ = ["HealthTool"]


class HealthTool(InternalTool):
    """Tells load balancers and service managers whether the server is well."""

    def on_start(self) -> None:
        """Read from where one may ask."""
        ops = services().settings.ops
        self._probes = Networks("ops.probes", ops.probes)
        self._allowed = Networks("ops.allow", ops.allow)

    @rest("GET")
    def live(self, request: Request) -> Response:
        """Whether the server answers at all: if not, start it anew."""
        self._admit(request, services().settings.ops.live)
        return self._answer(request, {})

    @rest("GET")
    def ready(self, request: Request) -> Response:
        """Whether requests should be sent to it: if not, send them elsewhere."""
        self._admit(request, services().settings.ops.ready)
        health = services().part(Health)
        problems = {
            "started": health.start_problem,
            "stays": "it is about to end" if health.is_leaving else "",
            "store": health.store_problem(),
        }
        return self._answer(request, problems)

    @rest("GET")
    def startup(self, request: Request) -> Response:
        """Whether it has started: if not, wait for it."""
        self._admit(request, services().settings.ops.startup)
        return self._answer(request, {"started": services().part(Health).start_problem})

    def _admit(self, request: Request, is_on: bool) -> None:
        if not is_on:
            raise NotFound("the settings of [ops] have this off")
        if not self._probes.have(request):
            check_operator(self._allowed)

    def _answer(self, request: Request, problems: Mapping[str, str]) -> Response:
        is_well = not any(problems.values())
        told: dict[str, object] = {"status": "ok" if is_well else "unavailable"}
        if is_operator(self._allowed):
            health = services().part(Health)
            told["checks"] = {name: each or "ok" for name, each in problems.items()}
            told |= {"version": __version__, "pid": os.getpid(), "since": health.since}
        headers = [("Cache-Control", "no-store")]
        if not is_well:
            headers.append(("Retry-After", "1"))
        return Response(
            strictjson.encode(told),
            status=200 if is_well else 503,
            content_type="application/json",
            headers=headers,
        )
