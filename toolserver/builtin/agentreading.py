"""What agents read: methods, descriptions of tools, static files.

Spec: Model Context Protocol, revisions 2024-11-05 to 2026-07-28, resources.
"""

from __future__ import annotations

from typing import Any, ClassVar

from toolserver.builtin.agentfiles import AgentFiles
from toolserver.builtin.agentpages import page_of
from toolserver.calls import Call
from toolserver.describe.agentcatalog import AgentCatalog
from toolserver.describe.agentcontent import contents_of
from toolserver.describe.agentkeys import KEY, has_key_place, target_of_key
from toolserver.describe.agentresources import (
    DESCRIPTIONS,
    describe_resource,
    description_of,
    is_template,
    match_resource,
)
from toolserver.entries import Target
from toolserver.errors import InvalidParams, NotFound, ToolserverError
from toolserver.marks import expose, read_only
from toolserver.media import Audio, Document, Image
from toolserver.scopes import check_scope
from toolserver.services import services
from toolserver.tools import InternalTool
from toolserver.visibility import shown

__all__ = ["AgentReading", "UnknownResource", "call_for_agent"]


class UnknownResource(ToolserverError):
    """There is no such resource, in the words of revisions to 2025-11-25."""

    code: ClassVar[int] = -32002
    status: ClassVar[int] = 404


class AgentReading(InternalTool):
    """Lists what agents may read, and reads it for them.

    Attributes:
        settings: Which tools and files agents are offered: `MCPSettings`.
    """

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
        return page_of("resources", found, cursor, lambda each: each)

    @expose
    @read_only
    def list_resource_templates(self, cursor: str = "") -> dict[str, Any]:
        """List the templates of what the agent may read.

        Args:
            cursor: Where to go on, from the answer before.

        Returns:
            A page of templates.
        """
        templates = {
            # One with a place for the key is that of all tools of a factory.
            mark.uri: describe_resource(target, mark)
            for target, mark in self._catalog().resources()
            if is_template(mark.uri)
        }
        return page_of(
            "resourceTemplates", templates.values(), cursor, lambda each: each
        )

    @expose
    @read_only
    def read_resource(self, uri: str, stateless: bool = True) -> dict[str, Any]:
        """Read a resource.

        Args:
            uri: Its URI.
            stateless: Whether the agent speaks a stateless revision.

        Returns:
            Its contents.

        Raises:
            InvalidParams: There is none of that URI.
            UnknownResource: The same, for agents of earlier revisions.
        """
        try:
            value = self._read_method(uri)
        except NotFound as error:
            raise _unknown_resource(error.message, uri, stateless) from error
        if value is not None:
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
            raise _unknown_resource(f"{uri!r:.250}", uri, stateless)
        return {"contents": [contents_of(document, uri)]}

    def _read_method(self, uri: str) -> Image | Audio | Document | None:
        """What the method behind a URI returns; None if there is no such method."""
        found = match_resource(self._catalog().resources(), uri)
        if found is None:
            return None
        target, mark, arguments = found
        if has_key_place(target, mark):
            key = arguments.pop(KEY)
            other = target_of_key(services().registry, target, key)
            if other is None:
                raise NotFound(f"{uri!r:.250}")
            target = other
        value = call_for_agent(target, arguments)
        if isinstance(value, (Image, Audio, Document)):
            return value
        content = value if isinstance(value, (str, bytes)) else str(value)
        return Document(uri, content, mark.media_type)

    def _catalog(self) -> AgentCatalog:
        return AgentCatalog(services().registry, self.settings.expose)

    def _files(self) -> AgentFiles:
        return AgentFiles(services(), is_on=self.settings.files)


def _unknown_resource(text: str, uri: str, stateless: bool) -> ToolserverError:
    kind = InvalidParams if stateless else UnknownResource
    return kind(f"unknown resource: {text}", data={"uri": uri[:1000]})


def call_for_agent(target: Target, arguments: dict[str, Any]) -> Any:
    """Call a method for an agent, whose arguments are text.

    Args:
        target: The method.
        arguments: Its arguments by name.

    Returns:
        What it returns.

    Raises:
        BaseException: Whatever the method or a step before it raises.
    """
    check_scope(target.tool.namespace)
    call = Call(target.name, (), arguments, lax=True)
    return services().dispatcher.invoke(target, call)
