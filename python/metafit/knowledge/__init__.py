"""What is known of other tables: scores and descriptions of tasks, those that ship with the package among them."""

from metafit.knowledge.knowledge import Knowledge
from metafit.knowledge.likeness import Likeness, Neighbourhood

__all__ = ["Knowledge", "Likeness", "Neighbourhood"]
