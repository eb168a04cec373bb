"""The command line: ``metafit demo | run | learn | evaluate | recommend``. Thin: the rooms below do the work."""

from metafit.cli.commands import app, main

__all__ = ["app", "main"]
