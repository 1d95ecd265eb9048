"""How the site of the documentation is built: ``make docs``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

from toolserver import __version__

project = "Toolserver"
author = "The Toolserver developers"
copyright = f"2026, {author}"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "modulesreference",
    "pythonreference",
    "settingsreference",
]
highlight_language = "text"
# Requests over several lines are no shell, but are shown as one.
suppress_warnings = ["misc.highlighting_failure"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
add_module_names = False
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
# A single backquote in a docstring stands around a name: a link where it is known.
default_role = "py:obj"

# Quotes and dashes of commands stay what they are.
smartquotes = False

html_theme = "furo"
html_title = "Toolserver"
html_favicon = "images/icon.svg"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_static_path = ["style"]
html_css_files = ["site.css"]
html_theme_options = {
    "navigation_with_keys": True,
    "light_css_variables": {"color-code-background": "#f6f8fa"},
    "dark_css_variables": {"color-code-background": "#1b1f26"},
}
pygments_style = "github-light-high-contrast"
pygments_dark_style = "github-dark"
