"""What agents ask of the server itself, over MCP: what there is to call and to read.

Spec: Model Context Protocol, revisions 2024-11-05 to 2026-07-28.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from toolserver import __version__
from toolserver.builtin.agentfiles import AgentFiles
from toolserver.builtin.agenttasks import AgentTasks, tasks_offered
from toolserver.bus import Bus
from toolserver.calls import Call
from toolserver.describe.agentcatalog import AgentCatalog
from toolserver.describe.agentcontent import block_of, contents_of
from toolserver.describe.agentprompts import (
    choices_of,
    complete_text,
    describe_prompt,
)
from toolserver.describe.agentresources import (
    DESCRIPTIONS,
    describe_resource,
    description_of,
    is_template,
    match_resource,
)
from toolserver.describe.agents import describe_agent_tool
from toolserver.describe.agenttasks import EXTENSION as TASKS
from toolserver.describe.agenttasks import may_be_task
from toolserver.entries import Target
from toolserver.errors import InvalidParams, NotFound
from toolserver.jobs.progress import CANCEL_CALL
from toolserver.marks import expose, read_only
from toolserver.media import Document, Media
from toolserver.scopes import check_scope
from toolserver.services import services
from toolserver.visibility import shown

__all__ = ["MCPSettings", "MCPTool"]

T = TypeVar("T")

#: Revisions of the protocol that begin with ``initialize``, the oldest first.
HANDSHAKE = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
#: Revisions in which each request stands by itself.
STATELESS = ("2026-07-28",)
#: Entries of a list that are told at once.
_PAGE = 200


@dataclass(frozen=True)
class MCPSettings:
    """What agents are told of the server.

    Attributes:
        title: What the service is called.
        instructions: What an agent should know before it calls anything.
        expose: Namespaces whose methods agents are offered, with all below them; if
            empty, all but the server's own.
        files: Whether the files below ``www/`` are resources.
    """

    title: str = "Toolserver"
    instructions: str = ""
    expose: tuple[str, ...] = ()
    files: bool = True


class MCPTool(AgentTasks):
    """Describes tools, resources and prompts to agents."""

    settings = MCPSettings()

    def on_start(self) -> None:
        """Look that the names of tools are distinct for all agents."""
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

        return _page("tools", catalog.tools(), cursor, describe)

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

        return _page("prompts", catalog.prompts(), cursor, describe)

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
        value = _call(target, arguments or {})
        parts = value if isinstance(value, (list, tuple)) else [value]
        return {
            "description": target.spec.summary,
            "messages": [{"role": "user", "content": block_of(part)} for part in parts],
        }

    @expose
    @read_only
    def list_resources(self, cursor: str = "") -> dict[str, Any]:
        """List what the agent may read: methods, descriptions of tools, static files.

        Args:
            cursor: Where to go on, from the answer before.

        Returns:
            A page of resources.
        """
        found = [
            describe_resource(target, mark)
            for target, mark in self._catalog().resources()
            if not is_template(mark.uri)
        ]
        found += [
            {
                "uri": f"{DESCRIPTIONS}{entry.namespace}",
                "name": entry.namespace or "the root tool",
                "description": f"How to use {entry.namespace or 'the root tool'}",
                "mimeType": "text/markdown",
            }
            for entry in self._catalog().entries()
        ]
        found += self._files().listed()
        return _page("resources", found, cursor, lambda each: each)

    @expose
    @read_only
    def list_resource_templates(self, cursor: str = "") -> dict[str, Any]:
        """List the templates of what the agent may read.

        Args:
            cursor: Where to go on, from the answer before.

        Returns:
            A page of templates.
        """
        found = [
            describe_resource(target, mark)
            for target, mark in self._catalog().resources()
            if is_template(mark.uri)
        ]
        return _page("resourceTemplates", found, cursor, lambda each: each)

    @expose
    @read_only
    def read_resource(self, uri: str) -> dict[str, Any]:
        """Read a resource.

        Args:
            uri: Its URI.

        Returns:
            Its contents.

        Raises:
            InvalidParams: There is none of that URI.
        """
        found = match_resource(self._catalog().resources(), uri)
        if found is not None:
            target, mark, arguments = found
            value = _call(target, arguments)
            if not isinstance(value, Media):
                content = value if isinstance(value, (str, bytes)) else str(value)
                value = Document(uri, content, mark.media_type)
            return {"contents": [contents_of(value, uri)]}
        document = self._files().read(uri)
        if document is None and uri.startswith(DESCRIPTIONS):
            try:
                entry = shown(uri.removeprefix(DESCRIPTIONS))
            except NotFound:
                entry = None
            if entry is not None and self._catalog().offers(entry):
                document = Document(uri, description_of(entry), "text/markdown")
        if document is None:
            error = InvalidParams(f"unknown resource: {uri!r:.250}")
            error.data = {"uri": uri[:1000]}
            raise error
        return {"contents": [contents_of(document, uri)]}

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
        return {"completion": complete_text(begun, self._choices(ref, name))}

    def _choices(self, ref: dict[str, Any], parameter: str) -> Iterable[str]:
        catalog = self._catalog()
        if ref.get("type") == "ref/prompt":
            found = catalog.find(str(ref.get("name", "")))
            return choices_of(found.spec, parameter) if found is not None else ()
        for target, mark in catalog.resources():
            if mark.uri == ref.get("uri"):
                return choices_of(target.spec, parameter)
        return ()

    def _offer(self) -> dict[str, Any]:
        catalog = self._catalog()
        capabilities: dict[str, Any] = {"tools": {}, "resources": {}, "completions": {}}
        if any(True for _ in catalog.prompts()):
            capabilities["prompts"] = {}
        found: dict[str, Any] = {"capabilities": capabilities}
        if self.settings.instructions:
            found["instructions"] = self.settings.instructions
        return found

    def _catalog(self) -> AgentCatalog:
        return AgentCatalog(services().registry, self.settings.expose)

    def _files(self) -> AgentFiles:
        return AgentFiles(services(), is_on=self.settings.files)


def _document(target: Target, value: Any, uri: str) -> Any:
    """What a method returned, as a document of the type that its mark tells."""
    if isinstance(value, Media):
        return value
    content = value if isinstance(value, (str, bytes)) else str(value)
    mark = target.spec.resource
    return Document(uri, content, mark.media_type if mark else "text/plain")


def _call(target: Target, arguments: dict[str, Any]) -> Any:
    """Call a method for an agent, whose arguments are text."""
    check_scope(target.tool.namespace)
    call = Call(target.name, (), arguments, lax=True)
    return services().dispatcher.invoke(target, call)


def _page(
    key: str, entries: Iterable[T], cursor: str, describe: Callable[[T], dict[str, Any]]
) -> dict[str, Any]:
    begin = _read_cursor(cursor) if cursor else 0
    found = list(entries)
    page: dict[str, Any] = {key: list(map(describe, found[begin : begin + _PAGE]))}
    if begin + _PAGE < len(found):
        page["nextCursor"] = _cursor(begin + _PAGE)
    return page


def _cursor(begin: int) -> str:
    # Opaque to clients, so that it may become another thing.
    return base64.urlsafe_b64encode(str(begin).encode()).decode()


def _read_cursor(cursor: str) -> int:
    try:
        text = base64.urlsafe_b64decode(cursor.encode()).decode()
        if len(text) > 12 or not text.isascii() or not text.isdigit():
            raise ValueError
        return int(text)
    except (ValueError, binascii.Error):
        raise InvalidParams(
            f"cursor: got {cursor!r:.70}, expected one of ours"
        ) from None
