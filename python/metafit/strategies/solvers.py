"""The solvers of the Rust core by name."""

from __future__ import annotations

from typing import Any

__all__ = ["SOLVERS", "check_solver"]

SOLVERS = (
    "auto",
    "cholesky",
    "svd",
    "coordinate_descent",
    "newton",
    "proximal_newton",
    "interior_point",
    "continuation",
)


def check_solver(solver: Any) -> str:
    """Return the name of a solver, or say which there are.

    Examples
    --------
    >>> check_solver("newton")
    'newton'
    """
    if solver not in SOLVERS:
        raise ValueError(f"solver must be one of {', '.join(map(repr, SOLVERS))}, got {solver!r}")
    return str(solver)
