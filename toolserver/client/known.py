"""What a client knows of the methods of its server, asked for once a tool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toolserver.client.descriptions import Described, read_description
from toolserver.client.failures import AnswerError
from toolserver.errors import MethodNotFound, ToolserverError

__all__ = ["JOBS", "SYSTEM", "KnownMethods"]

#: What the methods of the server's own begin with, and those of them that make calls.
SYSTEM, JOBS = "system.", "system.jobs."
#: Tools whose descriptions are kept.
_MOST = 1000


class KnownMethods:
    """The methods of a server, as it describes them.

    Args:
        describe: Asks the server what it tells of the methods of a tool.
        url: Address of the server, for errors.
    """

    def __init__(
        self, describe: Callable[[str], list[dict[str, Any]]], url: str
    ) -> None:
        self._describe = describe
        self._url = url
        self._tools: dict[str, dict[str, Described]] = {}

    def method(self, name: str) -> Described:
        """What is known of a method.

        Args:
            name: Its full name.

        Raises:
            MethodNotFound: The tool has none of that name.
            ToolserverError: The server does not describe the tool.
        """
        namespace, _, method = name.rpartition(".")
        known = self._tools.get(namespace)
        # What the server has loaded since then is not known yet.
        if known is None or method not in known:
            known = self.methods(namespace)
        found = known.get(method)
        if found is None:
            raise MethodNotFound(f"no method {method!r} in {namespace!r}")
        return found

    def methods(self, namespace: str) -> dict[str, Described]:
        """Ask for the methods of a tool, and remember them.

        Args:
            namespace: Its dotted name.

        Returns:
            What is known of each, by its name.

        Raises:
            AnswerError: It is no description.
            ToolserverError: The server does not describe the tool.
        """
        try:
            known = read_description(self._describe(namespace))
        except ValueError as error:
            raise AnswerError(str(error), url=self._url, status=200) from error
        if len(self._tools) >= _MOST:
            # Of what factories make there may be any number.
            self._tools.clear()
        self._tools[namespace] = known
        return known

    def has(self, name: str) -> bool:
        """Whether there is a method of a full name."""
        try:
            self.method(name)
        except MethodNotFound:
            return False
        return True

    def is_repeatable(self, name: str) -> bool:
        """Whether a call may be sent again when nobody knows whether it was made."""
        if name.startswith(SYSTEM) and not name.startswith(JOBS):
            return name != "system.multicall"
        try:
            return self.method(name).is_repeatable
        except (ToolserverError, OSError):
            # Whoever cannot know it must not assume it.
            return False
