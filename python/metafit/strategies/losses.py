"""The losses L(y, eta) of the equation, with eta = b + o + phi(x)'w.

They are descriptions only: formulas, values and derivatives live in the Rust core, from whose registry the classes
of this module are made. Each has a snake_case ``name``, by which every function here takes it as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from metafit.strategies.parts import lookup
from metafit.strategies.registered import Registered, loss_specs, make_class


@dataclass(frozen=True, repr=False)
class Loss(Registered):
    """Base of the losses.

    Attributes
    ----------
    name : str
    kind : {"regression", "classification"}
        The kind of task that it serves.
    scores : list of str
        Names of the held-out scores that fits get.
    score : str
        The one of them, lower is better, that fits are compared by.
    has_probabilities : bool
        Whether predictions are probabilities of classes.
    is_multinomial : bool
        Whether it serves more than two classes, in its symmetric softmax form.
    """

    kind: ClassVar[str]
    scores: ClassVar[list[str]]
    score: ClassVar[str]
    has_probabilities: ClassVar[bool]
    is_multinomial: ClassVar[bool]


REGISTRY: dict[str, type[Loss]] = {spec["name"]: make_class(spec, Loss, __name__) for spec in loss_specs()}

globals().update({loss.__name__: loss for loss in REGISTRY.values()})

__all__ = ["REGISTRY", "Loss", "resolve"] + [loss.__name__ for loss in REGISTRY.values()]

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...


def resolve(loss: str | Loss) -> Loss:
    """Return the loss that a name or an object stands for.

    Parameters
    ----------
    loss : str or Loss
        A name of the registry, or a loss, which is returned as it is.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is neither a name nor a loss.

    Examples
    --------
    >>> resolve("logistic")
    Logistic()
    """
    if isinstance(loss, Loss):
        return loss
    if not isinstance(loss, str):
        raise TypeError(f"loss must be a name or a loss such as losses.Squared(), got {loss!r}")
    return _named(loss)


@cache
def _named(name: str) -> Loss:
    return lookup(name, REGISTRY, "loss")()
