"""Sphinx configuration: everything comes from the installed package, nothing from the network."""

from importlib.metadata import version as installed

from metafit import losses, penalties

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


def list_members(app, page, source):
    """Put the losses and penalties of the registries where a page asks for them: no page lists them."""
    for name, room, base in (("losses", losses, "Loss"), ("penalties", penalties, "Penalty")):
        members = [made.__name__ for made in room.REGISTRY.values()] + [base]
        table = "\n".join(f"   {member}" for member in members)
        classes = "\n".join(f".. autoclass:: {member}" for member in members)
        source[0] = source[0].replace(f".. registry {name}", f".. autosummary::\n\n{table}\n\n{classes}")


def setup(app):
    """Connect what is above."""
    app.connect("source-read", list_members)
