"""What doc strings say is raised, and which exceptions these are."""

from __future__ import annotations

import builtins
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from toolserver import errors
from toolserver.describe.docstrings import parse_docstring

__all__ = ["raised_by"]


def raised_by(
    functions: Iterable[Callable[..., Any]],
) -> Iterator[tuple[type[BaseException], str]]:
    """What functions say in their doc strings that they raise.

    Args:
        functions: The functions, with the doc strings.

    Yields:
        Each exception, and what is said of it, with its name in front; `Exception`
        where the name leads to none.
    """
    for function in functions:
        doc = parse_docstring(inspect.getdoc(function) or "")
        for name, text in doc.raises:
            yield _find(function, name), f"{name}: {text}" if text else name


def _find(function: Callable[..., Any], name: str) -> type[BaseException]:
    plain = inspect.unwrap(getattr(function, "__func__", function))
    module = sys.modules.get(getattr(plain, "__module__", None) or "")
    first, *rest = name.split(".")
    found: Any = None
    for namespace in (module, errors, builtins):
        found = getattr(namespace, first, None)
        if found is not None:
            break
    for attribute in rest:
        found = getattr(found, attribute, None)
    is_exception = isinstance(found, type) and issubclass(found, BaseException)
    return found if is_exception else Exception
