"""Which tools the caller's token is for.

A token may hold for some namespaces alone. It then opens nothing else, whatever its
client could do with other credentials.
"""

from __future__ import annotations

from collections.abc import Iterable

from toolserver.contexts import Var, current
from toolserver.errors import Forbidden

__all__ = ["check_scope", "in_scope", "scope", "set_scope"]

_scope: Var[tuple[str, ...] | None] = Var("scope", default=None)
_prefix: Var[str] = Var("scope prefix", default="")


def set_scope(namespaces: Iterable[str], prefix: str = "") -> None:
    """Confine the rest of the running request.

    Args:
        namespaces: What it may use, with all tools below.
        prefix: What stands before a namespace in the scopes of a token; empty where
            nobody can ask for such scopes.
    """
    _scope.set(tuple(namespaces))
    _prefix.set(prefix)


def scope() -> tuple[str, ...] | None:
    """What the running request may use, or None where nothing confines it."""
    return _scope.get()


def in_scope(namespace: str) -> bool:
    """Whether the running request may use a tool.

    Args:
        namespace: Its dotted name.
    """
    context = current()
    # Nearly all requests come without: they pass by one look.
    if context is None or not context.values:
        return True
    scope = _scope.get()
    # Without the tool of the protocol an agent could call nothing.
    return (
        scope is None
        or namespace == "mcp"
        or any(namespace == each or namespace.startswith(f"{each}.") for each in scope)
    )


def check_scope(namespace: str) -> None:
    """Refuse what the token of the running request is not for.

    Args:
        namespace: The dotted name of the tool.

    Raises:
        Forbidden: It is for other tools; its challenge names the scope that would do.
    """
    if in_scope(namespace):
        return
    # RFC 6750, section 3.1.
    challenge = 'Bearer realm="toolserver", error="insufficient_scope"'
    if prefix := _prefix.get():
        challenge += f', scope="{prefix}{namespace or "*"}"'
    raise Forbidden(
        f"the token is not for {namespace or 'the root tool'}", challenge=challenge
    )
