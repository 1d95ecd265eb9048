"""The source of a lambda, as its author wrote it."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable
from functools import lru_cache
from types import CodeType
from typing import Any

__all__ = ["source_of"]

_Lambdas = dict[int, list[tuple[ast.Lambda, str]]]


def source_of(function: Callable[..., Any]) -> str:
    """Find what a lambda computes.

    Args:
        function: The lambda.

    Returns:
        The source of its expression in one line; empty where it cannot be found.
    """
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return ""
    linecache.checkcache(code.co_filename)
    lines = linecache.getlines(code.co_filename, getattr(function, "__globals__", None))
    try:
        candidates = _lambdas("".join(lines)).get(code.co_firstlineno, [])
    except (SyntaxError, ValueError):  # no longer the file that was imported
        return ""
    candidates = [each for each in candidates if _has_names(each[0], code)]
    if len(candidates) > 1:  # on one line
        candidates = [each for each in candidates if _has_place(each[0], code)]
    return candidates[0][1] if len(candidates) == 1 else ""


@lru_cache(maxsize=1)  # the lambdas of a module are asked for one after the other
def _lambdas(source: str) -> _Lambdas:
    found: _Lambdas = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Lambda):
            text = ast.get_source_segment(source, node.body) or ""
            found.setdefault(node.lineno, []).append((node, " ".join(text.split())))
    return found


def _has_names(node: ast.Lambda, code: CodeType) -> bool:
    arguments = node.args
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
    return names == list(code.co_varnames[: code.co_argcount])


def _has_place(node: ast.Lambda, code: CodeType) -> bool:
    body = node.body
    place = (body.lineno, body.end_lineno, body.col_offset, body.end_col_offset)
    return place in code.co_positions()
