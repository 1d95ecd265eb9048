"""Virtual hosts and moved pages: requests are rewritten before any tool sees them.

    curl localhost:4334/old/greet/Ann        # where greetings used to be
    curl -H 'Host: hello.localhost:4334' 'localhost:4334/greet?who=Ann'

The second one needs `hosts = ["hello.localhost"]` in the section `[server]` of the
configuration: a host is accepted first, and rewritten then.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from toolserver import InternalTool, Request, chain, expose, read_only, register


@dataclass(frozen=True)
class HostSettings:
    """The section ``[tool.virtual_hosts]`` of the configuration may change these.

    Attributes:
        hosts: Below which path the pages of a host are, by its name.
    """

    hosts: dict[str, str] = field(
        default_factory=lambda: {"hello.localhost": "/greeting"}
    )


@register("virtual_hosts")
class VirtualHosts(InternalTool):
    """Gives each host a part of the server as its own."""

    settings = HostSettings()

    def on_start(self) -> None:
        """Take part in what the server does with each request."""
        rewriting = chain("system.request.rewrite", Request)
        rewriting.append(self._move_old_links)
        rewriting.append(self._enter_host)

    @expose
    @read_only
    def hosts(self) -> dict[str, str]:
        """List the hosts.

        Returns:
            The path below which the pages of each host are.
        """
        return self.settings.hosts

    def _move_old_links(self, request: Request) -> Request | None:
        """``/old/greet/NAME`` is ``/greeting/greet?name=NAME`` today."""
        match request.path.split("/"):
            case ["", "old", "greet", name] if name:
                query = {**request.query, "name": name}
                return request.replace(path="/greeting/greet", query=query)
        return None

    def _enter_host(self, request: Request) -> Request | None:
        """The path within a host is one below its folder in the server."""
        name = request.host.partition(":")[0]
        folder = self.settings.hosts.get(name)
        if folder is None or request.raw_path.startswith(f"{folder}/"):
            # Tools name their own paths in full where they send a browser elsewhere.
            return None
        # The path as it was sent: an encoded slash stays part of a name.
        return request.replace(raw_path=folder + request.raw_path)
