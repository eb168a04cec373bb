"""scikit-learn objects as parts of a strategy: equal when their classes and parameters are equal.

`Wrapped` keeps an unfitted copy of an estimator or transformer beside a canonical form of its class and
parameters. The form decides equality, hash and id, and rebuilds the object from a stored study.
"""

from __future__ import annotations

import importlib
import inspect
import json
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone

__all__ = ["TRUSTED", "Wrapped", "canonical_json"]

#: Packages that a stored strategy may import on its own. Anything else must have been imported before.
TRUSTED = ("sklearn", "metafit")


class Wrapped:
    """An unfitted scikit-learn object that compares by value.

    Parameters
    ----------
    obj : estimator
        Cloned. Parameters named ``random_state`` that are None become 0, so that a study can be repeated.

    Raises
    ------
    TypeError
        If it is a class, is no scikit-learn object, or holds a parameter that cannot be written down.

    Examples
    --------
    >>> from sklearn.preprocessing import SplineTransformer
    >>> part = Wrapped(SplineTransformer(n_knots=4))
    >>> part == Wrapped(SplineTransformer(n_knots=4)), part.name
    (True, 'SplineTransformer(n_knots=4)')
    """

    __slots__ = ("_object", "json")

    def __init__(self, obj: Any) -> None:
        if isinstance(obj, type) or not hasattr(obj, "get_params"):
            raise TypeError(f"a scikit-learn object is wanted, with values for its parameters, got {obj!r}")
        self._object = _seeded(clone(obj))
        self.json = canonical_json(_encode(self._object, type(obj).__name__))

    def build(self) -> Any:
        """Return a fresh unfitted copy."""
        return clone(self._object)

    @property
    def name(self) -> str:
        """Class and changed parameters in one line, for people: a seed of 0 is left out."""
        return _label(self._object)

    @property
    def plain(self) -> Any:
        """What JSON holds: class path and parameters."""
        return json.loads(self.json)

    @classmethod
    def from_plain(cls, plain: Any) -> Wrapped:
        """Rebuild what `plain` describes.

        Raises
        ------
        ValueError
            If its class lives in a module that is neither scikit-learn's nor imported already.
        """
        return cls(_decode(plain))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Wrapped) and self.json == other.json

    def __hash__(self) -> int:
        return hash(self.json)

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return (Wrapped, (self._object,))


def canonical_json(plain: Any) -> str:
    """Write JSON that is equal for equal content: sorted keys, no spaces, no NaN."""
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _label(obj: Any) -> str:
    if not hasattr(obj, "get_params"):
        return " ".join(str(obj).split())
    options = inspect.signature(type(obj)).parameters
    words = []
    for name, value in obj.get_params(deep=False).items():
        is_default = repr(value) == repr(options[name].default) or (name, value) == ("random_state", 0)
        if not is_default:
            words.append(_label(value) if hasattr(value, "get_params") else f"{name}={_label(value)}")
    return f"{type(obj).__name__}({', '.join(words)})"


def _seeded(estimator: Any) -> Any:
    params = estimator.get_params(deep=True)
    seeds = {name: 0 for name in params if name.split("__")[-1] == "random_state" and params[name] is None}
    return estimator.set_params(**seeds) if seeds else estimator


def _encode(value: Any, where: str) -> Any:
    """Turn a parameter into lists and dicts; ``{"@tag": content}`` stands for what JSON lacks."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, np.generic):
        return _encode(value.item(), where)
    if isinstance(value, float):
        return value if math.isfinite(value) else {"@float": str(value)}
    if isinstance(value, list):
        return [_encode(item, where) for item in value]
    if isinstance(value, tuple):
        return {"@tuple": [_encode(item, where) for item in value]}
    if isinstance(value, dict):
        return {"@dict": [[_encode(key, where), _encode(item, where)] for key, item in value.items()]}
    if isinstance(value, np.ndarray) and value.dtype != object:
        return {"@array": [value.dtype.str, _encode(value.tolist(), where)]}
    return _encode_object(value, where)


def _encode_object(value: Any, where: str) -> Any:
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return {"@object": _path(value, where)}
    if hasattr(value, "get_params"):
        params = value.get_params(deep=False)
        return {
            "@estimator": [
                _path(type(value), where),
                {key: _encode(item, f"{where}.{key}") for key, item in sorted(params.items())},
            ]
        }
    raise TypeError(f"{where} cannot be written down, so the strategy would have no stable id: got {value!r}")


def _path(obj: Any, where: str) -> str:
    path = f"{obj.__module__}:{obj.__qualname__}"
    if "<" in path:
        raise TypeError(f"{where} must be importable by name (no lambda, no local function), got {path}")
    return path


def _decode(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_decode(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    ((tag, content),) = plain.items()
    return _DECODERS[tag](content)


def _decode_estimator(content: Any) -> Any:
    path, params = content
    cls = _import(path)
    if not (isinstance(cls, type) and issubclass(cls, BaseEstimator)):
        raise ValueError(f"{path} is no scikit-learn estimator")
    return cls(**{key: _decode(value) for key, value in params.items()})


def _import(path: str) -> Any:
    """Import ``module:name``; a file from elsewhere must not choose which modules are run."""
    module, _, qualname = path.partition(":")
    if module.split(".")[0] not in TRUSTED and module not in sys.modules:
        raise ValueError(f"the strategy needs {module}, which is not imported: import it first if you trust it")
    found: Any = importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    return found


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "@float": float,
    "@tuple": lambda content: tuple(_decode(item) for item in content),
    "@dict": lambda content: {_decode(key): _decode(value) for key, value in content},
    "@array": lambda content: np.array(_decode(content[1]), dtype=content[0]),
    "@object": _import,
    "@estimator": _decode_estimator,
}
