"""Losses and penalties as classes, made from what the Rust core says of them.

A loss or a penalty is one Rust file and one line in a registry of the core. Its name, its parameters with their
ranges and its documentation are read here; nothing in Python lists the members.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, make_dataclass
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple, TypeVar

from metafit import _core
from metafit.strategies.parts import Part, check_number

__all__ = ["Option", "Parameter", "Registered", "loss_specs", "make_class", "penalty_shape", "penalty_specs"]


@dataclass(frozen=True)
class Parameter:
    """A number that a part is told when it is made."""

    name: str
    default: float | None
    low: float
    high: float
    is_open: bool
    doc: str

    def check(self, value: Any) -> float:
        """Return a value of the parameter as a float, or say which values there are."""
        return check_number(value, self.name, low=self.low, high=self.high, is_open=self.is_open)

    @property
    def numpydoc(self) -> str:
        """The parameter as a docstring describes it."""
        default = "" if self.default is None else f", default={self.default:g}"
        return f"{self.name} : float{default}\n    {self.doc}"


class Option(NamedTuple):
    """An optional keyword that only some parts take, None unless it is given."""

    name: str
    doc: str
    kw_only: bool


class Registered(Part):
    """Base of the parts that the core describes; subclasses are made by `make_class`."""

    takes: ClassVar[tuple[Parameter, ...]] = ()

    def __post_init__(self) -> None:
        """Check the parameters against their ranges."""
        for parameter in self.takes:
            object.__setattr__(self, parameter.name, parameter.check(getattr(self, parameter.name)))

    @property
    def parameters(self) -> tuple[float, ...]:
        """The numbers that it was told, in the order in which the core takes them."""
        return tuple(getattr(self, parameter.name) for parameter in self.takes)

    def __repr__(self) -> str:
        """Write the call that makes it, without what is None."""
        in_order = sorted(fields(self), key=lambda f: bool(f.kw_only))  # type: ignore[arg-type]
        given = [(f.name, getattr(self, f.name)) for f in in_order]
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in given if value is not None)})"


R = TypeVar("R", bound=Registered)


def loss_specs() -> list[dict[str, Any]]:
    """Return what the core says of its losses."""
    return _core.losses()


def penalty_specs() -> list[dict[str, Any]]:
    """Return what the core says of its penalties."""
    return _core.penalties()


@lru_cache(maxsize=1024)
def penalty_shape(name: str, parameters: tuple[float, ...]) -> tuple[float, bool]:
    """Return the share of absolute values and norms in a penalty, and whether it is convex."""
    return _core.penalty_shape(name, list(parameters))


def make_class(
    spec: Mapping[str, Any], base: type[R], module: str, *, options: Sequence[Option] = (), common: str = ""
) -> type[R]:
    """Make the frozen dataclass that a description stands for.

    Parameters
    ----------
    spec : dict
        An entry of `loss_specs` or `penalty_specs`; what is neither documentation nor a parameter becomes an
        attribute of the class.
    base : type
        Its base class.
    module : str
        Where users find it.
    options : sequence of Option
        Keywords that this member takes beside its parameters and those of the base.
    common : str
        The keywords of the base, as a docstring describes them.
    """
    takes = tuple(Parameter(*values) for values in spec["parameters"])
    attributes = {key: value for key, value in spec.items() if key not in _DOCUMENTATION}
    attributes |= {"takes": takes, "__doc__": _docstring(spec, takes, options, common), "__module__": module}
    members = [_member(option.name, None, option.kw_only) for option in options if not option.kw_only]
    members += [_member(p.name, MISSING if p.default is None else p.default, False) for p in takes]
    members += [_member(option.name, None, option.kw_only) for option in options if option.kw_only]
    made = make_dataclass(spec["class"], members, bases=(base,), namespace=attributes, frozen=True, repr=False)
    made.__module__ = module
    return made


def _member(name: str, default: Any, kw_only: bool) -> tuple[str, Any, Any]:
    return name, Any, field(default=default, kw_only=kw_only)


_DOCUMENTATION = ("class", "summary", "notes", "parameters")


def _docstring(spec: Mapping[str, Any], takes: Iterable[Parameter], options: Iterable[Option], common: str) -> str:
    """Assemble a docstring as numpydoc wants it."""
    entries = [
        *(o.doc for o in options if not o.kw_only),
        *(p.numpydoc for p in takes),
        *([common] if common else []),
        *(o.doc for o in options if o.kw_only),
    ]
    sections = {
        "Parameters": "\n".join(entries),
        "Raises": "ValueError\n    If an argument cannot be used; the message names it." if entries else "",
        "Notes": spec["notes"],
        "Examples": _example(spec, tuple(takes)),
    }
    texts = [f"{title}\n{'-' * len(title)}\n{text}" for title, text in sections.items() if text]
    return "\n\n".join([spec["summary"], *texts]) + "\n"


def _example(spec: Mapping[str, Any], takes: Sequence[Parameter]) -> str:
    """Make it with the defaults, if it has one for each parameter."""
    if any(p.default is None for p in takes):
        return ""
    shown = ", ".join(f"{p.name}={p.default!r}" for p in takes)
    return f">>> {spec['class']}()\n{spec['class']}({shown})"
