"""How the begin of an expression may go on."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["complete"]

#: Words at most.
_MOST = 500
#: A name, and attributes and keys of it: ``tools["shop.orders"].log``.
_CHAIN = re.compile(r"""[A-Za-z_]\w*(?:\.[A-Za-z_]\w*|\[(?:'[^']*'|"[^"]*"|\d+)\])*""")
_STEP = re.compile(r"""\.([A-Za-z_]\w*)|\[(?:'([^']*)'|"([^"]*)"|(\d+))\]""")
_ATTRIBUTE = re.compile(rf"({_CHAIN.pattern})\.(\w*)$", re.ASCII)
_KEY = re.compile(rf"({_CHAIN.pattern})\[(['\"])([^'\"]*)$", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*$|^$", re.ASCII)


def complete(text: str, namespace: Mapping[str, Any]) -> list[str]:
    """Find how a text may go on; what it names is looked up, nothing is called.

    Args:
        text: The begin of an expression: a name, with attributes and keys.
        namespace: The names that there are.

    Returns:
        Texts, each in the place of the whole one.
    """
    if found := _ATTRIBUTE.fullmatch(text):
        base, begin = found.groups()
        names = _public(_attributes(_resolve(base, namespace)), begin)
        words = [f"{base}.{name}" for name in names]
    elif found := _KEY.fullmatch(text):
        base, quote, begin = found.groups()
        keys = _keys(_resolve(base, namespace))
        words = [f"{base}[{quote}{key}{quote}]" for key in keys if _fits(key, begin)]
    elif _NAME.fullmatch(text):
        known = {*namespace, *vars(builtins), *keyword.kwlist}
        words = _public(known, text) if text else _public(namespace, text)
    else:
        words = []
    return sorted(set(words))[:_MOST]


def _fits(key: str, begin: str) -> bool:
    return key.startswith(begin) and not {"'", '"', "\\"} & set(key)


def _public(names: Any, begin: str) -> list[str]:
    """Names with a begin; those with underscores only for who types one."""
    return [
        name
        for name in names
        if isinstance(name, str)
        and name.startswith(begin)
        and (begin.startswith("_") or not name.startswith("_"))
    ]


def _attributes(value: Any) -> list[str]:
    try:
        return dir(value)
    except Exception:  # it may be of anybody's class
        return []


def _keys(value: Any) -> list[str]:
    if not isinstance(value, Mapping):
        return []
    return [key for key in value if isinstance(key, str)]


def _resolve(chain: str, namespace: Mapping[str, Any]) -> Any:
    """What a chain of names stands for; None where it stands for nothing."""
    name = re.match(r"\w+", chain)
    if name is None:  # pragma: no cover - chains begin with a name
        return None
    try:
        value = namespace.get(name[0], getattr(builtins, name[0], None))
        for step in _STEP.finditer(chain, name.end()):
            attribute, single, double, index = step.groups()
            if attribute is not None:
                value = getattr(value, attribute)
            elif index is not None:
                value = value[int(index)]
            else:
                value = value[double if single is None else single]
    except Exception:  # properties and keys are anybody's code
        return None
    return value
