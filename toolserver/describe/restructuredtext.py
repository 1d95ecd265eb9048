"""reStructuredText as HTML, safely; needs the extra ``rst``."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.core import publish_doctree, publish_parts
from docutils.io import DocTreeInput
from docutils.readers import doctree
from markupsafe import Markup

__all__ = ["render"]

_SCHEMES = ("http:", "https:", "mailto:", "#")
_SETTINGS: dict[str, Any] = {
    "_disable_config": True,
    # What a text includes or passes on as it is could be any file, or any script.
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "halt_level": 5,
    "report_level": 5,
    "doctitle_xform": False,
    "initial_header_level": 4,
    "syntax_highlight": "none",
    "math_output": "LaTeX",
    "smart_quotes": False,
}


def render(text: str) -> Markup:
    """Render a text.

    Args:
        text: The text.

    Returns:
        HTML without scripts, styles and pictures of other hosts.
    """
    tree = publish_doctree(text, settings_overrides=_SETTINGS)
    for image in list(tree.findall(nodes.image)):
        image.parent.replace(image, nodes.Text(image.get("alt", image["uri"])))
    for reference in tree.findall(nodes.reference):
        if not reference.get("refuri", "#").lower().startswith(_SCHEMES):
            reference["refuri"] = "#"
    parts = publish_parts(
        tree,
        source_class=DocTreeInput,
        reader=doctree.Reader(),
        writer="html5",
        settings_overrides=_SETTINGS,
    )
    # Raw HTML is switched off, what else there is was escaped.
    return Markup(parts["body"])  # noqa: S704
