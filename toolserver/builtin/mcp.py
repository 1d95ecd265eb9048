"""What agents ask of the server itself, over MCP: what there is to call and to read.

Spec: Model Context Protocol, revisions 2024-11-05 to 2026-07-28.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolserver import __version__
from toolserver.builtin.agentlogging import AgentLogging
from toolserver.builtin.agentpages import page_of
from toolserver.builtin.agentreading import AgentReading, call_for_agent
from toolserver.builtin.agenttasks import AgentTasks, tasks_offered
from toolserver.bus import Bus
from toolserver.describe.agentcontent import block_of
from toolserver.describe.agentkeys import KEY, choices_of_keys
from toolserver.describe.agentprompts import (
    choices_of,
    complete_text,
    describe_prompt,
)
from toolserver.describe.agents import describe_agent_tool
from toolserver.describe.agenttasks import EXTENSION as TASKS
from toolserver.describe.agenttasks import may_be_task
from toolserver.entries import Target
from toolserver.errors import InvalidParams
from toolserver.jobs.progress import CANCEL_CALL
from toolserver.marks import expose, read_only
from toolserver.protocols.mcp_envelope import HANDSHAKE, STATELESS
from toolserver.services import services

__all__ = ["MCPSettings", "MCPTool"]


@dataclass(frozen=True)
class MCPSettings:
    """What agents are told of the server.

    Attributes:
        title: What the service is called.
        instructions: What an agent should know before it calls anything.
        expose: Namespaces whose methods agents are offered, with all below them; if
            empty, all but the server's own.
        files: Whether the files below ``www/`` are resources.
        logs: Whether callers may follow what the tool that they call logs meanwhile.
    """

    title: str = "Toolserver"
    instructions: str = ""
    expose: tuple[str, ...] = ()
    files: bool = True
    logs: bool = False


class MCPTool(AgentReading, AgentTasks, AgentLogging):
    """Describes tools, resources and prompts to agents."""

    settings = MCPSettings()

    def on_start(self) -> None:
        """Look that the names of tools are distinct for all agents."""
        super().on_start()
        self._catalog().check()

    @expose
    @read_only
    def initialize(self, protocol_version: str) -> dict[str, Any]:
        """Agree on a revision of the protocol.

        Args:
            protocol_version: The one that the client would like.

        Returns:
            The revision, what the server offers, and what it is.
        """
        known = protocol_version in HANDSHAKE
        version = protocol_version if known else HANDSHAKE[-1]
        offer = self._offer()
        if version == HANDSHAKE[-1]:
            offer["capabilities"]["tasks"] = tasks_offered()
        return {
            "protocolVersion": version,
            "serverInfo": {
                "name": "toolserver",
                "title": self.settings.title,
                "version": __version__,
            },
            **offer,
        }

    @expose
    @read_only
    def discover(self) -> dict[str, Any]:
        """Tell which revisions are spoken, and what the server offers."""
        offer = self._offer()
        offer["capabilities"]["extensions"] = {TASKS: {}}
        return {"supportedVersions": list(STATELESS), **offer}

    @expose
    @read_only
    def ping(self) -> dict[str, Any]:
        """Answer, with nothing."""
        return {}

    @expose
    def cancel(self, key: str) -> None:
        """End a running call.

        Args:
            key: The session of the client and the id of its request, which nobody else
                knows.
        """
        services().part(Bus).publish(CANCEL_CALL, key)

    @expose
    @read_only
    def list_tools(
        self, cursor: str = "", dotted: bool = True, tasks: bool = False
    ) -> dict[str, Any]:
        """List the methods that the agent may call.

        Args:
            cursor: Where to go on, from the answer before.
            dotted: Whether names may have dots.
            tasks: Whether the agent is told which may be called as tasks.

        Returns:
            A page of tools.
        """
        catalog = self._catalog()

        def describe(target: Target) -> dict[str, Any]:
            name = catalog.name_of(target, dotted=dotted)
            found = describe_agent_tool(target, name)
            if tasks and may_be_task(target):
                found["execution"] = {"taskSupport": "optional"}
            return found

        return page_of("tools", catalog.tools(), cursor, describe)

    @expose
    @read_only
    def list_prompts(self, cursor: str = "", dotted: bool = True) -> dict[str, Any]:
        """List the methods that make prompts.

        Args:
            cursor: Where to go on, from the answer before.
            dotted: Whether names may have dots.

        Returns:
            A page of prompts.
        """
        catalog = self._catalog()

        def describe(target: Target) -> dict[str, Any]:
            return describe_prompt(target, catalog.name_of(target, dotted=dotted))

        return page_of("prompts", catalog.prompts(), cursor, describe)

    @expose
    @read_only
    def get_prompt(
        self, name: str, arguments: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Make a prompt.

        Args:
            name: What the agent calls it.
            arguments: What it is made of, as text.

        Returns:
            The messages of the prompt.

        Raises:
            InvalidParams: There is no such prompt, or an argument does not fit.
        """
        target = self._catalog().find(name)
        if target is None or not target.spec.is_prompt:
            raise InvalidParams(f"unknown prompt: {name!r:.130}")
        value = call_for_agent(target, arguments or {})
        parts = value if isinstance(value, (list, tuple)) else [value]
        return {
            "description": target.spec.summary,
            "messages": [{"role": "user", "content": block_of(part)} for part in parts],
        }

    @expose
    @read_only
    def complete(
        self,
        ref: dict[str, Any],
        argument: dict[str, Any],
        context: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Tell what an argument that somebody types could become.

        Args:
            ref: The prompt or the template that it is for.
            argument: Its name, and what there is of its value.
            context: Arguments that are known already.

        Returns:
            The completions.
        """
        name, begun = str(argument.get("name", "")), str(argument.get("value", ""))
        target, choices = self._referred(ref), []
        if target is not None:
            choices = choices_of(target.spec, name)
            if not choices and name == KEY:
                choices = choices_of_keys(services().registry, target, begun)
        return {"completion": complete_text(begun, choices)}

    def _referred(self, ref: dict[str, Any]) -> Target | None:
        """The method of a prompt or a template."""
        catalog = self._catalog()
        if ref.get("type") == "ref/prompt":
            return catalog.find(str(ref.get("name", "")))
        for target, mark in catalog.resources():
            if mark.uri == ref.get("uri"):
                return target
        return None

    def _offer(self) -> dict[str, Any]:
        catalog = self._catalog()
        capabilities: dict[str, Any] = {"tools": {}, "resources": {}, "completions": {}}
        if any(True for _ in catalog.prompts()):
            capabilities["prompts"] = {}
        if self.settings.logs:
            capabilities["logging"] = {}
        found: dict[str, Any] = {"capabilities": capabilities}
        if self.settings.instructions:
            found["instructions"] = self.settings.instructions
        return found
