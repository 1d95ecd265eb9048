"""Methods as agents are told of them: prompts, and what arguments they may take.

Spec: Model Context Protocol, revision 2026-07-28, prompts and completion.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from toolserver.conversion import convert
from toolserver.describe.docstrings import parse_docstring
from toolserver.describe.scalars import json_value
from toolserver.entries import Target
from toolserver.errors import InvalidParams
from toolserver.methods import MethodSpec
from toolserver.types import Kind, Type

__all__ = ["choices_of", "complete_text", "describe_prompt"]

#: How many completions are told at once (completion, completion result).
_MOST = 100


def describe_prompt(target: Target, name: str) -> dict[str, Any]:
    """Describe a method as a prompt.

    Args:
        target: The method, which is marked as one.
        name: What agents call it.

    Returns:
        A Prompt object.
    """
    doc = parse_docstring(target.spec.doc)
    arguments: list[dict[str, Any]] = []
    for parameter in target.spec.parameters:
        told = doc.parameters.get(parameter.name) or str(parameter)
        found = {"name": parameter.name, "description": told}
        arguments.append({**found, "required": parameter.required})
    text = "\n\n".join(filter(None, (doc.summary, doc.text)))
    text = text or f"{target.spec.name.replace('_', ' ').capitalize()}."
    return {"name": name, "description": text, "arguments": arguments}


def choices_of(spec: MethodSpec, parameter: str) -> list[str]:
    """The values that a parameter may have, where its hint names them.

    Args:
        spec: The method.
        parameter: The name of the parameter.

    Returns:
        Those that can be given as text; empty where anything goes.
    """
    for each in spec.parameters:
        if each.name == parameter:
            texts = map(_text, _values(each.type))
            return [text for text in texts if _is_taken(each.type, text)]
    return []


def complete_text(begun: str, choices: Iterable[str]) -> dict[str, Any]:
    """What a text that somebody types could become.

    Args:
        begun: What there is of it.
        choices: What it could be.

    Returns:
        The member `completion` of a CompleteResult object.
    """
    lower = begun.lower()
    fitting = [each for each in choices if each.lower().startswith(lower)]
    return {
        "values": fitting[:_MOST],
        "total": len(fitting),
        "hasMore": len(fitting) > _MOST,
    }


def _values(type_: Type) -> list[Any]:
    if type_.kind is Kind.ENUM or type_.kind is Kind.LITERAL:
        return [json_value(value) for value in type_.values]
    if type_.kind is Kind.UNION:
        return [value for item in type_.items for value in _values(item)]
    return [True, False] if type_.kind is Kind.BOOL else []


def _is_taken(type_: Type, text: str) -> bool:
    """Whether a call takes a text, as which agents give all arguments of prompts."""
    try:
        convert(type_, text, "", lax=True)
    except InvalidParams:
        return False
    return True


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
