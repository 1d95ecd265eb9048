"""The directive ``settings``: every setting of a server, from the settings' classes."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from toolserver.configuration import sections
from toolserver.expectations import expected


class SettingsDirective(SphinxDirective):
    """Shows each section of the configuration file as a table."""

    def run(self) -> list[nodes.Node]:
        """Make the sections."""
        found: list[nodes.Node] = []
        for name, cls in sections().items():
            section = nodes.section(ids=[f"settings-{name}"])
            section += nodes.title("", "", nodes.literal("", f"[{name}]"))
            section += nodes.paragraph("", (cls.__doc__ or "").strip())
            entries = nodes.definition_list()
            for field in msgspec.structs.fields(cls):
                entries += self._entry(name, field)
            section += entries
            found.append(section)
        return found

    def _entry(
        self, section: str, field: msgspec.structs.FieldInfo
    ) -> nodes.definition_list_item:
        meta = get_args(field.type)[1]
        term = nodes.term("", "", ids=[f"{section}.{field.name}"])
        term += nodes.literal("", f"{field.name} = {_toml(field.default)}")
        meaning = nodes.paragraph("", meta.description)
        facts = nodes.paragraph("", "")
        kind, matches, pattern = expected(field.type).partition(" that matches ")
        variable = f"TOOLSERVER_{section}__{field.name}".upper()
        facts += nodes.Text(f"{kind[:1].upper()}{kind[1:]}{matches}")
        if pattern:
            facts += nodes.literal("", pattern)
        facts += nodes.Text(". Variable ")
        facts += nodes.literal("", variable)
        facts += nodes.Text(".")
        return nodes.definition_list_item(
            "", term, nodes.definition("", meaning, facts)
        )


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive("settings", SettingsDirective)
    return {"parallel_read_safe": True}
