"""Settings of the book (Sphinx): notebooks as they were executed, pages, and the reference from docstrings."""

import sys
from pathlib import Path

from pygments.lexers.special import TextLexer

# Its modules find their neighbours there; before all else, for a package has the name of one of them.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "client_code"))
project = "Federated learning across AWS accounts"
author = "the developers of this workshop"
copyright = ""
root_doc = "docs/index"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = project
html_show_sourcelink = False
html_show_copyright = False
# Nothing is executed here: `make notebooks` has done that, and tests compare. Nothing is fetched by a page either.
nb_execution_mode = "off"
nb_ipywidgets_js = {}
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say what is meant; with types a signature takes half a page
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
suppress_warnings = [
    "mystnb.unknown_mime_type",
    "myst.header",
    "ref.python",  # two packages may each have a class of one name
]


def setup(app) -> None:
    """Show a drawing that GitHub makes of its text as that text."""
    app.add_lexer("mermaid", TextLexer)
