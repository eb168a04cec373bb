"""What the parts of a strategy have in common: a name, and a form that JSON can hold.

A *part* is a frozen dataclass whose class carries a lowercase ``name``: a loss, a penalty, an alpha, a rule.
Its JSON form is ``{"name": ..., field: value, ...}``. A field that is None is left out, so that an option
added later (with None as its default) changes no id of a strategy that was stored before.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, TypeVar

__all__ = ["Part", "check_number", "from_plain", "to_plain"]


class Part:
    """Base of all parts; subclasses are frozen dataclasses and set ``name``."""

    name: ClassVar[str]


P = TypeVar("P", bound=Part)


def to_plain(part: Part) -> dict[str, Any]:
    """Turn a part into a dict that JSON can hold.

    Examples
    --------
    >>> from metafit.strategies.penalties import ElasticNet
    >>> to_plain(ElasticNet(0.2))
    {'name': 'elastic_net', 'l1_ratio': 0.2}
    """
    values = {f.name: getattr(part, f.name) for f in fields(part)}  # type: ignore[arg-type]
    return {"name": part.name} | {key: _plain(value) for key, value in values.items() if value is not None}


def from_plain(plain: Mapping[str, Any], registry: Mapping[str, type[P]], argument: str) -> P:
    """Build the part that `to_plain` wrote.

    Raises
    ------
    ValueError
        If the name is not in the registry.
    """
    options = {key: _unplain(value) for key, value in plain.items() if key != "name"}
    return lookup(plain.get("name"), registry, argument)(**options)


def lookup(name: Any, registry: Mapping[str, type[P]], argument: str) -> type[P]:
    """Return the class registered under ``name``, or say which names there are."""
    if name not in registry:
        raise ValueError(f"{argument} must be one of {sorted(registry)}, got {name!r}")
    return registry[name]


def check_number(
    value: Any, argument: str, *, low: float = 0.0, high: float = math.inf, is_open: bool = False
) -> float:
    """Return ``value`` as a float, finite and within ``[low, high]``, without the two ends if ``is_open``.

    Raises
    ------
    TypeError
        If it is not a number.
    ValueError
        If it is NaN, infinite or out of range.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{argument} must be a number, got {value!r}") from None
    is_inside = low < number < high if is_open else low <= number <= high
    if not (math.isfinite(number) and is_inside):
        above, below = (">", "<") if is_open else (">=", "<=")
        upper = f" and {below} {high:g}" if math.isfinite(high) else ""
        raise ValueError(f"{argument} must be finite, {above} {low:g}{upper}, got {number}")
    return number


def check_count(value: Any, argument: str, *, low: int = 1) -> int:
    """Return ``value`` as an int that is at least ``low``."""
    number = check_number(value, argument, low=low)
    if number != int(number) or isinstance(value, bool):
        raise ValueError(f"{argument} must be an integer >= {low}, got {value!r}")
    return int(number)


def _plain(value: Any) -> Any:
    """JSON knows neither tuples nor infinity."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _unplain(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_unplain(item) for item in value)
    return float(value) if value in ("inf", "-inf") else value
