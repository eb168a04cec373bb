"""Sphinx configuration: everything comes from the installed package, nothing from the network."""

from importlib.metadata import version as installed

project = "metafit"
author = "The metafit developers"
copyright = "The metafit developers"
release = version = installed("metafit")

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
exclude_patterns = ["_build"]
# names in single backquotes link where the API page documents them
default_role = "py:obj"

# no page per name: api.rst holds the tables and what they link to
autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc sections say more than annotations
numpydoc_show_class_members = False

html_theme = "nature"
html_show_sourcelink = False
html_show_sphinx = False
