"""The directive ``modules``: each module of the package with its duty, by layers.

The layers are those that import-linter checks, from above to below; the lines of the
directive name them.
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "toolserver"


class ModulesDirective(SphinxDirective):
    """Shows each layer as a section with a list of its modules."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Make the sections."""
        names = [line for line in self.content if line]
        layers = _layers()
        if len(names) != len(layers):
            raise self.error(f"got {len(names)} names for {len(layers)} layers")
        found: list[nodes.Node] = []
        for name, layer in zip(names, layers, strict=True):
            section = nodes.section(ids=[nodes.make_id(f"layer-{name}")])
            section += nodes.title(name, name)
            entries = nodes.definition_list()
            for file in _files(layer):
                entries += self._entry(file)
            section += entries
            found.append(section)
        return found

    def _entry(self, file: Path) -> nodes.definition_list_item:
        self.env.note_dependency(str(file))
        path = file.relative_to(PACKAGE).with_suffix("")
        name = ".".join(path.parts).removesuffix(".__init__")
        duty = (ast.get_docstring(ast.parse(file.read_bytes())) or "").partition("\n\n")
        meaning = self.parse_text_to_nodes(duty[0])
        term = nodes.term("", "", nodes.literal("", name), ids=[f"module-{name}"])
        return nodes.definition_list_item("", term, nodes.definition("", *meaning))


def _layers() -> list[list[str]]:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = configuration["tool"]["importlinter"]["contracts"]
    layers = next(each["layers"] for each in contracts if each["type"] == "layers")
    return [[name.strip() for name in layer.split(":")] for layer in layers]


def _files(names: list[str]) -> list[Path]:
    found: list[Path] = []
    for name in sorted(names):
        folder = PACKAGE / name
        found += (
            sorted(folder.rglob("*.py"))
            if folder.is_dir()
            else [PACKAGE / f"{name}.py"]
        )
    # What only gathers names has no duty to tell.
    return [file for file in found if file.name != "__init__.py" or _is_told(file)]


def _is_told(file: Path) -> bool:
    return bool(ast.get_docstring(ast.parse(file.read_bytes())))


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx of the directive."""
    app.add_directive("modules", ModulesDirective)
    return {"parallel_read_safe": True}
