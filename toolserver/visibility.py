"""Which tools a caller is told of: those that it may use.

The validators of a whole tool decide; they need no arguments. So introspection, pages
and documents follow whatever scheme a tool has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from toolserver.calls import Call
from toolserver.contexts import Context, bind, current
from toolserver.dispatcher import run_validators
from toolserver.entries import ToolEntry
from toolserver.errors import NotFound, ToolNotFound
from toolserver.scopes import check_scope
from toolserver.services import services

__all__ = ["check_visible", "shown", "visible"]


def check_visible(entry: ToolEntry) -> None:
    """Refuse a caller that may not use a tool.

    Args:
        entry: The tool.

    Raises:
        BaseException: Whatever a validator of the tool raises.
    """
    check_scope(entry.namespace)
    validators = entry.tool_validators
    if validators:
        outer = current() or Context()
        context = outer.nested(entry.tool, "")
        context.protocol = outer.protocol
        with bind(context):
            run_validators(validators, Call(entry.namespace), context)


def shown(namespace: str) -> ToolEntry:
    """Find a tool for who wants to be told of it.

    Args:
        namespace: Its dotted name.

    Returns:
        Its entry.

    Raises:
        NotFound: There is none.
        BaseException: Whatever a validator of the tool raises.
    """
    try:
        entry = services().registry.entry(namespace)
    except ToolNotFound as error:
        raise NotFound(error.message) from error
    check_visible(entry)
    return entry


def visible(entries: Iterable[ToolEntry]) -> Iterator[ToolEntry]:
    """Leave out the tools that the caller may not use.

    Args:
        entries: The tools.

    Yields:
        Those for which no validator refuses the caller, or fails.
    """
    for entry in entries:
        try:
            check_visible(entry)
        except Exception:  # noqa: S112  # why is the business of who calls the tool
            continue
        yield entry
