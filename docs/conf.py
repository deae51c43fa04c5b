"""The documentation's build: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
sys.path.insert(0, str(Path(__file__).parents[1]))

import streaks

project = "Streaks"
author = "The Streaks developers"
copyright = "2026, The Streaks developers"
release = version = streaks.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
    "made_reference",
]
exclude_patterns = ["_build", "_ext"]
# A new page in docs/ needs no entry: `made_reference` puts those that no list names into stages.md.
source_suffix = {".md": "markdown"}
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3

default_role = "literal"
autodoc_typehints = "none"
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 90
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
nitpicky = False
autosummary_generate = False

copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"

html_theme = "pydata_sphinx_theme"
html_title = "Streaks"
html_static_path = ["_static"]
html_css_files = ["streaks.css"]
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 7,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
    "navbar_align": "left",
}
# Pages without pages below them have nothing to list at their side.
html_sidebars = {name: [] for name in ("index", "gallery", "conventions")}
