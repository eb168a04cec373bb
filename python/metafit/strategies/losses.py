"""The losses L(y, eta) of the equation, with eta = b + o + phi(x)'w.

============ =========================== ================ ==================
name         L(y, eta)                   prediction       kind
============ =========================== ================ ==================
``squared``  (y - eta)^2 / 2             eta              regression
``logistic`` log(1 + exp(eta)) - y eta   1/(1+exp(-eta))  classification
============ =========================== ================ ==================

They are descriptions only: the values and derivatives live in the Rust core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from metafit.strategies.parts import Part, lookup

__all__ = ["REGISTRY", "Logistic", "Loss", "Squared", "resolve"]


class Loss(Part):
    """Base of the losses: a ``name`` and the ``kind`` of task that they serve."""

    kind: ClassVar[str]


@dataclass(frozen=True)
class Squared(Loss):
    """Half the squared error, ``L = (y - eta)^2 / 2``: the mean of y given x.

    Examples
    --------
    >>> Squared().name, Squared().kind
    ('squared', 'regression')
    """

    name: ClassVar[str] = "squared"
    kind: ClassVar[str] = "regression"


@dataclass(frozen=True)
class Logistic(Loss):
    """Negative Bernoulli log-likelihood, ``L = log(1 + exp(eta)) - y eta`` with y in {0, 1}.

    Examples
    --------
    >>> Logistic().name, Logistic().kind
    ('logistic', 'classification')
    """

    name: ClassVar[str] = "logistic"
    kind: ClassVar[str] = "classification"


REGISTRY: dict[str, type[Loss]] = {loss.name: loss for loss in (Squared, Logistic)}


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
    return lookup(loss, REGISTRY, "loss")()
