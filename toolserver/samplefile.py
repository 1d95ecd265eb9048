"""The configuration file that ``tsctl init`` writes, made of the settings' classes.

Every setting is there, commented out, with its meaning and its default. A file that
exists is only added to: what its owner wrote stays as it is, to the last blank.
"""

from __future__ import annotations

import json
import re
import textwrap
import tomllib
from dataclasses import dataclass, field
from typing import Any, get_args

import msgspec

from toolserver.configuration import parse_toml, sections
from toolserver.errors import SettingsError
from toolserver.expectations import expected
from toolserver.tomllines import statements

__all__ = ["Merged", "merge", "render"]

_WIDTH = 88
_HEAD = """\
# Settings of this server. What is commented out shows the default; remove the "#" to
# change it. Times are in seconds, sizes in bytes.
#
# A variable goes before this file, TOOLSERVER_SERVER__PORT=4334 before [server] port,
# and a switch of the command line before both. "tsctl config" shows what is in force
# and where it was set; "tsctl init" adds the settings that a new version brings.
"""
_TAIL = """\
# Settings of a tool, under its namespace; the tool says which there are.
# [tool."shop.orders"]
# currency = "EUR"
"""
#: A section that is commented out; what stands below is its.
_HEADER_COMMENT = re.compile(r"#[ \t]*\[[^\]]+\][ \t]*$")


@dataclass
class Merged:
    """A file with the settings that were missing in it.

    Attributes:
        text: The new text.
        added: What was added: ``"[section]"`` or ``"section.name"``.
        left: Sections that lack settings but are written so that nothing can be
            added to them.
    """

    text: str
    added: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def render() -> str:
    """The sample file.

    Returns:
        Its text; it sets nothing.
    """
    parts = [_HEAD, *(_section(name) for name in sections()), _TAIL]
    return "\n".join(parts)


def merge(text: str, source: str) -> Merged:
    """Add the settings that a file lacks.

    Args:
        text: The text of the file.
        source: What messages call it.

    Returns:
        The text with the additions.

    Raises:
        SettingsError: The text is not well-formed.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    merged = Merged(text.replace("\r\n", "\n"))
    before = parse_toml(merged.text, source)
    for name in sections():
        _merge_section(merged, name)
    if not merged.text.endswith("\n") and merged.added:
        merged.text += "\n"
    _ensure_same(before, merged.text, source)
    merged.text = merged.text.replace("\n", newline) if merged.added else text
    return merged


def _merge_section(merged: Merged, name: str) -> None:
    found = list(statements(merged.text))
    headers = [each for each in found if each.is_header]
    own = [each for each in headers if each.path == (name,)]
    missing = list(msgspec.structs.fields(sections()[name]))
    if not own:
        if any(each.path[:1] == (name,) for each in found):
            # Dotted keys or an inline table: a header would define it twice.
            set_there = {
                each.path[1]
                for each in found
                if each.path[0] == name and len(each.path) > 1
            }
            if any(each.name not in set_there for each in missing):
                merged.left.append(f"[{name}]")
            return
        lines = merged.text.rstrip("\n").split("\n") if merged.text.strip() else []
        merged.text = "\n".join(
            [*lines, "", _section(name)] if lines else [_section(name)]
        )
        merged.added.append(f"[{name}]")
        return
    lines = merged.text.split("\n")
    later = [each.line for each in headers if each.line > own[0].line]
    end = min(later, default=len(lines) + 1) - 1
    body = lines[own[0].line : end]
    missing = [each for each in missing if not _is_mentioned(each.name, body)]
    if not missing:
        return
    commented = [n for n, line in enumerate(body) if _HEADER_COMMENT.match(line)]
    if later or commented:
        end = own[0].line + commented[0] if commented else end
        # Comments right above the next header belong to it.
        while lines[end - 1].lstrip().startswith("#"):
            end -= 1
    while end > own[0].line and not lines[end - 1].strip():
        end -= 1
    block = "\n".join(_setting(each) for each in missing).rstrip("\n").split("\n")
    lines[end:end] = ["", *block]
    merged.text = "\n".join(lines)
    merged.added += [f"{name}.{each.name}" for each in missing]


def _is_mentioned(name: str, lines: list[str]) -> bool:
    mention = re.compile(rf"""[ \t]*(#[ \t]*)?["']?{re.escape(name)}["']?[ \t]*[=.]""")
    return any(mention.match(line) for line in lines)


def _ensure_same(before: dict[str, Any], text: str, source: str) -> None:
    """Refuse a text that says something else than before."""
    try:
        after = tomllib.loads(text)
    except ValueError:
        after = {"": None}
    for name in sections():
        if after.get(name) == {} and name not in before:
            del after[name]
    if repr(after) != repr(before):
        raise SettingsError(
            f"{source}: new settings cannot be added without changing what is there; "
            "see 'tsctl config --sample'"
        )


def _section(name: str) -> str:
    cls = sections()[name]
    doc = (cls.__doc__ or "").strip()
    fields = (_setting(each) for each in msgspec.structs.fields(cls))
    return "\n".join([f"[{name}]\n# {doc}\n", *fields])


def _setting(found: msgspec.structs.FieldInfo) -> str:
    meta = get_args(found.type)[1]
    text = f"{meta.description} ({_capital(expected(found.type))}.)"
    prose = textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join([*prose, f"# {found.name} = {_literal(found.default)}", ""])


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _literal(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_literal(item) for item in value)}]"
    # What JSON and TOML write alike: text, numbers, true and false.
    return json.dumps(value, ensure_ascii=False)
